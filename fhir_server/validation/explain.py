"""The slow walk: lists everything that is wrong with the shape of a resource, each with its FHIRPath expression.

Only what the fast check in `model.shape` cannot vouch for comes here. Values are never repeated in the texts: they
may be about a person. Rules: http://hl7.org/fhir/R4/json.html, the element tables, required bindings.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from itertools import islice
from typing import Any, Final

from fhir_server.errors import Issue
from fhir_server.model.shape import reference_pattern
from fhir_server.model.walk import RESOURCE, Node, objects, step, walk
from fhir_server.validation.codes import code_issue, concept_issue, nearest
from fhir_server.validation.values import narrative_issue, primitive_issue, wrong_type
from profiles.registry import R4, Element, JsonChild

MAX_ISSUES: Final = 500  # a body of a million mistakes gets this many of them
_PROPERTY_NAME: Final = re.compile(r"[A-Za-z_][\w\-]{0,63}", re.ASCII)


def explain(resource: dict[str, Any], expression: str | None = None) -> list[Issue]:
    """Return all issues of a resource and of the resources in it; none when it is valid after all."""
    issues = (issue for node in walk(resource, expression) for issue in _node_issues(node))
    return list(islice(issues, MAX_ISSUES))


def _node_issues(node: Node) -> Iterator[Issue]:
    """Yield what is wrong with one object itself; the objects in it are nodes of their own."""
    if node.path == RESOURCE:
        yield _type_issue(node)
        return
    if not node.value:
        yield Issue("structure", "shape-empty", "An object must have at least one property.", node.expression)
        return
    for name, value in node.value.items():
        if name != "resourceType" or not node.is_resource:
            yield from _property_issues(node, name, value)
    for element, children in _elements(node.path):
        yield from _presence_issues(node, element, children)
    yield from _rule_issues(node)


def _type_issue(node: Node) -> Issue:
    """Return the issue of a resource that does not say its type, or not one of R4."""
    where = f"{node.expression}.resourceType" if node.child else None
    if "resourceType" not in node.value:
        return Issue("structure", "shape-resource-type", "The property 'resourceType' is missing.", where)
    named = node.value["resourceType"]
    near = nearest(named, frozenset(R4.types)) if isinstance(named, str) else ""
    hint = f"; did you mean {near}?" if near else "."
    return Issue("structure", "shape-resource-type", f"'resourceType' is not a resource type of R4{hint}", where)


def _property_issues(node: Node, name: str, value: Any) -> Iterator[Issue]:
    """Yield what is wrong with one property."""
    child = R4.json_children(node.path).get(name)
    if child is None:
        sibling = objects(node.path).get(name)
        yield from [_unknown_issue(node, name)] if sibling is None else _sibling_issues(node, sibling, value)
        return
    where = step(node.expression, child)
    if not child.element.many:
        yield from _item_issues(child, value, where)
    elif isinstance(value, list):
        yield from _length_issues(child.element, value, where)
        beside = node.value.get(f"_{name}")
        for index, item in enumerate(value):
            if item is not None or not _has_object(beside, index) or not child.primitive:
                yield from _item_issues(child, item, step(node.expression, child, index))
    else:
        yield wrong_type("an array", value, where)


def _has_object(items: Any, index: int) -> bool:
    """Return whether an array has an object at an index: then its neighbour may be null."""
    return isinstance(items, list) and index < len(items) and isinstance(items[index], dict)


def _length_issues(element: Element, items: list[Any], where: str) -> Iterator[Issue]:
    """Yield the issue of an array that is empty or too long."""
    if not items:
        text = "An array must not be empty: leave the property out instead."
        yield Issue("structure", "shape-empty", text, where)
    elif not element.min <= len(items) <= (element.max or len(items)):
        text = f"Expected {element.min} to {element.max or '*'} items, found {len(items)}."
        yield Issue("structure", "shape-cardinality", text, where)


def _item_issues(child: JsonChild, value: Any, where: str) -> Iterator[Issue]:
    """Yield what is wrong with one value; objects are only asked to be objects."""
    if value is None:
        yield Issue("structure", "shape-null", "null is not allowed: leave the property out instead.", where)
    elif child.primitive:
        issue = primitive_issue(child.type_code, value, where)
        if issue is None and child.type_code == "code":
            issue = code_issue(child.element, value, where)
        if issue is not None:
            yield issue
    elif not isinstance(value, dict):
        yield wrong_type(f"an object ({child.type_code})", value, where)


def _sibling_issues(node: Node, child: JsonChild, value: Any) -> Iterator[Issue]:
    """Yield what is wrong with `_x`, the ids and extensions of a primitive."""
    where = step(node.expression, child)
    if not child.element.many:
        yield from _item_issues(child, value, where)
    elif not isinstance(value, list):
        yield wrong_type("an array, as the property beside it", value, where)
    else:
        yield from _length_issues(child.element, value, where)
        beside = node.value.get(child.name[1:])
        for index, item in enumerate(value):
            has_value = isinstance(beside, list) and index < len(beside) and beside[index] is not None
            if item is not None or not has_value:
                yield from _item_issues(child, item, step(node.expression, child, index))


def _unknown_issue(node: Node, name: str) -> Issue:
    """Return the issue of a property that the type does not have, with the name that was probably meant."""
    type_ = node.path
    if not _PROPERTY_NAME.fullmatch(name):
        return Issue("structure", "shape-unknown-element", f"{type_} has no property of this name.", node.expression)
    text = f"{type_} has no property '{name}'"
    choices = [c.name for c in R4.json_children(type_).values() if c.element.name == f"{name}[x]"]
    known = objects(type_).keys() | R4.json_children(type_).keys()
    if choices:
        hint = f"; it is written with its type, as {' or '.join(choices[:3])}."
    elif near := nearest(name, frozenset(known)):
        hint = f"; did you mean {near}?"
    else:
        hint = "; only primitives have one with an underscore beside them." if name.startswith("_") else "."
    return Issue("structure", "shape-unknown-element", text + hint, f"{node.expression}.{name}")


@cache
def _elements(path: str) -> tuple[tuple[Element, tuple[JsonChild, ...]], ...]:
    """Return the elements under a path that are required or choices, each with its properties."""
    children = R4.json_children(path).values()
    wanted = [e for e in R4.children(path).values() if e.min or e.choice]
    return tuple((e, tuple(c for c in children if c.element is e)) for e in wanted)


def _presence_issues(node: Node, element: Element, children: tuple[JsonChild, ...]) -> Iterator[Issue]:
    """Yield the issue of a required element that is missing, or of a choice with two types."""
    present = [c.name for c in children if c.name in node.value or (c.primitive and f"_{c.name}" in node.value)]
    name = element.name.removesuffix("[x]")
    where = f"{node.expression}.{name}"
    if element.min and not present:
        yield Issue("required", "shape-required", f"{element.path} is required.", where)
    elif len(present) > 1:
        text = f"{element.path} may have one type only, found {' and '.join(present)}."
        yield Issue("structure", "shape-choice", text, where)


def _rule_issues(node: Node) -> Iterator[Issue]:
    """Yield what is wrong with an object as the value of its element: bindings, targets, narratives, SimpleQuantity."""
    if node.child is None:
        return
    element, where = node.child.element, node.expression
    issue = None
    if node.path == "Narrative":
        issue = narrative_issue(node.value, where)
    elif node.path in ("CodeableConcept", "Coding"):
        issue = concept_issue(element, node.path, node.value, where)
    elif node.path == "Reference":
        issue = _reference_issue(node.child, node.value, where)
    elif node.path == "Quantity" and element.types[0].profile == "SimpleQuantity" and "comparator" in node.value:
        text = f"{element.path} is a SimpleQuantity: it has no comparator."
        issue = Issue("structure", "shape-cardinality", text, f"{where}.comparator")
    if issue is not None:
        yield issue


def _reference_issue(child: JsonChild, value: Mapping[str, Any], where: str) -> Issue | None:
    """Return the issue of a literal reference that is malformed or names a type that is not a target."""
    text = value.get("reference")
    if not isinstance(text, str) or not text or re.match(reference_pattern(child.targets), text):
        return None
    where = f"{where}.reference"
    if re.match(reference_pattern(()), text):
        targets = " or ".join(child.targets)
        return Issue("value", "shape-reference-target", f"Expected a reference to {targets}.", where)
    forms = "Type/id, #id of a contained resource, or an absolute URI"
    return Issue("value", "shape-reference", f"Not a reference of R4: expected {forms}.", where)
