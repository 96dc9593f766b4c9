"""System quantities: a decimal with a UCUM unit or a calendar duration (FHIRPath N1 §5.5.7, §6.1, §6.6)."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from fhir_server.model.fhirpath.decimals import ARITHMETIC, at_places, places, significant_places
from fhir_server.model.fhirpath.ucum import analyse, canonical, code_of

# Every spelling of a calendar duration -> its singular.
CALENDAR_UNITS = {
    spelling: unit
    for unit in ("year", "month", "week", "day", "hour", "minute", "second", "millisecond")
    for spelling in (unit, f"{unit}s")
}
# Calendar durations and the UCUM code of the same definite length; years and months have none for `=` (N1 §6.1.1).
_UCUM_OF = {"week": "wk", "day": "d", "hour": "h", "minute": "min", "second": "s", "millisecond": "ms"}
_NEAREST_UCUM = {"year": "a", "month": "mo"} | _UCUM_OF
_CALENDAR_OF = {code: unit for unit, code in _UCUM_OF.items()}
_MONTHS = {"year": Decimal(12), "month": Decimal(1)}


@dataclass(frozen=True, slots=True)
class Quantity:
    """A value and its unit: a UCUM code, or the singular of a calendar duration."""

    value: Decimal
    unit: str = "1"
    calendar: bool = False

    def __str__(self) -> str:
        """Return the literal: `5 'mg'`, `1 week`."""
        if not self.calendar:
            return f"{self.value:f} '{self.unit}'"
        return f"{self.value:f} {self.unit}" + ("" if self.value == 1 else "s")

    def calendar_unit(self) -> str | None:
        """Return the duration it can move a date by; `'d'` is a day, but `'a'` and `'mo'` are no calendar units."""
        return self.unit if self.calendar else _CALENDAR_OF.get(self.unit)


def canonical_of(quantity: Quantity, *, loose: bool = False) -> tuple[Decimal, str] | None:
    """Return value and unit in terms in which equal quantities are equal; `loose` lets a year be UCUM's `a`."""
    unit = quantity.unit
    if quantity.calendar:
        if unit in _MONTHS and not loose:
            return ARITHMETIC.multiply(quantity.value, _MONTHS[unit]), "month"
        unit = _NEAREST_UCUM[unit]
    return canonical(quantity.value, unit)


def comparable(left: Quantity, right: Quantity) -> bool:
    """Return whether the units can be converted into each other."""
    ours, theirs = canonical_of(left), canonical_of(right)
    return left.unit == right.unit if ours is None or theirs is None else ours[1] == theirs[1]


def compare(left: Quantity, right: Quantity) -> int | None:
    """Return -1, 0 or 1, or None when the units differ in dimension."""
    if left.unit == right.unit and left.calendar == right.calendar:
        return (left.value > right.value) - (left.value < right.value)
    ours, theirs = canonical_of(left), canonical_of(right)
    if ours is None or theirs is None or ours[1] != theirs[1]:
        return None
    return (ours[0] > theirs[0]) - (ours[0] < theirs[0])


def equal(left: Quantity, right: Quantity) -> bool | None:
    """Return equality: None between a calendar year or month and a definite duration, False for other dimensions."""
    order = compare(left, right)
    if order is not None:
        return order == 0
    vague = any(quantity.calendar and quantity.unit in _MONTHS for quantity in (left, right))
    return None if vague else False


def equivalent(left: Quantity, right: Quantity) -> bool:
    """Return whether they agree when rounded to the precision of the less precise (N1 §6.1.2)."""
    ours, theirs = canonical_of(left, loose=True), canonical_of(right, loose=True)
    if ours is None or theirs is None:
        return left.unit == right.unit and left.value == right.value
    if ours[1] != theirs[1]:
        return False
    if left.value == 0 or ours[0] == 0:
        return ours[0] == theirs[0]
    scale = ARITHMETIC.divide(ours[0], left.value)  # the size of the left unit
    converted = ARITHMETIC.divide(theirs[0], scale)
    count = min(places(left.value), significant_places(converted))
    return at_places(left.value, count) == at_places(converted, count)


def multiply(left: Quantity, right: Quantity) -> Quantity | None:
    """Return the product; None when a unit is a calendar duration of no definite length."""
    return _combine(ARITHMETIC.multiply(left.value, right.value), left, right, 1)


def divide(left: Quantity, right: Quantity) -> Quantity | None:
    """Return the quotient; None for division by zero."""
    if right.value == 0:
        return None
    return _combine(ARITHMETIC.divide(left.value, right.value), left, right, -1)


def _combine(value: Decimal, left: Quantity, right: Quantity, sign: int) -> Quantity | None:
    """Give a product or quotient its unit, in base units where both are known."""
    units = [_unit_code(quantity) for quantity in (left, right)]
    if units[1] == "1":
        return Quantity(value, units[0])
    if units[0] == "1" and sign == 1:
        return Quantity(value, units[1])
    ours, theirs = analyse(units[0]), analyse(units[1])
    if ours is None or theirs is None:
        return None
    powers = dict(ours[1])
    for base, power in theirs[1]:
        powers[base] = powers.get(base, 0) + sign * power
    factor = ARITHMETIC.multiply(ours[0], theirs[0]) if sign == 1 else ARITHMETIC.divide(ours[0], theirs[0])
    dimensions = tuple(sorted((base, power) for base, power in powers.items() if power))
    return Quantity(ARITHMETIC.multiply(value, factor), code_of(dimensions))


def _unit_code(quantity: Quantity) -> str:
    return _NEAREST_UCUM[quantity.unit] if quantity.calendar else quantity.unit


def add(left: Quantity, right: Quantity, sign: int) -> Quantity | None:
    """Return the sum or difference in the left unit; None when the units cannot be converted."""
    if left.unit == right.unit and left.calendar == right.calendar:
        return Quantity(ARITHMETIC.add(left.value, sign * right.value), left.unit, left.calendar)
    ours, theirs = canonical_of(left), canonical_of(right)
    one = canonical_of(Quantity(Decimal(1), left.unit, left.calendar))
    if ours is None or theirs is None or one is None or ours[1] != theirs[1]:
        return None
    total = ARITHMETIC.divide(ARITHMETIC.add(ours[0], sign * theirs[0]), one[0])
    return Quantity(total, left.unit, left.calendar)
