"""Existence, subsetting, combining and tree navigation (FHIRPath N1 §5.1, §5.3, §5.4, §5.8)."""

from __future__ import annotations

from typing import Any

from fhir_server.model.fhirpath.equality import distinct, key
from fhir_server.model.fhirpath.errors import wrong_type
from fhir_server.model.fhirpath.runtime import Function, Scope, Table, integer_of, truth
from fhir_server.model.fhirpath.types import Collection, Node, value_of
from fhir_server.model.fhirpath.types import children as children_of


def empty(scope: Scope, items: Collection) -> Collection:  # noqa: ARG001
    """Return whether there is no item."""
    return [not items]


def not_(scope: Scope, items: Collection) -> Collection:  # noqa: ARG001
    """Negate a boolean."""
    value = truth(items)
    return [] if value is None else [not value]


def _booleans(items: Collection) -> list[bool]:
    values = [value_of(item) for item in items]
    if any(type(value) is not bool for value in values):
        raise wrong_type("expected booleans only")
    return values


def all_true(scope: Scope, items: Collection) -> Collection:  # noqa: ARG001
    """Return whether all items are true."""
    return [all(_booleans(items))]


def any_true(scope: Scope, items: Collection) -> Collection:  # noqa: ARG001
    """Return whether any item is true."""
    return [any(_booleans(items))]


def all_false(scope: Scope, items: Collection) -> Collection:  # noqa: ARG001
    """Return whether all items are false."""
    return [not any(_booleans(items))]


def any_false(scope: Scope, items: Collection) -> Collection:  # noqa: ARG001
    """Return whether any item is false."""
    return [not all(_booleans(items))]


def _keys(scope: Scope, items: Collection) -> set[Any]:
    scope.charge(len(items))
    return {key(scope, item) for item in items}


def subset_of(scope: Scope, items: Collection, other: Collection) -> Collection:
    """Return whether every item is in the other collection."""
    return [_keys(scope, items) <= _keys(scope, other)]


def superset_of(scope: Scope, items: Collection, other: Collection) -> Collection:
    """Return whether every item of the other collection is in this one."""
    return [_keys(scope, items) >= _keys(scope, other)]


def count(scope: Scope, items: Collection) -> Collection:  # noqa: ARG001
    """Return the number of items."""
    return [len(items)]


def is_distinct(scope: Scope, items: Collection) -> Collection:
    """Return whether no two items are equal."""
    return [len(_keys(scope, items)) == len(items)]


def single(scope: Scope, items: Collection) -> Collection:  # noqa: ARG001
    """Return the only item; an error when there are several."""
    if len(items) > 1:
        raise wrong_type("single() found several items")
    return items


def first(scope: Scope, items: Collection) -> Collection:  # noqa: ARG001
    """Return the first item."""
    return items[:1]


def last(scope: Scope, items: Collection) -> Collection:  # noqa: ARG001
    """Return the last item."""
    return items[-1:]


def tail(scope: Scope, items: Collection) -> Collection:  # noqa: ARG001
    """Return all but the first item."""
    return items[1:]


def skip(scope: Scope, items: Collection, number: Collection) -> Collection:  # noqa: ARG001
    """Return all but the first `number` items."""
    amount = integer_of(number)
    return [] if amount is None else items[max(amount, 0) :]


def take(scope: Scope, items: Collection, number: Collection) -> Collection:  # noqa: ARG001
    """Return the first `number` items."""
    amount = integer_of(number)
    return [] if amount is None else items[: max(amount, 0)]


def intersect(scope: Scope, items: Collection, other: Collection) -> Collection:
    """Return the items that both collections have, each once."""
    wanted = _keys(scope, other)
    return [item for item in distinct(scope, items) if key(scope, item) in wanted]


def exclude(scope: Scope, items: Collection, other: Collection) -> Collection:
    """Return the items that the other collection does not have."""
    unwanted = _keys(scope, other)
    return [item for item in items if key(scope, item) not in unwanted]


def union(scope: Scope, items: Collection, other: Collection) -> Collection:
    """Return the items of both collections, each once."""
    return distinct(scope, [*items, *other])


def combine(scope: Scope, items: Collection, other: Collection) -> Collection:
    """Return the items of both collections."""
    scope.charge(len(items) + len(other))
    return [*items, *other]


def children(scope: Scope, items: Collection) -> Collection:
    """Return all children of all items."""
    out: Collection = []
    for item in items:
        if type(item) is Node:
            children_of(item, out)
    scope.charge(len(out))
    return out


def descendants(scope: Scope, items: Collection) -> Collection:
    """Return all children, their children, and so on."""
    out: Collection = []
    level = items
    while level:
        level = children(scope, level)
        out.extend(level)
    return out


TABLE: Table = {
    "empty": Function(empty),
    "not": Function(not_),
    "allTrue": Function(all_true),
    "anyTrue": Function(any_true),
    "allFalse": Function(all_false),
    "anyFalse": Function(any_false),
    "subsetOf": Function(subset_of, "v"),
    "supersetOf": Function(superset_of, "v"),
    "count": Function(count),
    "distinct": Function(distinct),
    "isDistinct": Function(is_distinct),
    "single": Function(single),
    "first": Function(first),
    "last": Function(last),
    "tail": Function(tail),
    "skip": Function(skip, "v"),
    "take": Function(take, "v"),
    "intersect": Function(intersect, "v"),
    "exclude": Function(exclude, "v"),
    "union": Function(union, "v"),
    "combine": Function(combine, "v"),
    "children": Function(children),
    "descendants": Function(descendants),
}
