"""Primitive types of R4: their grammar (http://hl7.org/fhir/R4/datatypes.html) and the ranges of partial dates.

The grammars are those of the specification with ASCII classes, as its own regular expressions mean them, and dates
hold to the calendar: 30 February is refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import Final, Literal

INTEGER_MIN, INTEGER_MAX = -(2**31), 2**31 - 1
STRING_MAX = 1024 * 1024

_YEAR = r"(?!0000)\d{4}"
_LEAP = r"(?!\d\d(?:0[48]|[2468][048]|[13579][26])-|(?:[02468][048]|[13579][26])00-)"
_NO_29_FEBRUARY = rf"(?!{_LEAP}\d{{4}}-02-29)"
_LONG, _SHORT = r"(?:0[13578]|1[02])", r"(?:0[469]|11)"
_FULL_DATE = (
    rf"{_NO_29_FEBRUARY}{_YEAR}-"
    rf"(?:{_LONG}-(?:0[1-9]|[12]\d|3[01])|{_SHORT}-(?:0[1-9]|[12]\d|30)|02-(?:0[1-9]|[12]\d))"
)
_TIME = r"(?:[01]\d|2[0-3]):[0-5]\d:(?:[0-5]\d|60)(?:\.\d+)?"
_ZONE = r"(?:Z|[+-](?:(?:0\d|1[0-3]):[0-5]\d|14:00))"
_CHAR = r"[^\x00-\x08\x0b\x0c\x0e-\x1f]"  # what a string may have: of the control characters tab, CR and LF
_INK = r"[^\x00-\x20]"
# Possessive, so that long input cannot backtrack; without blanks first, because that is fast.
_BASE64 = (
    r"(?=\s*+\S)(?:(?:[0-9a-zA-Z+/]{4})*+(?:[0-9a-zA-Z+/]{2}==|[0-9a-zA-Z+/]{3}=)?|"
    r"\s*+(?:(?:[0-9a-zA-Z+/]\s*+){4})*+(?:(?:[0-9a-zA-Z+/]\s*+){2}=\s*+=\s*+|(?:[0-9a-zA-Z+/]\s*+){3}=\s*+)?)"
)
_PARTIAL = rf"{_YEAR}(?:-(?:0[1-9]|1[0-2]))?"

JsonType = Literal["string", "number", "boolean", "integer"]


@dataclass(frozen=True, slots=True)
class Primitive:
    """A primitive type: how JSON writes it, its grammar if it is a string, its bounds if it is an integer."""

    json: JsonType
    expected: str
    pattern: str | None = None
    low: int = INTEGER_MIN
    high: int = INTEGER_MAX


def _text(expected: str, grammar: str) -> Primitive:
    """Return a primitive that is a JSON string of this grammar."""
    return Primitive("string", expected, rf"(?a)\A(?:{grammar})\Z")


PRIMITIVES: Final[dict[str, Primitive]] = {
    "boolean": Primitive("boolean", "true or false"),
    "integer": Primitive("integer", "a whole number of 32 bits"),
    "positiveInt": Primitive("integer", "a whole number from 1 to 2147483647", None, 1),
    "unsignedInt": Primitive("integer", "a whole number from 0 to 2147483647", None, 0),
    "decimal": Primitive("number", "a JSON number"),
    "string": _text("text that is not empty, without control characters", rf"{_CHAR}+"),
    "markdown": _text("text that is not empty, without control characters", rf"{_CHAR}+"),
    "xhtml": _text("an XHTML <div>", rf"\s*<div\b{_CHAR}*(?:</div>|/>)\s*"),
    "code": _text("a code: no blanks at the ends, single blanks inside", rf"{_INK}+(?:\s{_INK}+)*"),
    "id": _text("1 to 64 letters, digits, '-' or '.'", r"[A-Za-z0-9\-.]{1,64}"),
    "uri": _text("a URI without blanks", rf"{_INK}+"),
    "url": _text("a URL without blanks", rf"{_INK}+"),
    "canonical": _text("a canonical URL without blanks", rf"{_INK}+"),
    "oid": _text("an OID such as urn:oid:1.2.3", r"urn:oid:[0-2](?:\.(?:0|[1-9]\d*))+"),
    "uuid": _text("a lower-case UUID as urn:uuid:…", r"urn:uuid:[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}"),
    "base64Binary": _text("base64", _BASE64),
    "date": _text("YYYY, YYYY-MM or YYYY-MM-DD", rf"{_PARTIAL}|{_FULL_DATE}"),
    "dateTime": _text(
        "YYYY, YYYY-MM, YYYY-MM-DD or YYYY-MM-DDThh:mm:ss with a zone such as Z or +01:00",
        rf"{_FULL_DATE}(?:T{_TIME}{_ZONE})?|{_PARTIAL}",
    ),
    "instant": _text("YYYY-MM-DDThh:mm:ss with a zone such as Z or +01:00", rf"{_FULL_DATE}T{_TIME}{_ZONE}"),
    "time": _text("hh:mm:ss", _TIME),
}

_REGEXES: Final = {name: re.compile(p.pattern) for name, p in PRIMITIVES.items() if p.pattern}

_DATE_PARTS = re.compile(
    r"(?a)\A(\d{4})(?:-(\d\d)(?:-(\d\d)(?:T(\d\d):(\d\d)(?::(\d\d)(?:\.(\d+))?)?(Z|[+-]\d\d:\d\d)?)?)?)?\Z"
)
_FIRST = datetime.min.replace(tzinfo=UTC)
_LAST = datetime.max.replace(tzinfo=UTC)


def matches(type_code: str, value: str) -> bool:
    """Return whether a string has the grammar of a primitive type."""
    return _REGEXES[type_code].match(value) is not None


def date_range(text: str) -> tuple[datetime, datetime]:
    """Return the inclusive start and exclusive end of a date, dateTime or instant; without a zone it is UTC.

    Raises ValueError for what is not a date. Minutes may stand without seconds, as search values have them.
    What would lie outside of years 1 to 9999 is cut there.
    """
    match = _DATE_PARTS.match(text)
    if match is None:
        raise ValueError("not a FHIR date")
    year, month, day, hour, minute, second, fraction, zone = match.groups()
    start = datetime(int(year), int(month or 1), int(day or 1), tzinfo=UTC)
    if hour is None:
        return start, _next_date(start, month, day)
    # A leap second is the last moment of its minute: datetime has no 60.
    clock = timedelta(hours=int(hour), minutes=int(minute), seconds=min(int(second or 0), 59))
    if int(hour) > 23 or int(minute) > 59 or int(second or 0) > 60:
        raise ValueError("not a time of day")
    offset = clock - _offset(zone) + timedelta(microseconds=int((fraction or "")[:6].ljust(6, "0")))
    start = _plus(start, offset)
    return start, _plus(start, _precision(second, fraction))


def _next_date(start: datetime, month: str | None, day: str | None) -> datetime:
    """Return the start of the year, month or day after the one that starts here."""
    if day is not None:
        return _plus(start, timedelta(days=1))
    if month is not None and start.month < 12:
        return start.replace(month=start.month + 1)
    return start.replace(year=start.year + 1, month=1) if start.year < 9999 else _LAST


def _precision(second: str | None, fraction: str | None) -> timedelta:
    """Return how long the moment lasts that a time names: a minute, a second, or a unit of its last digit."""
    if second is None:
        return timedelta(minutes=1)
    digits = min(len(fraction or ""), 6)
    return timedelta(microseconds=10 ** (6 - digits))


def _offset(zone: str | None) -> timedelta:
    """Return the distance of a zone from UTC."""
    if zone in (None, "Z"):
        return timedelta()
    assert zone is not None
    hours, minutes = int(zone[1:3]), int(zone[4:6])
    if minutes > 59:
        raise ValueError("not a time zone")
    distance = timedelta(hours=hours, minutes=minutes)
    return timezone(distance if zone[0] == "+" else -distance).utcoffset(None)


def _plus(start: datetime, distance: timedelta) -> datetime:
    """Add, and stay within the years that datetime has."""
    try:
        return start + distance
    except OverflowError:
        return _LAST if distance > timedelta() else _FIRST
