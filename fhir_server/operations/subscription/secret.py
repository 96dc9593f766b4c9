"""`Subscription/{id}/$webhook-secret`: the secret by which `webhook-signature` is made; `renew` makes a new one.

For 24 hours after that both sign. Whoever may change the Subscription may know its secret.
"""

from __future__ import annotations

from fhir_server.audit.record import audit_row
from fhir_server.context import RequestContext
from fhir_server.errors import Conflict
from fhir_server.interactions.call import Call, Json, Result
from fhir_server.kit import json
from fhir_server.operations.parameters import read_parameters
from fhir_server.operations.subscription.found import definition, one
from fhir_server.subscriptions import signing

DEFINITION: Json = definition(
    "webhook-secret",
    "WebhookSecret",
    affectsState=True,
    parameter=[
        {"name": "renew", "use": "in", "min": 0, "max": "1", "type": "boolean"},
        {"name": "secret", "use": "out", "min": 1, "max": "*", "type": "string"},
    ],
)


async def handle(ctx: RequestContext, call: Call) -> Result:
    """Answer with the secrets that sign now, the newest first."""
    renew = read_parameters(DEFINITION, call).get("renew", [False])[0] is True
    stored, _, _ = await one(ctx, call, "update")
    found = await (signing.renew if renew else signing.secrets)(ctx.tenant, stored.rid)
    if not found:
        raise Conflict(
            "The Subscription was not looked at yet: ask again when it is active.", "subscription-not-judged"
        )
    parameter = [{"name": "secret", "valueString": signing.shown(secret)} for secret in found]
    row = audit_row(ctx, "operation", 200, type="Subscription", rid=stored.rid, version=stored.version)
    return Result(200, json.encode({"resourceType": "Parameters", "parameter": parameter}), audit=[row])
