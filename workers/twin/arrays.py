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
