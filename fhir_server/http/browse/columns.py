"""Which elements of a type are worth a column: those that R4 puts into summaries, as far as the resources at hand have them.

No type has code of its own: what an element is worth follows from its data type, whether R4 demands it, and how often it is filled.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from fhir_server.http.browse.markup import EMPTY, Html
from fhir_server.http.browse.values import shown
from fhir_server.http.browse.visit import Visit
from profiles.registry import R4, Element, JsonChild

Json = dict[str, Any]
MOST: Final = 6
_LEAST: Final = 0.25
"""What is worth less is left out: groups of elements, and what one resource in ten has."""
_LEFT_OUT: Final = frozenset(
    {"id", "meta", "implicitRules", "language", "text", "contained", "extension", "modifierExtension"}
)
_WORTH: Final[dict[str, float]] = {
    "HumanName": 2.0,
    "CodeableConcept": 1.5,
    "Quantity": 1.5,
    "Reference": 1.3,
    "dateTime": 1.4,
    "date": 1.4,
    "instant": 1.2,
    "Period": 1.2,
    "code": 1.2,
    "string": 1.2,
    "Identifier": 0.5,
    "ContactPoint": 0.6,
    "uri": 0.7,
    "BackboneElement": 0.2,
    "Meta": 0.0,
}


@dataclass(frozen=True)
class Column:
    """An element and the properties that can hold it: several for a choice."""

    element: Element
    children: tuple[JsonChild, ...]

    @property
    def title(self) -> str:
        """The element's name, without the mark of a choice."""
        return self.element.name.removesuffix("[x]")

    def cell(self, visit: Visit, resource: Json) -> Html:
        """Return what a resource has here."""
        for child in self.children:
            if child.name in resource:
                return shown(visit, child, resource[child.name])
        return EMPTY

    def within(self, resource: Json) -> bool:
        """Tell whether a resource has it."""
        return any(child.name in resource for child in self.children)


@cache
def columns(type_: str) -> tuple[Column, ...]:
    """Return the elements of a type that summaries show, in R4's order."""
    properties = R4.json_children(type_).values()
    return tuple(
        Column(element, tuple(child for child in properties if child.element is element))
        for element in R4.children(type_).values()
        if element.summary and element.name not in _LEFT_OUT
    )


def chosen(type_: str, resources: Sequence[Json]) -> list[Column]:
    """Return the columns that say most about these resources, in R4's order."""
    worth = {column: _worth(column, resources) for column in columns(type_)}
    best = sorted((column for column in worth if worth[column] >= _LEAST), key=lambda column: -worth[column])[:MOST]
    return [column for column in columns(type_) if column in best]


def _worth(column: Column, resources: Sequence[Json]) -> float:
    filled = sum(column.within(resource) for resource in resources) / max(len(resources), 1)
    kind = max(_WORTH.get(child.type_code, 1.0) for child in column.children)
    return filled * kind * (1.5 if column.element.min else 1.0)


def label(visit: Visit, resource: Json) -> Html:
    """Return the one value by which people would call a resource."""
    best = sorted(chosen(str(resource.get("resourceType")), [resource]), key=lambda column: -_naming(column))
    return best[0].cell(visit, resource) if best and _naming(best[0]) > 0 else EMPTY


def _naming(column: Column) -> float:
    kind = column.children[0].type_code
    if kind == "HumanName" or (column.title in ("name", "title") and kind == "string"):
        return 3.0
    return {"code": 2.0, "type": 1.0}.get(column.title, 0.0) if kind == "CodeableConcept" else 0.0
