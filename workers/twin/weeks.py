"""Calendar weeks, Monday to Sunday: which of them a change may reach."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta


def mondays(days: Iterable[date]) -> list[date]:
    """Return the Mondays of the weeks that blocks of some UTC days may reach, whatever the zone."""
    near = {day + timedelta(days=i) for day in days for i in (-1, 0, 1)}
    return sorted({day - timedelta(days=day.weekday()) for day in near})
