"""Times as sources write them, kept as they state them: their own offset, a bare date, or a wall clock in a stated zone."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Final, NamedTuple

from workers.ingest.sample import Unusable

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_STAMP = re.compile(
    r"(\d{4}-\d{2}-\d{2})[T ](\d{2}:\d{2}(?::\d{2})?)([.,]\d{1,9})?\s?(Z|z|[+-]\d{2}:?\d{2})?", re.ASCII
)
_AHEAD: Final = timedelta(days=1)


class Moment(NamedTuple):
    """A FHIR date or dateTime, and the instant in ms since 1970; for a date that of its midnight in UTC."""

    text: str
    ms: int

    @property
    def whole_day(self) -> bool:
        """Tell whether it is a bare date."""
        return len(self.text) == len("2000-01-01")


def moment(text: object, zone: tzinfo | None = None, where: str | None = None) -> Moment:
    """Read a time: RFC 3339, or a local time that `zone` makes an instant; Unusable says what is wrong.

    Of the two instants of an hour that autumn repeats it is the first, an hour that spring leaves out moves forward.
    """
    if not isinstance(text, str):
        raise Unusable("time-malformed", "A time is a text such as 2026-01-05T08:00:00+01:00.", where)
    if _DATE.fullmatch(text):
        return _whole_day(text, where)
    found = _STAMP.fullmatch(text.strip())
    if found is None:
        raise Unusable("time-malformed", "A time is written as 2026-01-05T08:00:00+01:00.", where)
    day, clock, fraction, offset = found.groups()
    offset = offset.upper() if offset else None
    if offset is None and zone is None:
        raise Unusable("time-zone-missing", "This time says no offset; name the zone that it is in.", where)
    try:
        read = datetime.fromisoformat(f"{day}T{clock}{(fraction or '').replace(',', '.')[:7]}{offset or ''}")
    except ValueError as error:
        raise Unusable("time-malformed", "There is no such time.", where) from error
    return of(read if offset else _on_the_clock(read, zone or UTC), where, unknown=offset == "Z")


def _on_the_clock(read: datetime, zone: tzinfo) -> datetime:
    """Return a wall-clock time in its zone, at an offset that the zone has then."""
    return read.replace(tzinfo=zone).astimezone(UTC).astimezone(zone)


def of(read: datetime, where: str | None = None, *, unknown: bool = False) -> Moment:
    """Return the moment of a datetime with an offset; `unknown` writes Z, which states no local time."""
    instant = (read - EPOCH) // _MILLISECOND
    if read.year < 1990 or read.year > 2199:
        raise Unusable("time-implausible", "No wearable measured then: its clock was wrong.", where)
    text = read.isoformat(timespec="milliseconds" if read.microsecond else "seconds")
    return Moment(text.replace("+00:00", "Z") if unknown else text, instant)


def _whole_day(text: str, where: str | None) -> Moment:
    try:
        day = date.fromisoformat(text)
    except ValueError as error:
        raise Unusable("time-malformed", "There is no such day.", where) from error
    if not 1990 <= day.year <= 2199:
        raise Unusable("time-implausible", "No wearable measured then: its clock was wrong.", where)
    return Moment(text, (day - EPOCH.date()).days * 86_400_000)


def later(start: Moment, milliseconds: int) -> Moment:
    """Return the moment some time after another, at the same offset."""
    read = datetime.fromisoformat(start.text) + timedelta(milliseconds=milliseconds)
    return of(read, unknown=start.text.endswith("Z"))


def ahead(when: Moment, now: datetime) -> bool:
    """Tell whether a moment lies more than a day in the future: the clock of its device is wrong."""
    return when.ms > (now + _AHEAD - EPOCH) // _MILLISECOND
