"""Items as plain JSON values, for callers that want results and no types."""

from __future__ import annotations

from typing import Any

from fhir_server.model.fhirpath.datetimes import Temporal
from fhir_server.model.fhirpath.quantities import Quantity
from fhir_server.model.fhirpath.types import Node, TypeInfo


def plain(item: Any) -> Any:
    """Return the JSON of a node, and of a system value what FHIR JSON would hold."""
    if type(item) is Node:
        return item.raw
    if type(item) is Temporal:
        return str(item)
    if type(item) is Quantity:
        system = {} if item.calendar else {"system": "http://unitsofmeasure.org", "code": item.unit}
        return {"value": item.value, "unit": item.unit, **system}
    if type(item) is TypeInfo:
        return {"namespace": item.namespace, "name": item.name}
    return item
