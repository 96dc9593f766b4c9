"""`$get-ws-binding-token` (Backport 1.1): a token by which a websocket is bound to Subscriptions of channel `websocket`."""

from __future__ import annotations

from fhir_server.audit.record import audit_row
from fhir_server.auth import policy
from fhir_server.context import RequestContext
from fhir_server.errors import BadRequest, Unprocessable
from fhir_server.interactions.call import Call, Json, Result
from fhir_server.interactions.results import absent
from fhir_server.kit import json
from fhir_server.kit.clock import instant
from fhir_server.operations.parameters import read_parameters
from fhir_server.operations.subscription.found import CANONICAL, asked, definition
from fhir_server.storage import reads
from fhir_server.storage.reads import Stored
from fhir_server.subscriptions import binding

DEFINITION: Json = definition(
    "get-ws-binding-token",
    "WebsocketBindingToken",
    url=f"{CANONICAL}get-ws-binding-token",
    type=True,
    parameter=[
        {"name": "ids", "use": "in", "min": 0, "max": "*", "type": "id"},
        {"name": "token", "use": "out", "min": 1, "max": "1", "type": "string"},
        {"name": "expiration", "use": "out", "min": 1, "max": "1", "type": "dateTime"},
        {"name": "subscription", "use": "out", "min": 0, "max": "*", "type": "string"},
        {"name": "websocket-url", "use": "out", "min": 1, "max": "1", "type": "url"},
    ],
)
_MOST = 100


async def handle(ctx: RequestContext, call: Call) -> Result:
    """Answer with a token for the Subscription of the address, or for those that `ids` name."""
    named = read_parameters(DEFINITION, call).get("ids", [])
    wanted = [call.address.id] if call.address.id else list(dict.fromkeys(map(str, named)))
    if not 0 < len(wanted) <= _MOST:
        raise BadRequest(f"Name 1 to {_MOST} Subscriptions by ids.", "parameter-missing", code="required")
    seen = await policy.visibility(ctx, "Subscription", "read")
    found = await reads.read_many(ctx.tenant, [("Subscription", id_) for id_ in wanted], {"Subscription": seen})
    stored = [each for id_ in wanted if (each := found.get(("Subscription", id_))) is not None and not each.deleted]
    if len(stored) < len(wanted):
        raise absent()
    if not all(map(_is_socket, stored)):
        text = "A websocket can be bound to Subscriptions to topics whose channel is websocket, and to no others."
        raise Unprocessable(text, "subscription-no-websocket", "Subscription.channel.type")
    token, expires = await binding.issue(ctx.tenant, ctx.principal, [each.rid for each in stored])
    parameter: list[Json] = [
        {"name": "token", "valueString": token},
        {"name": "expiration", "valueDateTime": instant(expires)},
        *({"name": "subscription", "valueString": each.id} for each in stored),
        {"name": "websocket-url", "valueUrl": binding.url(ctx.base)},
    ]
    rows = [
        audit_row(ctx, "operation", 200, type="Subscription", rid=each.rid, version=each.version) for each in stored
    ]
    return Result(200, json.encode({"resourceType": "Parameters", "parameter": parameter}), audit=rows)


def _is_socket(stored: Stored) -> bool:
    found = asked(json.decode_trusted(stored.body))
    return found is not None and found.channel == "websocket"
