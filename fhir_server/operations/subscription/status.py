"""`Subscription/$status` and `Subscription/{id}/$status` (Backport 1.1): how Subscriptions stand, one Parameters each."""

from __future__ import annotations

from typing import Any

from fhir_server.audit.record import audit_row
from fhir_server.auth import policy
from fhir_server.context import RequestContext
from fhir_server.errors import BadRequest
from fhir_server.interactions.call import Call, Json, Result
from fhir_server.kit import clock, ids, json
from fhir_server.model import bundles
from fhir_server.operations.parameters import read_parameters
from fhir_server.operations.subscription.found import CANONICAL, asked, definition, one
from fhir_server.search import run
from fhir_server.storage.reads import Stored
from fhir_server.subscriptions import notices
from fhir_server.subscriptions.topics import bundle

DEFINITION: Json = definition(
    "status",
    "Status",
    url=f"{CANONICAL}status",
    type=True,
    parameter=[
        {"name": "id", "use": "in", "min": 0, "max": "*", "type": "id"},
        {"name": "status", "use": "in", "min": 0, "max": "*", "type": "code"},
        {"name": "return", "use": "out", "min": 1, "max": "1", "type": "Bundle"},
    ],
)
_PAGE = 500


async def handle(ctx: RequestContext, call: Call) -> Result:
    """Answer with a searchset of status Parameters; of one Subscription the parameters are ignored, as the guide says."""
    given = read_parameters(DEFINITION, call)
    found = [(await one(ctx, call))[0]] if call.address.id else await _many(ctx, given)
    entries = [await _entry(ctx, each) for each in found]
    url = f"{ctx.base}/Subscription{f'/{call.address.id}' if call.address.id else ''}/$status"
    body = bundles.bundle(
        "searchset", entries, id_=ids.uuid_(), moment=clock.now(), total=len(entries), links=[("self", url)]
    )
    rid = found[0].rid if call.address.id else None
    return Result(200, body, audit=[audit_row(ctx, "operation", 200, type="Subscription", rid=rid)])


async def _many(ctx: RequestContext, given: Any) -> list[Stored]:
    """Return the Subscriptions that the caller may see, by ids and statuses; each is ORed, both are ANDed."""
    seen = await policy.visibility(ctx, "Subscription", "search-type")
    params = [("_count", str(_PAGE))]
    for name, search in (("id", "_id"), ("status", "status")):
        if values := given.get(name):
            if not all(isinstance(each, str) and "," not in each and "|" not in each for each in values):
                raise BadRequest(f"The parameter {name} is a code or an id.", "parameter-value")
            params.append((search, ",".join(values)))
    found: list[Stored] = []
    page = await run.search(ctx, "Subscription", params, visibility=seen)
    found += page.rows
    while page.next:
        page = await run.search(ctx, "Subscription", [("_cursor", page.next)], visibility=seen)
        found += page.rows
    return found


async def _entry(ctx: RequestContext, stored: Stored) -> bytes:
    resource = json.decode_trusted(stored.body)
    about = await notices.about(ctx.tenant, stored, asked(resource), resource.get("status", "requested"))
    made = bundle.status(about, "query-status")
    return json.encode({"fullUrl": f"urn:uuid:{made['id']}", "resource": made, "search": {"mode": "match"}})
