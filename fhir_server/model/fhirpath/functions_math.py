"""Math (FHIRPath N1 §5.7), on Decimals; what has no real result is empty."""

from __future__ import annotations

from collections.abc import Callable
from decimal import ROUND_CEILING, ROUND_DOWN, ROUND_FLOOR, Context, Decimal, DecimalException
from typing import Any

from fhir_server.model.fhirpath.decimals import ARITHMETIC, at_places
from fhir_server.model.fhirpath.errors import wrong_type
from fhir_server.model.fhirpath.quantities import Quantity
from fhir_server.model.fhirpath.runtime import Function, Scope, Table, integer_of, number, one
from fhir_server.model.fhirpath.types import Collection

_MAX_PLACES = 128
_ROUGH = Context(prec=30)


def _math(compute: Callable[..., Any]) -> Callable[..., Collection]:
    """Lift a function of numbers to collections: empty for empty input, and for results that do not exist."""

    def call(scope: Scope, items: Collection, *arguments: Collection) -> Collection:  # noqa: ARG001
        values = [_number(items), *(_number(argument) for argument in arguments)]
        if None in values:
            return []
        try:
            found = compute(*values)
        except (DecimalException, OverflowError):
            return []
        return [] if found is None else number(found)

    return call


def _number(items: Collection) -> int | Decimal | None:
    value = one(items)
    if value is None or type(value) in (int, Decimal):
        return value  # type: ignore[no-any-return]
    raise wrong_type("expected a number")


def _to_integer(rounding: str) -> Callable[[int | Decimal], int]:
    return lambda value: int(Decimal(value).to_integral_value(rounding))


def absolute(scope: Scope, items: Collection) -> Collection:  # noqa: ARG001
    """Return the absolute value of a number or quantity."""
    value = one(items)
    if type(value) is Quantity:
        return [Quantity(abs(value.value), value.unit, value.calendar)]
    found = _number(items)
    return [] if found is None else number(found if found >= 0 else -found)


def rounded(scope: Scope, items: Collection, precision: Collection | None = None) -> Collection:  # noqa: ARG001
    """Return a number rounded to a number of decimals, halves away from zero."""
    value = _number(items)
    places = 0 if precision is None else integer_of(precision)
    if value is None:
        return []
    if places is None or not 0 <= places <= _MAX_PLACES:
        raise wrong_type("round() takes a precision of 0 or more")
    return [at_places(value, places)]


def _power(base: int | Decimal, exponent: int | Decimal) -> int | Decimal | None:
    found = ARITHMETIC.power(Decimal(base), Decimal(exponent))
    if found.is_nan() or found.is_infinite():
        return None
    whole = type(base) is int and type(exponent) is int and exponent >= 0 and abs(found) < 2**63
    return int(found) if whole else found


def _logarithm(value: int | Decimal, base: int | Decimal) -> Decimal | None:
    if value <= 0 or base <= 0 or base == 1:
        return None
    found = ARITHMETIC.divide(ARITHMETIC.ln(Decimal(value)), ARITHMETIC.ln(Decimal(base)))
    near = _ROUGH.plus(found)  # log(16, 2) is 4, not 3.9999...
    return near.normalize() if near == near.to_integral_value() else found


def _root(value: int | Decimal) -> Decimal | None:
    return None if value < 0 else ARITHMETIC.sqrt(Decimal(value))


def _natural(value: int | Decimal) -> Decimal | None:
    return None if value <= 0 else ARITHMETIC.ln(Decimal(value))


TABLE: Table = {
    "abs": Function(absolute),
    "ceiling": Function(_math(_to_integer(ROUND_CEILING))),
    "floor": Function(_math(_to_integer(ROUND_FLOOR))),
    "truncate": Function(_math(_to_integer(ROUND_DOWN))),
    "round": Function(rounded, "", "v"),
    "exp": Function(_math(lambda value: ARITHMETIC.exp(Decimal(value)))),
    "ln": Function(_math(_natural)),
    "log": Function(_math(_logarithm), "v"),
    "power": Function(_math(_power), "v"),
    "sqrt": Function(_math(_root)),
}
