"""The Subscription that an operation is about, and what it asks for."""

from __future__ import annotations

from fhir_server.auth import policy
from fhir_server.context import RequestContext
from fhir_server.interactions.call import Call, Json
from fhir_server.interactions.results import absent
from fhir_server.kit import json
from fhir_server.storage import reads
from fhir_server.storage.reads import Stored
from fhir_server.subscriptions.refusal import Refusal
from fhir_server.subscriptions.topics import wants
from fhir_server.subscriptions.topics.wants import Wants

CANONICAL = "http://hl7.org/fhir/uv/subscriptions-backport/OperationDefinition/backport-subscription-"


async def one(ctx: RequestContext, call: Call, interaction: str = "read") -> tuple[Stored, Json, Wants | None]:
    """Return the Subscription of the address, its content and what it asks for; NotFound when the caller may not see it."""
    assert call.address.id
    seen = await policy.visibility(ctx, "Subscription", interaction)
    stored = await reads.read(ctx.tenant, "Subscription", call.address.id, seen)
    if stored is None or stored.deleted:
        raise absent()
    resource = json.decode_trusted(stored.body)
    return stored, resource, asked(resource)


def asked(resource: Json) -> Wants | None:
    """Return what a topic-based Subscription asks for; None of R4 criteria, and of one that cannot be served."""
    try:
        return wants.read(resource) if wants.topical(resource) else None
    except Refusal:
        return None


def definition(name: str, title: str, **more: object) -> Json:
    """Return the OperationDefinition of an operation on Subscription that is ours."""
    return {
        "resourceType": "OperationDefinition",
        "id": f"Subscription-{name}",
        "url": f"https://fhir.clarity.example/OperationDefinition/Subscription-{name}",
        "name": title,
        "status": "active",
        "kind": "operation",
        "affectsState": False,
        "code": name,
        "resource": ["Subscription"],
        "system": False,
        "type": False,
        "instance": True,
        **more,
    }
