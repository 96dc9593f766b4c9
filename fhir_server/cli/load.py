"""`load`: FHIR JSON from files, folders and standard input into the running instance."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from fhir_server.auth import tokens
from fhir_server.cli import services
from fhir_server.cli.loading import sources
from fhir_server.cli.loading.ledger import Ledger
from fhir_server.cli.loading.run import FileReport, Load
from fhir_server.cli.loading.sender import Sender, Unreachable
from fhir_server.cli.options import Data, Json, Port, fail, print_json, read_settings, screen
from fhir_server.cli.stack import nearest
from fhir_server.cli.tenant import TenantName, opened
from fhir_server.kit import clock
from fhir_server.settings import Settings

SCOPE = "system/*.cruds"
SHOWN = 3
"""Refusals of one file on the screen; `--json` has more."""
Paths = Annotated[
    list[Path], typer.Argument(help="Files and folders (.json .ndjson, also .gz .bz2); - reads standard input.")
]
Jobs = Annotated[int, typer.Option("--jobs", min=1, max=64, help="Requests at a time.")]
Again = Annotated[bool, typer.Option("--again", help="Load everything, also what an earlier run loaded.")]


def load(
    *,
    paths: Paths,
    jobs: Jobs = 4,
    again: Again = False,
    tenant: TenantName = "default",
    as_json: Json = False,
    data: Data = None,
    port: Port = None,
) -> None:
    """Load resources: transactions and batches as they are, other resources by id (created when they have none)."""
    settings = services.of_running(read_settings(data, port))
    try:
        files = sources.find(paths)
    except sources.Unreadable as error:
        fail(str(error), code=2)
    began = clock.monotonic()
    try:
        reports, broken = asyncio.run(load_files(settings, tenant, files, jobs=jobs, again=again, quiet=as_json))
    except KeyboardInterrupt:
        fail("Ended. Run the same command again to go on.", code=130)
    _report(reports, clock.monotonic() - began, broken, as_json=as_json)
    if broken or any(report.refused for report in reports):
        raise typer.Exit(1)


async def load_files(
    settings: Settings, name: str, files: list[Path], *, jobs: int, again: bool = False, quiet: bool = False
) -> tuple[list[FileReport], str | None]:
    """Load files into a tenant of a running instance; return a report of each, and why it stopped early, if it did."""
    async with opened(settings, name) as tenant:

        async def mint() -> str:
            return await tokens.mint(tenant, SCOPE)

        sender = Sender(nearest(settings, tenant.base), mint, jobs)
        ledger = Ledger(settings.data / "loaded" / f"{name}.jsonl", forget=again)
        with _progress(files, quiet=quiet) as told:
            run = Load(sender, ledger, told, jobs)
            try:
                await run.run(files)
            except Unreachable as error:
                return run.reports, str(error)
            finally:
                await sender.close()
    return run.reports, None


@contextmanager
def _progress(files: list[Path], *, quiet: bool) -> Iterator[Callable[[list[FileReport]], None]]:
    """Show bytes of the files done, with resources, rate and time left."""
    total = sum(file.stat().st_size for file in files if file != sources.STDIN) or None
    began = clock.monotonic()
    columns = (BarColumn(), TaskProgressColumn(), TextColumn("{task.fields[said]}"), TimeRemainingColumn())
    with Progress(*columns, console=screen, disable=quiet) as progress:
        bar = progress.add_task("", total=total, said="")

        def told(reports: list[FileReport]) -> None:
            loaded = sum(report.loaded for report in reports)
            rate = loaded / max(clock.monotonic() - began, 1e-3)
            said = f"{len(reports)}/{len(files)} files, {loaded:,} resources, {rate:,.0f}/s"
            progress.update(bar, completed=sum(report.position for report in reports), said=said)

        yield told


def _report(reports: list[FileReport], seconds: float, broken: str | None, *, as_json: bool) -> None:
    loaded = sum(report.loaded for report in reports)
    skipped = sum(report.skipped for report in reports)
    refused = sum(report.refused for report in reports)
    if as_json:
        totals = {"loaded": loaded, "skipped": skipped, "refused": refused, "seconds": round(seconds, 3)}
        rate = {"rate": round(loaded / max(seconds, 1e-3), 1), "stopped": broken}
        print_json({**totals, **rate, "files": [report.as_json() for report in reports]})
        return
    for report in filter(lambda report: report.refused, reports):
        said = [_said(refusal) for refusal in report.refusals]
        more = f"\n  … {report.refused:,} refused in all" if len(said) > SHOWN else ""
        text = (
            f"{'standard input' if report.file == sources.STDIN else report.file}: " + "\n  ".join(said[:SHOWN]) + more
        )
        screen.print(text, style="red", markup=False, soft_wrap=True)
    screen.print(
        f"{loaded:,} resources loaded in {seconds:.1f} s ({loaded / max(seconds, 1e-3):,.0f}/s), "
        f"{skipped:,} were there already, {refused:,} refused, {len(reports)} files",
        soft_wrap=True,
    )
    if broken:
        screen.print(f"{broken} Run the same command again to go on.", style="red", markup=False, soft_wrap=True)


def _said(refusal: dict[str, Any]) -> str:
    place = next((f"{kind} {refusal[kind]}: " for kind in ("line", "entry") if kind in refusal), "")
    return f"{place}{refusal['status'] or ''} {refusal['text']}".replace(":  ", ": ").strip()
