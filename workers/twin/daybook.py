"""The daybook: the features of each local day and what its signals were, kept, so that a new day costs one day.

A day's page depends on the blocks around it alone: its own, and six days before for what looks at a week. What looks further
back (baselines, change points, trends, social jetlag) reads pages, never minutes. A page is bytes that storage encrypts.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from typing import Final, TypeAlias

import msgspec
import numpy as np

from workers.twin.arrays import DAY, DAY_MINUTES, Floats, distinct, median
from workers.twin.features import FEATURES, Column, Table
from workers.twin.inputs import Input, inputs
from workers.twin.intervals import Interval
from workers.twin.nights import ends
from workers.twin.recording import Recording, Track, minute_grid, ordinal
from workers.twin.table import table
from workers.twin.weekly import WINDOW, social_jetlag

BEFORE: Final = WINDOW + 1
"""Days before a page's own that it may depend on: the week, and the night before its first day."""

AFTER: Final = WINDOW + 2
"""Pages after a UTC day that its blocks may change: a sleep ends up to two local days after it, the week follows."""

STRETCH: Final = 180
"""Days whose features are computed in one go."""

FORTNIGHTLY: Final = "social-jetlag"
MINUTES: Final = frozenset({"heart-rate", "activity-counts", "steps"})
"""Signals that are known minute by minute; of others the samples count that end on the day."""

Number: TypeAlias = tuple[str, float | None, float | None, str, str]
"""Code, value, coverage, reason, method."""


class Summary(msgspec.Struct, frozen=True, array_like=True):
    """One signal on one local day: samples, lowest, median and highest value, sum, and the measured part of the day."""

    signal: str
    count: int
    low: float
    median: float
    high: float
    total: float
    coverage: float | None


class Page(msgspec.Struct, frozen=True, array_like=True):
    """One local day: numbers and reasons, measured parts by signal, signals, and what they rest on."""

    numbers: tuple[Number, ...]
    coverage: tuple[tuple[str, float], ...]
    signals: tuple[Summary, ...]
    inputs: tuple[Input, ...]
    intervals: tuple[tuple[str, Interval], ...] = ()
    """Of numbers whose own samples tell one, by code."""


Book: TypeAlias = Mapping[date, Page]


def encode(page: Page) -> bytes:
    """Return a page as bytes."""
    return msgspec.msgpack.encode(page)


def decode(data: bytes) -> Page:
    """Return the page that `encode` wrote."""
    return msgspec.msgpack.decode(data, type=Page)


class _Numbers(msgspec.Struct, frozen=True, array_like=True):
    numbers: tuple[Number, ...]
    coverage: tuple[tuple[str, float], ...]


def decode_numbers(data: bytes) -> Page:
    """Return the numbers and measured parts of a page, which later days look at, in a fraction of the time."""
    found = msgspec.msgpack.decode(data, type=_Numbers)
    return Page(found.numbers, found.coverage, (), ())


def pages_changed(day: date) -> tuple[date, date]:
    """Return the first and last local day whose pages may change when blocks of a UTC day did."""
    return day - timedelta(days=1), day + timedelta(days=AFTER)


def blocks_needed(first: date, last: date) -> tuple[date, date]:
    """Return the first and last UTC day whose blocks the pages of these local days may need."""
    return first - timedelta(days=BEFORE + 2), last + timedelta(days=1)


def touched(recording: Recording) -> list[date]:
    """Return the local days that may have a number: those with samples, and the week after each."""
    found: set[int] = set()
    for track in recording.tracks.values():
        for day in distinct(np.concatenate((track.local // DAY, ends(track)))).tolist():
            found.update(range(day, day + WINDOW))
    return [date(1970, 1, 1) + timedelta(days=day) for day in sorted(found)]


def pages(recording: Recording, days: Iterable[date]) -> dict[date, Page]:
    """Return the pages of local days; a day on which nothing was measured and nothing can be said has none."""
    wanted = sorted(set(days))
    used = inputs(recording, wanted)
    out: dict[date, Page] = {}
    for near in stretches(wanted):
        first = near[0] - timedelta(days=BEFORE)
        features = table(recording, first, near[-1], BEFORE)
        told = _summaries(recording, near[0], (near[-1] - near[0]).days + 1)
        for day in near:
            row = features.row(day)
            measured, about = _coverage(features, row), _intervals(features, row)
            page = Page(_numbers(features, row), measured, told.get(day, ()), used[day], about)
            if page.inputs or page.signals or any(number[1] is not None for number in page.numbers):
                out[day] = page
    return out


def stretches(days: list[date], longest: int = STRETCH) -> list[list[date]]:
    """Return sorted days in stretches of `longest` at most: a device whose clock was once wrong must not cost years."""
    out: list[list[date]] = []
    for day in days:
        if out and (day - out[-1][0]).days < longest:
            out[-1].append(day)
        else:
            out.append([day])
    return out


def as_table(book: Book, first: date, last: date, fresh: int = 0) -> Table:
    """Return the pages of `first` to `last` as columns; intervals, and what looks at a fortnight, from row `fresh` on."""
    days = (last - first).days + 1
    columns = {feature.code: Column.blank(days) for feature in FEATURES}
    numbers: dict[str, tuple[list[int], list[float], list[float]]] = {code: ([], [], []) for code in columns}
    coverage: dict[str, Floats] = {}
    for row in range(days):
        page = book.get(first + timedelta(days=row))
        if page is None:
            continue
        for code, value, part, reason, method in page.numbers:
            rows, values, parts = numbers[code]
            rows.append(row)
            values.append(math.nan if value is None else value)
            parts.append(math.nan if part is None else part)
            column = columns[code]
            column.reason[row], column.method[row] = reason, method
        for code, about in page.intervals if row >= fresh else ():
            columns[code].interval[row] = about
        for name, measured in page.coverage:
            coverage.setdefault(name, np.zeros(days))[row] = measured
    for code, (rows, values, parts) in numbers.items():
        columns[code].value[rows], columns[code].coverage[rows] = values, parts
    columns[FORTNIGHTLY] = social_jetlag(columns["sleep-midpoint"], first, fresh)
    return Table(first, days, columns, coverage)


def _numbers(features: Table, row: int) -> tuple[Number, ...]:
    """Return what is known of each feature; one without data and coverage says nothing."""
    out: list[Number] = []
    for code, column in features.columns.items():
        value, part = float(column.value[row]), float(column.coverage[row])
        silent = math.isnan(value) and column.reason[row] == "no-data" and not part > 0
        if not silent and code != FORTNIGHTLY:
            known = None if math.isnan(value) else value
            out.append((code, known, None if math.isnan(part) else part, column.reason[row], column.method[row]))
    return tuple(out)


def _intervals(features: Table, row: int) -> tuple[tuple[str, Interval], ...]:
    found = ((code, column.interval[row]) for code, column in features.columns.items() if code != FORTNIGHTLY)
    return tuple((code, about) for code, about in found if about is not None)


def _coverage(features: Table, row: int) -> tuple[tuple[str, float], ...]:
    return tuple((name, float(part[row])) for name, part in sorted(features.coverage.items()) if part[row] > 0)


def _summaries(recording: Recording, first: date, days: int) -> dict[date, tuple[Summary, ...]]:
    """Return by day what each signal was."""
    out: dict[date, list[Summary]] = {}
    for name, track in sorted(recording.tracks.items()):
        grid = minute_grid(track, name, first, days) if name in MINUTES else None
        last = ends(track) - ordinal(first)
        for row in distinct(last[(last >= 0) & (last < days)]).tolist():
            found = _summary(name, track, last == row, None if grid is None else grid[row])
            out.setdefault(first + timedelta(days=row), []).append(found)
    return {day: tuple(found) for day, found in out.items()}


def _summary(name: str, track: Track, chosen: Floats, minutes: Floats | None) -> Summary:
    values = track.value[chosen] if minutes is None else minutes[~np.isnan(minutes)]
    coverage = None if minutes is None else len(values) / DAY_MINUTES
    count = int(np.count_nonzero(chosen))
    if not len(values):  # its samples end on the day and began before it
        values = track.value[chosen]
    return Summary(name, count, float(values.min()), median(values), float(values.max()), float(values.sum()), coverage)
