"""JSON values in a patch: copied and weighed on a stack of their own, compared as JSON compares them."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from fhir_server.kit.json import MAX_DEPTH
from fhir_server.model.patch.errors import MAX_WEIGHT, too_large

_NUMBERS = (int, Decimal)
_EACH = 64


class Budget:
    """What a patch has left of its weight; shared by its operations, so that copies of copies stay bounded."""

    __slots__ = ("left",)

    def __init__(self, left: int = MAX_WEIGHT) -> None:
        self.left = left

    def charge(self, weight: int) -> None:
        """Count work done; TooLarge when it was too much."""
        self.left -= weight
        if self.left < 0:
            raise too_large("The patch copies or moves too much; send the resource as a whole instead.")


def weigh(value: Any, depth: int, budget: Budget) -> None:
    """Charge a value that will stand `depth` levels deep; TooLarge when it would reach too deep."""
    open_ = [(value, depth)]
    while open_:
        item, level = open_.pop()
        if level > MAX_DEPTH:
            raise too_large(f"The patch would nest the resource deeper than {MAX_DEPTH} levels.")
        if isinstance(item, str):
            budget.charge(_EACH + len(item))
            continue
        budget.charge(_EACH)
        below = item.values() if isinstance(item, dict) else item if isinstance(item, list) else ()
        open_.extend((each, level + 1) for each in below)


def copied(value: Any) -> Any:
    """Return a value that shares nothing changeable; recursion is bounded by `weigh`, or by the decoder that made it."""
    if isinstance(value, dict):
        return {name: copied(item) for name, item in value.items()}
    return [copied(item) for item in value] if isinstance(value, list) else value


def same(one: Any, other: Any) -> bool:
    """Tell whether two values are equal as RFC 6902 §4.6 says: numbers by value, members in any order, true is not 1."""
    if isinstance(one, dict):
        names = isinstance(other, dict) and one.keys() == other.keys()
        return names and all(same(item, other[name]) for name, item in one.items())
    if isinstance(one, list):
        return isinstance(other, list) and len(one) == len(other) and all(map(same, one, other))
    if type(one) in _NUMBERS:
        return type(other) in _NUMBERS and bool(one == other)
    return type(one) is type(other) and bool(one == other)
