"""The parameters of an operation, from a query or a Parameters resource, checked against its definition."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fhir_server.errors import BadRequest
from fhir_server.interactions.address import Params
from fhir_server.interactions.call import Call, Json
from fhir_server.kit import json
from fhir_server.model.primitives import PRIMITIVES
from fhir_server.search.query import shown
from fhir_server.validation.validate import parse_resource

Given = Mapping[str, list[Any]]


def read_parameters(definition: Json, call: Call) -> Given:
    """Return what is given by parameter name; BadRequest for unknown, missing and repeated ones."""
    wanted = {each["name"]: each for each in definition.get("parameter", []) if each["use"] == "in"}
    given: dict[str, list[Any]] = {}
    for name, value in _from_query(call, wanted) + _from_body(call, wanted):
        if name not in wanted:
            known = ", ".join(sorted(wanted)) or "none"
            raise BadRequest(f"${definition['code']} has no such parameter; it takes: {known}.", "parameter-unknown")
        given.setdefault(name, []).append(value)
    for name, each in wanted.items():
        _check_count(name, each, len(given.get(name, [])))
        if each.get("type") == "boolean":
            _check_boolean(name, given.get(name, []))
    return given


def _check_boolean(name: str, values: list[Any]) -> None:
    """Refuse what only looks like a boolean: the text "false" is no valueBoolean, and would count as true."""
    if not all(isinstance(value, bool) for value in values):
        raise BadRequest(
            f"The parameter {name} is true or false, as valueBoolean.",
            "parameter-type",
            f"Parameters.parameter({name})",
        )


def _check_count(name: str, parameter: Json, count: int) -> None:
    if count < parameter["min"]:
        raise BadRequest(f"The parameter {name} is required.", "parameter-missing", code="required")
    if parameter["max"] != "*" and count > int(parameter["max"]):
        raise BadRequest(f"The parameter {name} may be given {parameter['max']} time(s) at most.", "parameter-repeated")


def _from_query(call: Call, wanted: Mapping[str, Json]) -> list[tuple[str, Any]]:
    return [(name, _typed(name, value, wanted.get(name, {}).get("type", "string"))) for name, value in call.params]


def _typed(name: str, text: str, type_: str) -> Any:
    """Return a value of the query as JSON would hold it."""
    primitive = PRIMITIVES.get(type_)
    if primitive is None:
        raise BadRequest(f"The parameter {name} is a {type_}: POST a Parameters resource.", "parameter-type")
    if primitive.json == "string":
        return text
    try:
        value = json.decode(text.encode())
    except BadRequest as error:
        raise BadRequest(f"The parameter {name} is {primitive.expected}.", "parameter-type") from error
    if primitive.json == "boolean" and not isinstance(value, bool):
        raise BadRequest(f"The parameter {name} is {primitive.expected}.", "parameter-type")
    return value


def _from_body(call: Call, wanted: Mapping[str, Json]) -> list[tuple[str, Any]]:
    if not call.body:
        return []
    resource = parse_resource(call.body, expect=None)
    if resource["resourceType"] == "Parameters":
        return [(each["name"], value_of(each)) for each in resource.get("parameter", [])]
    taking = [name for name, each in wanted.items() if each["type"] in (resource["resourceType"], "Resource", "Any")]
    if len(taking) != 1:
        raise BadRequest("Send the parameters as a Parameters resource.", "parameters-expected")
    return [(taking[0], resource)]


def as_query(call: Call) -> Params:
    """Return the parameters of an operation that takes search parameters, which a definition cannot name: of query and body."""
    if not call.body:
        return call.params
    resource = parse_resource(call.body, expect="Parameters")
    return call.params + [
        (each["name"], _as_text(each["name"], value_of(each))) for each in resource.get("parameter", [])
    ]


def _as_text(name: str, value: Any) -> str:
    """Return a value as a query would have it."""
    if isinstance(value, dict) and isinstance(value.get("reference"), str):
        return str(value["reference"])
    if isinstance(value, dict | list | type(None)):
        raise BadRequest(f"The parameter {shown(name)} is written as in a query, as valueString.", "parameter-type")
    return str(value).lower() if isinstance(value, bool) else str(value)


def value_of(parameter: Json) -> Any:
    """Return the value, the resource or the parts of a Parameters.parameter."""
    if "resource" in parameter:
        return parameter["resource"]
    if "part" in parameter:
        return {each["name"]: value_of(each) for each in parameter["part"]}
    return next((value for name, value in parameter.items() if name.startswith("value")), None)
