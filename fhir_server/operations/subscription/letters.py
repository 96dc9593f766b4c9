"""`Subscription/$dead-letters` and `Subscription/{id}/$replay`: what could not be delivered, and delivering it after all.

For administrators: ids, numbers and reasons, never content. Events that are replayed are sent again in their order, before what
waits behind them, once the Subscription is active; who may see what is asked again then.
"""

from __future__ import annotations

from fhir_server.audit.record import audit_row
from fhir_server.context import RequestContext
from fhir_server.errors import BadRequest, Forbidden
from fhir_server.interactions.call import Call, Json, Result
from fhir_server.kit import clock, json
from fhir_server.operations.parameters import read_parameters
from fhir_server.operations.subscription.found import definition, one
from fhir_server.storage.tenants import OUTBOX
from fhir_server.subscriptions import breaker, guard, letters

_RANGE: list[Json] = [
    {"name": "eventsSinceNumber", "use": "in", "min": 0, "max": "1", "type": "string"},
    {"name": "eventsUntilNumber", "use": "in", "min": 0, "max": "1", "type": "string"},
]


def _part(name: str, type_: str, least: int = 1) -> Json:
    return {"name": name, "use": "out", "min": least, "max": "1", "type": type_}


DEFINITION: Json = definition(
    "dead-letters",
    "DeadLetters",
    type=True,
    instance=False,
    parameter=[
        {
            "name": "letter",
            "use": "out",
            "min": 0,
            "max": "*",
            "part": [
                _part("subscription", "Reference"),
                _part("event-number", "string"),
                _part("focus", "Reference"),
                _part("attempts", "integer"),
                _part("given-up", "instant"),
                _part("last-status", "integer", least=0),
            ],
        },
        {
            "name": "endpoint",
            "use": "out",
            "min": 0,
            "max": "*",
            "part": [_part("subscription", "Reference"), _part("failures", "integer"), _part("until", "instant")],
        },
    ],
)
REPLAY: Json = definition(
    "replay",
    "Replay",
    affectsState=True,
    parameter=[*_RANGE, {"name": "replayed", "use": "out", "min": 1, "max": "1", "type": "integer"}],
)


async def handle(ctx: RequestContext, call: Call) -> Result:
    """Answer with every event that was given up, and with the endpoints that are left alone now."""
    read_parameters(DEFINITION, call)
    await _administrator(ctx)
    parameter = [_letter(each) for each in await letters.dead(ctx.tenant)]
    for row in await breaker.opened(ctx.tenant):
        name = (await letters.names(ctx.tenant, [row["rid"]]))[row["rid"]]
        parts = [
            _reference(name),
            {"name": "failures", "valueInteger": row["failures"]},
            {"name": "until", "valueInstant": clock.instant(row["open_until"])},
        ]
        parameter.append({"name": "endpoint", "part": parts})
    body = json.encode({"resourceType": "Parameters", "parameter": parameter})
    return Result(200, body, audit=[audit_row(ctx, "operation", 200, type="Subscription")])


async def replay(ctx: RequestContext, call: Call) -> Result:
    """Let dead letters wait again; answer how many."""
    given = read_parameters(REPLAY, call)
    await _administrator(ctx)
    stored, _, _ = await one(ctx, call, "update")
    bounds = [_number(given.get(each["name"], [None])[0], each["name"]) for each in _RANGE]
    count = await letters.replay(ctx.tenant, stored.rid, *bounds)
    ctx.tenant.announce(OUTBOX)
    row = audit_row(ctx, "operation", 200, type="Subscription", rid=stored.rid, version=stored.version)
    parameter = [{"name": "replayed", "valueInteger": count}]
    return Result(200, json.encode({"resourceType": "Parameters", "parameter": parameter}), audit=[row])


async def _administrator(ctx: RequestContext) -> None:
    if not await guard.administers(ctx):
        text = "Dead letters are an administrator's: that needs a scope such as system/*.cruds, without filters."
        raise Forbidden(text, "dead-letters-administrators")


def _letter(letter: letters.Letter) -> Json:
    parts = [
        _reference(letter.subscription),
        {"name": "event-number", "valueString": str(letter.event)},
        {"name": "focus", "valueReference": {"reference": letter.focus}},
        {"name": "attempts", "valueInteger": letter.attempts},
        {"name": "given-up", "valueInstant": clock.instant(letter.given_up)},
    ]
    if letter.last_status is not None:
        parts.append({"name": "last-status", "valueInteger": letter.last_status})
    return {"name": "letter", "part": parts}


def _reference(id_: str) -> Json:
    return {"name": "subscription", "valueReference": {"reference": f"Subscription/{id_}"}}


def _number(value: object, name: str) -> int | None:
    text = str(value)
    if value is None:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) < 19):
        raise BadRequest(f"{name} is a whole number, 0 or more.", "parameter-value", "Parameters.parameter")
    return int(text)
