"""The same figures by group: n and intervals always, small groups suppressed.

A group is shown with at least 11 people of each outcome, else only that it is too small: a figure of a handful says nothing
about the group and too much about its members.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np

from workers.ml.evaluate.metrics import Interval, auc_interval, calibration, wilson
from workers.twin.arrays import Floats

LEAST: Final = 11


class Group(NamedTuple):
    """One group: rows, or None when it is suppressed, with AUC, calibration in the large, PPV and TPR at a threshold."""

    name: str
    n: int | None
    auc: Interval | None = None
    intercept: Interval | None = None
    ppv: Interval | None = None
    tpr: Interval | None = None


def by_group(y: Floats, p: Floats, groups: Sequence[str], threshold: float = 0.5) -> list[Group]:
    """Return the figures of each group, in the order of their names."""
    names = np.array(groups)
    return [_group(name, y[names == name], p[names == name], threshold) for name in sorted(set(groups))]


def _group(name: str, y: Floats, p: Floats, threshold: float) -> Group:
    ill = float(y.sum())
    if min(ill, len(y) - ill) < LEAST:
        return Group(name, None)
    told = p >= threshold
    return Group(
        name,
        len(y),
        auc_interval(y, p),
        calibration(y, p).intercept,
        wilson(float(y[told].sum()), float(told.sum())),
        wilson(float(y[told].sum()), ill),
    )


def ages(years: Sequence[float | None], bounds: Sequence[int] = (30, 45, 60)) -> list[str]:
    """Return age bands; `unknown` where there is no age."""
    names: Mapping[int, str] = {
        i: f"{bounds[i - 1] if i else 0}-{bounds[i] - 1}" if i < len(bounds) else f"{bounds[-1]}+"
        for i in range(len(bounds) + 1)
    }
    return ["unknown" if age is None else names[int(np.searchsorted(bounds, age, side="right"))] for age in years]
