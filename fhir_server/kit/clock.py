"""The only clock: everything that needs the time asks here, so that tests can hold it still."""

from __future__ import annotations

import time
from datetime import UTC, datetime


def now() -> datetime:
    """Return the time in UTC, cut to milliseconds as `instant` shows it."""
    moment = datetime.now(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def seconds() -> float:
    """Return seconds since the epoch, for token times and expiries."""
    return time.time()


def monotonic() -> float:
    """Return seconds of a clock that never goes back, for durations."""
    return time.perf_counter()


def instant(moment: datetime) -> str:
    """Return a FHIR instant with milliseconds and `Z`, such as `2026-11-22T10:00:00.123Z`."""
    utc = moment.astimezone(UTC)
    return f"{utc:%Y-%m-%dT%H:%M:%S}.{utc.microsecond // 1000:03d}Z"
