"""Intervals that keep their promise for each person: adaptive conformal inference around forecast quantiles.

The forecast's own band is widened (or narrowed) by a correction that follows the person's misses (Gibbs and Candes 2021, NeurIPS;
the quantile tracker of Angelopoulos, Candes and Tibshirani 2023, NeurIPS): after each outcome

    correction <- correction + step * (missed - alpha),   step = RATE * the largest of the person's recent errors

so that over T days the share of misses differs from alpha by at most about 1 / (RATE T), whatever the data do. Nothing but
the past of the person is used, and where nothing is known yet the model's own band stands.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from workers.twin.arrays import Floats, Ints

ALPHA: Final = 0.1
"""One in ten outcomes is to lie outside."""

RATE: Final = 0.2
RECENT: Final = 28


@dataclass(slots=True)
class Adaptive:
    """The correction of one person and signal; feed it outcomes in the order of their days."""

    correction: float = 0.0
    scores: deque[float] = field(default_factory=lambda: deque(maxlen=RECENT))

    def band(self, low: float, high: float) -> tuple[float, float]:
        """Return the interval to tell; it never turns inside out."""
        middle = (low + high) / 2
        return min(low - self.correction, middle), max(high + self.correction, middle)

    def learn(self, low: float, high: float, y: float) -> None:
        """Take the outcome of a forecast whose own band was `low` to `high`."""
        told = self.band(low, high)
        missed = not told[0] <= y <= told[1]
        self.scores.append(abs(max(low - y, y - high)))
        self.correction += RATE * max(self.scores) * (float(missed) - ALPHA)


def adapted(low: Floats, high: Floats, y: Floats, who: Ints, day: Ints) -> tuple[Floats, Floats]:
    """Return the bands as they would have been told: of each person in the order of days, each from the days before."""
    out = np.column_stack((low, high))
    for person in np.unique(who).tolist():
        own = Adaptive()
        places = np.flatnonzero(who == person)
        for i in places[np.argsort(day[places], kind="stable")].tolist():
            out[i] = own.band(float(low[i]), float(high[i]))
            own.learn(float(low[i]), float(high[i]), float(y[i]))
    return out[:, 0], out[:, 1]
