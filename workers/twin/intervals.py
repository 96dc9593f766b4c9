"""How sure a number is: its 95 % interval, by a method that fits how the number came about. Deterministic, no chance drawn.

`jackknife` numbers of a window of days: what other such days would have given, leaving out d of n days in every way (delete-d
    jackknife, Shao and Wu 1989, Ann Stat 17:1176; d = n // 2, as hours of onset need, which a single day hardly moves)
`unmeasured` means and sums of a day: what the minutes that were not measured may hide; hours are the clusters of a ratio estimator
    with finite population correction (Cochran 1977, Sampling Techniques, 3rd ed., ch. 6 and 9). A day measured whole hides nothing
`batch-means` the lowest 30 minutes of the heart rate: six batches of five minutes, which neighbouring minutes do not make
    too sure (Conway 1963, Manage Sci 10:47)
`samples` the median of a few samples: Student's t times sqrt(pi / 2) s / sqrt(n), the asymptotic error of a median
`welch` the difference of two means of unequal spread (Welch 1947, Biometrika 34:28)
`measurement-error` a questionnaire's total: 1.96 standard errors of measurement of `instruments.py`
`counted` what was counted or said whole: both ends are the number
`day-to-day` what a source told and says no error of: 1.96 times the person's own spread from day to day, shrunk to the cohort
    (Bland and Altman 1996, BMJ 312:1654). The error of the device is in it, and never more than it

None of them knows a bias of the device.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache
from itertools import combinations
from typing import Final, NamedTuple

import numpy as np

from workers.twin.arrays import DAY_MINUTES, Bools, Floats

QUANTILE: Final = 1.959964
MEDIAN_ERROR: Final = math.sqrt(math.pi / 2)
_T: Final = (
    *(12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622, 2.2281, 2.2010, 2.1788, 2.1604, 2.1448, 2.1314),
    *(2.1199, 2.1098, 2.1009, 2.0930, 2.0860, 2.0796, 2.0739, 2.0687, 2.0639, 2.0595, 2.0555, 2.0518, 2.0484, 2.0452, 2.0423),
)  # fmt: skip
HALF_A_CLOCK: Final = 12.0
BATCH: Final = 5


class Interval(NamedTuple):
    """The ends of a 95 % interval and by which method; those of clock hours may lie before 0 or after 24."""

    low: float
    high: float
    method: str


def student(freedom: float) -> float:
    """Return the 97.5 % quantile of Student's t, by the next lower whole degree of freedom (wider, never narrower)."""
    whole = max(1, int(freedom))
    return _T[whole - 1] if whole <= len(_T) else _T[-1] if whole < 120 else 1.98


def about(value: float, half: float, method: str, least: float = 0.0, most: float = math.inf) -> Interval:
    """Return value -+ half, within what the number can be."""
    return Interval(max(value - half, min(least, value)), min(value + half, max(most, value)), method)


def counted(value: float) -> Interval:
    """Return the interval of what is counted whole."""
    return Interval(value, value, "counted")


@lru_cache(maxsize=16)
def kept(days: int) -> Floats:
    """Return (subsets, days) of 1 and 0: every way to leave out half of the days, rounded down."""
    rows = [[float(day in some) for day in range(days)] for some in combinations(range(days), days - left_out(days))]
    return np.array(rows)


def left_out(days: int) -> int:
    """Return how many of so many days a subset leaves out."""
    return max(1, days // 2)


def jackknife(
    value: float, subsets: Floats, days: int, *, circular: bool, least: float, most: float
) -> Interval | None:
    """Return the interval of a number from what it is in the subsets of `kept`; None where fewer than half have one."""
    known = subsets[np.isfinite(subsets)]
    if len(known) < 2 or 2 * len(known) < len(subsets):
        return None
    if circular:
        known = (known - value + HALF_A_CLOCK) % 24 - HALF_A_CLOCK
    gone = left_out(days)
    variance = (days - gone) / (gone * len(known)) * float(((known - known.mean()) ** 2).sum())
    half = student(days - 1) * math.sqrt(variance)
    if circular:
        return Interval(value - min(half, HALF_A_CLOCK), value + min(half, HALF_A_CLOCK), "jackknife")
    return about(value, half, "jackknife", least, most)


def rhythm(days: Floats, hours: Floats) -> tuple[int, Mapping[str, Floats]]:
    """Return how many of (w, 1440) days are known, and of every rhythm feature its number in each subset of these.

    `hours` are their (w, 24) means. A minute that no day of a subset knows is that of the whole window.
    """
    known = ~np.isnan(days)
    place = np.flatnonzero(known.any(axis=1))
    keep = np.zeros((len(kept(len(place))), len(days)))
    keep[:, place] = kept(len(place))
    count, total = keep @ known, keep @ np.where(known, days, 0.0)
    whole = np.where(known, days, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    found = _levels(np.where(count > 0, total / np.maximum(count, 1), whole))
    return len(place), found | _waves(count, total) | _stability(keep, hours)


def _levels(profiles: Floats) -> dict[str, Floats]:
    """Return L5 and M10 with their onsets, and RA, of (n, 1440) average days."""
    longest = 600
    sums = np.cumsum(np.hstack((np.zeros((len(profiles), 1)), profiles, profiles[:, : longest - 1])), axis=1)
    five = (sums[:, 300 : DAY_MINUTES + 300] - sums[:, :DAY_MINUTES]) / 300
    ten = (sums[:, longest : DAY_MINUTES + longest] - sums[:, :DAY_MINUTES]) / longest
    least, most = five.min(axis=1), ten.max(axis=1)
    both = least + most
    amplitude = np.where(both > 0, (most - least) / np.where(both > 0, both, 1.0), np.nan)
    onsets = {"l5-onset": five.argmin(axis=1) / 60, "m10-onset": ten.argmax(axis=1) / 60}
    return {"l5": least, "m10": most, "relative-amplitude": amplitude} | onsets


_ANGLE: Final = 2 * np.pi * np.arange(DAY_MINUTES) / DAY_MINUTES
_DESIGN: Final = np.stack((np.ones(DAY_MINUTES), np.cos(_ANGLE), np.sin(_ANGLE)))
_PAIRS: Final = (_DESIGN[:, None, :] * _DESIGN[None, :, :]).reshape(9, DAY_MINUTES)


def _waves(count: Floats, total: Floats) -> dict[str, Floats]:
    """Return the cosinor of sums and counts by minute of the clock, (n, 1440) each."""
    normal = (count @ _PAIRS.T).reshape(-1, 3, 3)
    fit = np.linalg.solve(normal, (total @ _DESIGN.T)[..., None])[..., 0]
    phase = np.arctan2(fit[:, 2], fit[:, 1]) * 24 / (2 * np.pi) % 24
    return {"mesor": fit[:, 0], "amplitude": np.hypot(fit[:, 1], fit[:, 2]), "acrophase": phase}


def _stability(keep: Floats, hours: Floats) -> dict[str, Floats]:
    """Return IS and IV of the hours of the days kept, as `rhythm.py` defines them."""
    known = ~np.isnan(hours)
    x = np.where(known, hours - hours[known].mean(), 0.0)
    count, total = keep @ known, keep @ x
    n = count.sum(axis=1)
    mean = total.sum(axis=1) / n
    spread = keep @ (x * x).sum(axis=1) - n * mean * mean
    some = spread > 1e-9 * np.maximum(n, 1)
    spread = np.where(some, spread, np.nan)
    profile = total / np.where(count > 0, count, np.nan)
    stability = n * ((profile - mean[:, None]) ** 2).sum(axis=1) / (24 * spread)
    inside = np.diff(hours, axis=1)
    across = hours[1:, 0] - hours[:-1, -1]
    joined = keep[:, 1:] * keep[:, :-1]
    steps = keep @ np.nansum(inside**2, axis=1) + joined @ np.nan_to_num(across**2)
    pairs = keep @ (~np.isnan(inside)).sum(axis=1) + joined @ ~np.isnan(across)
    return {"interdaily-stability": stability, "intradaily-variability": n * steps / (np.maximum(pairs, 1) * spread)}


def unmeasured_mean(values: Floats, row: int) -> Interval:
    """Return the interval of the mean of a row's known minutes, standing for all of them; (days, minutes), whole hours."""
    minutes = values[row].reshape(-1, 60)
    known = ~np.isnan(minutes)
    total, count = np.where(known, minutes, 0.0).sum(axis=1), known.sum(axis=1)
    mean, error, hours = _ratio(total, count)
    left = 1 - count.sum() / minutes.size
    return about(mean, student(hours - 1) * error * math.sqrt(left), "unmeasured")


def unmeasured_sum(value: float, values: Floats, known: Bools) -> Interval:
    """Return from what was counted to what it may have been with the minutes of the waking day that are not known."""
    total = np.where(known, np.nan_to_num(values), 0.0).reshape(-1, 60).sum(axis=1)
    count = known.reshape(-1, 60).sum(axis=1)
    left = known.size - int(count.sum())
    if not left:
        return Interval(value, value, "unmeasured")
    rate, error, hours = _ratio(total, count)
    apart = float(((total - rate * count) ** 2).sum()) / max(hours - 1, 1)
    reach = student(hours - 1) * math.sqrt(left / 60 * apart + (left * error) ** 2)
    return Interval(value, value + left * rate + reach, "unmeasured")


def _ratio(total: Floats, count: Floats) -> tuple[float, float, int]:
    """Return the ratio of sums of clusters, its standard error without correction, and how many clusters are known."""
    clusters = int((count > 0).sum())
    rate = float(total.sum() / count.sum())
    apart = float(((total - rate * count) ** 2).sum())
    return rate, math.sqrt(clusters / max(clusters - 1, 1) * apart) / float(count.sum()), clusters


def batch_means(value: float, minutes: Floats) -> Interval | None:
    """Return the interval of the mean of neighbouring minutes; None from fewer than two batches."""
    batches = minutes.reshape(-1, BATCH)
    known = ~np.isnan(batches)
    some = known.any(axis=1)
    means = np.where(known, batches, 0.0).sum(axis=1)[some] / known.sum(axis=1)[some]
    if len(means) < 2:
        return None
    return about(value, student(len(means) - 1) * float(means.std(ddof=1)) / math.sqrt(len(means)), "batch-means")


def of_median(value: float, samples: Floats) -> Interval:
    """Return the interval of the median of a few samples."""
    error = MEDIAN_ERROR * float(samples.std(ddof=1)) / math.sqrt(len(samples))
    return about(value, student(len(samples) - 1) * error, "samples")


def welch(value: float, first: Floats, second: Floats) -> Interval:
    """Return the interval of the difference of two means, as far as it can be told from 0."""
    a, b = (float(some.var(ddof=1)) / len(some) for some in (first, second))
    if a + b == 0:
        return Interval(value, value, "welch")
    freedom = (a + b) ** 2 / (a * a / (len(first) - 1) + b * b / (len(second) - 1))
    return about(value, student(freedom) * math.sqrt(a + b), "welch", 0.0, HALF_A_CLOCK)
