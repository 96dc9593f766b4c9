"""The state of a twin on a local day: every feature with its personal baseline, deviation, coverage and window.

Pure and deterministic: equal blocks give an equal state, whatever the order in which the data came, and a state computed
from the days it needs equals one computed from the whole history.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, timedelta, tzinfo

import numpy as np

from workers.twin.arrays import Ints
from workers.twin.baseline import TRAILING, Baseline, Deviation, baseline, deviation
from workers.twin.block import Block
from workers.twin.features import FEATURES, Column, Feature, Table
from workers.twin.nights import ends
from workers.twin.recording import Recording, Track, ordinal
from workers.twin.table import table
from workers.twin.weekly import WINDOW

LOOKBACK = 10
"""Earlier days whose deviations the rules look at, see `crossings.py`."""

REACH = TRAILING + 2 * WINDOW
"""Local days before a day that its state may depend on."""

STRETCH = 180
"""Days whose features are computed in one go."""

INPUTS = 32
"""At most so many Observations of the day are named one by one, signal by signal; of more only the number is given."""


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


@dataclass(frozen=True, slots=True)
class Input:
    """What a signal gave to the day: samples, devices, and the rids of its Observations unless there are too many."""

    signal: str
    samples: int
    devices: tuple[str, ...]
    observations: int
    rids: tuple[int, ...]
    newest: int
    """The instant, ms since 1970, at which the last of the samples ends."""


@dataclass(frozen=True, slots=True)
class State:
    """The twin on one local day; `newest` is the instant (ms) up to which data of the day were used, None without any."""

    day: date
    features: tuple[FeatureState, ...]
    inputs: tuple[Input, ...]
    coverage: tuple[tuple[str, float], ...]
    newest: int | None

    def feature(self, code: str) -> FeatureState:
        """Return one feature's state."""
        return next(found for found in self.features if found.feature.code == code)


def days_needed(day: date) -> tuple[date, date]:
    """Return the first and last UTC day whose blocks the state of a local day may need."""
    return day - timedelta(days=REACH + 2), day + timedelta(days=1)


def days_affected(first: date, last: date) -> tuple[date, date]:
    """Return the local days whose states may change when blocks of the UTC days from `first` to `last` did."""
    return first - timedelta(days=1), last + timedelta(days=REACH + 2)


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
    used = inputs(recording, wanted)
    out = []
    for near in _stretches(wanted):
        features = table(recording, near[0] - timedelta(days=REACH), near[-1])
        out += [compute(day, features, used[day]) for day in near]
    return out


def _stretches(days: list[date]) -> list[list[date]]:
    """Return sorted days in stretches of at most STRETCH: a device whose clock was once wrong must not cost years."""
    out: list[list[date]] = []
    for day in days:
        if out and (day - out[-1][0]).days < STRETCH:
            out[-1].append(day)
        else:
            out.append([day])
    return out


def compute(day: date, features: Table, used: tuple[Input, ...] = ()) -> State:
    """Return the state of one local day from the table of features that holds it and the REACH days before."""
    row = features.row(day)
    found = tuple(_feature_state(feature, features.columns[feature.code], row) for feature in FEATURES)
    coverage = tuple((name, float(part[row])) for name, part in sorted(features.coverage.items()) if part[row] > 0)
    return State(day, found, used, coverage, max((part.newest for part in used), default=None))


def _feature_state(feature: Feature, column: Column, row: int) -> FeatureState:
    """Return one feature's state in a row."""
    coverage = None if np.isnan(column.coverage[row]) else float(column.coverage[row])
    earlier: tuple[Deviation | None, ...] = ()
    if feature.alerting:
        earlier = tuple(_against_baseline(feature, column, row - back)[1] for back in range(1, LOOKBACK + 1))
    if np.isnan(column.value[row]):
        return FeatureState(feature, None, column.reason[row], "", coverage, None, None, earlier)
    base, far = _against_baseline(feature, column, row)
    return FeatureState(feature, float(column.value[row]), "", column.method[row], coverage, base, far, earlier)


def _against_baseline(feature: Feature, column: Column, row: int) -> tuple[Baseline | None, Deviation | None]:
    """Return baseline and deviation of a row, where there are any."""
    if row < 0 or not feature.scored or np.isnan(column.value[row]):
        return None, None
    base = baseline(feature, column, row)
    return base, None if base is None else deviation(feature, float(column.value[row]), base)


def inputs(recording: Recording, days: Iterable[date]) -> dict[date, tuple[Input, ...]]:
    """Return by local day what each signal gave to it: the samples that end on it."""
    out: dict[date, list[Input]] = {day: [] for day in days}
    for name, track in sorted(recording.tracks.items()):
        last = ends(track)
        order = np.argsort(last, kind="stable")
        last = last[order]
        for day, found in out.items():
            low, high = np.searchsorted(last, (ordinal(day), ordinal(day) + 1))
            if high > low:
                found.append(_input(name, track, order[low:high]))
    return {day: tuple(found) for day, found in out.items()}


def _input(name: str, track: Track, chosen: Ints) -> Input:
    """Return what some samples of a signal are: how many, of which devices and Observations, up to when."""
    rids = np.unique(track.rid[chosen])
    devices = tuple(track.devices[i] for i in np.unique(track.device[chosen]))
    listed = tuple(int(rid) for rid in rids) if len(rids) <= INPUTS else ()
    newest = int((track.start[chosen] + track.duration[chosen]).max())
    return Input(name, len(chosen), devices, len(rids), listed, newest)
