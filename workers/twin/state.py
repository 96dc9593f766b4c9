"""The state of a twin on a local day: every feature with its personal baseline, deviation, coverage and window.

Pure and deterministic: equal blocks give an equal state, whatever the order in which the data came, and a state computed
from the pages of the daybook that it needs equals one computed from the whole history.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, timedelta, tzinfo
from typing import TypeAlias

import numpy as np

from workers.twin import daybook
from workers.twin.baseline import TRAILING, Baseline, Deviation, baseline, day_to_day, deviation
from workers.twin.block import Block
from workers.twin.changes import WINDOW as CHANGES
from workers.twin.changes import Change, changes
from workers.twin.daybook import Book, Page
from workers.twin.features import FEATURES, Column, Feature, Table
from workers.twin.inputs import Input
from workers.twin.intervals import Interval
from workers.twin.recording import Recording
from workers.twin.trend import REACH as TRENDS
from workers.twin.trend import Trend, trends
from workers.twin.weekly import WINDOW

LOOKBACK = 10
TOLD = 7
"""Earlier days whose deviations, and whose changes of level, the rules look at, see `crossings.py`."""

REACH = max(TRAILING + 2 * WINDOW, CHANGES + TOLD, TRENDS)
"""Pages before a day that its state may depend on."""

_Compared: TypeAlias = tuple[Baseline | None, Deviation | None]


@dataclass(frozen=True, slots=True)
class FeatureState:
    """One feature on the day: a number with its baseline and deviation, or the reason why there is none."""

    feature: Feature
    value: float | None
    reason: str
    method: str
    coverage: float | None
    baseline: Baseline | None
    deviation: Deviation | None
    earlier: tuple[Deviation | None, ...] = ()
    """Deviations of the LOOKBACK days before, newest first; only of features that take part in rules."""
    change: Change | None = None
    interval: Interval | None = None
    """Of the value; None where nothing tells one yet."""
    told: tuple[bool, ...] = ()
    """Whether a change of level was told on each of the TOLD days before, newest first."""


@dataclass(frozen=True, slots=True)
class State:
    """The twin on one local day; `newest` is the instant (ms) up to which data of the day were used, None without any."""

    day: date
    features: tuple[FeatureState, ...]
    inputs: tuple[Input, ...]
    coverage: tuple[tuple[str, float], ...]
    newest: int | None
    trends: tuple[Trend, ...] = ()

    def feature(self, code: str) -> FeatureState:
        """Return one feature's state."""
        return next(found for found in self.features if found.feature.code == code)


def days_needed(day: date) -> tuple[date, date]:
    """Return the first and last UTC day whose blocks the state of a local day may need."""
    return daybook.blocks_needed(day - timedelta(days=REACH), day)


def days_affected(first: date, last: date) -> tuple[date, date]:
    """Return the local days whose states may change when blocks of the UTC days from `first` to `last` did."""
    return daybook.pages_changed(first)[0], daybook.pages_changed(last)[1] + timedelta(days=REACH)


def states(
    blocks: Mapping[tuple[str, date], Block], days: Iterable[date] | None = None, zone: tzinfo = UTC
) -> list[State]:
    """Return the states of the given local days, by default of all that have data, from a person's blocks.

    `zone` is the patient's time zone, else the tenant's.
    """
    return recorded_states(Recording.of(blocks, zone), days)


def recorded_states(recording: Recording, days: Iterable[date] | None = None) -> list[State]:
    """Return the states of the given local days, by default of all that have data, from a recording."""
    wanted = sorted(set(recording.days_with_data() if days is None else days))
    needed = {day for near in daybook.stretches(wanted) for day in _span(near[0] - timedelta(days=REACH), near[-1])}
    book = daybook.pages(recording, needed.intersection(daybook.touched(recording)))
    return booked_states(book, wanted)


def booked_states(book: Book, days: Iterable[date], *, shrunk: bool = True) -> list[State]:
    """Return the states of local days from the daybook, which holds the REACH pages before each.

    Not `shrunk`: by the person's own days alone, which `demo/evaluate.py` compares with.
    """
    out = []
    for near in daybook.stretches(sorted(set(days))):
        first = near[0] - timedelta(days=REACH)
        features = daybook.as_table(book, first, near[-1], REACH)
        near_states = _Near(features, shrunk=shrunk)
        out += [near_states.state(day, book.get(day)) for day in near]
    return out


def _span(first: date, last: date) -> list[date]:
    return [first + timedelta(days=i) for i in range((last - first).days + 1)]


class _Near:
    """The states of a stretch of days: what several of them need is computed once."""

    def __init__(self, features: Table, *, shrunk: bool) -> None:
        self.features, self.shrunk = features, shrunk
        rows = range(REACH - TOLD, features.days)
        self.changes = changes(((f, features.columns[f.code]) for f in FEATURES if f.alerting), rows)
        self.compared: dict[tuple[str, int], _Compared] = {}

    def state(self, day: date, page: Page | None) -> State:
        """Return the state of one local day of the stretch."""
        row = self.features.row(day)
        found = tuple(self._feature(feature, self.features.columns[feature.code], row) for feature in FEATURES)
        used = page.inputs if page else ()
        newest = max((part.newest for part in used), default=None)
        return State(day, found, used, page.coverage if page else (), newest, trends(self.features.columns, row))

    def _feature(self, feature: Feature, column: Column, row: int) -> FeatureState:
        """Return one feature's state in a row."""
        coverage = None if np.isnan(column.coverage[row]) else float(column.coverage[row])
        earlier: tuple[Deviation | None, ...] = ()
        change: Change | None = None
        told: tuple[bool, ...] = ()
        if feature.alerting:
            earlier = tuple(self._compared(feature, column, row - back)[1] for back in range(1, LOOKBACK + 1))
            place = row - (REACH - TOLD)
            *before, change = self.changes[feature.code][place - TOLD : place + 1]
            told = tuple(bool(each and each.told) for each in reversed(before))
        if np.isnan(column.value[row]):
            reason = column.reason[row]
            return FeatureState(feature, None, reason, "", coverage, None, None, earlier, told=told)
        base, far = self._compared(feature, column, row)
        value = float(column.value[row])
        about, method = column.interval[row], column.method[row]
        if about is None:
            about = day_to_day(feature, value, base or baseline(feature, column, row, shrunk=self.shrunk))
        return FeatureState(feature, value, "", method, coverage, base, far, earlier, change, about, told)

    def _compared(self, feature: Feature, column: Column, row: int) -> _Compared:
        """Return baseline and deviation of a row, where there are any."""
        if row < 0 or not feature.scored or np.isnan(column.value[row]):
            return None, None
        key = feature.code, row
        if key not in self.compared:
            base = baseline(feature, column, row, shrunk=self.shrunk)
            far = None if base is None else deviation(feature, float(column.value[row]), base)
            self.compared[key] = base, far
        return self.compared[key]
