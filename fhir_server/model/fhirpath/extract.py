"""The fast path for search parameters: closures over raw JSON that return (FHIR type, raw value) pairs.

Types are decided once, from the base type; what has no static plan goes through the general evaluation. Values that
occur twice are returned twice: index keys are sets anyway.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, Protocol

from fhir_server.model.fhirpath.compiled import Compiled, compile_path
from fhir_server.model.fhirpath.parser import parse
from fhir_server.model.fhirpath.plan import Branch, Hop, NoPlan, Raw, Test, plan
from fhir_server.model.fhirpath.types import Child, Node, fhir_type, type_of_path
from fhir_server.model.fhirpath.views import plain

Pairs = list[tuple[str, Any]]


class Extractor(Protocol):
    """Finds the values of a search parameter; `resource` is what `%resource` means when `raw` is only a part of it."""

    def __call__(self, raw: Raw, resource: Raw | None = None) -> Pairs:
        """Return the values with their FHIR types; backbone elements have their path, `Patient.contact`, for a type."""


@lru_cache(maxsize=16384)
def extractor(expression: str, base: str) -> Extractor:
    """Return the extractor of an expression for inputs of the type, or at the backbone path, `base`."""
    if not expression:
        return _nothing  # parameters such as _filter that find nothing in a resource
    tree = parse(expression)
    try:
        branches = plan(tree, base)
    except NoPlan:
        return _general(compile_path(expression, base), base)
    closures = [_closure(branch, base) for branch in branches]
    if not closures:
        return _nothing
    return closures[0] if len(closures) == 1 else _together(tuple(closures))


def _nothing(raw: Raw, resource: Raw | None = None) -> Pairs:  # noqa: ARG001
    return []


def _together(closures: tuple[Extractor, ...]) -> Extractor:
    def run(raw: Raw, resource: Raw | None = None) -> Pairs:
        return [pair for closure in closures for pair in closure(raw, resource)]

    return run


def _label(child: Child) -> str:
    """Return the type to report: backbone elements by their path, all others by name."""
    return child.path if "." in child.path else child.type


def _general(compiled: Compiled, base: str) -> Extractor:
    """Return an extractor by the general evaluation, for the few expressions without a plan."""

    def run(raw: Raw, resource: Raw | None = None) -> Pairs:
        focus = Node(raw, type_of_path(base), base)
        out: Pairs = []
        for item in compiled.items(focus, lenient=True, resource=raw if resource is None else resource):
            if type(item) is not Node:
                out.append((fhir_type(item), plain(item)))
            elif item.raw is not None:
                out.append((item.path if "." in item.path else item.type, item.raw))
        return out

    return run


def _closure(branch: Branch, base: str) -> Extractor:
    """Return the closure of one branch, by its shape."""
    if not branch:
        return lambda raw, resource=None: [(base, raw)]  # noqa: ARG005
    emit = _emitter(branch[-1])
    if len(branch) == 1:
        return emit
    if len(branch) == 2 and not branch[0].tests and branch[0].position is None:
        return _below(branch[0].children[0], emit)
    return _deep(_walk(branch[:-1]), emit)


def _emitter(hop: Hop) -> Extractor:
    """Return the closure of a branch's last hop."""
    if len(hop.children) > 1:
        return _choice(hop)
    return _resources(hop) if hop.children[0].path == "Resource" else _single(hop)


def _single(hop: Hop) -> Extractor:
    """Read one property."""
    child = hop.children[0]
    key, label = child.key, _label(child)
    if hop.position is not None:
        pick = _picker(hop)
        return lambda raw, resource=None: [(label, value) for value in pick(raw)]  # noqa: ARG005
    if hop.tests:
        return _tested(key, label, _all(hop.tests), many=child.many)
    if child.many:

        def many(raw: Raw, resource: Raw | None = None) -> Pairs:  # noqa: ARG001
            values = raw.get(key)
            return [] if values is None else [(label, value) for value in values if value is not None]

        return many

    def one(raw: Raw, resource: Raw | None = None) -> Pairs:  # noqa: ARG001
        value = raw.get(key)
        return [] if value is None else [(label, value)]

    return one


def _tested(key: str, label: str, test: Test, *, many: bool) -> Extractor:
    """Read one property where it passes a test."""

    def several(raw: Raw, resource: Raw | None = None) -> Pairs:  # noqa: ARG001
        values = raw.get(key)
        return [] if values is None else [(label, value) for value in values if value is not None and test(value)]

    def one(raw: Raw, resource: Raw | None = None) -> Pairs:  # noqa: ARG001
        value = raw.get(key)
        return [] if value is None or not test(value) else [(label, value)]

    return several if many else one


def _resources(hop: Hop) -> Extractor:
    """Read a property that holds resources: each says its own type."""
    pick = _picker(hop)
    return lambda raw, resource=None: [(value["resourceType"], value) for value in pick(raw)]  # noqa: ARG005


def _picker(hop: Hop) -> Callable[[Raw], list[Any]]:
    """Return a closure that lists the items of a hop's one property."""
    child = hop.children[0]
    key, many, position = child.key, child.many, hop.position
    test = _all(hop.tests)

    def pick(raw: Raw) -> list[Any]:
        value = raw.get(key)
        if value is None:
            return []
        kept = [item for item in (value if many else (value,)) if item is not None and test(item)]
        return kept if position is None else kept[position : position + 1]

    return pick


def _all(tests: tuple[Test, ...]) -> Test:
    """Return several tests as one."""
    if len(tests) == 1:
        return tests[0]
    return lambda item: all(test(item) for test in tests)


def _choice(hop: Hop) -> Extractor:
    """Read whichever property of a choice is there; a plan gives choices neither tests nor positions."""
    table = {child.key: _label(child) for child in hop.children}
    pairs = tuple(table.items())

    def run(raw: Raw, resource: Raw | None = None) -> Pairs:  # noqa: ARG001
        for key, label in pairs:
            if key in raw:
                return [(label, raw[key])]
        return []

    def by_property(raw: Raw, resource: Raw | None = None) -> Pairs:  # noqa: ARG001
        for key in raw:
            if key in table:
                return [(table[key], raw[key])]
        return []

    return by_property if len(pairs) > 12 else run


def _below(child: Child, emit: Extractor) -> Extractor:
    """Go one step down, then read."""
    key = child.key
    if child.many:

        def many(raw: Raw, resource: Raw | None = None) -> Pairs:
            values = raw.get(key)
            if values is None:
                return []
            if len(values) == 1:
                return emit(values[0], resource)
            return [pair for value in values for pair in emit(value, resource)]

        return many

    def one(raw: Raw, resource: Raw | None = None) -> Pairs:
        value = raw.get(key)
        return emit(value, resource) if value is not None else []

    return one


def _walk(hops: Branch) -> Callable[[Raw], list[Raw]]:
    """Return a closure that goes down several hops."""
    pickers = tuple(_picker(hop) for hop in hops)

    def walk(raw: Raw) -> list[Raw]:
        items = [raw]
        for pick in pickers:
            items = [found for item in items for found in pick(item)]
            if not items:
                break
        return items

    return walk


def _deep(walk: Callable[[Raw], list[Raw]], emit: Extractor) -> Extractor:
    return lambda raw, resource=None: [pair for item in walk(raw) for pair in emit(item, resource)]


__all__ = ["Extractor", "Pairs", "extractor"]
