"""Functions that evaluate an argument for each item, or only when it is needed (FHIRPath N1 §5.2, §5.1.3, §5.3, §5.9, §7)."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cmp_to_key
from typing import Any

from fhir_server.model.fhirpath.equality import key
from fhir_server.model.fhirpath.errors import wrong_type
from fhir_server.model.fhirpath.operators import order
from fhir_server.model.fhirpath.runtime import Function, Run, Scope, Table, one, text_of, truth
from fhir_server.model.fhirpath.types import Collection


def each(scope: Scope, items: Collection, run: Run) -> Iterator[tuple[Any, Collection]]:
    """Yield every item with what the lambda makes of it; the outer `$this` and `$index` come back afterwards."""
    this, index = scope.this, scope.index
    scope.charge(len(items))
    for position, item in enumerate(items):
        scope.this, scope.index = [item], position
        yield item, run(scope)
    scope.this, scope.index = this, index


def _any(scope: Scope, items: Collection, criteria: Run, *, wanted: bool) -> bool:
    """Return whether the criteria are true (or not true) for any item; stops at the first."""
    this, index = scope.this, scope.index
    scope.charge(len(items))
    found = False
    for position, item in enumerate(items):
        scope.this, scope.index = [item], position
        if (truth(criteria(scope)) is True) is wanted:
            found = True
            break
    scope.this, scope.index = this, index
    return found


def where(scope: Scope, items: Collection, criteria: Run) -> Collection:
    """Keep the items for which the criteria are true."""
    return [item for item, found in each(scope, items, criteria) if truth(found)]


def select(scope: Scope, items: Collection, projection: Run) -> Collection:
    """Return what the projection makes of every item, in one collection."""
    out: Collection = []
    for _, found in each(scope, items, projection):
        scope.charge(len(found))
        out.extend(found)
    return out


def exists(scope: Scope, items: Collection, criteria: Run | None = None) -> Collection:
    """Return whether there is any item, or any that meets the criteria."""
    if criteria is None:
        return [bool(items)]
    return [_any(scope, items, criteria, wanted=True)]


def all_(scope: Scope, items: Collection, criteria: Run) -> Collection:
    """Return whether every item meets the criteria."""
    return [not _any(scope, items, criteria, wanted=False)]


def repeat(scope: Scope, items: Collection, projection: Run) -> Collection:
    """Apply the projection to its own results until nothing new comes; equal items count once."""
    seen = set()
    out: Collection = []
    queue = items
    while queue:
        fresh = []
        for item in select(scope, queue, projection):
            mark = key(scope, item)
            if mark not in seen:
                seen.add(mark)
                fresh.append(item)
        out.extend(fresh)
        queue = fresh
    return out


def repeat_all(scope: Scope, items: Collection, projection: Run) -> Collection:
    """Apply the projection to its own results until it returns nothing; equal items are kept."""
    out: Collection = []
    queue = items
    while queue:
        queue = select(scope, queue, projection)
        out.extend(queue)
    return out


def aggregate(scope: Scope, items: Collection, step: Run, initial: Run | None = None) -> Collection:
    """Fold the items into `$total`."""
    outer = scope.total
    total = initial(scope) if initial is not None else []
    this, index = scope.this, scope.index
    for position, item in enumerate(items):
        scope.this, scope.index, scope.total = [item], position, total
        total = step(scope)
        scope.charge(len(total) + 1)
    scope.this, scope.index, scope.total = this, index, outer
    return total


def iif(scope: Scope, items: Collection, criterion: Run, then: Run, otherwise: Run | None = None) -> Collection:
    """Evaluate one of two arguments, by a criterion that must be a boolean; `$this` is the input."""
    if len(items) > 1:
        raise wrong_type("iif takes at most one item as input")
    outer = scope.this
    if items:
        scope.this = items
    decision = one(criterion(scope))
    if decision is not None and type(decision) is not bool:
        raise wrong_type("the criterion of iif must be a boolean")
    branch = then if decision else otherwise
    out = branch(scope) if branch is not None else []
    scope.this = outer
    return out


def trace(scope: Scope, items: Collection, name: Run, projection: Run | None = None) -> Collection:
    """Hand the items, or what the projection makes of them, to the trace service, and return the items."""
    if scope.services.trace is not None:
        shown = items if projection is None else select(scope, items, projection)
        scope.services.trace(text_of(name(scope)) or "", shown)
    return items


def sort(scope: Scope, items: Collection, *keys: tuple[Run, int]) -> Collection:
    """Order the items by themselves or by keys; a key with a leading `-` is descending; an empty key is above all."""
    columns = [[(one(found), sign) for _, found in each(scope, items, run)] for run, sign in keys or ((_this, 1),)]
    rows = list(zip(*columns, strict=True))
    scope.charge(len(items))
    compare = cmp_to_key(_precedes)
    ordered = sorted(range(len(items)), key=lambda at: compare(rows[at]))
    return [items[at] for at in ordered]


def _this(scope: Scope) -> Collection:
    return scope.this


def _precedes(left: tuple[Any, ...], right: tuple[Any, ...]) -> int:
    """Compare two rows of sort keys."""
    for (mine, sign), (other, _) in zip(left, right, strict=True):
        unsure = mine is None or other is None
        found: int = int(mine is None) - int(other is None) if unsure else order(mine, other) or 0
        if found:
            return found * int(sign)
    return 0


def coalesce(scope: Scope, items: Collection, *choices: Run) -> Collection:  # noqa: ARG001
    """Return the first argument that is not empty; those after it are not evaluated."""
    for choice in choices:
        found = choice(scope)
        if found:
            return found
    return []


TABLE: Table = {
    "where": Function(where, "l"),
    "select": Function(select, "l"),
    "exists": Function(exists, "", "l"),
    "all": Function(all_, "l"),
    "repeat": Function(repeat, "l"),
    "repeatAll": Function(repeat_all, "l"),
    "aggregate": Function(aggregate, "l", "l"),
    "iif": Function(iif, "ll", "l"),
    "trace": Function(trace, "l", "l"),
    "sort": Function(sort, "", "s*"),
    "coalesce": Function(coalesce, "l", "l*"),
}
