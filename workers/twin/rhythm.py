"""Rest-activity rhythm in numpy, each measure by its published definition; NaN is a missing value and stays missing.

The differences to pyActigraphy 1.2.2 are known and tested: it takes variances with ddof = 1, which inflates IS by
(24/23) / (n/(n-1)), about 4 %.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from workers.twin.arrays import DAY_MINUTES, Bools, Floats

HALF_AN_HOUR = 30
"""Minutes of an hour that must be measured before the hour has a mean."""


class Window(NamedTuple):
    """A stretch of the average day: its mean level and its onset in hours of the clock."""

    level: float
    onset: float


class Cosinor(NamedTuple):
    """Parameters of the fitted cosine; `acrophase` is the hour of the clock at which it peaks."""

    mesor: float
    amplitude: float
    acrophase: float


def hourly(minutes: Floats) -> Floats:
    """Return hourly means of a series of minutes that starts on the hour; an hour of fewer than 30 minutes is missing."""
    hours = minutes.reshape(-1, 60)
    known = ~np.isnan(hours)
    count = known.sum(axis=1)
    total = np.where(known, hours, 0.0).sum(axis=1)
    return np.where(count >= HALF_AN_HOUR, total / np.maximum(count, 1), np.nan)


def interdaily_stability(hours: Floats, first: int = 0) -> float:
    """Return IS = n sum_h (m_h - m)^2 / (p sum_i (x_i - m)^2), p = 24: 1 for one day repeated, 0 for noise.

    Witting et al. 1990, Biol Psychiatry 27:563; Van Someren et al. 1999, Chronobiol Int 16:505. `first` is the hour of the
    clock of the first value; m_h is the mean of hour h over the days, m the mean of all n values that are known.
    """
    clock = (np.arange(len(hours)) + first) % 24
    known = ~np.isnan(hours)
    x, clock = hours[known], clock[known]
    count = np.bincount(clock, minlength=24)
    if not count.all():
        return float("nan")
    profile = np.bincount(clock, weights=x, minlength=24) / count
    mean = x.mean()
    spread = float(((x - mean) ** 2).sum())
    return len(x) * float(((profile - mean) ** 2).sum()) / (24 * spread) if spread > 0 else float("nan")


def intradaily_variability(hours: Floats) -> float:
    """Return IV = n sum (x_i - x_{i-1})^2 / ((n - 1) sum (x_i - m)^2): 0 for a slow sine, 2 for noise.

    Witting et al. 1990, Biol Psychiatry 27:563. With missing hours n - 1 is the number of neighbours that are both known.
    """
    known = ~np.isnan(hours)
    x = hours[known]
    steps = np.diff(hours)
    steps = steps[~np.isnan(steps)]
    spread = float(((x - x.mean()) ** 2).sum()) if len(x) else 0.0
    return len(x) * float((steps**2).sum()) / (len(steps) * spread) if spread > 0 and len(steps) else float("nan")


def average_day(days: Floats) -> Floats:
    """Return the mean of each minute of the clock over (days, 1440), NaN where no day knows it."""
    known = ~np.isnan(days)
    count = known.sum(axis=0)
    return np.where(count > 0, np.where(known, days, 0.0).sum(axis=0) / np.maximum(count, 1), np.nan)


def extreme_window(profile: Floats, hours: int, *, lowest: bool) -> Window:
    """Return the `hours` consecutive hours of the average day, across midnight, with the lowest or highest mean.

    L5 and M10: Van Someren et al. 1999, Chronobiol Int 16:505. Of equal windows the first of the clock counts.
    """
    size = hours * 60
    if np.isnan(profile).any():
        return Window(float("nan"), float("nan"))
    sums = np.concatenate(([0.0], np.cumsum(np.concatenate((profile, profile[: size - 1])))))
    means = (sums[size:] - sums[:-size]) / size
    at = int(means.argmin() if lowest else means.argmax())
    return Window(float(means[at]), at / 60)


def relative_amplitude(l5: float, m10: float) -> float:
    """Return RA = (M10 - L5) / (M10 + L5), Van Someren et al. 1999, Chronobiol Int 16:505."""
    return (m10 - l5) / (m10 + l5) if m10 + l5 > 0 else float("nan")


def cosinor(days: Floats) -> Cosinor:
    """Return the least-squares fit of x = M + A cos(2 pi (t - phi) / 24 h) to (days, 1440) local minutes.

    Halberg et al. 1967; Nelson et al. 1979, Chronobiologia 6:305. The regressors depend on the minute of the clock only,
    so the normal equations are summed over the days first.
    """
    known = ~np.isnan(days)
    count = known.sum(axis=0).astype(np.float64)
    total = np.where(known, days, 0.0).sum(axis=0)
    angle = 2 * np.pi * np.arange(DAY_MINUTES) / DAY_MINUTES
    design = np.stack((np.ones(DAY_MINUTES), np.cos(angle), np.sin(angle)))
    normal = (design * count) @ design.T
    if np.linalg.matrix_rank(normal) < len(normal):
        return Cosinor(float("nan"), float("nan"), float("nan"))
    mesor, beta, gamma = np.linalg.solve(normal, design @ total)
    phase = float(np.arctan2(gamma, beta)) * 24 / (2 * np.pi) % 24
    return Cosinor(float(mesor), float(np.hypot(beta, gamma)), phase)


def sleep_regularity_index(asleep: Floats, pairs: Bools | None = None) -> float:
    """Return SRI = 200 P(same state 24 h apart) - 100 over (days, 1440) of 1 asleep, 0 awake, NaN unknown.

    Phillips et al. 2017, Sci Rep 7:3216. 100: the same every day; 0: by chance. `pairs` limits which days, with the
    next one, are compared.
    """
    both = asleep[1:] + asleep[:-1]
    if pairs is not None:
        both = both[pairs]
    known = both[~np.isnan(both)]
    return 200 * float((known != 1).mean()) - 100 if len(known) else float("nan")
