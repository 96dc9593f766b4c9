"""What is refused when it is written: topic-based Subscriptions that cannot be served, and topics of anybody but an administrator.

R4 criteria are judged later (`judge.py`), as R4 describes; the backport says of topics that a server rejects the request.
"""

from __future__ import annotations

from fhir_server.auth import policy
from fhir_server.auth.reach import SUBSCRIBER
from fhir_server.context import RequestContext
from fhir_server.errors import Forbidden, Unprocessable
from fhir_server.interactions.call import Json
from fhir_server.settings import Settings
from fhir_server.storage.commands import Command
from fhir_server.storage.tenants import Tenant
from fhir_server.subscriptions import terms
from fhir_server.subscriptions.refusal import Refusal
from fhir_server.subscriptions.topics import basic, store, topic, wants
from profiles.registry import R4

_WHERE = {
    "topic": "criteria", "filter": "criteria.extension", "channel": "channel.type", "endpoint": "channel.endpoint",
    "payload": "channel.payload", "content": "channel.payload.extension", "header": "channel.header",
    "extension": "channel.extension", "criteria": "criteria", "ended": "end",
}  # fmt: skip


def use(tenant: Tenant, settings: Settings) -> None:
    """Let the writes of a tenant be checked."""

    async def subscription(ctx: RequestContext, command: Command) -> None:
        await _subscription(ctx, command.resource or {}, settings)

    tenant.check("subscriptions", {"Subscription": subscription, "Basic": _basic})


async def administers(ctx: RequestContext) -> bool:
    """Tell whether the caller reaches all of every type, as who decides for all subscribers must."""
    for type_ in R4.types:
        if not await policy.unrestricted(ctx, type_, "search-type"):
            return False
    return True


async def _subscription(ctx: RequestContext, resource: Json, settings: Settings) -> None:
    """Refuse a topic-based Subscription that wants to be served and cannot be, and any of a person that is told elsewhere or is
    somebody else's as well.
    """
    _check_whose(ctx, resource)
    if resource.get("status") == "off":
        return
    if ctx.principal.user is not None and _leaves(resource):
        text = (
            "A person's app subscribes to topics by channel websocket: a socket ends with their access, and what is sent"
            " elsewhere would not."
        )
        raise Forbidden(text, "subscription-person", "Subscription.channel.type")
    if not wants.topical(resource):
        return
    try:
        await terms.of_topic(ctx.tenant, ctx, resource, settings)
    except Refusal as refusal:
        where = f"Subscription.{_WHERE.get(refusal.reason.split('-')[0], 'channel')}"
        raise Unprocessable(refusal.text, f"subscription-{refusal.reason}", where, code="not-supported") from refusal


def _check_whose(ctx: RequestContext, resource: Json) -> None:
    """Raise Forbidden when a person puts what is (also) somebody else's where that one's app looks for its own."""
    if resource.get("resourceType") != "Subscription" or ctx.principal.user is None:
        return
    tags = resource.get("meta", {}).get("tag", ())
    if {tag.get("code") for tag in tags if tag.get("system") == SUBSCRIBER} - {ctx.principal.user}:
        text = "A person's Subscription is theirs alone: leave out the tag of the other subscriber."
        raise Forbidden(text, "subscription-of-another", "Subscription.meta.tag")


def _leaves(resource: Json) -> bool:
    """Tell whether notifications would go to an address; what cannot be read is refused for that."""
    if not wants.topical(resource):
        return True
    try:
        return wants.read(resource).channel != "websocket"
    except Refusal:
        return False


async def _basic(ctx: RequestContext, command: Command) -> None:
    resource = command.resource or {}
    if not basic.holds_topic(resource):
        return
    if not await administers(ctx):
        text = "Topics are kept by administrators: that needs a scope such as system/*.cruds, without filters."
        raise Forbidden(text, "topic-administrators")
    found = basic.to_topic(resource)
    if found.get("status") != "active":
        return
    try:
        made = topic.read(found, ctx.base)
    except Refusal as refusal:
        raise Unprocessable(refusal.text, refusal.reason, "Basic.extension") from refusal
    if await _taken(ctx, command, made.url):
        raise Unprocessable("There is a topic of this URL already.", "topic-taken", "Basic.extension", code="duplicate")


async def _taken(ctx: RequestContext, command: Command, url: str) -> bool:
    if url in store.shipped():
        return True
    return any(each.url == url and name != command.id for name, each in await store.named(ctx.tenant))
