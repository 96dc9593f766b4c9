"""When a notification that failed is tried again: ten times over about three days (the schedule of Standard Webhooks).

    at once, 5 s, 5 min, 30 min, 2 h, 5 h, 10 h, 14 h, 20 h, 24 h

Each wait is up to a fifth longer, so that receivers that failed together are not asked together.
"""

from __future__ import annotations

import secrets
from datetime import timedelta
from typing import Final

WAITS: Final = (5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
"""Seconds after the first, second, ... attempt."""
ATTEMPTS: Final = len(WAITS) + 1
_LONGEST: Final = 86_400


def wait_after(attempts: int, retry_after: float | None = None) -> timedelta | None:
    """Return how long to wait after so many failed attempts, as the receiver asks at least; None when that was the last."""
    if attempts >= ATTEMPTS:
        return None
    planned = WAITS[attempts - 1] * (1 + secrets.randbelow(200) / 1000)
    return timedelta(seconds=max(planned, min(retry_after or 0.0, _LONGEST)))
