"""`Patient/{id}/$ingest`, and `Patient/$ingest` for hubs: foreign measurements become Observations of our profiles.

The body is what a phone, a hub or a study has: a data point of Open mHealth or IEEE 1752.1 or a list of them, a batch of
HealthKit samples, of Health Connect records or of our own samples; alone, in a Binary, or in Parameters. All of it is taken or
nothing, unless `Prefer: handling=lenient` asks for what can be used. Sent again it changes nothing. 429 with Retry-After when
workers are too far behind.
"""

from __future__ import annotations

import base64
import binascii
from collections import Counter
from collections.abc import Iterable
from typing import Any

from fhir_server.audit.record import audit_row
from fhir_server.auth import policy
from fhir_server.context import RequestContext
from fhir_server.errors import BadRequest, FhirError, Issue, TooLarge, TooManyRequests, Unprocessable, outcome
from fhir_server.interactions.call import Call, Json, Result
from fhir_server.interactions.pace import Pace
from fhir_server.interactions.results import absent
from fhir_server.kit import clock, json
from fhir_server.operations.ingest_keep import Batch, Kept, keep
from fhir_server.operations.parameters import read_parameters
from fhir_server.storage import backlog, reads
from workers.ingest import observe, payload, times
from workers.ingest.sample import Left, Sample, Unusable

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

_IN = ("format", "source", "zone")
_MOST_ISSUES = 100


async def handle(ctx: RequestContext, call: Call) -> Result:
    """Answer `POST Patient/$ingest` and `POST Patient/{id}/$ingest`."""
    waits = await backlog.age(ctx.tenant)
    if waits > call.limits.lag_seconds:
        text = "The workers are behind with what came before; send it again later."
        raise TooManyRequests(text, "ingest-behind", headers={"Retry-After": str(min(60, max(2, int(waits / 10))))})
    given, content = _given(call)
    found, issues, left = await _read(ctx, call, given, content)
    if issues and not ctx.lenient:
        raise Unprocessable(issues[0].text, issues[0].id, issues=issues[:_MOST_ISSUES])
    await _check_patients(ctx, {patient for patient, _, _ in found})
    await policy.visibility(ctx, "Observation", "create")
    batch = Batch(call.limits.canonical_base, content)
    for patient, resource, sample in found:
        batch.add(patient, resource, sample.origin)
    kept = await keep(ctx, batch) if found else Kept()
    kept.unchanged += batch.repeated
    return Result(
        200, json.encode(_answer(kept, issues, left)), audit=[audit_row(ctx, "operation", 200, type="Patient")]
    )


def _given(call: Call) -> tuple[dict[str, str], bytes]:
    """Return the parameters, of query or body, and the bytes of the payload."""
    given = {name: value for name, value in call.params if name in _IN}
    if strange := [name for name, _ in call.params if name not in _IN]:
        text = f"$ingest takes {', '.join(_IN)} in its query and the payload as its body."
        raise BadRequest(text, "parameter-unknown", strange[0] if strange[0].isidentifier() else None)
    if not call.body:
        raise BadRequest("Send the payload as the body.", "body-missing", code="required")
    body = json.decode(call.body)
    kind = body.get("resourceType") if isinstance(body, dict) else None
    if kind == "Parameters":
        told = read_parameters(DEFINITION, call)
        given |= {name: str(value[0]) for name, value in told.items() if name in _IN}
        body = told["payload"][0] if "payload" in told else None
        if body is None:
            raise BadRequest(
                "The parameter payload is required.", "parameter-missing", "Parameters.parameter", code="required"
            )
        return given, _binary(body)
    return given, _binary(body) if kind == "Binary" else call.body


def _binary(resource: Any) -> bytes:
    """Return the content of a Binary."""
    try:
        return base64.b64decode(resource["data"], validate=True)
    except (KeyError, TypeError, ValueError, binascii.Error) as error:
        raise BadRequest("A Binary has its content as base64 in data.", "binary-empty", "Binary.data") from error


async def _read(
    ctx: RequestContext, call: Call, given: dict[str, str], content: bytes
) -> tuple[list[tuple[str, Json, Sample]], list[Issue], Counter[str]]:
    """Return what is to be stored (patient, Observation, sample), what cannot be used, and what is not kept."""
    found: list[tuple[str, Json, Sample]] = []
    issues: list[Issue] = []
    left: Counter[str] = Counter()
    pace, now = Pace(), clock.now()
    try:
        zone = payload.zone_named(given["zone"], "zone") if "zone" in given else None
        source = given.get("source") or ctx.principal.client_id
        for each in payload.payloads(json.decode(content), source, zone, given.get("format")):
            patient = _patient(call, each)
            for where, item in payload.read(each):
                await pace.step()
                if len(found) > call.limits.bundle_entries:
                    text = f"A request has {call.limits.bundle_entries} measurements at most; send several."
                    raise TooLarge(text, "ingest-too-many")
                _take(item, where, patient, now, call.limits.canonical_base, (found, issues, left))
    except Unusable as error:
        raise _refused(error) from error
    return found, issues, left


def _take(item: Any, where: str, patient: str, now: Any, base: str, into: Any) -> None:
    """Put one item where it belongs."""
    found, issues, left = into
    if isinstance(item, Left):
        left[item.what] += 1
        return
    try:
        if isinstance(item, Unusable):
            raise item
        if times.ahead(observe.span(item)[1], now):
            raise Unusable("time-ahead", "This lies in the future: the clock of the device is wrong.", where)
        found.append((patient, observe.observation(patient, item, base), item))
    except Unusable as error:
        issue = error if not where or (error.where or "").startswith(where) else error.within(where)
        issues.append(Issue("value", f"ingest-{issue.reason}", issue.text, issue.where))


def _patient(call: Call, each: payload.Payload) -> str:
    """Return whose measurements these are: those of the address, else of the payload."""
    if call.address.id:
        if each.patient not in (None, call.address.id):
            raise Unusable("patient", "This payload names another patient than the address.", each.where)
        return call.address.id
    if each.patient is None:
        raise Unusable("patient", "A payload sent to Patient/$ingest says its patient.", each.where)
    return each.patient


def _refused(error: Unusable) -> FhirError:
    return Unprocessable(error.text, f"ingest-{error.reason}", error.where)


async def _check_patients(ctx: RequestContext, patients: Iterable[str]) -> None:
    """Raise unless every patient is there for the caller."""
    names = [("Patient", id_) for id_ in sorted(patients)]
    seen = {"Patient": await policy.visibility(ctx, "Patient", "read")}
    there = await reads.read_many(ctx.tenant, names, seen)
    if any(name not in there or there[name].deleted for name in names):
        raise absent()


def _answer(kept: Kept, issues: list[Issue], left: Counter[str]) -> Json:
    counts = {"created": kept.created, "updated": kept.updated, "unchanged": kept.unchanged, "outdone": kept.outdone}
    parameters: list[Json] = [
        {"name": name, "valueInteger": count} for name, count in (counts | {"refused": len(issues)}).items()
    ]
    for what, count in sorted(left.items()):
        part = [{"name": "what", "valueString": what}, {"name": "count", "valueInteger": count}]
        parameters.append({"name": "left", "part": part})
    if issues:
        parameters.append({"name": "outcome", "resource": outcome(issues[:_MOST_ISSUES])})
    return {"resourceType": "Parameters", "parameter": parameters}
