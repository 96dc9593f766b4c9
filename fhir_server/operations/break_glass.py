"""`Patient/{id}/$break-glass`: emergency access to one patient's record, with a reason, for minutes (BALP: purpose of use BTG).

First the patient's record is told, by a Communication, and the audit trail; only then is it opened.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from fhir_server.audit.record import audit_row, sealed, write_audit
from fhir_server.auth import glass, policy
from fhir_server.context import RequestContext
from fhir_server.errors import BadRequest, Forbidden
from fhir_server.interactions import commands
from fhir_server.interactions.call import Call, Json, Result
from fhir_server.interactions.results import absent
from fhir_server.kit import clock, json
from fhir_server.kit.ids import new_id
from fhir_server.operations.parameters import read_parameters
from fhir_server.storage import glass as storage
from fhir_server.storage import reads
from fhir_server.storage.commit import commit
from fhir_server.storage.glass import Glass
from fhir_server.storage.visibility import EVERYTHING

ACT_REASON: Final = "http://terminology.hl7.org/CodeSystem/v3-ActReason"
BTG: Final = {"system": ACT_REASON, "code": "BTG", "display": "break the glass"}
_CATEGORY: Final = "http://terminology.hl7.org/CodeSystem/communication-category"
MINUTES: Final = 60
LONGEST: Final = 240
SHORTEST_REASON: Final = 10
LONGEST_REASON: Final = 1000

DEFINITION: Json = {
    "resourceType": "OperationDefinition",
    "id": "Patient-break-glass",
    "url": "https://fhir.clarity.example/OperationDefinition/Patient-break-glass",
    "name": "BreakGlass",
    "status": "active",
    "kind": "operation",
    "affectsState": True,
    "code": "break-glass",
    "resource": ["Patient"],
    "system": False,
    "type": False,
    "instance": True,
    "parameter": [
        {
            "name": "reason",
            "use": "in",
            "min": 1,
            "max": "1",
            "type": "string",
            "documentation": f"Why, in {SHORTEST_REASON} to {LONGEST_REASON} characters; for who watches over emergency access.",
        },
        {
            "name": "minutes",
            "use": "in",
            "min": 0,
            "max": "1",
            "type": "integer",
            "documentation": f"How long, 1 to {LONGEST}; {MINUTES} when not given.",
        },
        {"name": "until", "use": "out", "min": 1, "max": "1", "type": "instant"},
        {"name": "notice", "use": "out", "min": 1, "max": "1", "type": "Reference"},
    ],
}


async def handle(ctx: RequestContext, call: Call) -> Result:
    """Answer `POST Patient/{id}/$break-glass`: 200 and until when; 403 for who has not the right, or no scope on Patient."""
    await policy.visibility(ctx, "Patient", "read")
    if not glass.may(ctx.principal):
        text = "Emergency access is for people with the right to it (psychiatrists, clinicians), not for services."
        raise Forbidden(text, "break-glass-right")
    reason, minutes = _asked(call)
    assert call.address.id
    patient = await reads.read(ctx.tenant, "Patient", call.address.id, EVERYTHING)  # shows nothing but that it is there
    if patient is None or patient.deleted:
        raise absent()
    now = clock.now()
    until = now + timedelta(minutes=minutes)
    notice = commands.build(ctx.tenant, _notice(ctx, patient.id, now, until), new_id(), fresh=True)
    row = audit_row(ctx, "operation", 200, type="Patient", rid=patient.rid, patients=[patient.rid])
    row.detail = sealed(ctx.tenant, {"operation": "$break-glass", "reason": reason, "until": clock.instant(until)})
    opened = Glass(ctx.principal.agent, patient.rid, now, until, reason=reason, notice=notice.id)
    await commit(ctx.tenant, [notice], [audit_row(ctx, "create", 201, type=notice.type)])
    await write_audit(ctx.tenant, [row])
    await storage.add(ctx.tenant, opened)
    glass.forget(ctx.tenant, ctx.principal.agent)
    return Result(200, _answer(until, notice.id), audited=True)


def _asked(call: Call) -> tuple[str, int]:
    if any(name == "reason" for name, _ in call.params):
        raise BadRequest(
            "Send the reason in a Parameters resource: addresses are written down.", "break-glass-reason", "reason"
        )
    given = read_parameters(DEFINITION, call)
    reason, minutes = " ".join(str(given["reason"][0]).split()), given.get("minutes", [MINUTES])[0]
    if not SHORTEST_REASON <= len(reason) <= LONGEST_REASON:
        text = f"A reason has {SHORTEST_REASON} to {LONGEST_REASON} characters: somebody will read it."
        raise BadRequest(text, "break-glass-reason", "reason")
    if not 1 <= minutes <= LONGEST:
        raise BadRequest(f"minutes is 1 to {LONGEST}.", "break-glass-minutes", "minutes")
    return reason, minutes


def _notice(ctx: RequestContext, patient: str, now: datetime, until: datetime) -> Json:
    text = f"Emergency access to this record was taken at {clock.instant(now)}; it ends at {clock.instant(until)}."
    return {
        "resourceType": "Communication",
        "status": "completed",
        "category": [{"coding": [{"system": _CATEGORY, "code": "notification"}]}],
        "priority": "urgent",
        "subject": {"reference": f"Patient/{patient}"},
        "sent": clock.instant(now),
        "sender": {"reference": ctx.principal.user},
        "recipient": [{"reference": f"Patient/{patient}"}],
        "reasonCode": [{"coding": [BTG]}],
        "payload": [{"contentString": text}],
    }  # fmt: skip


def _answer(until: datetime, notice: str) -> bytes:
    parameter = [
        {"name": "until", "valueInstant": clock.instant(until)},
        {"name": "notice", "valueReference": {"reference": f"Communication/{notice}"}},
    ]
    return json.encode({"resourceType": "Parameters", "parameter": parameter})
