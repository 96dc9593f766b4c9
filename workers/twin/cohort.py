"""What is usual among people, before a person's own days say more: centre and spread of what is the same on every device.

LifeSnaps (71 people, Fitbit; Yfantidou et al. 2022, Sci Data 9:663), of those with 14 days or more. Activity
counts differ between devices and hours of the clock between ways of life: they have no row, and a baseline of them waits for
ten days. `tests/workers/twin/test_cohort.py` derives the numbers anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple


class Norm(NamedTuple):
    """Median of the people's medians and its spread between them; median of their own spreads, and the spread of its logarithm."""

    centre: float
    between: float
    spread: float
    log_spread: float


COHORT: Final[Mapping[str, Norm]] = {
    "steps": Norm(7341.0, 2160.0, 3647.0, 0.371),
    "sleep-duration": Norm(405.3, 36.3, 65.2, 0.344),
    "resting-heart-rate-reported": Norm(65.75, 6.35, 2.26, 0.380),
    "hrv-rmssd": Norm(37.9, 16.0, 6.40, 0.399),
}
