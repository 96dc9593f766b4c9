"""`Subscription/{id}/$events` (Backport 1.1): what happened, by numbers, for who has missed something.

Each event is shown as far as both the author of the Subscription and the caller may see it now; what neither may see (any more) has
its number and its time. Events are kept for seven days after they were told.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from fhir_server.audit.record import audit_row
from fhir_server.auth import policy
from fhir_server.context import RequestContext
from fhir_server.errors import BadRequest
from fhir_server.interactions.call import Call, Json, Result
from fhir_server.kit import json
from fhir_server.operations.parameters import read_parameters
from fhir_server.operations.subscription.found import CANONICAL, definition, one
from fhir_server.storage import ident
from fhir_server.storage.visibility import NOTHING, Visibility
from fhir_server.subscriptions import author, deliveries, notices, state
from fhir_server.subscriptions.deliveries import Delivery
from fhir_server.subscriptions.topics import bundle

DEFINITION: Json = definition(
    "events",
    "Events",
    url=f"{CANONICAL}events",
    parameter=[
        {"name": "eventsSinceNumber", "use": "in", "min": 0, "max": "1", "type": "string"},
        {"name": "eventsUntilNumber", "use": "in", "min": 0, "max": "1", "type": "string"},
        {"name": "content", "use": "in", "min": 0, "max": "1", "type": "code"},
        {"name": "return", "use": "out", "min": 1, "max": "1", "type": "Bundle"},
    ],
)
MOST = 500
"""Events of one answer; the rest is behind its link `next`."""
_CONTENTS = ("empty", "id-only", "full-resource")


async def handle(ctx: RequestContext, call: Call) -> Result:
    """Answer with a notification Bundle of type query-event."""
    given = read_parameters(DEFINITION, call)
    since, until = (_number(given, name) for name in ("eventsSinceNumber", "eventsUntilNumber"))
    content = given.get("content", [None])[0]
    if content not in (None, *_CONTENTS):
        raise BadRequest(f"content is one of {', '.join(_CONTENTS)}.", "parameter-value", "Parameters.parameter")
    stored, resource, asked = await one(ctx, call)
    found = await deliveries.between(ctx.tenant, stored.rid, since or 0, until, MOST + 1)
    about = await notices.about(ctx.tenant, stored, asked, resource.get("status", "requested"), content)
    sees = await _seen(ctx, stored.rid, found)
    told = [await notices.told(ctx.tenant, each, sees) for each in found[:MOST]]
    made = bundle.notification(about, "query-event", told)
    if len(found) > MOST:
        more = {"eventsSinceNumber": found[MOST].event} | ({"eventsUntilNumber": until} if until is not None else {})
        query = urlencode(more | ({"content": content} if content else {}))
        made["link"] = [{"relation": "next", "url": f"{about.url}/$events?{query}"}]
    query = f"Subscription/{stored.id}/$events"
    rows = [audit_row(ctx, "operation", 200, type="Subscription", rid=stored.rid, query=query)]
    rows += [
        audit_row(
            ctx, "operation", 200, type=each.focus.type, rid=each.focus.rid, version=each.focus.version,
            patients=each.focus.patients, query=query,
        )
        for each in told if each.focus is not None and about.content != "empty"
    ]  # fmt: skip
    return Result(200, json.encode(made), audit=rows)


async def _seen(ctx: RequestContext, rid: int, found: list[Delivery]) -> dict[str, Visibility]:
    """Return what of each type both the author of the Subscription and the caller may see now."""
    judged = await state.judged(ctx.tenant, rid)
    types = {type_ for type_, _ in (await ident.names(ctx.tenant, {each.rid for each in found})).values()}
    callers = await policy.visibilities(ctx, author.INTERACTION, types)
    authors = {type_: await author.sees(ctx.tenant, judged.agent, type_) if judged else NOTHING for type_ in types}
    return {type_: policy.both(callers.get(type_, NOTHING), authors[type_]) for type_ in types}


def _number(given: Any, name: str) -> int | None:
    value = given.get(name, [None])[0]
    if value is None:
        return None
    text = str(value)
    if isinstance(value, bool) or not (text.isascii() and text.isdecimal() and len(text) < 19):
        raise BadRequest(f"{name} is a whole number, 0 or more.", "parameter-value", "Parameters.parameter")
    return int(text)
