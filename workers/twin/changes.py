"""Change points: is a feature on another level than before, since when, and how sure is that. Online: each day from its past.

Bayesian online change point detection (Adams and MacKay 2007, arXiv:0710.3742) over the trailing 42 days: the posterior of the
run length, the days since the level last changed, with a constant hazard. Values are normal around the level of their run; their
spread comes from day-to-day differences (MAD / (0.6745 sqrt 2)), which a shift of the level hardly touches. A day may be an
outlier (a broad normal of weight 0.05), so that a single odd day is no change. A missing day ages the run and says nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final, NamedTuple

import numpy as np

from workers.twin.arrays import Floats, median
from workers.twin.features import Column, Feature

WINDOW: Final = 42
LEAST: Final = 14
"""Days of the window with a number of the day's method."""

HAZARD: Final = 1 / 60
"""A change every 60 days, before anything is seen."""

PRIOR: Final = 3.0
"""Spread of a new level around the median of the window, in spreads of a day."""

OUTLIER, BROAD = 0.05, 8.0
FARTHEST: Final = 100.0
"""Spreads beyond which a day is no further away: its density would be 0 under either normal."""

YOUNGEST, OLDEST = 3, 21
"""A change is told when it is at least 3 days of age, as long as it is at most 21."""

SURE: Final = 0.97
SHIFT: Final = 2.5
"""Told when its probability is at least 0.97 and the levels lie at least 2.5 spreads apart."""


class Change(NamedTuple):
    """The probability that the level changed 3 to 21 days ago; days since it most probably did; the shift in spreads.

    `first` and `last` bound 95 % of the age, in days. The shift is worked out where the change is sure.
    """

    probability: float
    age: int
    first: int
    last: int
    shift: float

    @property
    def told(self) -> bool:
        """Return whether it is sure and large enough to be told."""
        return self.probability >= SURE and abs(self.shift) >= SHIFT


def changes(features: Iterable[tuple[Feature, Column]], rows: range) -> dict[str, list[Change | None]]:
    """Return by feature the change of each row, None where too few days are known."""
    found: dict[str, list[Change | None]] = {}
    windows: list[Floats] = []
    places: list[tuple[str, int]] = []
    for feature, column in features:
        found[feature.code] = [None] * len(rows)
        for i, row in enumerate(rows):
            window = _window(feature, column, row)
            if window is not None:
                windows.append(window)
                places.append((feature.code, i))
    if windows:
        stacked = np.stack(windows)
        for (code, i), weight, window in zip(places, run_lengths(stacked), stacked, strict=True):
            found[code][i] = _told(weight, window)
    return found


def _window(feature: Feature, column: Column, row: int) -> Floats | None:
    """Return the days up to a row as spreads from their median; None where too few have a number of the day's method."""
    method = column.method[row] if row >= 0 else ""
    if not method:
        return None
    first = max(0, row + 1 - WINDOW)
    same = [name == method for name in column.method[first : row + 1]]
    if sum(same) < LEAST:
        return None
    values = column.value[first : row + 1].copy()
    values[[not each for each in same]] = np.nan
    if feature.circular:
        values = (values - values[-1] + 12) % 24 - 12
    window = np.full(WINDOW, np.nan)
    far = (values - median(values)) / _spread(values, feature.resolution)
    window[WINDOW - len(values) :] = np.clip(far, -FARTHEST, FARTHEST)
    return window


def run_lengths(windows: Floats) -> Floats:
    """Return (n, days + 1): of each row of standardised days the posterior of the run length on its last day."""
    n, days = windows.shape
    values, known = np.nan_to_num(windows.T), ~np.isnan(windows.T)
    broad = OUTLIER * np.exp(-0.5 * (values / BROAD) ** 2) / BROAD
    # A row for each day on which a run can have begun, so that as days go by a run stays where it is.
    weight, total = np.zeros((days + 1, n)), np.zeros((days + 1, n))
    count = np.full((days + 1, n), PRIOR**-2)
    weight[0] = 1.0
    for day in range(days):
        counted, summed, weighed = count[: day + 1], total[: day + 1], weight[: day + 1]
        variance = 1 + 1 / counted
        inside = summed / counted
        inside -= values[day]
        inside *= inside
        inside /= variance
        inside *= -0.5
        np.exp(inside, out=inside)
        inside /= np.sqrt(variance)
        inside *= 1 - OUTLIER
        likely = inside + broad[day]
        part = inside / likely * known[day]
        weighed *= np.where(known[day], likely, 1.0)
        weighed *= (1 - HAZARD) / weighed.sum(axis=0)
        weight[day + 1] = HAZARD
        counted += part
        part *= values[day]
        summed += part
    return np.ascontiguousarray(weight[::-1].T)


def _told(weight: Floats, window: Floats) -> Change:
    """Return what the posterior of one day says; a run of r days began r - 1 days ago."""
    recent = weight[YOUNGEST : OLDEST + 1]
    age = YOUNGEST + int(recent.argmax())
    bounds = np.cumsum(recent) / max(float(recent.sum()), 1e-300)
    first, last = (YOUNGEST + int(np.searchsorted(bounds, p)) for p in (0.025, 0.975))
    probability = float(recent.sum())
    shift = median(window[-age:]) - median(window[:-age]) if probability >= SURE else 0.0
    return Change(probability, age, first, min(last, OLDEST), shift)


def _spread(values: Floats, resolution: float) -> float:
    steps = np.diff(values[~np.isnan(values)])
    return max(median(np.abs(steps)) / (0.6745 * math.sqrt(2)), resolution)
