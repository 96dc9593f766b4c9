"""A person's own baseline of a feature, and how far a day lies from it, with the uncertainty of that distance.

Median and MAD over the trailing 28 days: robust against the odd day and against the first half of an episode. The day
itself is excluded; for a feature over a trailing window of w days so are the w - 1 days whose windows overlap its own.

While days are few, both are shrunk to the cohort (`cohort.py`), each by its precision (empirical Bayes; Efron and Morris 1975,
J Am Stat Assoc 70:311): with n days, spread s, between people t and log spread l,

    ln s  ~ N(ln s0, l^2),   its estimate has variance 1.361 / n
    centre ~ N(m0, t^2),     the median has variance (pi / 2) s^2 / n

so three days count little and 28 almost alone.
"""

from __future__ import annotations

import math
import statistics
from typing import Final, Literal, NamedTuple

import numpy as np

from workers.twin.arrays import Floats
from workers.twin.cohort import COHORT, Norm
from workers.twin.features import Column, Feature
from workers.twin.intervals import HALF_A_CLOCK, QUANTILE, Interval, about

TRAILING: Final = 28
MINIMUM_DAYS: Final = 10
"""Days with a number of the same method, of 28, where no cohort stands beside them."""

FEW_DAYS: Final = 3
"""As many are enough where one does."""

NORMAL: Final = 1.4826
"""MAD x 1.4826 estimates the standard deviation of normal data."""

MEDIAN_VARIANCE: Final = math.pi / 2
MAD_VARIANCE: Final = 1.361
"""Asymptotic variances, times n: of the median in units of sigma^2; of ln(MAD), whose efficiency is 36.7 % (Rousseeuw and
Croux 1993, J Am Stat Assoc 88:1273; 0.5 / 0.3674)."""

Direction = Literal["above", "below", "within"]
STRONG: Final = 3.0


class Baseline(NamedTuple):
    """The person's median, MAD and number of days; centre and spread that deviations are measured by.

    `weight` is the person's own part in the centre, 1 without a cohort. `centre_error` is the variance of the centre in units
    of spread^2, `spread_error` that of the logarithm of the spread.
    """

    median: float
    mad: float
    spread: float
    days: int
    centre: float
    weight: float
    centre_error: float
    spread_error: float


class Deviation(NamedTuple):
    """Robust z with its 95 % interval; `direction` is within unless |z| >= 3 and the interval excludes 0."""

    z: float
    low: float
    high: float
    direction: Direction


def baseline(feature: Feature, column: Column, row: int, *, shrunk: bool = True) -> Baseline | None:
    """Return the baseline that the day in `row` is compared with, from days whose number came about in the same way."""
    stop = row - feature.window + 1
    values = column.alike(slice(max(0, stop - TRAILING), max(0, stop)), column.method[row])
    norm = COHORT.get(feature.code) if shrunk else None
    if len(values) < (MINIMUM_DAYS if norm is None else FEW_DAYS):
        return None
    if feature.circular:
        values = unwrapped(values)
    median = statistics.median(values.tolist())  # for so few values faster than numpy, and the same
    mad = statistics.median(np.abs(values - median).tolist())
    spread = max(mad * NORMAL, feature.resolution)
    n = max(1.0, len(values) / feature.window)  # days of overlapping windows are not independent
    if norm is None:
        centre = median % 24 if feature.circular else median
        return Baseline(centre, mad, spread, len(values), centre, 1.0, MEDIAN_VARIANCE / n, MAD_VARIANCE / n)
    return _shrunk(norm, median, mad, spread, len(values), n)


def _shrunk(norm: Norm, median: float, mad: float, spread: float, days: int, n: float) -> Baseline:
    """Return the posterior of centre and spread under the cohort."""
    prior, error = norm.log_spread**2, MAD_VARIANCE / n
    own = prior / (prior + error)
    spread = math.exp(own * math.log(spread) + (1 - own) * math.log(norm.spread))
    between, sampling = norm.between**2, MEDIAN_VARIANCE * spread**2 / n
    weight = between / (between + sampling)
    centre = weight * median + (1 - weight) * norm.centre
    return Baseline(median, mad, spread, days, centre, weight, weight * sampling / spread**2, own * error)


def deviation(feature: Feature, value: float, base: Baseline) -> Deviation:
    """Return z = (value - centre) / spread and the interval z +- 1.96 sqrt(centre_error + spread_error z^2) (delta method)."""
    difference = value - base.centre
    if feature.circular:
        difference = (difference + 12) % 24 - 12
    z = difference / base.spread
    half = QUANTILE * math.sqrt(base.centre_error + base.spread_error * z * z)
    low, high = z - half, z + half
    strong = abs(z) >= STRONG and (low > 0 or high < 0)
    return Deviation(z, low, high, ("above" if z > 0 else "below") if strong else "within")


def day_to_day(feature: Feature, value: float, base: Baseline | None) -> Interval | None:
    """Return the interval of a day's number by the person's spread from day to day, or the cohort's; None without either."""
    norm = COHORT.get(feature.code)
    if base is None and norm is None:
        return None
    spread = base.spread if base is not None else norm.spread if norm is not None else 0.0
    if feature.circular:
        half = min(QUANTILE * spread, HALF_A_CLOCK)
        return Interval(value - half, value + half, "day-to-day")
    return about(value, QUANTILE * spread, "day-to-day", feature.least, feature.most)


def unwrapped(hours: Floats) -> Floats:
    """Return clock hours as numbers around their circular mean, so that 23:30 and 00:30 are an hour apart."""
    angle = hours * (2 * np.pi / 24)
    centre = float(np.arctan2(np.sin(angle).sum(), np.cos(angle).sum())) * 24 / (2 * np.pi)
    return np.asarray(centre + (hours - centre + 12) % 24 - 12, np.float64)
