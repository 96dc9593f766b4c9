"""Names for the numpy arrays of this room, so that signatures say what they carry."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]
Bools: TypeAlias = NDArray[np.bool_]

MINUTE = 60_000
DAY = 86_400_000
"""Milliseconds."""

DAY_MINUTES = 1440


def runs(mask: Bools) -> tuple[Ints, Ints]:
    """Return first index and end (exclusive) of every stretch where the mask holds."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], mask.astype(np.int8), [0]))))
    return edges[0::2].astype(np.int64), edges[1::2].astype(np.int64)


def distinct(values: Ints) -> Ints:
    """Return the different values, sorted; quick where equal ones stand together."""
    return np.unique(values[_heads(values)])


def numbered(values: Ints) -> tuple[Ints, Ints]:
    """Return the different values, sorted, and of each value its place among them; quick where equal ones stand together."""
    heads = _heads(values)
    found, place = np.unique(values[heads], return_inverse=True)
    return found, np.asarray(np.repeat(place, np.diff(np.append(heads, len(values)))), np.int64)


def _heads(values: Ints) -> Ints:
    """Return where a stretch of equal values begins."""
    return np.flatnonzero(np.concatenate((np.ones(min(1, len(values)), bool), values[1:] != values[:-1])))


def median(values: Floats) -> float:
    """Return the median of the values that are known; there must be one. For so few much faster than numpy's."""
    ordered = np.sort(values[~np.isnan(values)])
    half = len(ordered) // 2
    return float(ordered[half]) if len(ordered) % 2 else float(ordered[half - 1] + ordered[half]) / 2
