"""`$validate`: would this resource be taken, and what is wrong with it (R4 `resource-operation-validate.html`).

Shape, cardinality, primitives, required codes and reference targets; `mode` adds what an update or delete asks for, `profile` what
a profile that is stored here asks for, with the invariants of R4.
"""

from __future__ import annotations

from typing import Any

from fhir_server.auth import policy
from fhir_server.context import RequestContext
from fhir_server.errors import BadRequest, FhirError, Issue, outcome
from fhir_server.interactions.call import Call, Json, Result
from fhir_server.interactions.results import absent
from fhir_server.kit import json
from fhir_server.model.references import settle_references
from fhir_server.operations import validate_profile
from fhir_server.operations.parameters import value_of
from fhir_server.storage import reads
from fhir_server.validation.validate import parse_resource, validate

DEFINITION: Json = {
    "resourceType": "OperationDefinition",
    "id": "Resource-validate",
    "url": "http://hl7.org/fhir/OperationDefinition/Resource-validate",
    "name": "Validate",
    "status": "active",
    "kind": "operation",
    "affectsState": False,
    "code": "validate",
    "resource": ["Resource"],
    "system": False,
    "type": True,
    "instance": True,
    "parameter": [
        {"name": "resource", "use": "in", "min": 0, "max": "1", "type": "Resource"},
        {"name": "mode", "use": "in", "min": 0, "max": "1", "type": "code"},
        {"name": "profile", "use": "in", "min": 0, "max": "1", "type": "uri"},
        {"name": "return", "use": "out", "min": 1, "max": "1", "type": "OperationOutcome"},
    ],
}

_MODES = ("create", "update", "delete")
_FINE = Issue("informational", "valid", "No issues were found.", severity="information")


async def handle(ctx: RequestContext, call: Call) -> Result:
    """Answer `POST Type/$validate` and `POST Type/id/$validate`: 200 and an OperationOutcome, whatever is found."""
    given = _given(call)
    mode = given.get("mode")
    if mode is not None and mode not in _MODES:
        raise BadRequest(f"mode is one of {', '.join(_MODES)}.", "validate-mode")
    await _check_instance(ctx, call, mode)
    resource = given.get("resource")
    if resource is None and mode != "delete":
        raise BadRequest("Send the resource to validate, alone or as the parameter resource.", "parameter-missing")
    issues = [] if resource is None else _issues(ctx, call, resource, mode)
    if "profile" in given and resource is not None and not issues:
        issues = await validate_profile.issues(ctx, resource, str(given["profile"]))
    return Result(200, json.encode(outcome(issues or [_FINE])))


def _given(call: Call) -> dict[str, Any]:
    """Return mode, profile and resource, the resource as decoded and not yet checked."""
    given: dict[str, Any] = {name: value for name, value in call.params if name in ("mode", "profile")}
    if not call.body:
        return given
    body = json.decode(call.body)
    if not isinstance(body, dict):
        raise BadRequest("The body must be a JSON object.", "resource-expected")
    if body.get("resourceType") != "Parameters" or call.address.type == "Parameters":
        return given | {"resource": body}
    shell = _without_resources(body)
    parse_resource(json.encode(shell), expect="Parameters")
    parts = body.get("parameter", [])
    return given | {part["name"]: value_of(part) for part in parts if part["name"] in ("mode", "profile", "resource")}


def _without_resources(body: Json) -> Json:
    """Return Parameters whose resources are put aside: what is wrong with them is the answer, not a refusal."""
    parameters = body.get("parameter")
    if not isinstance(parameters, list):
        return body
    kept = [
        {"name": each.get("name"), "valueBoolean": True} if isinstance(each, dict) and "resource" in each else each
        for each in parameters
    ]
    return body | {"parameter": kept}


async def _check_instance(ctx: RequestContext, call: Call, mode: str | None) -> None:
    type_, id_ = call.address.type, call.address.id
    assert type_
    interaction = "delete" if mode == "delete" else "update" if id_ or mode == "update" else "create"
    visibility = await policy.visibility(ctx, type_, interaction)
    if id_ is not None and mode in ("update", "delete"):
        stored = await reads.read(ctx.tenant, type_, id_, visibility)
        if stored is None or stored.deleted:
            raise absent()


def _issues(ctx: RequestContext, call: Call, resource: Any, mode: str | None) -> list[Issue]:
    if not isinstance(resource, dict):
        return [Issue("structure", "resource-expected", "The parameter resource must hold a resource.")]
    if resource.get("resourceType") != call.address.type:
        text = f"A {call.address.type} is validated at this address."
        return [Issue("invalid", "type-mismatch", text, "Resource.resourceType")]
    issues = _shape_issues(resource)
    if not issues:
        issues = settle_references(resource, ctx.base)
    if call.address.id and mode == "update" and resource.get("id") != call.address.id:
        text = "For an update the resource needs the id of the address."
        issues.append(Issue("invalid", "id-mismatch", text, f"{call.address.type}.id"))
    return issues


def _shape_issues(resource: Json) -> list[Issue]:
    try:
        return validate(resource)
    except FhirError as error:
        return error.issues
