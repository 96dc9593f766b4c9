"""Typed nodes over raw JSON: which child an element name means, which type it has, what its system value is.

A collection is a list of items; an item is a system value (bool, int, Decimal, str, Temporal, Quantity), a `Node` of a
resource, or a `TypeInfo`. Lists are shared between closures and must never be changed once returned.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import Any, NamedTuple

from fhir_server.model.fhirpath.ast import TypeName
from fhir_server.model.fhirpath.datetimes import Temporal, parse_temporal
from fhir_server.model.fhirpath.errors import FhirPathError
from fhir_server.model.fhirpath.quantities import Quantity
from profiles.registry import R4

Collection = list[Any]
EMPTY: Collection = []
TRUE: Collection = [True]
FALSE: Collection = [False]


class Child(NamedTuple):
    """A JSON property that an element name stands for."""

    key: str
    type: str
    path: str
    primitive: bool
    many: bool


class Node:
    """An element or resource: its JSON, its FHIR type, the path its children are listed under, and where it is."""

    __slots__ = ("extra", "index", "key", "parent", "path", "raw", "type")

    def __init__(
        self,
        raw: Any,
        type_: str,
        path: str,
        extra: dict[str, Any] | None = None,
        parent: Node | None = None,
        key: str = "",
        index: int = -1,
    ) -> None:
        self.raw = raw
        self.type = type_
        self.path = path
        self.extra = extra
        self.parent = parent
        self.key = key
        self.index = index

    def __repr__(self) -> str:
        return f"<{self.type} at {self.location()}>"  # no content: it may reach a log

    def location(self) -> str:
        """Return the FHIRPath of this very node, such as `Patient.name[0].given[1]`."""
        own = f"[{self.index}]" if self.index >= 0 else ""
        return f"{self.parent.location()}.{self.key}{own}" if self.parent is not None else self.path

    def resource(self) -> Node:
        """Return the resource that the node is in: contained resources and bundle entries count as resources."""
        node = self
        while node.parent is not None and not _is_resource(node.type):
            node = node.parent
        return node

    def root(self) -> Node:
        """Return the outermost node."""
        node = self
        while node.parent is not None:
            node = node.parent
        return node

    @property
    def primitive(self) -> bool:
        """Whether this is a FHIR primitive."""
        return type(self.raw) is not dict


@dataclass(frozen=True, slots=True)
class TypeInfo:
    """What `type()` returns (N1 §10.2)."""

    namespace: str
    name: str
    base: str


@lru_cache(maxsize=512)
def _is_resource(name: str) -> bool:
    return R4.defines(name) and R4.kind(name) == "resource"


@lru_cache(maxsize=4096)
def names_type(name: str) -> bool:
    """Return whether a leading name is a type: `Patient` is; `code` and `id` are elements, though types have those names."""
    return name[:1].isupper() and R4.defines(name)


_OF_PRIMITIVE = {
    "id": (Child("id", "string", "string", True, False),),
    "extension": (Child("extension", "Extension", "Extension", False, True),),
}


@lru_cache(maxsize=8192)
def children_named(path: str, name: str) -> tuple[Child, ...]:
    """Return the JSON properties that an element name means under a path: `value` is every `valueX` of a choice."""
    element = R4.children(path).get(name) or R4.children(path).get(f"{name}[x]")
    if element is None:
        return ()
    properties = R4.json_children(path)
    return tuple(_child(p.name, path) for p in properties.values() if p.element.name == element.name)


@lru_cache(maxsize=8192)
def _child(key: str, path: str) -> Child:
    """Return what a JSON property is."""
    p = R4.json_children(path)[key]
    return Child(key, p.type_code, p.path_of_type, p.primitive, p.element.many)


def root_node(value: Any, base: str | None, extra: dict[str, Any] | None = None) -> Node:
    """Return a node to start from: a resource by its `resourceType`, else an element at the path `base`."""
    if isinstance(value, dict) and "resourceType" in value:
        name = value["resourceType"]
        return Node(value, name, name)
    if base is None:
        raise FhirPathError("FHIRPath: the input is no resource and has no declared type", id="fhirpath-input")
    return Node(value, type_of_path(base), base, extra)


@lru_cache(maxsize=4096)
def type_of_path(path: str) -> str:
    """Return the type of what is at a path: `HumanName` itself, `BackboneElement` for `Patient.contact`."""
    if "." not in path:
        return path
    element = R4.element(path)
    return element.types[0].code if element is not None and not element.choice else "Element"


def member(node: Node, name: str, out: Collection) -> None:
    """Add the children of a node that have this element name."""
    if type(node.raw) is dict:
        add_children(node, children_named(node.path, name), out)
    elif node.extra is not None:
        for child in _OF_PRIMITIVE.get(name, ()):
            _add(node, child, node.extra.get(child.key), None, out)


def add_children(node: Node, found: tuple[Child, ...], out: Collection) -> None:
    """Add the children of a complex node that are there, of those properties that a name stands for."""
    raw = node.raw
    if len(found) > len(raw):
        found = tuple(child for child in found if child.key in raw or f"_{child.key}" in raw)
    for child in found:
        value = raw.get(child.key)
        beside = raw.get("_" + child.key) if child.primitive else None
        if value is not None or beside is not None:
            _add(node, child, value, beside, out)


def _add(parent: Node, child: Child, value: Any, beside: Any, out: Collection) -> None:
    """Add the node or nodes of one JSON property."""
    key, type_, path, primitive, _ = child
    if type(value) is list or type(beside) is list:
        _add_all(parent, child, value or [], beside, out)
    elif primitive:
        out.append(Node(value, type_, path, beside, parent, key))
    elif value is not None:
        if path == "Resource":
            type_ = path = value.get("resourceType", "Resource")
        out.append(Node(value, type_, path, None, parent, key))


def _add_all(parent: Node, child: Child, values: list[Any], beside: Any, out: Collection) -> None:
    """Add the nodes of an array, paired with the array of its ids and extensions."""
    key, type_, path, _, _ = child
    extras = beside if type(beside) is list else []
    for index in range(max(len(values), len(extras))):
        value = values[index] if index < len(values) else None
        extra = extras[index] if index < len(extras) else None
        if value is None and extra is None:
            continue
        if path == "Resource" and value is not None:
            name = value.get("resourceType", "Resource")
            out.append(Node(value, name, name, None, parent, key, index))
        else:
            out.append(Node(value, type_, path, extra, parent, key, index))


def children(node: Node, out: Collection) -> None:
    """Add all children of a node, in the order of its JSON."""
    raw = node.raw
    if type(raw) is not dict:
        for name in _OF_PRIMITIVE if node.extra is not None else ():
            member(node, name, out)
        return
    known = R4.json_children(node.path)
    for key in raw:
        name = key[1:] if key[0] == "_" and key[1:] not in raw else key
        if name in known:
            child = _child(name, node.path)
            _add(node, child, raw.get(name), raw.get("_" + name) if child.primitive else None, out)


# ---- system values

_TEMPORAL = frozenset({"date", "dateTime", "instant", "time"})


def value_of(item: Any) -> Any:
    """Return the system value of an item: of a primitive node its value, of a Quantity node a Quantity, else itself.

    A primitive without a value gives None.
    """
    if type(item) is not Node:
        return item
    raw = item.raw
    if type(raw) is str:
        return (parse_temporal(raw, item.type) or raw) if item.type in _TEMPORAL else raw
    if type(raw) is int:
        return Decimal(raw) if item.type == "decimal" else raw
    if type(raw) is dict and R4.is_a(item.type, "Quantity"):
        return quantity_of(raw) or item
    return item if type(raw) is dict else raw


def quantity_of(raw: dict[str, Any]) -> Quantity | None:
    """Return the system Quantity of a FHIR Quantity; None when it has a comparator or no value."""
    value = raw.get("value")
    if value is None or "comparator" in raw:
        return None
    unit = raw.get("code") if raw.get("system") in ("http://unitsofmeasure.org", None) else None
    return Quantity(Decimal(value), unit or raw.get("unit") or raw.get("code") or "1")


_SYSTEM_OF = {bool: "Boolean", int: "Integer", Decimal: "Decimal", str: "String", Quantity: "Quantity"}
_SYSTEM_TEMPORAL = {"date": "Date", "dateTime": "DateTime", "time": "Time"}
_SYSTEM_TYPES = frozenset(
    {"Any", "Boolean", "Integer", "Decimal", "String", "Quantity", "Date", "DateTime", "Time", "Long"}
)


def system_type(value: Any) -> str:
    """Return the name of a system value's type."""
    return _SYSTEM_TEMPORAL[value.kind] if type(value) is Temporal else _SYSTEM_OF.get(type(value), "Any")


def fhir_type(value: Any) -> str:
    """Return the FHIR type that a system value has when it goes back into a resource."""
    name = system_type(value)
    return name if name == "Quantity" else name[0].lower() + name[1:]


def check_type(type_: TypeName) -> None:
    """Refuse the name of a type that does not exist; unknown names with a namespace simply match nothing."""
    if type_.namespace is None and not R4.defines(type_.name) and type_.name not in _SYSTEM_TYPES:
        raise FhirPathError("FHIRPath: unknown type", id="fhirpath-type")


def is_type(item: Any, type_: TypeName) -> bool:
    """Return whether an item is of a type or one that specialises it (N1 §6.3); FHIR names come before System's."""
    if type(item) is Node:
        return type_.namespace != "System" and is_fhir(item.type, type_.name)
    if type(item) is TypeInfo:
        return False
    return type_.namespace != "FHIR" and type_.name in (system_type(item), "Any")


@lru_cache(maxsize=16384)
def is_fhir(name: str, ancestor: str) -> bool:
    """Return whether a FHIR type is another or specialises it."""
    return R4.is_a(name, ancestor)


def type_info(item: Any) -> TypeInfo:
    """Return the TypeInfo of an item."""
    if type(item) is not Node:
        return TypeInfo("System", system_type(item), "System.Any")
    parents = R4.parents(item.type) if R4.defines(item.type) else ()
    return TypeInfo("FHIR", item.type, f"FHIR.{parents[0]}" if parents else "System.Any")
