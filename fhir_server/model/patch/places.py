"""From the nodes that FHIRPath selects to where they stand in the JSON: reading, replacing and removing them there."""

from __future__ import annotations

from typing import Any

from fhir_server.model.fhirpath.types import Node
from fhir_server.model.patch.typed import Json, Pair, Value, pairs, store
from profiles.registry import R4, JsonChild


def child_of(node: Node) -> JsonChild:
    """Return the property that holds a node, which is not the resource itself."""
    assert node.parent is not None
    return R4.json_children(path_below(node.parent))[node.key]


def path_below(node: Node) -> str:
    """Return the path under which the elements of a node are listed; a primitive has an id and extensions."""
    return "Element" if node.primitive else node.path


def depth(node: Node) -> int:
    """Return how deep in the JSON what is added to a node will stand."""
    levels, at = 2, node
    while at.parent is not None:
        levels, at = levels + (2 if at.index >= 0 else 1), at.parent
    return levels


def holder_of(node: Node) -> Json:
    """Return the object that has the elements of a node; for a primitive the one beside its value, made when needed."""
    if not node.primitive:
        found: Json = node.raw
        return found
    if node.extra is None:
        node.extra = {}
        _write(node, (node.raw, node.extra))
    return node.extra


def replace(node: Node, value: Value) -> None:
    """Put a value in the place of a node; it may have another type of the same choice."""
    assert node.parent is not None
    if value.child.name == node.key:
        _write(node, (value.raw, value.extra))
        return
    holder = holder_of(node.parent)
    store(holder, child_of(node), [])
    store(holder, value.child, [(value.raw, value.extra)])


def remove(node: Node) -> None:
    """Take a node away, and what is left empty above it: FHIR knows no element without content."""
    while node.parent is not None:
        parent = node.parent
        _write(node, None)
        if holder_of(parent):
            return
        if parent.primitive:
            parent.extra = None
            _write(parent, (parent.raw, None))
            if parent.raw is not None:
                return
        node = parent


def _write(node: Node, pair: Pair | None) -> None:
    """Replace what stands at a node, or take it out."""
    assert node.parent is not None
    holder, child = holder_of(node.parent), child_of(node)
    found: list[Any] = pairs(holder, child.name)
    at = max(node.index, 0)
    found[at : at + 1] = [] if pair is None else [pair]
    store(holder, child, found)
