"""`=`, `~` and the keys by which items count as the same (FHIRPath N1 §6.1)."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import replace
from decimal import Decimal
from typing import Any

from fhir_server.model.fhirpath import datetimes, quantities
from fhir_server.model.fhirpath.datetimes import Temporal
from fhir_server.model.fhirpath.decimals import at_places, significant_places
from fhir_server.model.fhirpath.quantities import Quantity
from fhir_server.model.fhirpath.runtime import Scope
from fhir_server.model.fhirpath.types import Collection, Node, TypeInfo, value_of


def key(scope: Scope, item: Any) -> Hashable:
    """Return a hashable that two items share exactly when they are equal."""
    value = value_of(item)
    kind = type(value)
    if kind is str:
        return str(value)
    if kind is bool:
        return ("boolean", value)
    if kind is int or kind is Decimal or kind is TypeInfo:
        return value  # type: ignore[no-any-return]
    if kind is Temporal:
        return _temporal_key(value)
    if kind is Quantity:
        return ("quantity", quantities.canonical_of(value) or (value.value, value.unit))
    if value is None:
        return ("none", _freeze(scope, item.extra))
    return ("node", _freeze(scope, value.raw))


def _temporal_key(value: Temporal) -> Hashable:
    utc = value.in_utc()
    return replace(utc, kind="time" if utc.kind == "time" else "dateTime", fraction=utc.fraction.rstrip("0"))


def _freeze(scope: Scope, raw: Any) -> Hashable:
    """Return JSON as a hashable in which numbers compare by value and booleans are no numbers."""
    kind = type(raw)
    if kind is dict:
        scope.charge(len(raw) + 1)
        return frozenset((name, _freeze(scope, value)) for name, value in raw.items())
    if kind is list:
        scope.charge(len(raw))
        return tuple(_freeze(scope, value) for value in raw)
    return ("boolean", raw) if kind is bool else raw


def _freeze_loosely(scope: Scope, raw: Any) -> Hashable:
    """Return JSON as a hashable that ignores order, case, and white space (N1 §6.1.2)."""
    kind = type(raw)
    if kind is dict:
        scope.charge(len(raw) + 1)
        return frozenset((name, _freeze_loosely(scope, value)) for name, value in raw.items() if name != "id")
    if kind is list:
        scope.charge(len(raw))
        return frozenset(_freeze_loosely(scope, value) for value in raw)
    if kind is str:
        return _loosely(raw)
    return ("boolean", raw) if kind is bool else raw


def _loosely(text: str) -> str:
    return " ".join(text.lower().split())


def distinct(scope: Scope, items: Collection) -> Collection:
    """Return the items without those that equal an earlier one."""
    if len(items) < 2:
        return items
    seen: set[Hashable] = set()
    out = []
    for item in items:
        mark = key(scope, item)
        if mark not in seen:
            seen.add(mark)
            out.append(item)
    return out


def equal(scope: Scope, left: Collection, right: Collection) -> bool | None:
    """Return whether two collections are equal; None when one is empty or it cannot be said."""
    if not left or not right:
        return None
    if len(left) != len(right):
        return False
    unsure = False
    for mine, other in zip(left, right, strict=True):
        same = equal_items(scope, mine, other)
        if same is False:
            return False
        unsure = unsure or same is None
    scope.charge(len(left))
    return None if unsure else True


def equal_items(scope: Scope, left: Any, right: Any) -> bool | None:
    """Return whether two items are equal; None when the precision of dates or units leaves it open."""
    ours, theirs = value_of(left), value_of(right)
    kind, other = type(ours), type(theirs)
    if kind is str and other is str:
        return bool(ours == theirs)
    if kind is Temporal and other is Temporal:
        if (ours.kind == "time") != (theirs.kind == "time"):
            return False
        order = datetimes.compare(ours, theirs)
        return None if order is None else order == 0
    if kind is Quantity or other is Quantity:
        mine, yours = as_quantity(ours), as_quantity(theirs)
        return False if mine is None or yours is None else quantities.equal(mine, yours)
    if kind is Node and other is Node and ours.raw is theirs.raw:
        return True
    return key(scope, left) == key(scope, right)


def as_quantity(value: Any) -> Quantity | None:
    """Return a value as a Quantity: numbers are of unit `1`."""
    if type(value) is Quantity:
        return value
    return Quantity(Decimal(value)) if type(value) in (int, Decimal) else None


def equivalent(scope: Scope, left: Collection, right: Collection) -> bool:
    """Return whether two collections are equivalent, in any order (N1 §6.1.2)."""
    if len(left) != len(right):
        return False
    if len(left) == 1:
        return equivalent_items(scope, left[0], right[0])
    rest = list(right)
    for item in left:
        scope.charge(len(rest))
        found = next((at for at, other in enumerate(rest) if equivalent_items(scope, item, other)), None)
        if found is None:
            return False
        del rest[found]
    return True


def equivalent_items(scope: Scope, left: Any, right: Any) -> bool:
    """Return whether two items are equivalent."""
    ours, theirs = value_of(left), value_of(right)
    kind, other = type(ours), type(theirs)
    if kind is str and other is str:
        return _loosely(ours) == _loosely(theirs)
    if kind in (int, Decimal) and other in (int, Decimal):
        count = min(significant_places(ours), significant_places(theirs))
        return at_places(ours, count) == at_places(theirs, count)
    if kind is Quantity or other is Quantity:
        mine, yours = as_quantity(ours), as_quantity(theirs)
        return mine is not None and yours is not None and quantities.equivalent(mine, yours)
    if kind is Node and other is Node:
        return _freeze_loosely(scope, ours.raw) == _freeze_loosely(scope, theirs.raw)
    return equal_items(scope, left, right) is True
