"""The fast check of a resource's shape: msgspec structs made from the element tables, one set per resource type.

A struct accepts only what is certainly valid: unknown properties, nulls, empty arrays, wrong types, wrong grammars,
codes outside of required bindings, references to the wrong type are refused while decoding, at the speed of C.
What it refuses is not yet wrong: rare legal forms (`given: [null, "b"]`, a required primitive that has only
extensions, a second coding from another system) are left to `validation.explain`, which decides and lists the issues.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from operator import attrgetter
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType

from fhir_server.model.primitives import PRIMITIVES, STRING_MAX
from profiles.registry import R4, Element, JsonChild

_CONTROL_ESCAPE: Final = re.compile(rb"\\[bfu]")
_SCHEME = r"[a-zA-Z][a-zA-Z0-9+.\-]*:\S+"
_ID = r"[A-Za-z0-9\-.]{1,64}"


@dataclass(frozen=True, slots=True)
class Variant:
    """What an element demands of its type beyond the type itself."""

    targets: tuple[str, ...] = ()
    valueset: str | None = None
    profile: str | None = None


PLAIN: Final = Variant()


def certainly_valid(text: bytes, resource_type: str) -> bool:
    """Return whether compact JSON, as `kit.json.encode` writes it, is surely a valid resource of the type.

    Resources inside of it (`contained`, entries of a Bundle) are not looked into.
    """
    if b"{}" in text or (b"\\" in text and _CONTROL_ESCAPE.search(text)):
        return False
    try:
        decoder(resource_type).decode(text)
    except msgspec.MsgspecError:
        return False
    return True


def reference_pattern(targets: tuple[str, ...]) -> str:
    """Return the grammar of `Reference.reference` for these target types; without any, every type of R4 is one."""
    types = "|".join(targets or R4.types)
    relative = rf"(?:{types})(?:/{_ID}(?:/_history/{_ID})?(?:#\S+)?|\?\S+)"
    return rf"(?a)\A(?:{relative}|#\S*|{_SCHEME})\Z"


def decoder(resource_type: str) -> msgspec.json.Decoder[Any]:
    """Return the decoder of a resource type, made when the type is first seen."""
    found = _decoders.get(resource_type)
    if found is None:
        found = _decoders[resource_type] = msgspec.json.Decoder(_struct(resource_type, PLAIN))
    return found


_decoders: dict[str, msgspec.json.Decoder[Any]] = {}
_structs: dict[tuple[str, Variant], type[msgspec.Struct]] = {}


def _struct(path: str, variant: Variant) -> type[msgspec.Struct]:
    """Return the struct of a type or backbone path; made before its children, so that types may be recursive."""
    key = (path, variant)
    if key not in _structs:
        children = [c for c in R4.json_children(path).values() if not _prohibited(c, variant)]
        attributes = {name: f"f{i}" for i, name in enumerate(n for child in children for n in _names(child))}
        _structs[key] = struct = _define(path, children, attributes, variant)
        # msgspec reads the annotations when the first decoder is made: by then the children exist.
        struct.__annotations__ = {
            attributes[name]: type_ for child in children for name, type_ in _fields(child, variant).items()
        }
    return _structs[key]


def _define(path: str, children: list[JsonChild], attributes: dict[str, str], variant: Variant) -> type[msgspec.Struct]:
    """Return a struct whose fields have no types yet; attributes are numbered, since `class` is a property of R4."""
    required = {child.name for child in children if _required(child, variant)}
    fields = [(attributes[n], Any) if n in required else (attributes[n], Any, UNSET) for n in attributes]
    check = _choice_check(children, attributes)
    resource = path if R4.is_type(path) else None
    return msgspec.defstruct(
        path.replace(".", "_"),
        sorted(fields, key=len),
        namespace={"__post_init__": check} if check else None,
        rename={attribute: name for name, attribute in attributes.items()},
        tag_field="resourceType" if resource else None,
        tag=resource,
        forbid_unknown_fields=True,
        gc=False,
    )


def _prohibited(child: JsonChild, variant: Variant) -> bool:
    """Return whether a property may never be there: SimpleQuantity has no comparator."""
    return child.element.max == 0 or (variant.profile == "SimpleQuantity" and child.name == "comparator")


def _required(child: JsonChild, variant: Variant) -> bool:
    """Return whether a property must be there; a concept from a required value set needs its codes."""
    coded = variant.valueset is not None and child.name in ("coding", "system", "code")
    return coded or (child.element.min > 0 and not child.element.choice)


def _names(child: JsonChild) -> list[str]:
    """Return the JSON properties of a child: a primitive has a sibling for its id and extensions."""
    return [child.name, f"_{child.name}"] if child.extensible else [child.name]


def _choice_check(children: list[JsonChild], attributes: dict[str, str]) -> Callable[[Any], None] | None:
    """Return a check that no choice has two types and that required ones have one; None without choices."""
    names: dict[Element, list[str]] = {}
    for child in children:
        if child.element.choice:
            names.setdefault(child.element, []).extend(attributes[name] for name in _names(child))
    groups = [(attrgetter(*own, "__class__"), len(own), element.min) for element, own in names.items()]

    def one_of_each(instance: Any) -> None:
        for getter, total, least in groups:
            if not least <= total - getter(instance).count(UNSET) <= 1:
                raise ValueError("choice")

    return one_of_each if groups else None


def _fields(child: JsonChild, variant: Variant) -> dict[str, Any]:
    """Return the types of a child's properties by name."""
    inner = dict[str, Raw] if child.path_of_type == "Resource" else _inner(child, variant)
    out = {child.name: _outer(child.element, inner, required=_required(child, variant))}
    if child.extensible:
        out[f"_{child.name}"] = _outer(child.element, _struct("Element", PLAIN), required=False)
    return out


def _outer(element: Element, inner: Any, *, required: bool) -> Any:
    """Return the type of a property: an array of the inner type where the element repeats."""
    if element.many:
        inner = Annotated[list[inner], Meta(min_length=max(element.min, 1), max_length=element.max)]
    return inner if required else inner | UnsetType


def _inner(child: JsonChild, variant: Variant) -> Any:
    """Return the type of one item of a child."""
    element = child.element
    valueset = _enumerated(element)
    match child.type_code:
        case "Reference":
            return _struct("Reference", Variant(targets=child.targets))
        case "CodeableConcept" | "Coding":
            inherited = variant.valueset if element.path == "CodeableConcept.coding" else None
            return _struct(child.type_code, Variant(valueset=valueset or inherited))
        case "Quantity":
            return _struct("Quantity", Variant(profile=element.types[0].profile))
        case "code" if valueset:
            return Literal[tuple(R4.codes(valueset) or ())]
    if element.path == "Reference.reference":
        return Annotated[str, Meta(pattern=reference_pattern(variant.targets))]
    if variant.valueset and element.path in ("Coding.system", "Coding.code"):
        expansion = R4.expansion(variant.valueset) or {}
        return Literal[tuple(expansion if child.name == "system" else R4.codes(variant.valueset) or ())]
    return _primitive(child.type_code) if child.primitive else _struct(child.path_of_type, PLAIN)


def _enumerated(element: Element) -> str | None:
    """Return the required value set of an element if R4 enumerates its codes."""
    binding = element.binding
    known = binding is not None and binding.strength == "required" and R4.codes(binding.valueset)
    return binding.valueset if binding and known else None


@cache
def _primitive(type_code: str) -> Any:
    """Return the msgspec type of a primitive."""
    primitive = PRIMITIVES[type_code]
    match primitive.json:
        case "boolean":
            return bool
        case "number":
            return int | float
        case "integer":
            return Annotated[int, Meta(ge=primitive.low, le=primitive.high)]
    if type_code in ("string", "markdown"):
        # Control characters are looked for in the whole text at once: cheaper than a pattern for each string.
        return Annotated[str, Meta(min_length=1, max_length=STRING_MAX)]
    return Annotated[str, Meta(pattern=primitive.pattern)]
