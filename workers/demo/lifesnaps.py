"""LifeSnaps, real consumer data: what a watch's daily summaries come to in the twin, and why the rest has no number.

The file goes the way of every file: `workers/ingest` by the shipped mapping to samples and Observations, checked as R4 resources,
read into signal blocks, pages of the daybook, states. `./clarity twin lifesnaps --write` makes docs/twin-lifesnaps.md of it.
"""

from __future__ import annotations

import gzip
import io
import statistics
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, timedelta
from pathlib import Path
from typing import Final

import workers.ingest
from fhir_server.kit import json
from fhir_server.validation.validate import parse_resource
from profiles.psych.codes import GAPS as TOLD
from workers.ingest import files, observe, table
from workers.ingest.sample import Sample
from workers.twin import coverage
from workers.twin.arrays import DAY
from workers.twin.block import gather
from workers.twin.daybook import Page, pages, touched
from workers.twin.features import FEATURES, REASONS
from workers.twin.recording import Recording
from workers.twin.series import Buckets
from workers.twin.signals import read
from workers.twin.state import State, booked_states

MAPPING: Final = Path(workers.ingest.__file__).parent / "mappings" / "lifesnaps.toml"
GAPS: Final[Mapping[str, str]] = {
    **TOLD,
    "no-data": "Nothing at all was measured on the day.",
    "not-measured": "Other signals were measured, this one was not.",
    "not-worn": "The device counted and lay still.",
    "partly-measured": "Less than 95 % of the minutes were measured.",
}
"""Reasons of `$coverage`, see `workers/twin/coverage.py`."""


@dataclass(slots=True)
class Told:
    """What is known of a signal or a feature over all people: on how many days of how many people, and else why not."""

    days: Counter[str] = field(default_factory=Counter)
    """By person, days with a number (a feature) or with a sample (a signal)."""
    reasons: Counter[str] = field(default_factory=Counter)
    compared: int = 0
    strong: int = 0


@dataclass(slots=True)
class Found:
    """What the file came to."""

    people: int = 0
    days: int = 0
    measures: Counter[str] = field(default_factory=Counter)
    unusable: Counter[str] = field(default_factory=Counter)
    gaps: Counter[str] = field(default_factory=Counter)
    signals: defaultdict[str, Told] = field(default_factory=lambda: defaultdict(Told))
    features: defaultdict[str, Told] = field(default_factory=lambda: defaultdict(Told))


def people(content: bytes) -> Iterator[tuple[str, list[Sample], Counter[str]]]:
    """Yield of each person of the file the samples, and what could not be used by reason."""
    found: dict[str, list[Sample]] = defaultdict(list)
    unusable: dict[str, Counter[str]] = defaultdict(Counter)
    for row in files.read(io.BytesIO(content), None, by=table.mapping(MAPPING.read_bytes())):
        if row.patient is None:
            raise ValueError("a row of LifeSnaps names no person")
        if isinstance(row.item, Sample):
            found[row.patient].append(row.item)
        else:
            unusable[row.patient][type(row.item).__name__] += 1
    yield from ((who, samples, unusable[who]) for who, samples in found.items())


def evaluate(folder: Path, some: int | None = None, told: Callable[[str], None] = lambda _: None) -> Found:
    """Return what `daily.csv.gz` of a folder comes to, of the first `some` people or of all."""
    found = Found()
    for who, samples, unusable in people(gzip.decompress((folder / "daily.csv.gz").read_bytes())):
        if found.people == some:
            break
        _person(found, who, samples)
        found.unusable += unusable
        told(f"lifesnaps: {found.people} people")
    return found


def _person(found: Found, who: str, samples: Iterable[Sample]) -> None:
    """Add a person to what is found."""
    zone = table.mapping(MAPPING.read_bytes()).zone
    readings, said = [], []
    for rid, sample in enumerate(samples, 1):
        made = parse_resource(json.encode(observe.observation(who, sample)), expect="Observation")
        readings.append((rid, 1, read(made)))
        found.measures[sample.measure] += 1
        if sample.measure == "coverage-gap":
            found.gaps[sample.code or ""] += 1
            said.append(coverage.Told(date.fromisoformat(sample.start.text), None, sample.code or "not-told", DAY))
    recording = Recording.of(gather(readings), zone or UTC)
    known = recording.days_with_data()
    found.people += 1
    if not known:
        return
    days = [known[0] + timedelta(days=i) for i in range((known[-1] - known[0]).days + 1)]
    found.days += len(days)
    book = pages(recording, touched(recording))
    _signals(found, who, book, days, said)
    for state in booked_states(book, days):
        _state(found, who, state)


def _signals(found: Found, who: str, book: Mapping[date, Page], days: list[date], said: list[coverage.Told]) -> None:
    near = {day: page for day, page in book.items() if days[0] <= day <= days[-1]}
    for name, each in coverage.covered(Buckets("day", days[0], days[-1]), near, said).items():
        found.signals[name].days[who] += int((each.samples > 0).sum())
        found.signals[name].reasons.update(each.reasons.values())


def _state(found: Found, who: str, state: State) -> None:
    for each in state.features:
        told = found.features[each.feature.code]
        if each.value is None:
            told.reasons[each.reason] += 1
            continue
        told.days[who] += 1
        told.compared += each.deviation is not None
        told.strong += each.deviation is not None and each.deviation.direction != "within"


def page(found: Found) -> str:
    """Return docs/twin-lifesnaps.md."""
    gaps = ", ".join(f"{count} {code}" for code, count in sorted(found.gaps.items())) or "none"
    refused = ", ".join(f"{count} {kind}" for kind, count in sorted(found.unusable.items())) or "none"
    lines = [
        "# LifeSnaps: real consumer data through the twin",
        "",
        "Generated by `./clarity twin lifesnaps --write`.",
        "",
        f"Daily summaries of watches of {found.people} people (Yfantidou et al. 2022, CC BY 4.0), {found.days} days from each",
        "person's first measurement to the last. The file goes the way of every file",
        "(`./clarity ingest --mapping workers/ingest/mappings/lifesnaps.toml`): Observations, blocks, pages, states.",
        "There are no minutes in it, so what needs minutes has no number, and says why.",
        "",
        f"Observations: {found.measures.total()}. Items that could not be used: {refused}. Days whose row in the file is without",
        f"any measurement, kept as `wear-gap` with a reason: {gaps}.",
        "",
        "## Signals and their gaps",
        "",
        "As `Patient/{id}/$coverage` tells them, for people who have the signal at all.",
        "",
        "| signal | people | days with it | median a person | gaps |",
        "|---|--:|--:|--:|---|",
        *(_row(name, found.signals[name]) + f" | {_reasons(found.signals[name])} |" for name in sorted(found.signals)),
        "",
        *(
            f"- `{code}`: {text}"
            for code, text in GAPS.items()
            if any(each.reasons[code] for each in found.signals.values())
        ),
        "",
        "## Features",
        "",
        "Compared: days with a baseline to be compared with, strong: |z| of 3 or more whose interval excludes 0.",
        "",
        "| feature | people | days with a number | median a person | compared | strong | no number, because |",
        "|---|--:|--:|--:|--:|--:|---|",
    ]
    silent = [feature.code for feature in FEATURES if not found.features[feature.code].reasons.keys() - {"no-data"}
              and not found.features[feature.code].days]  # fmt: skip
    for feature in FEATURES:
        told = found.features[feature.code]
        if feature.code not in silent:
            lines.append(_row(feature.code, told) + f" | {told.compared} | {told.strong} | {_reasons(told)} |")
    lines += [
        "",
        f"On no day of anybody, as the file has none of the signals that they need (`no-data`): {', '.join(silent)}.",
    ]
    used = {code for each in found.features.values() for code in each.reasons}
    lines += ["", *(f"- `{code}`: {text}" for code, text in REASONS.items() if code in used), ""]
    return "\n".join(lines)


def _row(name: str, told: Told) -> str:
    middle = round(statistics.median(told.days.values())) if told.days else 0
    return f"| `{name}` | {len(told.days)} | {told.days.total()} | {middle}"


def _reasons(told: Told) -> str:
    return ", ".join(f"{code} {count}" for code, count in told.reasons.most_common()) or "-"
