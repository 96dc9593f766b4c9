"""The one reader of the compiled R4 tables: types, elements, search parameters, compartments, codes, operations.

Tables are read when first asked for; elements become objects when their path is first asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, TypeGuard, TypeVar, cast

import msgspec

from profiles.definitions import (
    Binding,
    Component,
    Element,
    Invariant,
    JsonChild,
    Kind,
    Operation,
    OperationParameter,
    SearchParam,
    Strength,
    TypeRef,
)

__all__ = [
    "R4",
    "Binding",
    "Component",
    "Element",
    "Invariant",
    "JsonChild",
    "Operation",
    "OperationParameter",
    "Registry",
    "SearchParam",
    "TypeRef",
]

PARAMETER_URL: Final = "http://hl7.org/fhir/SearchParameter/"
T = TypeVar("T")


class _ElementRow(msgspec.Struct, frozen=True, array_like=True):
    """An element as `profiles.build_steps.elements` writes it."""

    name: str
    min: int
    max: int | None
    types: list[str]
    flags: int = 0
    invariants: tuple[str, ...] = ()
    binding: str = ""


class _Type(msgspec.Struct, frozen=True):
    """A type as `profiles.build_steps.elements` writes it."""

    kind: str
    base: str
    abstract: bool
    invariants: tuple[str, ...]
    paths: dict[str, list[_ElementRow]]


class _ParamRow(msgspec.Struct, frozen=True, array_like=True):
    """A search parameter as `profiles.build_steps.search` writes it."""

    base: str
    name: str
    kind: Kind
    expression: str
    targets: tuple[str, ...]
    components: tuple[Component, ...]
    url: str


class _Ids(msgspec.Struct, frozen=True):
    """The stable numbers."""

    types: dict[str, int]
    params: dict[str, int]


class Registry:
    """The specification as data; everything it returns is immutable and shared."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._children: dict[str, Mapping[str, Element]] = {}
        self._json_children: dict[str, Mapping[str, JsonChild]] = {}
        self._params: dict[str, Mapping[str, SearchParam]] = {}
        self._codes: dict[str, frozenset[str]] = {}

    def _read(self, name: str, type_: type[T]) -> T:
        """Read one table."""
        return msgspec.json.decode((self._folder / f"{name}.json").read_bytes(), type=type_)

    # ---- types

    @cached_property
    def _types(self) -> dict[str, _Type]:
        return self._read("types", dict[str, _Type])

    @cached_property
    def _ids(self) -> _Ids:
        return self._read("ids", _Ids)

    @cached_property
    def types(self) -> tuple[str, ...]:
        """The concrete resource types, sorted."""
        return tuple(sorted(n for n, t in self._types.items() if t.kind == "resource" and not t.abstract))

    @cached_property
    def primitives(self) -> frozenset[str]:
        """The names of the primitive types."""
        return frozenset(n for n, t in self._types.items() if t.kind == "primitive")

    @cached_property
    def _type_set(self) -> frozenset[str]:
        return frozenset(self.types)

    @cached_property
    def _type_names(self) -> dict[int, str]:
        return {number: name for name, number in self._ids.types.items()}

    def type_id(self, name: str) -> int:
        """Return the stable number of a resource type."""
        return self._ids.types[name]

    def type_name(self, type_id: int) -> str:
        """Return the resource type that has this number."""
        return self._type_names[type_id]

    def is_type(self, name: object) -> TypeGuard[str]:
        """Return whether this names a concrete resource type."""
        return isinstance(name, str) and name in self._type_set

    def defines(self, name: str) -> bool:
        """Return whether this names any type of R4: resource, complex or primitive, abstract ones included."""
        return name in self._types

    def kind(self, name: str) -> str:
        """Return `resource`, `complex` or `primitive`."""
        return self._types[name].kind

    def parents(self, name: str) -> tuple[str, ...]:
        """Return the types that a type specialises, nearest first: `Age` gives `("Quantity", "Element")`."""
        out: list[str] = []
        while (base := self._types[name].base) != "":
            out.append(base)
            name = base
        return tuple(out)

    def is_a(self, name: str, ancestor: str) -> bool:
        """Return whether a type is another or specialises it."""
        return name == ancestor or (name in self._types and ancestor in self.parents(name))

    def type_invariants(self, name: str) -> tuple[str, ...]:
        """Return the keys of the invariants of a type, those of its parents included."""
        chain = (name, *self.parents(name))
        return tuple(key for t in chain for key in self._types[t].invariants)

    # ---- elements

    def children(self, path: str) -> Mapping[str, Element]:
        """Return the elements under a type, a backbone path or the path of a contentReference, in R4's order."""
        found = self._children.get(path)
        if found is None:
            found = self._children[path] = MappingProxyType(self._build_children(path))
        return found

    def _build_children(self, path: str) -> dict[str, Element]:
        """Put inherited and own elements of a path together; empty for primitives and unknown paths."""
        name = path.split(".", 1)[0]
        type_ = self._types.get(name)
        if type_ is None or type_.kind == "primitive":
            return {}
        if path == name:
            inherited = self.children(type_.base) if type_.base else {}
            rows = type_.paths[path]
        elif path in type_.paths:
            inherited = self.children(self._backbone_type(path))
            rows = type_.paths[path]
        else:
            element = self.element(path)
            return dict(self.children(element.content)) if element is not None and element.content else {}
        moved = {n: self._moved(e, path) for n, e in inherited.items()}
        return moved | {row.name: self._element(path, row) for row in rows}

    def _backbone_type(self, path: str) -> str:
        """Return the type of the element at a backbone path: `BackboneElement` or `Element`."""
        element = self.element(path)
        assert element is not None
        return element.types[0].code

    @staticmethod
    def _moved(element: Element, path: str) -> Element:
        """Return an inherited element under the path of its heir."""
        return Element(
            element.name,
            f"{path}.{element.name}",
            element.min,
            element.max,
            element.types,
            element.choice,
            element.binding,
            element.summary,
            element.modifier,
            element.invariants,
            element.content,
        )

    @staticmethod
    def _element(path: str, row: _ElementRow) -> Element:
        """Return the element of a row."""
        content = row.types[0][1:] if row.types[0].startswith("@") else None
        types = (TypeRef("BackboneElement"),) if content else tuple(_type_ref(t) for t in row.types)
        strength, _, valueset = row.binding.partition(" ")
        return Element(
            row.name,
            f"{path}.{row.name}",
            row.min,
            row.max,
            types,
            row.name.endswith("[x]"),
            Binding(cast("Strength", strength), valueset) if valueset else None,
            bool(row.flags & 1),
            bool(row.flags & 2),
            row.invariants,
            content,
        )

    def element(self, path: str) -> Element | None:
        """Return the element at a path such as `Patient.contact.name`; a choice is `Observation.value[x]`."""
        parent, _, name = path.rpartition(".")
        return self.children(parent).get(name) if parent else None

    def json_children(self, path: str) -> Mapping[str, JsonChild]:
        """Return the JSON properties under a path, choices written out: `valueQuantity`; without the `_x` siblings."""
        found = self._json_children.get(path)
        if found is None:
            pairs = (child for e in self.children(path).values() for child in self._expand(e))
            found = self._json_children[path] = MappingProxyType({child.name: child for child in pairs})
        return found

    def _expand(self, element: Element) -> list[JsonChild]:
        """Return the JSON properties of one element, one for each type of a choice."""
        out = []
        for ref in element.types:
            name = element.name
            if element.choice:
                name = name.removesuffix("[x]") + ref.code[0].upper() + ref.code[1:]
            path = element.content or (element.path if self._has_own_children(element.path) else ref.code)
            out.append(JsonChild(name, element, ref.code, path, ref.targets, ref.code in self.primitives))
        return out

    def _has_own_children(self, path: str) -> bool:
        """Return whether elements are defined under this very path."""
        type_ = self._types.get(path.split(".", 1)[0])
        return type_ is not None and "." in path and path in type_.paths

    @cached_property
    def _invariants(self) -> dict[str, Invariant]:
        return self._read("invariants", dict[str, Invariant])

    def invariants(self, key: str) -> Invariant:
        """Return an invariant by the key that an element or type lists (`inv-1@Task` where R4 uses one twice)."""
        return self._invariants[key]

    # ---- codes

    @cached_property
    def _expansions(self) -> dict[str, dict[str, tuple[str, ...]]]:
        return self._read("codes", dict[str, dict[str, tuple[str, ...]]])

    def expansion(self, valueset: str) -> Mapping[str, tuple[str, ...]] | None:
        """Return the codes of a required value set by system; None where R4 does not enumerate them."""
        return self._expansions.get(valueset)

    def codes(self, valueset: str) -> frozenset[str] | None:
        """Return the codes of a required value set; None where R4 does not enumerate them (BCP-13, UCUM, ISO 4217)."""
        expansion = self._expansions.get(valueset)
        if expansion is None:
            return None
        if valueset not in self._codes:
            self._codes[valueset] = frozenset(code for codes in expansion.values() for code in codes)
        return self._codes[valueset]

    @cached_property
    def _code_systems(self) -> dict[str, msgspec.Raw]:
        return self._read("codesystems", dict[str, msgspec.Raw])

    @cached_property
    def _value_sets(self) -> dict[str, msgspec.Raw]:
        return self._read("valuesets", dict[str, msgspec.Raw])

    def code_system(self, url: str) -> dict[str, Any] | None:
        """Return a code system of R4 as a CodeSystem of codes and hierarchy only; a new one every time. None for others'."""
        found = self._code_systems.get(url)
        return None if found is None else {"url": url, **msgspec.json.decode(found)}

    def value_set(self, url: str) -> dict[str, Any] | None:
        """Return a value set of R4 as a ValueSet of its composition only; a new one every time. None for others'."""
        found = self._value_sets.get(url)
        return None if found is None else {"url": url, **msgspec.json.decode(found)}

    # ---- search

    @cached_property
    def _own_params(self) -> dict[str, dict[str, SearchParam]]:
        table: dict[str, dict[str, SearchParam]] = {}
        numbers = self._ids.params
        for row in self._read("params", list[_ParamRow]):
            param = SearchParam(
                numbers[f"{row.base}.{row.name}"],
                row.base,
                row.name,
                row.kind,
                row.expression,
                row.targets,
                row.components,
                PARAMETER_URL + row.url,
            )
            table.setdefault(row.base, {})[row.name] = param
        return table

    @cached_property
    def _params_by_id(self) -> dict[int, SearchParam]:
        return {p.id: p for own in self._own_params.values() for p in own.values()}

    def params(self, type_: str) -> Mapping[str, SearchParam]:
        """Return the search parameters of a type by name, with those of Resource and DomainResource."""
        found = self._params.get(type_)
        if found is None:
            merged: dict[str, SearchParam] = {}
            for name in (*reversed(self.parents(type_)), type_):
                merged |= self._own_params.get(name, {})
            found = self._params[type_] = MappingProxyType(merged)
        return found

    def param_by_id(self, param_id: int) -> SearchParam:
        """Return the search parameter that has this number."""
        return self._params_by_id[param_id]

    @cached_property
    def _compartments(self) -> dict[str, dict[str, tuple[str, ...]]]:
        return self._read("compartments", dict[str, dict[str, tuple[str, ...]]])

    @cached_property
    def compartments(self) -> tuple[str, ...]:
        """The types that have a CompartmentDefinition."""
        return tuple(sorted(self._compartments))

    def compartment(self, compartment: str, type_: str) -> tuple[str, ...]:
        """Return the parameters by which resources of a type are in a compartment; () when they never are.

        That a resource is in its own compartment holds by its id and is not listed.
        """
        return self._compartments[compartment].get(type_, ())

    # ---- operations

    @cached_property
    def operations(self) -> tuple[Operation, ...]:
        """The operations that R4 defines."""
        return tuple(self._read("operations", list[Operation]))


def _type_ref(text: str) -> TypeRef:
    """Read a type as the table writes it: `code`, `code:target,target` or `code=profile`."""
    if ":" in text:
        code, targets = text.split(":")
        return TypeRef(code, tuple(targets.split(",")))
    code, _, profile = text.partition("=")
    return TypeRef(code, (), profile or None)


R4: Final = Registry(Path(__file__).parent / "r4")
