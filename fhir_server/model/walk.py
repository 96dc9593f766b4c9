"""Visits the JSON objects of a resource along the element table: the only recursion over resources, on a stack.

Expressions are FHIRPath: `Observation.component[2].value.ofType(Quantity)`, and through a Bundle
`Bundle.entry[0].resource.name[1]`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from profiles.registry import R4, JsonChild

RESOURCE = "Resource"


@dataclass(frozen=True, slots=True)
class Node:
    """A JSON object: where it is, the path of its elements in the table, and the property that holds it."""

    expression: str
    path: str
    value: dict[str, Any]
    child: JsonChild | None = None

    @property
    def is_resource(self) -> bool:
        """Return whether the object is a resource: the root, a contained one or one in a Bundle or Parameters."""
        return self.child is None or self.child.path_of_type == RESOURCE


def step(expression: str, child: JsonChild, index: int | None = None) -> str:
    """Return the expression of a property, or of one item of it, below another expression."""
    name = child.element.name
    if child.element.choice:
        return f"{expression}.{name.removesuffix('[x]')}.ofType({child.type_code})"
    return f"{expression}.{name}" if index is None else f"{expression}.{name}[{index}]"


def walk(resource: dict[str, Any], expression: str | None = None) -> Iterator[Node]:
    """Yield the resource and every object in it that the element table knows, parents before children, in order.

    An object of a property that is not in the table, or where a primitive should be, is not visited.
    """
    yield from _descend(resource, expression, objects)


def resources(resource: dict[str, Any], expression: str | None = None) -> Iterator[Node]:
    """Yield the resource and every resource in it, at any depth."""
    for node in _descend(resource, expression, holders):
        if node.is_resource:
            yield node


def _descend(
    resource: dict[str, Any], expression: str | None, children: Callable[[str], Mapping[str, JsonChild]]
) -> Iterator[Node]:
    """Yield the nodes that are reached through the properties that `children` allows at each path."""
    type_ = path_of(resource, RESOURCE)
    stack = [Node(expression or type_, type_, resource)]
    while stack:
        node = stack.pop()
        yield node
        known = children(node.path)
        below = [
            n for name, value in node.value.items() if (child := known.get(name)) for n in _objects(node, child, value)
        ]
        stack.extend(reversed(below))


def _objects(node: Node, child: JsonChild, value: Any) -> Iterator[Node]:
    """Yield the objects of one property."""
    if isinstance(value, dict):
        yield Node(step(node.expression, child), path_of(value, child.path_of_type), value, child)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            if isinstance(item, dict):
                yield Node(step(node.expression, child, index), path_of(item, child.path_of_type), item, child)


def path_of(value: dict[str, Any], path: str) -> str:
    """Return the path of an object's elements: for a resource that of its own type, if it names one."""
    if path != RESOURCE:
        return path
    type_ = value.get("resourceType")
    return str(type_) if R4.is_type(type_) else RESOURCE


@cache
def objects(path: str) -> Mapping[str, JsonChild]:
    """Return the properties under a path whose values are objects, the `_x` siblings of primitives included."""
    out = {}
    for name, child in R4.json_children(path).items():
        if child.extensible:
            out[f"_{name}"] = JsonChild(f"_{name}", child.element, child.type_code, "Element", (), primitive=False)
        elif not child.primitive:
            out[name] = child
    return out


@cache
def holders(path: str) -> Mapping[str, JsonChild]:
    """Return the properties under a path through which a resource can be reached."""
    return {name: child for name, child in objects(path).items() if _leads_to_resource(child.path_of_type)}


@cache
def _leads_to_resource(path: str) -> bool:
    """Return whether objects at a path are resources or can have some below them."""
    seen, found = {path}, [path]
    while found:
        current = found.pop()
        if current == RESOURCE:
            return True
        new = {child.path_of_type for child in objects(current).values()} - seen
        seen |= new
        found += new
    return False
