"""Now, boundaries, precision and the parts of dates and times (FHIRPath N1 §5.9, and its successor §5.5.8-§5.5.10)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Any

from fhir_server.model.fhirpath.datetimes import Temporal, parse_temporal
from fhir_server.model.fhirpath.decimals import WIDE, at_places
from fhir_server.model.fhirpath.decimals import places as places_of
from fhir_server.model.fhirpath.equality import as_quantity
from fhir_server.model.fhirpath.errors import wrong_type
from fhir_server.model.fhirpath.quantities import Quantity, comparable
from fhir_server.model.fhirpath.runtime import Function, Scope, Table, integer_of, one
from fhir_server.model.fhirpath.types import Collection

_MAX_PLACES = 28
# Digits of a precision -> how many parts it has; 17 and 9 are seconds with milliseconds.
_DATE_PARTS = {4: 1, 6: 2, 8: 3, 10: 4, 12: 5, 14: 6, 17: 6}
_TIME_PARTS = {2: 1, 4: 2, 6: 3, 9: 3}
_FULL = {"date": 8, "dateTime": 17, "time": 9}
_FIRST = (1, 1, 1, 0, 0, 0)
_LAST = (9999, 12, 31, 23, 59, 59)


def now(scope: Scope, items: Collection) -> Collection:  # noqa: ARG001
    """Return the time of the evaluation."""
    return [_temporal(scope.now(), "dateTime")]


def today(scope: Scope, items: Collection) -> Collection:  # noqa: ARG001
    """Return the date of the evaluation."""
    return [_temporal(scope.now(), "date")]


def time_of_day(scope: Scope, items: Collection) -> Collection:  # noqa: ARG001
    """Return the time of day of the evaluation."""
    return [_temporal(scope.now(), "time")]


def _temporal(moment: datetime, kind: str) -> Temporal | None:
    text = moment.isoformat(timespec="milliseconds")
    return parse_temporal({"date": text[:10], "time": text[11:23]}.get(kind, text), kind)


def _boundary(*, high: bool) -> Callable[..., Collection]:
    def call(scope: Scope, items: Collection, precision: Collection | None = None) -> Collection:  # noqa: ARG001
        value = one(items)
        digits = None if precision is None else integer_of(precision)
        if value is None:
            return []
        if type(value) is Temporal:
            found: Any = _temporal_boundary(value, digits or _FULL[value.kind], high=high)
        elif type(value) is Quantity:
            edge = _decimal_boundary(value.value, digits, high=high)
            found = None if edge is None else replace(value, value=edge)
        elif type(value) in (int, Decimal):
            found = _decimal_boundary(Decimal(value), digits, high=high)
        else:
            raise wrong_type("boundaries are those of numbers, quantities, dates and times")
        return [] if found is None else [found]

    return call


def _decimal_boundary(value: Decimal, digits: int | None, *, high: bool) -> Decimal | None:
    """Return the least or greatest decimal that rounds to the value as written, at `digits` decimals."""
    places = 8 if digits is None else digits
    exponent = value.as_tuple().exponent
    if not 0 <= places <= _MAX_PLACES or not isinstance(exponent, int):
        return None
    half = Decimal(5).scaleb(min(exponent, 0) - 1)
    edge = WIDE.add(value, half if high else -half)
    return at_places(edge, places, ROUND_CEILING if high else ROUND_FLOOR)


def _temporal_boundary(value: Temporal, digits: int, *, high: bool) -> Temporal | None:
    """Return the first or last instant the value can mean, at a precision given in digits."""
    clock = value.kind == "time"
    wanted = (_TIME_PARTS if clock else _DATE_PARTS).get(digits)
    if wanted is None or (value.kind == "date" and wanted > 3):
        return None
    filling = (_LAST if high else _FIRST)[3 if clock else 0 :]
    parts = (*value.parts, *filling[len(value.parts) :])
    if high and not clock and len(value.parts) < 3:
        parts = (*parts[:2], _last_day(parts[0], parts[1]), *parts[3:])
    fraction = ""
    if digits in (17, 9):
        fraction = value.fraction or ("999" if high else "000")
    zone = value.zone
    if not zone and not clock and wanted > 3:
        zone = "-12:00" if high else "+14:00"  # the places where it is that time last and first
    return Temporal(value.kind, parts[:wanted], fraction, zone if wanted > 3 else "")


def _last_day(year: int, month: int) -> int:
    following = date(year + month // 12, month % 12 + 1, 1) if year < 9999 or month < 12 else None
    return 31 if following is None else (following - timedelta(days=1)).day


def precision(scope: Scope, items: Collection) -> Collection:  # noqa: ARG001
    """Return how many decimals a number, or digits a date or time, was written with."""
    value = one(items)
    if value is None:
        return []
    if type(value) is Temporal:
        return [value.digits]
    if type(value) in (int, Decimal):
        return [places_of(value)]
    raise wrong_type("precision() takes a number, date or time")


def comparable_(scope: Scope, items: Collection, other: Collection) -> Collection:  # noqa: ARG001
    """Return whether two quantities have units that convert into each other."""
    mine, yours = one(items), one(other)
    if mine is None or yours is None:
        return []
    ours, theirs = as_quantity(mine), as_quantity(yours)
    if ours is None or theirs is None:
        raise wrong_type("comparable() takes quantities")
    return [comparable(ours, theirs)]


def _part(index: int, *, of_time: bool) -> Callable[..., Collection]:
    """Return the function that reads one part of a date (0 the year) or time (0 the hour)."""

    def call(scope: Scope, items: Collection) -> Collection:  # noqa: ARG001
        value = one(items)
        if value is None:
            return []
        if type(value) is not Temporal or (value.kind == "time" and not of_time):
            raise wrong_type("expected a date or time")
        at = index if value.kind == "time" or not of_time else index + 3
        return [value.parts[at]] if at < len(value.parts) else []

    return call


def millisecond_of(scope: Scope, items: Collection) -> Collection:  # noqa: ARG001
    """Return the milliseconds of a time."""
    value = one(items)
    if type(value) is not Temporal or not value.fraction:
        return []
    return [int(value.fraction[:3].ljust(3, "0"))]


def timezone_offset_of(scope: Scope, items: Collection) -> Collection:  # noqa: ARG001
    """Return the offset from UTC in hours."""
    value = one(items)
    if type(value) is not Temporal or not value.zone:
        return []
    return [Decimal(int(value.offset.total_seconds())) / 3600]


def date_of(scope: Scope, items: Collection) -> Collection:  # noqa: ARG001
    """Return the date of a date and time."""
    value = one(items)
    if type(value) is not Temporal or value.kind == "time":
        return []
    return [Temporal("date", value.parts[:3])]


def time_of(scope: Scope, items: Collection) -> Collection:  # noqa: ARG001
    """Return the time of a date and time."""
    value = one(items)
    if type(value) is not Temporal or value.kind != "dateTime" or len(value.parts) < 4:
        return []
    return [Temporal("time", value.parts[3:], value.fraction)]


TABLE: Table = {
    "now": Function(now),
    "today": Function(today),
    "timeOfDay": Function(time_of_day),
    "lowBoundary": Function(_boundary(high=False), "", "v"),
    "highBoundary": Function(_boundary(high=True), "", "v"),
    "precision": Function(precision),
    "comparable": Function(comparable_, "v"),
    "yearOf": Function(_part(0, of_time=False)),
    "monthOf": Function(_part(1, of_time=False)),
    "dayOf": Function(_part(2, of_time=False)),
    "hourOf": Function(_part(0, of_time=True)),
    "minuteOf": Function(_part(1, of_time=True)),
    "secondOf": Function(_part(2, of_time=True)),
    "millisecondOf": Function(millisecond_of),
    "timezoneOffsetOf": Function(timezone_offset_of),
    "dateOf": Function(date_of),
    "timeOf": Function(time_of),
}
