"""What the registry hands out: immutable descriptions of elements, search parameters, operations and invariants."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import msgspec

Kind = Literal["token", "string", "date", "number", "quantity", "reference", "uri", "composite", "special"]
Strength = Literal["required", "extensible", "preferred", "example"]


@dataclass(frozen=True, slots=True)
class TypeRef:
    """A type that an element may have; no `targets` on a Reference or canonical means any type."""

    code: str
    targets: tuple[str, ...] = ()
    profile: str | None = None


@dataclass(frozen=True, slots=True)
class Binding:
    """The value set of a coded element."""

    strength: Strength
    valueset: str


@dataclass(frozen=True, slots=True)
class Element:
    """An ElementDefinition; `max` None is `*`; `content` is the path that a contentReference repeats."""

    name: str
    path: str
    min: int
    max: int | None
    types: tuple[TypeRef, ...]
    choice: bool = False
    binding: Binding | None = None
    summary: bool = False
    modifier: bool = False
    invariants: tuple[str, ...] = ()
    content: str | None = None

    @property
    def many(self) -> bool:
        """Whether the element is an array in JSON."""
        return self.max is None or self.max > 1


@dataclass(frozen=True, slots=True)
class JsonChild:
    """A JSON property: its element, its one type, and the path under which that type's children are."""

    name: str
    element: Element
    type_code: str
    path_of_type: str
    targets: tuple[str, ...]
    primitive: bool

    @property
    def attribute(self) -> bool:
        """Whether XML writes it as an attribute: the id of an element (not that of a resource) and Extension.url."""
        return self.element.path == "Extension.url" or (self.element.name == "id" and self.type_code == "string")

    @property
    def extensible(self) -> bool:
        """Whether `_name` may stand beside it in JSON: attributes and XHTML have neither ids nor extensions."""
        return self.primitive and not self.attribute and self.type_code != "xhtml"


class Component(msgspec.Struct, frozen=True, array_like=True):
    """One part of a composite search parameter; its expression starts at what the composite's expression finds."""

    name: str
    expression: str
    kind: Kind


class SearchParam(msgspec.Struct, frozen=True):
    """A search parameter of one base type, with the branches of its expression that can match this base."""

    id: int
    base: str
    name: str
    kind: Kind
    expression: str
    targets: tuple[str, ...]
    components: tuple[Component, ...]
    url: str


class OperationParameter(msgspec.Struct, frozen=True, array_like=True):
    """A parameter of an operation; `max` None is `*`."""

    name: str
    use: Literal["in", "out"]
    min: int
    max: int | None
    type: str


class Operation(msgspec.Struct, frozen=True):
    """An OperationDefinition of R4; the flags say on which levels it may be called."""

    code: str
    url: str
    resource: tuple[str, ...]
    system: bool
    type: bool
    instance: bool
    parameters: tuple[OperationParameter, ...]


class Invariant(msgspec.Struct, frozen=True, array_like=True):
    """A FHIRPath rule of an element or type."""

    expression: str
    severity: Literal["error", "warning"]
    human: str
