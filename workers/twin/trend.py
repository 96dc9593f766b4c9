"""The trend of symptoms: a score between its questionnaires, from them and from passive signals, with an honest interval.

A dynamic regression in state space form (West and Harrison 1997, ch. 9; Durbin and Koopman 2012, ch. 6), filtered by Kalman's
recursion over the trailing 84 days:

    level_t = level_(t-1) + w,   w ~ N(0, walk) a day          what the person would score, without passive signals
    loading: constant, N(loading, loading_spread^2) at first   points a spread of the passive composite, learned from the person
    score   = level_t + loading u_t + e,   e ~ N(0, noise^2)   e: the standard error of measurement of the instrument

u_t is the passive composite: features as spreads from their median of the window, weighted by signs stated in `LOADINGS`, mean of
seven days. Where it is missing the estimate is wider by what it might have said; without questionnaires it widens every day;
without any in the window there is no number. Nothing after the day is used.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from workers.twin.arrays import Floats, median
from workers.twin.baseline import NORMAL
from workers.twin.features import BY_CODE, Column
from workers.twin.instruments import INSTRUMENTS, Instrument
from workers.twin.intervals import QUANTILE

WINDOW: Final = 84
MEAN_OVER: Final = 7
MEAN_OF: Final = 3
LEAST: Final = 14
REACH: Final = WINDOW + MEAN_OVER
"""Rows before a day that its trend may depend on."""

WALK: Final = 0.15
"""How far the level walks in 14 days, one standard deviation, as a part of the highest total: 4 points of PHQ-9."""

LOADINGS: Final[Mapping[str, Mapping[str, float]]] = {
    "phq-9": {
        "steps": -1,
        "activity-mean": -1,
        "sleep-midpoint": 0.5,
        "sleep-efficiency": -0.5,
        "resting-heart-rate": 0.5,
    },
    "gad-7": {"resting-heart-rate": 1, "sleep-duration": -0.5, "sleep-efficiency": -0.5},
    "isi": {"sleep-duration": -1, "sleep-efficiency": -1},
    "asrm": {"sleep-duration": -1, "steps": 1, "activity-mean": 1},
}
"""Signs and weights that are assumed before the person's own scores say more; each row is scaled to length 1."""

CLIP: Final = 5.0


@dataclass(frozen=True, slots=True)
class Trend:
    """A score as it would be on the day with its 95 % interval, or the reason why none can be told.

    `questionnaires` were used, the last `age` days ago; `passive` is the composite of the day, None where it is missing, and
    `loading` what a spread of it means in points, with its standard error.
    """

    instrument: Instrument
    value: float | None = None
    low: float | None = None
    high: float | None = None
    reason: str = ""
    questionnaires: int = 0
    age: int | None = None
    passive: float | None = None
    coverage: float = 0.0
    loading: float = 0.0
    loading_error: float = 0.0
    slope: float | None = None
    """Points a week over the last 14 days of the filter."""


def trends(columns: Mapping[str, Column], row: int) -> tuple[Trend, ...]:
    """Return the trend of every instrument on the day of a row."""
    first = max(0, row + 1 - WINDOW)
    found, standard = [], _Standard(columns, row)
    for name, instrument in INSTRUMENTS.items():
        scores = columns[name].value[first : row + 1]
        if np.isnan(scores).all():
            found.append(Trend(instrument, reason="no-questionnaire"))
        else:
            found.append(_trend(instrument, scores, composite(standard, LOADINGS[name])))
    return tuple(found)


class _Standard:
    """Features as spreads from their medians up to a row, each computed once for all instruments that look at it."""

    def __init__(self, columns: Mapping[str, Column], row: int) -> None:
        self.columns, self.row, self.start = columns, row, max(0, row + 1 - REACH)
        self.found: dict[str, Floats] = {}

    def of(self, code: str) -> Floats:
        """Return one feature from row `start` on."""
        if code not in self.found:
            self.found[code] = _standard(code, self.columns[code], self.start, self.row)
        return self.found[code]


def composite(standard: _Standard, loadings: Mapping[str, float]) -> Floats:
    """Return the passive composite of the window's days, NaN where fewer than 3 of 7 days or half of the weight are known."""
    start, first, row = standard.start, max(0, standard.row + 1 - WINDOW), standard.row
    total, weight = np.zeros(row + 1 - start), np.zeros(row + 1 - start)
    norm = math.sqrt(sum(w * w for w in loadings.values()))
    for code, w in loadings.items():
        z = standard.of(code)
        known = ~np.isnan(z)
        total[known] += w / norm * z[known]
        weight[known] += abs(w)
    enough = weight >= sum(abs(w) for w in loadings.values()) / 2
    days = np.where(enough, total, np.nan)
    known = ~np.isnan(days)
    sums = np.concatenate((np.zeros(MEAN_OVER), np.cumsum(np.where(known, days, 0.0))))
    counts = np.concatenate((np.zeros(MEAN_OVER), np.cumsum(known)))
    sums, counts = sums[MEAN_OVER:] - sums[:-MEAN_OVER], counts[MEAN_OVER:] - counts[:-MEAN_OVER]
    mean = np.where(counts >= MEAN_OF, sums / np.maximum(counts, 1), np.nan)
    return np.asarray(mean[first - start :], np.float64)


def _standard(code: str, column: Column, start: int, row: int) -> Floats:
    """Return a feature as spreads from its median over the days whose number came about as most did."""
    feature = BY_CODE[code]
    methods = column.method[start : row + 1]
    named = [name for name in methods if name]
    if len(named) < LEAST:
        return np.full(row + 1 - start, np.nan)
    usual = max(sorted(set(named)), key=named.count)
    values = np.where([name == usual for name in methods], column.value[start : row + 1], np.nan)
    known = values[~np.isnan(values)]
    if len(known) < LEAST:
        return np.full(row + 1 - start, np.nan)
    if feature.circular:
        values = (values - known[0] + 12) % 24 - 12
        known = values[~np.isnan(values)]
    centre = median(known)
    spread = max(NORMAL * median(np.abs(known - centre)), feature.resolution)
    return np.asarray(np.clip((values - centre) / spread, -CLIP, CLIP), np.float64)


def _trend(instrument: Instrument, scores: Floats, passive: Floats) -> Trend:
    """Run the filter over the days of the window and return where it stands on the last one."""
    most, noise = instrument.most, instrument.noise**2
    walk = (WALK * most / math.sqrt(14)) ** 2
    state = np.array(
        [most / 3, 0.02 * most]
    )  # weak: about the middle of outpatients, and a little of what the signals say
    error = np.diag([(most / 3) ** 2, (0.04 * most) ** 2])
    asked = np.flatnonzero(~np.isnan(scores))
    before, levels = int(asked[0]), []
    for day in asked.tolist():
        error[0, 0] += walk * (day - before)
        before = day
        known = not np.isnan(passive[day])
        design = np.array([1.0, passive[day] if known else 0.0])
        extra = 0.0 if known else state[1] ** 2 + error[1, 1]
        gain = error @ design / (design @ error @ design + noise + extra)
        state = state + gain * (scores[day] - design @ state)
        error = error - np.outer(gain, design @ error)
        levels.append((day, float(state[0])))
    last = len(scores) - 1
    error[0, 0] += walk * (last - before)
    u = passive[last]
    known = not np.isnan(u)
    design = np.array([1.0, u if known else 0.0])
    variance = float(design @ error @ design) + (0.0 if known else float(state[1] ** 2 + error[1, 1]))
    value, half = float(design @ state), QUANTILE * math.sqrt(variance)
    return Trend(
        instrument,
        min(max(value, 0.0), most),
        min(max(value - half, 0.0), most),
        max(min(value + half, most), 0.0),
        "",
        len(asked),
        last - before,
        float(u) if known else None,
        float(np.mean(~np.isnan(passive))),
        float(state[1]),
        math.sqrt(float(error[1, 1])),
        _slope(passive, state, levels, last),
    )


def _slope(passive: Floats, state: Floats, levels: list[tuple[int, float]], last: int) -> float | None:
    """Return points a week between the estimate of two weeks ago and now; None where either is not known."""
    earlier = [level for day, level in levels if day <= last - 14]
    if not earlier or last < 14 or np.isnan(passive[last]) or np.isnan(passive[last - 14]):
        return None
    return (levels[-1][1] - earlier[-1] + float(state[1]) * float(passive[last] - passive[last - 14])) / 2
