"""`Subscription/$topics`: every topic that can be subscribed to, each as the Basic that holds it in R4."""

from __future__ import annotations

from fhir_server.audit.record import audit_row
from fhir_server.auth import policy
from fhir_server.context import RequestContext
from fhir_server.interactions.call import Call, Json, Result
from fhir_server.kit import clock, ids, json
from fhir_server.model import bundles
from fhir_server.operations.parameters import read_parameters
from fhir_server.operations.subscription.found import definition
from fhir_server.subscriptions.topics import store

DEFINITION: Json = definition(
    "topics",
    "Topics",
    type=True,
    instance=False,
    parameter=[{"name": "return", "use": "out", "min": 1, "max": "1", "type": "Bundle"}],
)


async def handle(ctx: RequestContext, call: Call) -> Result:
    """Answer with a searchset of Basic, for whoever may read Subscriptions: topics are about nobody."""
    read_parameters(DEFINITION, call)
    await policy.visibility(ctx, "Subscription", "search-type")
    found = await store.resources(ctx.tenant)
    entries = [bundles.search_entry(ctx.base, "Basic", each["id"], json.encode(each)) for each in found]
    body = bundles.bundle(
        "searchset", entries, id_=ids.uuid_(), moment=clock.now(), total=len(entries),
        links=[("self", f"{ctx.base}/Subscription/$topics")],
    )  # fmt: skip
    return Result(200, body, audit=[audit_row(ctx, "operation", 200, type="Subscription")])
