"""`Patient/{id}/$ingest`, and `Patient/$ingest` for hubs: foreign measurements become Observations of our profiles.

The body is what a phone, a hub or a study has: a data point of Open mHealth or IEEE 1752.1 or a list of them, a batch of
HealthKit samples, of Health Connect records or of our own samples; alone, in a Binary, or in Parameters. All of it is taken or
nothing, unless `Prefer: handling=lenient` asks for what can be used. Sent again it changes nothing. 429 with Retry-After when
workers are too far behind.
"""

from __future__ import annotations

from collections.abc import Iterable

from fhir_server.audit.record import audit_row
from fhir_server.auth import policy
from fhir_server.context import RequestContext
from fhir_server.errors import TooManyRequests, Unprocessable, outcome
from fhir_server.interactions.call import Call, Json, Result
from fhir_server.interactions.pace import Pace
from fhir_server.interactions.results import absent
from fhir_server.kit import json
from fhir_server.operations.ingest_keep import Batch, Kept, keep
from fhir_server.operations.ingest_read import Request, read_request
from fhir_server.storage import backlog, reads
from workers.ingest import payload

_FORMATS = ", ".join(payload.LISTS)
DEFINITION: Json = {
    "resourceType": "OperationDefinition",
    "id": "Patient-ingest",
    "url": "https://fhir.clarity.example/OperationDefinition/Patient-ingest",
    "name": "Ingest",
    "title": "Measurements of wearables, in their own formats, as Observations",
    "status": "active",
    "kind": "operation",
    "affectsState": True,
    "code": "ingest",
    "resource": ["Patient"],
    "system": False,
    "type": True,
    "instance": True,
    "parameter": [
        {
            "name": "format",
            "use": "in",
            "min": 0,
            "max": "1",
            "type": "code",
            "documentation": f"Of a payload that does not show it: {_FORMATS}.",
        },
        {
            "name": "source",
            "use": "in",
            "min": 0,
            "max": "1",
            "type": "string",
            "documentation": "Who tells, when the payload does not say; else the client's id.",
        },
        {
            "name": "zone",
            "use": "in",
            "min": 0,
            "max": "1",
            "type": "string",
            "documentation": "IANA time zone of local times that state no offset.",
        },
        {
            "name": "mapping",
            "use": "in",
            "min": 0,
            "max": "1",
            "type": "string",
            "documentation": "What the columns of a CSV are, as TOML (`workers/ingest/table.py`).",
        },
        {"name": "payload", "use": "in", "min": 0, "max": "1", "type": "Binary", "documentation": "The payload."},
        *({"name": name, "use": "out", "min": 1, "max": "1", "type": "integer"} for name in
          ("created", "updated", "unchanged", "outdone", "refused")),
        {
            "name": "left",
            "use": "out",
            "min": 0,
            "max": "*",
            "documentation": "A kind of item that is not kept, and how often.",
            "part": [
                {"name": "what", "use": "out", "min": 1, "max": "1", "type": "string"},
                {"name": "count", "use": "out", "min": 1, "max": "1", "type": "integer"},
            ],
        },
        {"name": "outcome", "use": "out", "min": 0, "max": "1", "type": "OperationOutcome"},
    ],
}  # fmt: skip

_MOST_ISSUES = 100


async def handle(ctx: RequestContext, call: Call) -> Result:
    """Answer `POST Patient/$ingest` and `POST Patient/{id}/$ingest`."""
    waits = await backlog.age(ctx.tenant)
    if waits > call.limits.lag_seconds:
        text = "The workers are behind with what came before; send it again later."
        raise TooManyRequests(text, "ingest-behind", headers={"Retry-After": str(min(60, max(2, int(waits / 10))))})
    await policy.visibility(ctx, "Observation", "create")
    request = await read_request(DEFINITION, ctx, call)
    if request.issues and not ctx.lenient:
        raise Unprocessable(request.issues[0].text, request.issues[0].id, issues=request.issues[:_MOST_ISSUES])
    await _check_patients(ctx, {patient for patient, _, _ in request.found})
    batch = Batch(call.limits.canonical_base, request.content)
    pace = Pace()
    for patient, resource, origin in request.found:
        batch.add(patient, resource, origin)
        await pace.step()
    kept = await keep(ctx, batch) if request.found else Kept()
    kept.unchanged += batch.repeated
    row = audit_row(ctx, "operation", 200, type="Patient")
    return Result(200, json.encode(_answer(kept, request)), audit=[row])


async def _check_patients(ctx: RequestContext, patients: Iterable[str]) -> None:
    """Raise unless every patient is there for the caller."""
    names = [("Patient", id_) for id_ in sorted(patients)]
    seen = {"Patient": await policy.visibility(ctx, "Patient", "read")}
    there = await reads.read_many(ctx.tenant, names, seen)
    if any(name not in there or there[name].deleted for name in names):
        raise absent()


def _answer(kept: Kept, request: Request) -> Json:
    counts = {"created": kept.created, "updated": kept.updated, "unchanged": kept.unchanged, "outdone": kept.outdone}
    parameters: list[Json] = [
        {"name": name, "valueInteger": count} for name, count in (counts | {"refused": len(request.issues)}).items()
    ]
    for what, count in sorted(request.left.items()):
        part = [{"name": "what", "valueString": what}, {"name": "count", "valueInteger": count}]
        parameters.append({"name": "left", "part": part})
    if request.issues:
        parameters.append({"name": "outcome", "resource": outcome(request.issues[:_MOST_ISSUES])})
    return {"resourceType": "Parameters", "parameter": parameters}
