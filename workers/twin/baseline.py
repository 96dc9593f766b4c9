"""A person's own baseline of a feature, and how far a day lies from it, with the uncertainty of that distance.

Median and MAD over the trailing 28 days: robust against the odd day and against the first half of an episode. The day
itself is excluded; for a feature over a trailing window of w days so are the w - 1 days whose windows overlap its own.
"""

from __future__ import annotations

import statistics
from typing import Final, Literal, NamedTuple

import numpy as np

from workers.twin.arrays import Floats
from workers.twin.features import Column, Feature

TRAILING: Final = 28
MINIMUM_DAYS: Final = 10
"""Days with a number of the same method, of 28."""

NORMAL: Final = 1.4826
"""MAD x 1.4826 estimates the standard deviation of normal data."""

MEDIAN_VARIANCE: Final = np.pi / 2
MAD_VARIANCE: Final = 1.361
"""Asymptotic variances, times n: of the median in units of sigma^2; of ln(MAD), whose efficiency is 36.7 % (Rousseeuw and
Croux 1993, J Am Stat Assoc 88:1273; 0.5 / 0.3674)."""

QUANTILE: Final = 1.959964
Direction = Literal["above", "below", "within"]
STRONG: Final = 3.0


class Baseline(NamedTuple):
    """Median, MAD, the spread that deviations are measured in (never below the feature's resolution), number of days."""

    median: float
    mad: float
    spread: float
    days: int


class Deviation(NamedTuple):
    """Robust z with its 95 % interval; `direction` is within unless |z| >= 3 and the interval excludes 0."""

    z: float
    low: float
    high: float
    direction: Direction


def baseline(feature: Feature, column: Column, row: int) -> Baseline | None:
    """Return the baseline that the day in `row` is compared with, from days whose number came about in the same way."""
    stop = row - feature.window + 1
    values = column.alike(slice(max(0, stop - TRAILING), max(0, stop)), column.method[row])
    if len(values) < MINIMUM_DAYS:
        return None
    if feature.circular:
        values = _unwrapped(values)
    median = statistics.median(values.tolist())  # for so few values faster than numpy, and the same
    mad = statistics.median(np.abs(values - median).tolist())
    spread = max(mad * NORMAL, feature.resolution)
    return Baseline(median % 24 if feature.circular else median, mad, spread, len(values))


def deviation(feature: Feature, value: float, base: Baseline) -> Deviation:
    """Return z = (value - median) / spread and its interval z +- 1.96 sqrt((pi/2 + 1.361 z^2) / n), by the delta method.

    Days of overlapping windows are not independent: n is the number of days over the window's length.
    """
    difference = value - base.median
    if feature.circular:
        difference = (difference + 12) % 24 - 12
    z = difference / base.spread
    n = max(1.0, base.days / feature.window)
    half = QUANTILE * float(np.sqrt((MEDIAN_VARIANCE + MAD_VARIANCE * z * z) / n))
    low, high = z - half, z + half
    strong = abs(z) >= STRONG and (low > 0 or high < 0)
    return Deviation(z, low, high, ("above" if z > 0 else "below") if strong else "within")


def _unwrapped(hours: Floats) -> Floats:
    """Return clock hours as numbers around their circular mean, so that 23:30 and 00:30 are an hour apart."""
    angle = hours * (2 * np.pi / 24)
    centre = float(np.arctan2(np.sin(angle).sum(), np.cos(angle).sum())) * 24 / (2 * np.pi)
    return np.asarray(centre + (hours - centre + 12) % 24 - 12, np.float64)
