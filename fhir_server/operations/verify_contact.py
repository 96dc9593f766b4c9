"""`$verify-contact`: proves that a contact point belongs to a person: a code goes there, and whoever knows it says so.

Who may read the resource may ask: only addresses that stand in it get a code, and only their owner can read it there.
"""

from __future__ import annotations

from fhir_server.audit.record import audit_row
from fhir_server.auth import policy
from fhir_server.context import RequestContext
from fhir_server.errors import TooManyRequests, Unprocessable
from fhir_server.interactions.call import Call, Json, Result
from fhir_server.interactions.results import absent
from fhir_server.kit import clock, json
from fhir_server.operations.parameters import read_parameters
from fhir_server.storage import contacts, reads
from workers.messages import holders
from workers.messages.communication import SERVED
from workers.messages.contact import channel_of, normal

DEFINITION: Json = {
    "resourceType": "OperationDefinition",
    "id": "verify-contact",
    "url": "https://fhir.clarity.example/OperationDefinition/verify-contact",
    "name": "VerifyContact",
    "status": "active",
    "kind": "operation",
    "affectsState": True,
    "code": "verify-contact",
    "resource": list(SERVED),
    "system": False,
    "type": False,
    "instance": True,
    "parameter": [
        {"name": "value", "use": "in", "min": 1, "max": "1", "type": "string", "documentation": "As telecom.value has it."},
        {"name": "code", "use": "in", "min": 0, "max": "1", "type": "string", "documentation": "Six digits; else one is sent."},
        {"name": "result", "use": "out", "min": 1, "max": "1", "type": "code", "documentation": "verified, or code-sent."},
    ],
}  # fmt: skip


async def handle(ctx: RequestContext, call: Call) -> Result:
    """Answer `POST [type]/{id}/$verify-contact`: without a code one goes out, with it the contact point is verified."""
    given = read_parameters(DEFINITION, call)
    type_, id_ = call.address.type or "", call.address.id or ""
    stored = await reads.read(ctx.tenant, type_, id_, await policy.visibility(ctx, type_, "read"))
    if stored is None or stored.deleted:
        raise absent()
    row = audit_row(ctx, "operation", 200, type=type_, rid=stored.rid, version=stored.version, patients=stored.patients)
    holder = await holders.holder(ctx.tenant, f"{type_}/{id_}", clock.now(), call.limits.canonical_base)
    address, channel = _address(ctx, holder, str(given["value"][0]))
    assert holder is not None
    result = "code-sent"
    if "code" in given:
        if not await contacts.confirm(ctx.tenant, holder.rid, address, channel, str(given["code"][0]).strip()):
            text = "This is not the code that holds now: it holds for 30 minutes and five tries. Ask for another one."
            raise Unprocessable(text, "contact-code", "Parameters.parameter")
        result = "verified"
    elif not await contacts.ask(ctx.tenant, holder.rid, holder.stated_by, address, channel):
        text = f"No more than {contacts.CODES_A_DAY} codes a day go to one contact point: try again tomorrow."
        raise TooManyRequests(text, "contact-codes")
    answer = {"resourceType": "Parameters", "parameter": [{"name": "result", "valueCode": result}]}
    return Result(200, json.encode(answer), audit=[row])


def _address(ctx: RequestContext, holder: holders.Holder | None, text: str) -> tuple[int, str]:
    """Return the hash and the channel of a contact point, if it is one of the holder's that messages can go to."""
    channel = channel_of(text)
    value = normal(channel, text)
    known = holders.keys(ctx.tenant, holder.usable()) if holder else {}
    key = contacts.address_key(ctx.tenant, channel, value) if value else None
    if key is None or key not in known:
        text = "The resource has no such contact point for messages: a mobile number with its country (+49...), or an address."
        raise Unprocessable(text, "contact-unknown", "Parameters.parameter")
    return key, channel
