"""When a message that a provider did not take is tried again: eight times within six hours, for news that old is no news."""

from __future__ import annotations

import secrets
from datetime import timedelta
from typing import Final

WAITS: Final = (5, 30, 120, 600, 1800, 3600, 14_400)
"""Seconds after the first, second, ... attempt; each up to a fifth longer."""
_LONGEST: Final = 14_400


def wait_after(attempts: int, retry_after: float | None = None) -> timedelta | None:
    """Return how long to wait after so many attempts, as the provider asks at least; None when that was the last."""
    if attempts > len(WAITS):
        return None
    planned = WAITS[attempts - 1] * (1 + secrets.randbelow(200) / 1000)
    return timedelta(seconds=max(planned, min(retry_after or 0.0, _LONGEST)))
