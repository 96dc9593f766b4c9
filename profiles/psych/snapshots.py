"""Snapshots: what a profile says of every element of its type, the differential laid over R4's own tables.

R4's words about its elements are not in this repository: a `definition` here is a link to them. What decides is there:
cardinality, types and targets, bindings, fixed values and patterns, invariants, modifiers, summary, where an element comes from.
Elements inside of data types are not walked into, as in R4's own snapshots.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from profiles.registry import R4, Element, Invariant, TypeRef

Resource = dict[str, Any]
CORE: Final = "http://hl7.org/fhir/StructureDefinition"
SYSTEM_STRING: Final = "http://hl7.org/fhirpath/System.String"
FHIR_TYPE: Final = f"{CORE}/structuredefinition-fhir-type"
_MODIFIES: Final = "R4 marks it as an element that can change what the others mean."
_WORDS: Final = {"Extension": "extensibility"}
"""Types whose page in R4 has another name."""
_NOT_EMPTY: Final = "ele-1"
_EVERY: Final = Invariant(
    "hasValue() or (children().count() > id.count())", "error", "All FHIR elements must have a @value or children"
)
"""The invariant of every element, which our tables leave out: nothing that is parsed can break it."""
_PLAIN: Final = ("Resource.id", "Element.id", "Extension.url")
"""Elements that are plain strings: no extensions, and a type of FHIRPath instead of one of FHIR (R4 §2.1.24)."""


def with_snapshot(structure: Resource) -> Resource:
    """Return a StructureDefinition with its snapshot beside its differential.

    Raises ValueError when the differential names an element that the snapshot has not.
    """
    wanted = {element["path"]: element for element in structure["differential"]["element"]}
    root = structure["type"]
    elements = [_root(root, structure["title"]), *_below(root, root)]
    if strange := wanted.keys() - {element["path"] for element in elements}:
        raise ValueError(f"{structure['id']}: {', '.join(sorted(strange))} is no element of {root}")
    merged = [element | wanted.get(element["path"], {}) for element in elements]
    parts = {**structure, "snapshot": {"element": merged}}
    parts["differential"] = parts.pop("differential")  # R4's order: the snapshot first
    return parts


def _root(name: str, title: str) -> Resource:
    return {
        "id": name,
        "path": name,
        "short": title,
        "definition": f"{title}.",
        "min": 0,
        "max": "*",
        "base": {"path": name, "min": 0, "max": "*"},
        "constraint": [_constraint(key, source) for key, source in _of_type(name).items()],
        "isModifier": False,
        "isSummary": False,
    }


def _below(path: str, root: str) -> Iterator[Resource]:
    """Yield the elements under a path, each followed by those under itself, in R4's order."""
    for element in R4.children(path).values():
        yield _element(element, path, root)
        if element.content is None and any(each.code in ("BackboneElement", "Element") for each in element.types):
            yield from _below(element.path, root)


def _element(element: Element, parent: str, root: str) -> Resource:
    origin = _origin(element, parent, root)
    page = origin.path.partition(".")[0]
    found: Resource = {
        "id": element.path,
        "path": element.path,
        "definition": f"What R4 says: http://hl7.org/fhir/R4/{_WORDS.get(page, page).lower()}-definitions.html#{origin.path}",
        "min": element.min,
        "max": _most(element),
        "base": {"path": origin.path, "min": origin.min, "max": _most(origin)},
    }
    if element.content is not None:
        found["contentReference"] = f"#{element.content}"
    else:
        found["type"] = list(_types(element, origin.path))
    if keys := _invariants(element, origin.path):
        found["constraint"] = [_constraint(key, source) for key, source in keys.items()]
    found["isModifier"] = element.modifier
    if element.modifier:
        found["isModifierReason"] = _MODIFIES
    found["isSummary"] = element.summary
    if element.binding is not None:
        found["binding"] = {"strength": element.binding.strength, "valueSet": element.binding.valueset}
    return found


def _origin(element: Element, parent: str, root: str) -> Element:
    """Return the element as the farthest type that has it defines it: `Resource.id`, `BackboneElement.modifierExtension`."""
    chain: tuple[str, ...] = R4.parents(root)
    if parent != root:
        of = R4.element(parent)
        assert of is not None
        chain = (of.types[0].code, *R4.parents(of.types[0].code))
    found = [R4.children(name)[element.name] for name in chain if element.name in R4.children(name)]
    return found[-1] if found else element


def _most(element: Element) -> str:
    return "*" if element.max is None else str(element.max)


def _types(element: Element, origin: str) -> Iterator[Resource]:
    for ref in element.types:
        if origin in _PLAIN:
            shown = "string" if element.name == "id" else ref.code
            yield {"extension": [{"url": FHIR_TYPE, "valueUrl": shown}], "code": SYSTEM_STRING}
        else:
            yield _type(ref)


def _type(ref: TypeRef) -> Resource:
    found: Resource = {"code": ref.code}
    if ref.profile:
        found["profile"] = [f"{CORE}/{ref.profile}"]
    if ref.code in ("Reference", "canonical") and ref.targets:
        found["targetProfile"] = [f"{CORE}/{target}" for target in ref.targets]
    return found


def _invariants(element: Element, origin: str) -> Mapping[str, str]:
    """Return the keys with the type that each comes from: what holds for every element and extension, then its own."""
    kinds = {ref.code for ref in element.types}
    keys = {} if origin in _PLAIN or kinds == {"Resource"} else {_NOT_EMPTY: "Element"}
    if kinds == {"Extension"}:
        keys |= _of_type("Extension")
    return keys | dict.fromkeys(element.invariants, origin.partition(".")[0])


def _of_type(name: str) -> dict[str, str]:
    """Return the keys of a type and of what it specialises, each with the type that states it."""
    keys: dict[str, str] = {} if R4.kind(name) == "resource" else {_NOT_EMPTY: "Element"}
    for each in (*reversed(R4.parents(name)), name):
        keys |= {key: each for key in R4.type_invariants(each) if key not in keys}
    return keys


def _constraint(key: str, source: str) -> Resource:
    rule = _EVERY if key == _NOT_EMPTY else R4.invariants(key)
    return {
        "key": key.partition("@")[0],
        "severity": rule.severity,
        "human": rule.human,
        "expression": rule.expression,
        "source": f"{CORE}/{source}",
    }
