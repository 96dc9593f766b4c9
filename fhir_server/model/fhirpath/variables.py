"""External constants: `%resource`, `%context`, the code systems, value sets and extensions by short name (R4 fhirpath.html)."""

from __future__ import annotations

from typing import Any

from fhir_server.model.fhirpath.errors import FhirPathError
from fhir_server.model.fhirpath.runtime import Scope
from fhir_server.model.fhirpath.types import Collection, Node, root_node

_CONSTANTS = {
    "ucum": "http://unitsofmeasure.org",
    "sct": "http://snomed.info/sct",
    "loinc": "http://loinc.org",
}
_PREFIXES = {
    "vs-": "http://hl7.org/fhir/ValueSet/",
    "ext-": "http://hl7.org/fhir/StructureDefinition/",
    "cs-": "http://hl7.org/fhir/",
}


def variable(scope: Scope, name: str) -> Collection:
    """Return the value of `%name`: what the caller gave, else what FHIR defines."""
    if name in scope.variables:
        return _given(scope.variables[name])
    if name == "context":
        return [scope.root]
    if name == "resource":
        return [scope.root.resource()]
    if name == "rootResource":
        return [container(scope)]
    if name in _CONSTANTS:
        return [_CONSTANTS[name]]
    for prefix, url in _PREFIXES.items():
        if name.startswith(prefix):
            return [url + name.removeprefix(prefix)]
    raise FhirPathError("FHIRPath: unknown variable", id="fhirpath-variable")


def container(scope: Scope) -> Node:
    """Return the resource at the top: the one that contains `%resource` when that is contained."""
    given = scope.variables.get("rootResource") or scope.variables.get("resource")
    return _given(given)[0] if given is not None else scope.root.root()


def _given(value: Any) -> Collection:
    """Return a value that the caller gave as a collection of items."""
    items = value if type(value) is list else [] if value is None else [value]
    return [root_node(item, "Element") if type(item) is dict else item for item in items]
