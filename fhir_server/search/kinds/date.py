"""Date: every date is a range, compared by the prefixes' rules for ranges (R4 search.html#date, #prefix).

    eq  the search range contains the value's          ne  it does not
    gt  what is above it meets the value's             lt  what is below it does
    ge  gt, or contained                               le  lt, or contained
    sa  the value starts after it                      eb  the value ends before it
    ap  the two overlap, widened by a tenth of the distance to now

Ranges are half-open, [lo, hi). A Period without start or end is open there; a Timing counts from its first to its last moment.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from fhir_server.kit import clock
from fhir_server.model.primitives import date_range
from fhir_server.search.escape import unescape
from fhir_server.search.kinds.entries import Entries, Pairs
from fhir_server.search.kinds.prefixes import Prefix, split_prefix
from fhir_server.search.parameters import Source
from fhir_server.search.predicates import Column, Predicate, Rows, Without

FIRST = datetime(1, 1, 1, 0, 0, 1, tzinfo=UTC)
LAST = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
"""Where an open end stands. Not the ends of Python's calendar: asyncpg writes those as infinities, which have no distance."""

_DAY = timedelta(days=1)
Range = tuple[datetime, datetime]


@dataclass(frozen=True, slots=True)
class Date:
    """A comparator and the range of the date that was written."""

    prefix: Prefix
    lo: datetime
    hi: datetime


def parse(text: str) -> Date:
    """Read a date, as exact as it is written, with its comparator; ValueError says what is wrong."""
    prefix, rest = split_prefix(unescape(text))
    # A '+' that was not percent-encoded arrives as a blank.
    try:
        lo, hi = span(rest.replace(" ", "+"))
    except ValueError:
        raise ValueError("is no date: write YYYY, YYYY-MM, YYYY-MM-DD or YYYY-MM-DDThh:mm:ss with a zone") from None
    if prefix == "ap":
        lo, hi = _widened(lo, hi)
    return Date(prefix, lo, hi)


def _widened(lo: datetime, hi: datetime) -> Range:
    """Return the range wider by a tenth of its distance from now."""
    distance = abs(clock.now() - lo) / 10
    return max(lo, FIRST + distance) - distance, min(hi, LAST - distance) + distance


def span(text: str) -> Range:
    """Return the range of a date, within FIRST and LAST; ValueError for what is no date."""
    lo, hi = date_range(text)
    return (lo, hi) if lo >= FIRST and hi <= LAST else (min(max(lo, FIRST), LAST), min(max(hi, FIRST), LAST))


# ---- rows ----


def _period(value: dict[str, Any]) -> Range | None:
    start, end = value.get("start"), value.get("end")
    if start is None and end is None:
        return None
    return span(start)[0] if start else FIRST, span(end)[1] if end else LAST


def _timing(value: dict[str, Any]) -> Range | None:
    ranges = [span(event) for event in value.get("event", ()) if event is not None]
    bounds = _period(value.get("repeat", {}).get("boundsPeriod", {}))
    if bounds:
        ranges.append(bounds)
    if not ranges:
        return None
    return min(lo for lo, _ in ranges), max(hi for _, hi in ranges)


_RANGES: dict[str, Callable[[Any], Range | None]] = {
    "date": span,
    "dateTime": span,
    "instant": span,
    "Period": _period,
    "Timing": _timing,
}


def ranges(pairs: Pairs) -> list[Range]:
    """Return the ranges of what was found; what is no date (a string, an Age) has none."""
    found = (_RANGES[type_](value) for type_, value in pairs if type_ in _RANGES)
    return [range_ for range_ in found if range_ is not None and range_[0] < range_[1]]


def rows(entries: Entries, param: int, pairs: Pairs) -> None:
    """Add the entries of what was found."""
    for lo, hi in ranges(pairs):
        row = (param, lo, hi)
        if row not in entries.dates:
            entries.dates.append(row)


# ---- predicate ----


def _back(moment: datetime) -> datetime:
    """Return a day earlier: a value no longer than a day that ends after `moment` starts after this."""
    return moment - _DAY if moment > FIRST + _DAY else FIRST


_Condition = tuple[str, tuple[datetime, ...]]
_LONG = "hi - lo > interval '1 day' AND hi > {}"


def conditions(value: Date) -> tuple[_Condition, ...]:
    """Return conditions on lo and hi, each of which the index can seek; a value that meets any of them matches."""
    lo, hi, back = value.lo, value.hi, _back(value.hi)
    match value.prefix:
        case "eq":
            return (("lo >= {} AND lo < {} AND hi <= {}", (lo, hi, hi)),)
        case "ne":
            return (("lo < {}", (lo,)), ("lo >= {} AND hi > {}", (lo, hi)))
        case "gt":
            return (("lo > {} AND hi > {}", (back, hi)), (_LONG, (hi,)))
        case "lt":
            return (("lo < {}", (lo,)),)
        case "ge":
            return (("lo > {} AND (lo >= {} OR hi > {})", (min(back, _before(lo)), lo, hi)), (_LONG, (hi,)))
        case "le":
            return (("lo < {} AND (lo < {} OR hi <= {})", (hi, lo, hi)),)
        case "sa":
            return (("lo >= {}", (hi,)),)
        case "eb":
            return (("lo < {} AND hi <= {}", (lo, lo)),)
        case "ap":
            return (("lo > {} AND lo < {} AND hi > {}", (_back(lo), hi, lo)), (_LONG + " AND lo < {}", (lo, hi)))


def _before(moment: datetime) -> datetime:
    """Return the last moment before this one."""
    return moment - timedelta(microseconds=1) if moment > FIRST else FIRST


def predicate(value: Date, source: Source) -> Predicate:
    """Return the condition that a date of the resource compares so."""
    found = tuple((f"param = {source.id} AND {where}", values) for where, values in conditions(value))
    return Rows("ix_date", found[0][0], found[0][1], found[1:])


def compares(value: Date, found: Range) -> bool:
    """Tell whether a range compares so, in memory."""
    (lo, hi), (start, end) = (value.lo, value.hi), found
    contained = start >= lo and end <= hi
    match value.prefix:
        case "eq":
            return contained
        case "ne":
            return not contained
        case "gt":
            return end > hi
        case "lt":
            return start < lo
        case "ge":
            return contained or end > hi
        case "le":
            return contained or start < lo
        case "sa":
            return start >= hi
        case "eb":
            return end <= lo
        case "ap":
            return start < hi and end > lo


def accepts(value: Date, pairs: Pairs) -> bool:
    """Tell whether one of the dates found in a resource compares so."""
    return any(compares(value, found) for found in ranges(pairs))


_WITHIN = "({r}.last_updated >= {} AND {r}.last_updated < {})"
_FROM, _UNTIL = "{r}.last_updated >= {}", "{r}.last_updated < {}"

# A moment is never partly inside of a range: gt is sa, and lt is eb.
_MOMENTS: dict[Prefix, Callable[[Date], Predicate]] = {
    "eq": lambda v: Column(_WITHIN, (v.lo, v.hi)),
    "ne": lambda v: Without(Column(_WITHIN, (v.lo, v.hi))),
    "gt": lambda v: Column(_FROM, (v.hi,)),
    "lt": lambda v: Column(_UNTIL, (v.lo,)),
    "ge": lambda v: Column(_FROM, (v.lo,)),
    "le": lambda v: Column(_UNTIL, (v.hi,)),
    "sa": lambda v: Column(_FROM, (v.hi,)),
    "eb": lambda v: Column(_UNTIL, (v.lo,)),
    "ap": lambda v: Column(_WITHIN, (v.lo, v.hi)),
}


def last_updated(value: Date) -> Predicate:
    """Return the condition on the column `last_updated`, which is a moment."""
    return _MOMENTS[value.prefix](value)
