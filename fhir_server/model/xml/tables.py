"""What XML needs to know about an element, compiled from the element tables when a path is first seen.

Element.id and Extension.url are attributes, Narrative.div is XHTML, everything else is an element of the FHIR namespace; the
choices are written out (`valueQuantity`) as in JSON. Both directions read the same slots.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from functools import cache
from typing import Final

from fhir_server.model.primitives import PRIMITIVES
from fhir_server.model.walk import RESOURCE
from profiles.registry import R4, JsonChild

FHIR: Final = "http://hl7.org/fhir"
XHTML: Final = "http://www.w3.org/1999/xhtml"
SEPARATOR: Final = " "
"""Between namespace and name, as the parser hands out names."""


class Form(IntEnum):
    """How a slot is written."""

    STRING = 0
    BOOLEAN = 1
    INTEGER = 2
    DECIMAL = 3
    OBJECT = 4
    RESOURCE = 5
    DIV = 6


_FORMS: Final = {"string": Form.STRING, "boolean": Form.BOOLEAN, "integer": Form.INTEGER, "number": Form.DECIMAL}


@dataclass(frozen=True, slots=True, eq=False)
class Slot:
    """One element that may stand under a path: `order` is its place, the same for all types of a choice."""

    order: int
    name: str
    beside: str
    """The JSON property that holds id and extensions of a primitive."""
    form: Form
    path: str
    many: bool
    primitive: bool
    child: JsonChild


@cache
def attributes(path: str) -> frozenset[str]:
    """Return the properties under a path that XML writes as attributes."""
    return frozenset(name for name, child in R4.json_children(path).items() if child.attribute)


@cache
def aside(path: str) -> frozenset[str]:
    """Return the properties under a path that no element is written for: attributes, and what names the type of a resource."""
    named = {"resourceType"} if R4.is_type(path) else set()
    return attributes(path) | named


@cache
def slots(path: str) -> Mapping[str, Slot]:
    """Return the slots under a path by JSON property, those beside primitives included."""
    found: dict[str, Slot] = {}
    order = {name: place for place, name in enumerate(R4.children(path))}
    for name, child in R4.json_children(path).items():
        if name in attributes(path):
            continue
        form, place, many = _form(child), order[child.element.name], child.element.many
        slot = Slot(place, name, f"_{name}", form, child.path_of_type, many, child.extensible, child)
        found[name] = slot
        if child.extensible:
            found[slot.beside] = slot
    return found


def _form(child: JsonChild) -> Form:
    if child.type_code == "xhtml":
        return Form.DIV
    if child.primitive:
        return _FORMS[PRIMITIVES[child.type_code].json]
    return Form.RESOURCE if child.path_of_type == RESOURCE else Form.OBJECT


@cache
def tags(path: str) -> Mapping[str, Slot]:
    """Return the slots under a path by the name that the parser hands out."""
    out = {}
    for name, slot in slots(path).items():
        if name == slot.name:
            out[f"{XHTML if slot.form is Form.DIV else FHIR}{SEPARATOR}{name}"] = slot
    return out


@cache
def resource_tags() -> Mapping[str, str]:
    """Return the resource types by the name that the parser hands out."""
    return {f"{FHIR}{SEPARATOR}{name}": name for name in R4.types}
