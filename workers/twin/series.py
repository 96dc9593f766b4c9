"""Many days as a bounded number of points: buckets of local time, and what signals and features were in each.

A bucket of several days holds the lowest, the median and the highest of the days' numbers; of a signal the lowest and highest
value at all and the median of the days' medians. The size of an answer depends on the number of buckets, never on the span.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Final, Literal, TypeAlias

import numpy as np

from workers.twin.arrays import DAY_MINUTES, Bools, Floats
from workers.twin.baseline import unwrapped
from workers.twin.daybook import Page, Summary
from workers.twin.digest import Digest
from workers.twin.features import BY_CODE, Feature
from workers.twin.nights import unworn
from workers.twin.recording import Track, minute_grid, ordinal

Resolution = Literal["minute", "five-minutes", "hour", "day", "week", "month"]
MINUTES: Final[Mapping[Resolution, int]] = {
    "minute": 1,
    "five-minutes": 5,
    "hour": 60,
    "day": 1440,
    "week": 10080,
    "month": 0,
}
"""Length of a bucket on the wall clock; months differ."""

FINE: Final[frozenset[Resolution]] = frozenset({"minute", "five-minutes", "hour"})
"""Parts of a day: made of samples, not of pages."""

MOST: Final = 3000
"""Points of a series."""

Gap: TypeAlias = tuple[int, int, str]
"""First and last bucket, and the reason."""


@dataclass(frozen=True, slots=True)
class Buckets:
    """Consecutive buckets of days: `place` says in which a day lies."""

    resolution: Resolution
    first: date
    last: date

    @property
    def count(self) -> int:
        """Return how many there are."""
        if self.resolution in FINE:
            return (ordinal(self.last) - ordinal(self.first) + 1) * 1440 // MINUTES[self.resolution]
        return self.place(self.last) + 1

    def place(self, day: date) -> int:
        """Return the bucket of a day; weeks count from the first day."""
        if self.resolution == "month":
            return (day.year - self.first.year) * 12 + day.month - self.first.month
        return (day - self.first).days // (7 if self.resolution == "week" else 1)


def fitting(first: date, last: date) -> Resolution:
    """Return the resolution that shows a span well."""
    days = (last - first).days + 1
    for longest, resolution in _FITTING:
        if days <= longest:
            return resolution
    return "month"


_FITTING: Final[tuple[tuple[int, Resolution], ...]] = ((2, "minute"), (31, "hour"), (400, "day"), (4000, "week"))


@dataclass(slots=True)
class Line:
    """One signal or feature over buckets: NaN where nothing is known, then a gap with its reason."""

    values: Floats
    coverage: Floats
    total: Floats
    band: Floats
    deviation: Floats
    interval: Floats
    gaps: list[Gap] = field(default_factory=list)

    @classmethod
    def blank(cls, count: int) -> Line:
        """Return a line without numbers."""
        values, coverage, total, band, far, about = (np.full((count, n), np.nan) for n in (3, 1, 1, 2, 3, 2))
        return cls(values, coverage, total, band, far, about)


def features(
    buckets: Buckets, pages: Mapping[date, Page], digests: Mapping[date, Digest], codes: Iterable[str]
) -> dict[str, Line]:
    """Return the features of days in buckets: low, median, high; band of the baseline; the farthest deviation with interval."""
    lines = {code: _Collected(buckets, BY_CODE[code]) for code in codes}
    for day, page in pages.items():
        place = buckets.place(day)
        for code, value, part, reason, _ in page.numbers:
            if code in lines:
                lines[code].add(place, value, part, reason)
        told = digests.get(day)
        for code, value in told.fortnight if told else ():
            if code in lines:
                lines[code].add(place, value, None, "")
        for code, low, high in told.intervals if told else ():
            if code in lines:
                lines[code].abouts.setdefault(place, []).append((low, high))
        for code, centre, spread, _, _, z, low, high, _ in told.against if told else ():
            if code in lines:
                lines[code].compare(place, (centre - 3 * spread, centre + 3 * spread), (z, low, high))
    return {code: collected.line() for code, collected in lines.items()}


class _Collected:
    """The days' numbers of one feature by bucket, until they are put together."""

    def __init__(self, buckets: Buckets, feature: Feature) -> None:
        self.count, self.feature = buckets.count, feature
        self.values: dict[int, list[float]] = {}
        self.parts: dict[int, list[float]] = {}
        self.reasons: dict[int, str] = {}
        self.bands: dict[int, list[tuple[float, float]]] = {}
        self.abouts: dict[int, list[tuple[float, float]]] = {}
        self.farthest: dict[int, tuple[float, float, float]] = {}

    def add(self, place: int, value: float | None, part: float | None, reason: str) -> None:
        if value is not None:
            self.values.setdefault(place, []).append(round(value, self.feature.decimals))  # as the state says it
        elif reason:
            self.reasons[place] = reason
        if part is not None:
            self.parts.setdefault(place, []).append(part)

    def compare(self, place: int, band: tuple[float, float], far: tuple[float, float, float]) -> None:
        low, high = (round(edge, self.feature.decimals) for edge in band)
        self.bands.setdefault(place, []).append((low, high))
        if place not in self.farthest or abs(far[0]) > abs(self.farthest[place][0]):
            self.farthest[place] = far

    def line(self) -> Line:
        made = Line.blank(self.count)
        for place, values in self.values.items():
            made.values[place] = self._about(values)
        for place, parts in self.parts.items():
            made.coverage[place] = sum(parts) / len(parts)
        for place, bands in self.bands.items():
            made.band[place] = [_middle(list(side)) for side in zip(*bands, strict=True)]
        for place, abouts in self.abouts.items():
            made.interval[place] = [_middle(list(side)) for side in zip(*abouts, strict=True)]
        for place, far in self.farthest.items():
            made.deviation[place] = far
        made.gaps = gaps(np.isnan(made.values[:, 0]), self.reasons)
        return made

    def _about(self, values: list[float]) -> tuple[float, float, float]:
        """Return lowest, median, highest; clock hours around their mean, so that the lowest may lie before midnight."""
        if self.feature.circular and len(values) > 1:
            values = unwrapped(np.array(values)).tolist()
        low, middle, high = min(values), _middle(values), max(values)
        turn = middle - middle % 24 if self.feature.circular else 0.0
        return low - turn, middle - turn, high - turn


def streams(buckets: Buckets, pages: Mapping[date, Page]) -> dict[str, Floats]:
    """Return of each stream the measured part of every bucket, as the states say it; a day without it counts as 0."""
    out: dict[str, Floats] = {}
    days = np.zeros((buckets.count, 1))
    for day in _days(buckets):
        place, page = buckets.place(day), pages.get(day)
        days[place] += 1
        for name, measured in page.coverage if page else ():
            out.setdefault(name, np.zeros((buckets.count, 1)))[place, 0] += measured
    return {name: found / np.maximum(days, 1) for name, found in sorted(out.items())}


def signals(buckets: Buckets, pages: Mapping[date, Page], names: Iterable[str]) -> dict[str, Line]:
    """Return the signals of days in buckets, with the measured part of each and the reason for a gap."""
    found: dict[str, dict[int, list[Summary]]] = {name: {} for name in names}
    reasons: dict[str, dict[int, str]] = {name: {} for name in found}
    days = np.zeros(buckets.count)
    for day in _days(buckets):
        place, page = buckets.place(day), pages.get(day)
        days[place] += 1
        told = {each.signal: each for each in page.signals} if page else {}
        for name, places in found.items():
            each = told.get(name)
            if each is None:
                reasons[name].setdefault(place, "not-measured" if told else "no-data")
            else:
                places.setdefault(place, []).append(each)
    return {name: _signal(places, days, reasons[name]) for name, places in found.items()}


def _signal(places: Mapping[int, list[Summary]], days: Floats, reasons: Mapping[int, str]) -> Line:
    """Return one signal as a line, from the days of each bucket."""
    line = Line.blank(len(days))
    for place, told in places.items():
        line.values[place] = min(x.low for x in told), _middle([x.median for x in told]), max(x.high for x in told)
        line.total[place] = sum(x.total for x in told)
        parts = [x.coverage for x in told if x.coverage is not None]
        if parts:
            line.coverage[place] = sum(parts) / max(days[place], 1)
    line.gaps = gaps(np.isnan(line.values[:, 0]), reasons)
    return line


def _middle(values: list[float]) -> float:
    """Return the median of a few numbers, without numpy, which costs more than the few are worth."""
    ordered, half = sorted(values), len(values) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2


def minutes(buckets: Buckets, track: Track | None, name: str) -> Line:
    """Return a signal in buckets of minutes or hours, from its samples; counts of a device that was not worn are none."""
    made = Line.blank(buckets.count)
    if track is None:
        made.gaps = gaps(np.ones(buckets.count, bool), {})
        return made
    days = (buckets.last - buckets.first).days + 1
    size = MINUTES[buckets.resolution]
    whole = minute_grid(track, name, buckets.first - timedelta(days=1), days + 1).reshape(-1)
    off = unworn(whole, 0) if name == "activity-counts" else np.zeros(len(whole), bool)
    whole[off] = np.nan
    grid = whole[DAY_MINUTES:].reshape(-1, size)
    known = ~np.isnan(grid)
    some = np.asarray(known.any(axis=1), bool)
    made.coverage[:, 0] = known.mean(axis=1)
    measured = grid[some]
    ordered = np.sort(measured, axis=1)  # NaN last
    count = known[some].sum(axis=1)
    rows = np.arange(len(ordered))
    middle = (ordered[rows, (count - 1) // 2] + ordered[rows, count // 2]) / 2
    made.values[some] = np.column_stack((ordered[:, 0], middle, ordered[rows, count - 1]))
    made.total[some, 0] = np.nansum(measured, axis=1)
    lain = off[DAY_MINUTES:].reshape(-1, size).any(axis=1)
    made.gaps = gaps(~some, dict.fromkeys(np.flatnonzero(lain).tolist(), "not-worn"))
    return made


def gaps(missing: Bools, reasons: Mapping[int, str]) -> list[Gap]:
    """Return the stretches without a number, one for each reason in a row."""
    out: list[Gap] = []
    for place in np.flatnonzero(missing).tolist():
        reason = reasons.get(place, "no-data")
        if out and out[-1][1] == place - 1 and out[-1][2] == reason:
            out[-1] = out[-1][0], place, reason
        else:
            out.append((place, place, reason))
    return out


def _days(buckets: Buckets) -> list[date]:
    return [buckets.first + timedelta(days=i) for i in range((buckets.last - buckets.first).days + 1)]


def sampled(rows: Floats) -> str:
    """Return rows of numbers as the data of a SampledData: six digits, E where nothing is known."""
    return " ".join(_text(x) for x in rows.reshape(-1).tolist())


def _text(number: float) -> str:
    text = "E" if math.isnan(number) else f"{number:.6g}"
    return f"{number:.0f}" if "e" in text else text
