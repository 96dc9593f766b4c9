"""How good predictions are, each figure with its interval where it has one.

AUC with DeLong's interval (DeLong, DeLong, Clarke-Pearson 1988, Biometrics 44:837; computed by midranks, Sun and Xu 2014);
Wilson's interval of a proportion (1927); calibration by the logistic recalibration of Cox (1958); pinball loss of a quantile
(Koenker and Bassett 1978).
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np

from workers.ml.evaluate.regression import logistic, logit
from workers.twin.arrays import Floats, Ints

Z: Final = 1.959964


class Interval(NamedTuple):
    """An estimate with its 95 % interval; NaN where there is none."""

    value: float
    low: float
    high: float


NOTHING: Final = Interval(math.nan, math.nan, math.nan)


def midranks(values: Floats) -> Floats:
    """Return the rank of each value from 1 on, equal values sharing their mean."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((last - (counts - 1) / 2)[inverse], np.float64)


def auc(y: Floats, score: Floats) -> float:
    """Return the chance that somebody with y = 1 scores above somebody with y = 0; NaN when there is only one kind."""
    positive = y > 0.5
    m, n = int(positive.sum()), int((~positive).sum())
    if not m or not n:
        return math.nan
    return float((midranks(score)[positive].sum() - m * (m + 1) / 2) / (m * n))


def auc_interval(y: Floats, score: Floats) -> Interval:
    """Return the AUC with DeLong's interval on the logit scale; rows have to be of different people."""
    positive = y > 0.5
    m, n = int(positive.sum()), int((~positive).sum())
    area = auc(y, score)
    if m < 2 or n < 2:
        return Interval(area, math.nan, math.nan)
    ranks = midranks(score)
    of_positive = (ranks[positive] - midranks(score[positive])) / n
    of_negative = 1 - (ranks[~positive] - midranks(score[~positive])) / m
    error = math.sqrt(float(of_positive.var(ddof=1)) / m + float(of_negative.var(ddof=1)) / n)
    if area in (0.0, 1.0) or not error:
        return Interval(area, area, area)
    middle, half = math.log(area / (1 - area)), Z * error / (area * (1 - area))
    return Interval(area, 1 / (1 + math.exp(half - middle)), 1 / (1 + math.exp(-half - middle)))


def brier(y: Floats, p: Floats) -> float:
    """Return the mean squared distance of probability and outcome."""
    return float(((p - y) ** 2).mean())


def wilson(hits: float, n: float) -> Interval:
    """Return a proportion with Wilson's interval."""
    if not n:
        return NOTHING
    share, z2 = hits / n, Z * Z
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = Z / (1 + z2 / n) * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    return Interval(share, max(0.0, centre - half), min(1.0, centre + half))


class Calibration(NamedTuple):
    """Slope of the recalibration (1: neither too bold nor too shy), and intercept with the slope held at 1 (0: level right)."""

    slope: Interval
    intercept: Interval


def calibration(y: Floats, p: Floats) -> Calibration:
    """Return slope and intercept of the logistic recalibration of probabilities."""
    if not 0 < y.sum() < len(y) or float(np.ptp(p)) == 0:
        return Calibration(NOTHING, NOTHING)
    margin = logit(p)
    both = logistic(margin[:, None], y)
    level = logistic(np.empty((len(y), 0)), y, offset=margin)
    return Calibration(
        _around(float(both.coefficients[1]), float(both.covariance[1, 1])),
        _around(float(level.coefficients[0]), float(level.covariance[0, 0])),
    )


def _around(value: float, variance: float) -> Interval:
    half = Z * math.sqrt(max(variance, 0.0))
    return Interval(value, value - half, value + half)


class Bin(NamedTuple):
    """One bin of a reliability table: rows, mean probability, observed share with Wilson's interval."""

    n: int
    said: float
    seen: Interval


def reliability(y: Floats, p: Floats, bins: int = 10) -> list[Bin]:
    """Return bins of equally many rows, by probability; equal probabilities stay together."""
    edges = np.unique(np.quantile(p, np.linspace(0, 1, bins + 1)[1:-1]))
    place = np.searchsorted(edges, p, side="right")
    found = [place == number for number in range(len(edges) + 1)]
    return [Bin(int(m.sum()), float(p[m].mean()), wilson(float(y[m].sum()), float(m.sum()))) for m in found if m.any()]


def pinball(y: Floats, quantile: Floats, tau: float) -> float:
    """Return the mean pinball loss of a predicted quantile, in the unit of y."""
    far = y - quantile
    return float(np.maximum(tau * far, (tau - 1) * far).mean())


class Coverage(NamedTuple):
    """Share of outcomes inside their interval: overall, of the 10th percentile person, and the mean width."""

    overall: float
    tenth: float
    width: float
    people: int


def coverage(y: Floats, low: Floats, high: Floats, who: Ints, least: int = 10) -> Coverage:
    """Return how often intervals held; people with fewer than `least` rows say nothing of their own."""
    inside = (y >= low) & (y <= high)
    shares = [float(inside[who == p].mean()) for p in np.unique(who) if int((who == p).sum()) >= least]
    tenth = float(np.quantile(shares, 0.1)) if shares else math.nan
    return Coverage(float(inside.mean()), tenth, float((high - low).mean()), len(shares))


def psi(reference: Floats, now: Floats, floor: float = 1e-4) -> float:
    """Return the population stability index of two distributions over the same bins; empty bins count as `floor`."""
    a = np.maximum(reference / reference.sum(), floor)
    b = np.maximum(now / now.sum(), floor)
    return float(((b - a) * np.log(b / a)).sum())
