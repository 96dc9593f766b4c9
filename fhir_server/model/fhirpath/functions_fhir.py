"""The functions that FHIR R4 adds (https://hl7.org/fhir/R4/fhirpath.html#functions)."""

from __future__ import annotations

from typing import Any

from fhir_server.model.fhirpath.errors import FhirPathError, wrong_type
from fhir_server.model.fhirpath.narrative import is_narrative
from fhir_server.model.fhirpath.resolution import resolve
from fhir_server.model.fhirpath.runtime import Function, Scope, Table, one, text_of
from fhir_server.model.fhirpath.types import Collection, Node, is_fhir, member, value_of
from profiles.registry import R4

CORE = "http://hl7.org/fhir/StructureDefinition/"


def extension(scope: Scope, items: Collection, url: Collection) -> Collection:  # noqa: ARG001
    """Return the extensions that have this url."""
    wanted = text_of(url)
    found: Collection = []
    for item in items:
        if type(item) is Node:
            member(item, "extension", found)
    return [node for node in found if type(node.raw) is dict and node.raw.get("url") == wanted]


def has_extension(scope: Scope, items: Collection, url: Collection) -> Collection:
    """Return whether there is an extension with this url."""
    return [bool(extension(scope, items, url))]


def has_value(scope: Scope, items: Collection) -> Collection:  # noqa: ARG001
    """Return whether the single input is a primitive that has a value."""
    if len(items) != 1:
        return [False]
    value = value_of(items[0])
    return [value is not None and not (type(items[0]) is Node and type(items[0].raw) is dict)]


def get_value(scope: Scope, items: Collection) -> Collection:
    """Return the system value of a primitive."""
    return [value_of(items[0])] if has_value(scope, items) == [True] else []


def _ask(service: Any, name: str) -> Any:
    """Return a service, or say that it is not there."""
    if service is None:
        raise FhirPathError(f"FHIRPath: {name}() is not available here", id="fhirpath-not-supported")
    return service


def _coded(item: Any) -> Any:
    return item.raw if type(item) is Node else item


def member_of(scope: Scope, items: Collection, valueset: Collection) -> Collection:
    """Return whether a code, Coding or CodeableConcept is in a value set, by the terminology service."""
    ask = _ask(scope.services.member_of, "memberOf")
    url = text_of(valueset)
    if len(items) != 1 or url is None:
        return []
    found = ask(_coded(items[0]), url)
    return [] if found is None else [found]


def subsumes(scope: Scope, items: Collection, other: Collection) -> Collection:
    """Return whether the input code is the same as, or an ancestor of, the other."""
    ask = _ask(scope.services.subsumes, "subsumes")
    if len(items) != 1 or len(other) != 1:
        return []
    found = ask(_coded(items[0]), _coded(other[0]))
    return [] if found is None else [found]


def subsumed_by(scope: Scope, items: Collection, other: Collection) -> Collection:
    """Return whether the input code is the same as, or a descendant of, the other."""
    return subsumes(scope, other, items)


def conforms_to(scope: Scope, items: Collection, structure: Collection) -> Collection:
    """Return whether the input conforms to a profile: core types by name, others by the validation service."""
    url = text_of(structure)
    if len(items) != 1 or url is None or type(items[0]) is not Node:
        return []
    name = url.removeprefix(CORE)
    if url.startswith(CORE) and R4.defines(name):
        return [is_fhir(items[0].type, name)]
    found = None if scope.services.conforms_to is None else scope.services.conforms_to(items[0].raw, url)
    if found is None:
        raise FhirPathError("FHIRPath: conformsTo() of an unknown profile", id="fhirpath-not-supported")
    return [found]


def element_definition(scope: Scope, items: Collection) -> Collection:  # noqa: ARG001
    """Return the ElementDefinition of every element."""
    return [node for item in items if type(item) is Node and (node := _definition(item)) is not None]


def _definition(node: Node) -> Node | None:
    if node.parent is None:
        raw: dict[str, Any] = {"path": node.path, "min": 0, "max": "*"}
        return Node(raw, "ElementDefinition", "ElementDefinition")
    child = R4.json_children(node.parent.path).get(node.key)
    if child is None:
        return None
    element = child.element
    types = [
        {"code": ref.code, **({"targetProfile": [CORE + target for target in ref.targets]} if ref.targets else {})}
        for ref in element.types
    ]
    raw = {
        "path": element.path,
        "min": element.min,
        "max": "*" if element.max is None else str(element.max),
        "type": types,
    }
    return Node(raw, "ElementDefinition", "ElementDefinition")


def check_modifiers(scope: Scope, items: Collection, *known: Collection) -> Collection:  # noqa: ARG001
    """Return the input; an error when it carries a modifier extension that is not among the known ones."""
    urls = {text_of(url) for url in known}
    found: Collection = []
    for item in items:
        if type(item) is Node:
            member(item, "modifierExtension", found)
    if any(node.raw.get("url") not in urls for node in found):
        raise wrong_type("there is a modifier extension that the expression does not know")
    return items


def html_checks(scope: Scope, items: Collection) -> Collection:
    """Return whether a narrative's XHTML keeps to the rules of R4 §2.4.1."""
    text = one(items)
    if type(text) is not str:
        return [False]
    scope.charge(len(text) >> 5)
    return [is_narrative(text)]


TABLE: Table = {
    "extension": Function(extension, "v"),
    "hasExtension": Function(has_extension, "v"),
    "hasValue": Function(has_value),
    "getValue": Function(get_value),
    "resolve": Function(resolve),
    "memberOf": Function(member_of, "v"),
    "subsumes": Function(subsumes, "v"),
    "subsumedBy": Function(subsumed_by, "v"),
    "conformsTo": Function(conforms_to, "v"),
    "elementDefinition": Function(element_definition),
    "checkModifiers": Function(check_modifiers, "v", "v*"),
    "htmlChecks": Function(html_checks),
}
