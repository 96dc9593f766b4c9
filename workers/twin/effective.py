"""When an Observation holds: `effective[x]` as milliseconds and as the wall clock of the person who wore the device.

A dateTime with a numeric offset states the local time. `Z` (and `-00:00`) states only the instant: RFC 9557 §2.2 reads it
as "local offset unknown", so the patient's zone decides. A bare date is a day of the local calendar and never an instant.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from workers.twin.arrays import DAY

UNKNOWN_OFFSET = -32768
"""The instant is known, the wall clock is not: the patient's zone applies, else the tenant's."""

CALENDAR_DAY = -32767
"""Times are of the local calendar itself (a bare date); no instant is known."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)

LATEST = (datetime(2200, 1, 1, tzinfo=UTC) - EPOCH) // MILLISECOND
"""Nothing before 1970 or from here on was measured by a wearable: its clock was wrong."""


class Effective(NamedTuple):
    """Start and end in ms (of UTC, or of the calendar for a bare date) and the offset in minutes; no end: an instant."""

    start: int
    end: int | None
    offset: int
    end_offset: int

    @property
    def duration(self) -> int:
        """Return the length in ms; 0 for an instant."""
        return 0 if self.end is None else self.end - self.start


class _Moment(NamedTuple):
    start: int
    end: int
    offset: int


def effective(observation: dict[str, Any]) -> Effective | str:
    """Return when the Observation holds, or the reason why that cannot be told."""
    found = _period(observation["effectivePeriod"]) if "effectivePeriod" in observation else _single(observation)
    if isinstance(found, Effective) and not 0 <= found.start < LATEST:
        return "time-implausible"
    return found


def _single(observation: dict[str, Any]) -> Effective | str:
    """Return the instant or calendar day of an Observation without a period."""
    text = observation.get("effectiveDateTime") or observation.get("effectiveInstant")
    if text is None:
        return "time-missing" if "effectiveTiming" not in observation else "time-not-supported"
    moment = _moment(text)
    if isinstance(moment, str):
        return moment
    end = moment.end if moment.offset == CALENDAR_DAY else None
    return Effective(moment.start, end, moment.offset, moment.offset)


def _period(period: dict[str, Any]) -> Effective | str:
    """Return the interval of a Period; without an end it is its first instant, without a start nothing."""
    if "start" not in period:
        return "time-missing"
    start = _moment(period["start"])
    if isinstance(start, str):
        return start
    if "end" not in period:
        return Effective(start.start, start.end if start.offset == CALENDAR_DAY else None, start.offset, start.offset)
    end = _moment(period["end"])
    if isinstance(end, str):
        return end
    if (start.offset == CALENDAR_DAY) != (end.offset == CALENDAR_DAY):
        return "time-too-coarse"
    if end.end < start.start:
        return "period-reversed"
    return Effective(start.start, end.end, start.offset, end.offset)


def _moment(text: str) -> _Moment | str:
    """Read a dateTime: a full one is an instant, a date its whole calendar day, anything coarser is refused."""
    if len(text) < len("2000-01-01"):
        return "time-too-coarse"
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return "time-malformed"
    if len(text) == len("2000-01-01"):
        start = (moment.replace(tzinfo=UTC) - EPOCH) // MILLISECOND
        return _Moment(start, start + DAY, CALENDAR_DAY)
    shift = moment.utcoffset()
    if shift is None:
        return "time-malformed"
    instant = (moment - EPOCH) // MILLISECOND
    unknown = text[-1] in "Zz" or text.endswith("-00:00")
    return _Moment(instant, instant, UNKNOWN_OFFSET if unknown else shift // timedelta(minutes=1))


def milliseconds(instant: str | None) -> int:
    """Return an instant of the resource (such as `issued`) in ms, 0 when absent or malformed."""
    if instant is None:
        return 0
    moment = _moment(instant)
    return 0 if isinstance(moment, str) else moment.start
