"""The binary operators on collections: comparison, logic, arithmetic, membership (FHIRPath N1 §6.2-§6.6)."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal, DecimalException
from typing import Any

from fhir_server.model.fhirpath import datetimes, quantities
from fhir_server.model.fhirpath.datetimes import Temporal
from fhir_server.model.fhirpath.decimals import ARITHMETIC
from fhir_server.model.fhirpath.equality import as_quantity, equal, equivalent, key
from fhir_server.model.fhirpath.errors import wrong_type
from fhir_server.model.fhirpath.quantities import Quantity
from fhir_server.model.fhirpath.runtime import Scope, boolean, bounded, number, one, text_of
from fhir_server.model.fhirpath.types import Collection, Node

Operator = Callable[[Scope, Collection, Collection], Collection]
_NUMBERS = (int, Decimal)


def order(left: Any, right: Any) -> int | None:
    """Return -1, 0 or 1 of two system values, None when it cannot be said (N1 §6.2)."""
    kind, other = type(left), type(right)
    if (kind in _NUMBERS and other in _NUMBERS) or (kind is str and other is str):
        return int(left > right) - int(left < right)
    if kind is Temporal and other is Temporal and (left.kind == "time") == (right.kind == "time"):
        return datetimes.compare(left, right)
    if kind is Quantity or other is Quantity:
        mine, yours = as_quantity(left), as_quantity(right)
        if mine is not None and yours is not None:
            return quantities.compare(mine, yours)
    raise wrong_type("these values cannot be ordered")


def _ordering(holds: Callable[[int], bool]) -> Operator:
    def run(scope: Scope, left: Collection, right: Collection) -> Collection:  # noqa: ARG001
        ours, theirs = one(left), one(right)
        if ours is None or theirs is None:
            return []
        found = order(ours, theirs)
        return [] if found is None else [holds(found)]

    return run


def _not(value: bool | None) -> bool | None:  # noqa: FBT001
    return None if value is None else not value


def _contains(scope: Scope, container: Collection, items: Collection) -> Collection:
    if not items:
        return []
    if len(items) > 1:
        raise wrong_type("expected a single item")
    scope.charge(len(container))
    wanted = key(scope, items[0])
    return [any(key(scope, item) == wanted for item in container)]


def _concatenate(scope: Scope, left: Collection, right: Collection) -> Collection:  # noqa: ARG001
    return bounded((text_of(left) or "") + (text_of(right) or ""))


def _moved(value: Temporal, by: Quantity, sign: int) -> Collection:
    """Return a date or time moved by a duration (N1 §6.6.7)."""
    unit = by.calendar_unit()
    if unit is None:
        raise wrong_type("a date moves by a calendar duration, or a UCUM unit of a week or less")
    moved = datetimes.add(value, sign * by.value, unit)
    return [] if moved is None else [moved]


def _sum(sign: int) -> Callable[[Any, Any], Collection]:
    def run(left: Any, right: Any) -> Collection:
        kind, other = type(left), type(right)
        if kind is int and other is int:
            return number(left + sign * right)
        if kind in _NUMBERS and other in _NUMBERS:
            return [ARITHMETIC.add(Decimal(left), sign * Decimal(right))]
        if sign == 1 and kind is str and other is str:
            return bounded(left + right)
        if kind is Temporal and other is Quantity:
            return _moved(left, right, sign)
        mine, yours = as_quantity(left), as_quantity(right)
        if mine is None or yours is None:
            raise wrong_type("these values cannot be added or subtracted")
        total = quantities.add(mine, yours, sign)
        return [] if total is None else [total]

    return run


def _product(left: Any, right: Any) -> Collection:
    if type(left) is int and type(right) is int:
        return number(left * right)
    if type(left) in _NUMBERS and type(right) in _NUMBERS:
        return [ARITHMETIC.multiply(Decimal(left), Decimal(right))]
    mine, yours = _quantities(left, right)
    found = quantities.multiply(mine, yours)
    return [] if found is None else [found]


def _quotient(left: Any, right: Any) -> Collection:
    if type(left) in _NUMBERS and type(right) in _NUMBERS:
        return [ARITHMETIC.divide(Decimal(left), Decimal(right))] if right else []
    mine, yours = _quantities(left, right)
    found = quantities.divide(mine, yours)
    return [] if found is None else [found]


def _quantities(left: Any, right: Any) -> tuple[Quantity, Quantity]:
    mine, yours = as_quantity(left), as_quantity(right)
    if mine is None or yours is None:
        raise wrong_type("these values cannot be multiplied or divided")
    return mine, yours


def _numbers(left: Any, right: Any) -> None:
    if type(left) not in _NUMBERS or type(right) not in _NUMBERS:
        raise wrong_type("expected numbers")


def _div(left: Any, right: Any) -> Collection:
    _numbers(left, right)
    return number(int(ARITHMETIC.divide_int(Decimal(left), Decimal(right)))) if right else []


def _mod(left: Any, right: Any) -> Collection:
    _numbers(left, right)
    if not right:
        return []
    rest = ARITHMETIC.remainder(Decimal(left), Decimal(right))
    return number(int(rest)) if type(left) is int and type(right) is int else [rest]


def _arithmetic(compute: Callable[[Any, Any], Collection]) -> Operator:
    """Lift a computation on single values to collections; empty operands and overflow give empty."""

    def run(scope: Scope, left: Collection, right: Collection) -> Collection:  # noqa: ARG001
        ours, theirs = one(left), one(right)
        if ours is None or theirs is None:
            return []
        if type(ours) is Node or type(theirs) is Node:
            raise wrong_type("no arithmetic on elements that have children")
        try:
            return compute(ours, theirs)
        except DecimalException:
            return []

    return run


def _xor(left: bool | None, right: bool | None) -> bool | None:  # noqa: FBT001
    return None if left is None or right is None else left != right


# and, or, xor and implies are compiled with short circuit in `compile.py`.
OPERATORS: dict[str, Operator] = {
    "=": lambda scope, left, right: boolean(equal(scope, left, right)),
    "!=": lambda scope, left, right: boolean(_not(equal(scope, left, right))),
    "~": lambda scope, left, right: [equivalent(scope, left, right)],
    "!~": lambda scope, left, right: [not equivalent(scope, left, right)],
    "<": _ordering(lambda found: found < 0),
    "<=": _ordering(lambda found: found <= 0),
    ">": _ordering(lambda found: found > 0),
    ">=": _ordering(lambda found: found >= 0),
    "in": lambda scope, left, right: _contains(scope, right, left),
    "contains": _contains,
    "&": _concatenate,
    "+": _arithmetic(_sum(1)),
    "-": _arithmetic(_sum(-1)),
    "*": _arithmetic(_product),
    "/": _arithmetic(_quotient),
    "div": _arithmetic(_div),
    "mod": _arithmetic(_mod),
}

# The truth tables of N1 §6.5: operator -> (left value that decides, what it decides, the table for the rest).
LOGIC: dict[str, tuple[bool | None, bool, Callable[[bool | None, bool | None], bool | None]]] = {
    "and": (False, False, lambda a, b: False if b is False else (None if a is None or b is None else True)),
    "or": (True, True, lambda a, b: True if b is True else (None if a is None or b is None else False)),
    "implies": (False, True, lambda a, b: True if b is True else (None if a is None else b)),
    "xor": (None, False, _xor),
}
