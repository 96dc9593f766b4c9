"""`ingest`: a file of a wearable into the running instance: Apple Health, Fitbit archive, FIT, CSV by a mapping, JSON payloads.

The file is read here, as a stream, and its samples are sent to `$ingest` in parts; run again it changes nothing.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Annotated, Any

import typer
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from fhir_server.auth import tokens
from fhir_server.cli import services
from fhir_server.cli.loading.sender import Sender, Unreachable, refusal
from fhir_server.cli.options import Data, Json, Port, fail, print_json, read_settings, screen
from fhir_server.cli.stack import nearest
from fhir_server.cli.tenant import TenantName, opened
from fhir_server.kit import json
from fhir_server.settings import Settings
from workers.ingest import files, payload, table
from workers.ingest.neutral import as_json as sample_json
from workers.ingest.sample import Left, Sample, Unusable

SCOPE = "system/Patient.rs system/Observation.cruds"
PART = 500
"""Samples of one request; a day of minutes is one of them."""
SHOWN = 10
COUNTS = ("created", "updated", "unchanged", "outdone", "refused")

File = Annotated[Path, typer.Argument(help="export.zip, Fitbit archive, .fit, .csv (with --mapping), .json")]
PatientId = Annotated[str | None, typer.Option("--patient", metavar="ID", help="Whose it is, unless the file says.")]
MappingFile = Annotated[Path | None, typer.Option("--mapping", metavar="TOML", help="What the columns of a CSV are.")]
Zone = Annotated[str | None, typer.Option("--zone", help="IANA time zone of local times without an offset.")]
Source = Annotated[str | None, typer.Option("--source", help="Name of the source; by default that of the format.")]


@dataclass(slots=True)
class Report:
    """What was taken of a file and what not, as counts; the first places of what could not be read."""

    counts: Counter[str] = field(default_factory=Counter)
    wrong: Counter[str] = field(default_factory=Counter)
    left: Counter[str] = field(default_factory=Counter)
    places: list[str] = field(default_factory=list)

    def note(self, error: Unusable) -> None:
        """Count one thing that cannot be used."""
        self.wrong[error.reason] += 1
        if len(self.places) < SHOWN:
            self.places.append(f"{error.where or 'file'}: {error}")

    def told(self, answer: Any) -> None:
        """Add what the server says of a part."""
        for each in answer["parameter"]:
            if each["name"] in COUNTS:
                self.counts[each["name"]] += each["valueInteger"]
            elif each["name"] == "outcome":
                for issue in each["resource"]["issue"]:
                    self.wrong[issue["details"]["coding"][0]["code"].removeprefix("ingest-")] += 1


def ingest(
    *,
    file: File,
    patient: PatientId = None,
    mapping: MappingFile = None,
    zone: Zone = None,
    source: Source = None,
    tenant: TenantName = "default",
    as_json: Json = False,
    data: Data = None,
    port: Port = None,
) -> None:
    """Read a file of a wearable into the record of a patient; say what was taken, what not, and why."""
    settings = services.of_running(read_settings(data, port))
    if not file.is_file():
        fail(f"There is no file {file}.", code=2)
    try:
        named = payload.zone_named(zone, "--zone") if zone else None
        by = table.mapping(mapping.read_bytes(), named) if mapping else None
        with file.open("rb") as stream, _progress(file, stream, quiet=as_json) as tick:
            rows = files.read(stream, source, named, by)
            report = asyncio.run(send_rows(settings, tenant, rows, patient, tick))
    except Unusable as error:
        fail(f"{error.where or file.name}: {error}", code=2)
    except OSError as error:
        fail(f"{error.filename}: {error.strerror}", code=2)
    except (Unreachable, Refused) as error:
        fail(f"{error} Run the same command again: nothing is stored twice.")
    _say(report, as_json=as_json)
    if report.wrong or report.counts["refused"]:
        raise typer.Exit(1)


class Refused(Exception):
    """A part that the server did not take at all."""


async def send_rows(
    settings: Settings, name: str, rows: Iterator[table.Row], patient: str | None, tick: Callable[[], None]
) -> Report:
    """Send the samples of a file to `Patient/$ingest`, in parts; return what came of it."""
    report = Report()
    async with opened(settings, name) as tenant:
        base = f"{nearest(settings, tenant.base)}/Patient/$ingest"
        sender = Sender(base, lambda: tokens.mint(tenant, SCOPE), 1, prefer="handling=lenient")
        try:
            for part in _parts(rows, patient, report):
                answer = await sender.post(json.encode(part))
                if answer.status_code >= 400:
                    raise Refused(refusal(answer.status_code, answer.content).text)
                report.told(json.decode(answer.content))
                tick()
        finally:
            await sender.close()
    return report


def _parts(rows: Iterator[table.Row], patient: str | None, report: Report) -> Iterator[dict[str, Any]]:
    """Yield requests of up to PART samples, by patient."""
    waiting: dict[str, list[Any]] = {}
    for row in rows:
        if isinstance(row.item, Unusable):
            report.note(row.item)
        elif isinstance(row.item, Left):
            report.left[row.item.what] += 1
        else:
            assert isinstance(row.item, Sample)
            who = row.patient or patient
            if who is None:
                raise Unusable(
                    "patient", "The file does not say whose it is: name the patient by --patient ID.", "file"
                )
            waiting.setdefault(who, []).append(sample_json(row.item))
            if sum(map(len, waiting.values())) >= PART:
                yield _part(waiting)
                waiting = {}
    if waiting:
        yield _part(waiting)


def _part(waiting: dict[str, list[Any]]) -> dict[str, Any]:
    return {"format": "clarity", "patients": [{"patient": who, "samples": each} for who, each in waiting.items()]}


@contextmanager
def _progress(file: Path, stream: IO[bytes], *, quiet: bool) -> Iterator[Callable[[], None]]:
    """Show how far the file is read."""
    columns = (BarColumn(), TaskProgressColumn(), TextColumn("{task.description}"), TimeRemainingColumn())
    with Progress(*columns, console=screen, disable=quiet) as progress:
        bar = progress.add_task(file.name, total=file.stat().st_size)

        def tick() -> None:
            if not stream.closed:
                progress.update(bar, completed=stream.tell())

        yield tick


def _say(report: Report, *, as_json: bool) -> None:
    counts = {name: report.counts[name] for name in COUNTS}
    if as_json:
        print_json({**counts, "unusable": report.wrong, "not_kept": report.left, "places": report.places})
        return
    said = ", ".join(f"{count:,} {name}" for name, count in counts.items() if count) or "nothing to take"
    screen.print(f"{said}.", markup=False)
    for title, found in (("cannot be used", report.wrong), ("not kept", report.left)):
        for what, count in found.most_common():
            screen.print(f"  {title}: {what} ({count:,})", markup=False, soft_wrap=True)
    for place in report.places:
        screen.print(f"    {place}", markup=False, soft_wrap=True)
