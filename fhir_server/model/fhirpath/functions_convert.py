"""Conversion functions: `toX` and `convertsToX` (FHIRPath N1 §5.5)."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from fhir_server.model.fhirpath.datetimes import Temporal, parse_temporal
from fhir_server.model.fhirpath.decimals import ARITHMETIC
from fhir_server.model.fhirpath.quantities import CALENDAR_UNITS, Quantity, canonical_of
from fhir_server.model.fhirpath.runtime import Function, Scope, Table, one, text_of
from fhir_server.model.fhirpath.types import Collection, Node

_TRUE = frozenset({"true", "t", "yes", "y", "1", "1.0"})
_FALSE = frozenset({"false", "f", "no", "n", "0", "0.0"})
_INTEGER = re.compile(r"[+-]?\d{1,10}")
_DECIMAL = re.compile(r"[+-]?\d{1,64}(?:\.\d{1,64})?")
_QUANTITY = re.compile(r"([+-]?\d{1,64}(?:\.\d{1,64})?)(?:\s*'([^']+)'|\s+([a-z]+))?")


def to_boolean(value: Any) -> bool | None:
    """Return true or false for booleans, 1 and 0, and their usual words."""
    if type(value) is bool:
        return value
    if type(value) in (int, Decimal):
        return {1: True, 0: False}.get(value)
    if type(value) is str:
        word = value.lower()
        return True if word in _TRUE else False if word in _FALSE else None
    return None


def to_integer(value: Any) -> int | None:
    """Return an integer of 32 bits for integers, booleans and texts of one."""
    if type(value) is bool:
        return int(value)
    if type(value) is str and _INTEGER.fullmatch(value):
        value = int(value)
    return value if type(value) is int and -(2**31) <= value < 2**31 else None


def to_decimal(value: Any) -> Decimal | None:
    """Return a decimal for numbers, booleans and texts of one."""
    if type(value) is Decimal:
        return value
    if type(value) in (int, bool):
        return Decimal(value)
    return Decimal(value) if type(value) is str and _DECIMAL.fullmatch(value) else None


def to_string(value: Any) -> str | None:
    """Return the text of a system value, as a literal would show it but without quotes or `@`."""
    if type(value) is bool:
        return "true" if value else "false"
    if type(value) is Decimal:
        return f"{value:f}"
    return None if type(value) is Node else str(value)


def _temporal(kind: str) -> Callable[[Any], Temporal | None]:
    def convert(value: Any) -> Temporal | None:
        if type(value) is str:
            value = parse_temporal(value.removeprefix("T") if kind == "time" else value, kind)
        if type(value) is not Temporal:
            return None
        if value.kind == kind:
            return value
        if value.kind == "time" or kind == "time":
            return None
        return Temporal("date", value.parts[:3]) if kind == "date" else Temporal("dateTime", value.parts)

    return convert


def to_quantity(value: Any) -> Quantity | None:
    """Return a quantity for numbers, booleans, quantities, and texts such as `4 days` or `10 'mg'`."""
    if type(value) is Quantity:
        return value
    if type(value) in (int, bool, Decimal):
        return Quantity(Decimal(value))
    match = _QUANTITY.fullmatch(value) if type(value) is str else None
    if match is None:
        return None
    amount, code, word = match.groups()
    if word is not None:
        unit = CALENDAR_UNITS.get(word)
        return None if unit is None else Quantity(Decimal(amount), unit, calendar=True)
    return Quantity(Decimal(amount), code or "1")


def _to(convert: Callable[[Any], Any]) -> Callable[..., Collection]:
    def call(scope: Scope, items: Collection) -> Collection:  # noqa: ARG001
        value = one(items)
        found = None if value is None else convert(value)
        return [] if found is None else [found]

    return call


def _converts_to(convert: Callable[[Any], Any]) -> Callable[..., Collection]:
    def call(scope: Scope, items: Collection) -> Collection:  # noqa: ARG001
        value = one(items)
        return [] if value is None else [convert(value) is not None]

    return call


def quantity(scope: Scope, items: Collection, unit: Collection | None = None) -> Collection:  # noqa: ARG001
    """Return a quantity, converted to another unit when one is given."""
    value = one(items)
    found = None if value is None else to_quantity(value)
    wanted = None if unit is None else text_of(unit)
    if found is None or wanted is None:
        return [] if found is None else [found]
    target = Quantity(Decimal(1), CALENDAR_UNITS.get(wanted, wanted), wanted in CALENDAR_UNITS)
    ours, theirs = canonical_of(found, loose=True), canonical_of(target, loose=True)
    if ours is None or theirs is None or ours[1] != theirs[1] or ours[1] == "K":
        return [found] if target.unit == found.unit else []
    return [Quantity(ARITHMETIC.divide(ours[0], theirs[0]).normalize(ARITHMETIC), target.unit, target.calendar)]


def converts_to_quantity(scope: Scope, items: Collection, unit: Collection | None = None) -> Collection:
    """Return whether `toQuantity` would give one."""
    return [] if not items else [bool(quantity(scope, items, unit))]


_CONVERSIONS: dict[str, Callable[[Any], Any]] = {
    "Boolean": to_boolean,
    "Integer": to_integer,
    "Decimal": to_decimal,
    "String": to_string,
    "Date": _temporal("date"),
    "DateTime": _temporal("dateTime"),
    "Time": _temporal("time"),
}

TABLE: Table = {
    **{f"to{name}": Function(_to(convert)) for name, convert in _CONVERSIONS.items()},
    **{f"convertsTo{name}": Function(_converts_to(convert)) for name, convert in _CONVERSIONS.items()},
    "toQuantity": Function(quantity, "", "v"),
    "convertsToQuantity": Function(converts_to_quantity, "", "v"),
}
