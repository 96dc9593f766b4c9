"""`[Condition|Observation|MedicationStatement]/{id}/$accept`: a clinician accepts or rejects what was found in a text.

Accepted, it is a resource like any other: confirmed, final or active, with who said so. Rejected, it is entered-in-error.
"""

from __future__ import annotations

from typing import Final

from fhir_server.audit.record import audit_row
from fhir_server.auth import labels, policy
from fhir_server.context import RequestContext
from fhir_server.errors import Conflict, Forbidden, Unprocessable
from fhir_server.interactions import commands
from fhir_server.interactions.call import Call, Json, Result
from fhir_server.interactions.conditions import check_conditions
from fhir_server.interactions.results import absent, location
from fhir_server.kit import clock, ids, json
from fhir_server.operations.parameters import read_parameters
from fhir_server.operations.proposals import is_proposal
from fhir_server.search.extract import extract
from fhir_server.storage import reads
from fhir_server.storage.commands import PREDICTION, PUT
from fhir_server.storage.commit import commit
from fhir_server.storage.errors import VersionConflict
from workers.notes.document import PARTICIPANT

DEFINITION: Json = {
    "resourceType": "OperationDefinition",
    "id": "Resource-accept",
    "url": "https://fhir.clarity.example/OperationDefinition/Resource-accept",
    "name": "Accept",
    "status": "active",
    "kind": "operation",
    "affectsState": True,
    "code": "accept",
    "resource": ["Condition", "Observation", "MedicationStatement"],
    "system": False,
    "type": False,
    "instance": True,
    "parameter": [
        {
            "name": "reject",
            "use": "in",
            "min": 0,
            "max": "1",
            "type": "boolean",
            "documentation": "true: it is not so.",
        },
        {"name": "return", "use": "out", "min": 1, "max": "1", "type": "Resource"},
    ],
}
_SURE: Final = "http://terminology.hl7.org/CodeSystem/condition-ver-status"


async def handle(ctx: RequestContext, call: Call) -> Result:
    """Answer `POST [type]/{id}/$accept`: 200 and the resource as it stands now."""
    reject = bool(read_parameters(DEFINITION, call).get("reject", [False])[0])
    type_, id_ = call.address.type, call.address.id
    assert type_
    assert id_
    current = await reads.read(ctx.tenant, type_, id_, await policy.visibility(ctx, type_, "update"))
    if current is None or current.deleted:
        raise absent()
    check_conditions(call.conditions, current)
    resource = json.decode_trusted(current.body)
    who = ctx.principal.user or ""
    if not who.startswith("Practitioner/"):
        raise Forbidden(
            "Findings are accepted by practitioners who signed in, not by services or patients.", "accept-person"
        )
    if not is_proposal(resource):
        raise Unprocessable(
            "Only what was found in a text and still waits is accepted or rejected.", "accept-kind", type_
        )
    made = _rejected(resource) if reject else _accepted(resource, who)
    command = commands.build(ctx.tenant, made, id_, current=current, http_method=PUT)
    assert command.index is not None
    await policy.check_write(ctx, type_, "update", command.index, id_)
    labels.check_kept(ctx, (command.previous or extract(ctx.tenant, resource)).keys, command.index.keys)
    told = commands.build(
        ctx.tenant,
        _provenance(type_, id_, current.version, who, reject=reject),
        ids.new_id(),
        origin=PREDICTION,
        fresh=True,
    )
    rows = [audit_row(ctx, "update", 200, type=type_), audit_row(ctx, "create", 201, type="Provenance")]
    try:
        done, _ = await commit(ctx.tenant, [command, told], rows)
    except VersionConflict as error:
        raise Conflict("Somebody has just changed this: read it again.", "accept-overtaken") from error
    where = location(ctx, done.type, done.id, done.version)
    return Result(200, done.body, done.version, done.last_updated, where, audited=True, resource_type=done.type)


def _tags(resource: Json) -> list[Json]:
    return list(resource.get("meta", {}).get("tag", ()))


def _settled(resource: Json) -> Json:
    """Return the resource without the tag of a proposal."""
    meta = {k: v for k, v in resource["meta"].items() if k not in ("tag", "versionId", "lastUpdated")}
    rest = [tag for tag in _tags(resource) if tag.get("code") != "proposed"]
    return resource | {"meta": meta | ({"tag": rest} if rest else {})}


def _accepted(resource: Json, who: str) -> Json:
    person = {"reference": who}
    by_type: dict[str, Json] = {
        "Condition": {"verificationStatus": {"coding": [{"system": _SURE, "code": "confirmed"}]}, "asserter": person},
        "Observation": {"status": "final", "performer": [person]},
        "MedicationStatement": {"status": "active", "informationSource": person},
    }
    return _settled(resource) | by_type[resource["resourceType"]]


def _rejected(resource: Json) -> Json:
    if resource["resourceType"] == "Condition":
        kept = {k: v for k, v in _settled(resource).items() if k != "clinicalStatus"}  # con-5
        return kept | {"verificationStatus": {"coding": [{"system": _SURE, "code": "entered-in-error"}]}}
    return _settled(resource) | {"status": "entered-in-error"}


def _provenance(type_: str, id_: str, version: int, who: str, *, reject: bool) -> Json:
    coding = {"system": PARTICIPANT, "code": "verifier", "display": "Verifier"}
    return {
        "resourceType": "Provenance",
        "target": [{"reference": f"{type_}/{id_}/_history/{version + 1}"}],
        "recorded": clock.instant(clock.now()),
        "activity": {"text": "rejected" if reject else "accepted"},
        "agent": [{"type": {"coding": [coding]}, "who": {"reference": who}}],
        "entity": [{"role": "revision", "what": {"reference": f"{type_}/{id_}/_history/{version}"}}],
    }
