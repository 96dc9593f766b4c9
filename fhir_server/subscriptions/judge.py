"""Decides whether a Subscription that somebody wrote is served: `requested` becomes `active` or `error`, by the server alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from fhir_server.errors import FhirError
from fhir_server.kit import json, logs
from fhir_server.settings import Settings
from fhir_server.storage import reads
from fhir_server.storage.reads import Stored
from fhir_server.storage.tenants import Tenant
from fhir_server.subscriptions import author, closing, egress, notices, signing, state, status, terms
from fhir_server.subscriptions.channel import Channel
from fhir_server.subscriptions.refusal import Refusal
from fhir_server.subscriptions.send import send
from fhir_server.subscriptions.state import Terms
from fhir_server.subscriptions.topics import wants

MOST: Final = 50
"""Subscriptions of one person that are served at once: every change is held against all of them."""

_LOG = logs.logger("clarity.subscriptions")


@dataclass
class Unanswered(Exception):
    """The receiver did not take the handshake."""

    reason: str
    terms: Terms


async def judge(tenant: Tenant, rid: int, settings: Settings) -> None:
    """Look at the Subscription as it stands now and act on it; looking twice changes nothing."""
    found = await reads.fetch(tenant, [rid])
    if not found:
        await closing.close(tenant, rid, "deleted")
        return
    [current] = found
    resource = json.decode_trusted(current.body)
    asked = resource.get("status")
    if asked == "requested":
        await _decide(tenant, current, resource, settings)
    elif asked == "active":
        await _look_again(tenant, current, resource, settings)
    else:
        await state.stop(tenant, rid, "off", f"status-{asked}")


async def _look_again(tenant: Tenant, current: Stored, resource: dict[str, Any], settings: Settings) -> None:
    """Serve by the topic as it is now, when the one by which the Subscription was judged has another version."""
    judged = await state.judged(tenant, current.rid)
    if judged is None or not judged.topic_at[0]:
        return
    rid, version = judged.topic_at
    if (await reads.versions(tenant, [rid])).get(rid) == version:
        return
    try:
        ctx = await author.context(tenant, judged.agent, "")
        found, _ = await terms.of_topic(tenant, ctx, resource, settings)
    except (Refusal, FhirError) as refusal:
        reason = refusal.reason if isinstance(refusal, Refusal) else "criteria-not-permitted"
        await state.put(tenant, current.rid, judged.version, judged.agent, "error", error=reason)
        await status.write(tenant, current, "error", f"{reason}: the topic is another one now.")
        return
    await state.put(tenant, current.rid, judged.version, judged.agent, "active", found)


async def _decide(tenant: Tenant, current: Stored, resource: dict[str, Any], settings: Settings) -> None:
    agent = await author.who_wrote(tenant, current.rid, current.version)
    try:
        found = await _terms(tenant, agent, current, resource, settings)
    except Refusal as refusal:
        _LOG.warning("subscription refused", tenant=tenant.name, reason=refusal.reason)
        await state.put(tenant, current.rid, current.version, agent or 0, "error", error=refusal.reason)
        await status.write(tenant, current, "error", f"{refusal.reason}: {refusal.text}")
        return
    except Unanswered as failure:
        _LOG.warning("handshake failed", tenant=tenant.name, reason=failure.reason)
        # One that was counted goes on being counted: what its receiver misses while it is away is told when it is there again.
        kept = failure.terms if await state.topic_of(tenant, current.rid) else state.NO_TERMS
        await state.put(tenant, current.rid, current.version, agent or 0, "error", kept, failure.reason)
        await status.write(tenant, current, "error", f"{failure.reason}: the handshake was not answered by a 2xx.")
        return
    # Served first, said afterwards: what is committed once a client reads `active` is told.
    await state.put(tenant, current.rid, current.version, agent or 0, "active", found)
    await status.write(tenant, current, "active")


async def _terms(
    tenant: Tenant, agent: int | None, current: Stored, resource: dict[str, Any], settings: Settings
) -> Terms:
    if agent is None:
        raise Refusal("author-unknown", "Nobody is known to have written it; write it again through the REST API.")
    try:
        ctx = await author.context(tenant, agent, "")
    except FhirError as error:
        raise Refusal("criteria-not-permitted", "The client that wrote it may do nothing any more.") from error
    if ctx.principal.user is not None and await state.served_for(tenant, ctx.principal.user, current.rid) >= MOST:
        raise Refusal("too-many", f"A person has {MOST} Subscriptions at most: end others first.")
    if not wants.topical(resource):
        return (await terms.of_criteria(tenant, ctx, resource, settings))[0]
    found, way = await terms.of_topic(tenant, ctx, resource, settings)
    if way.kind != "websocket":
        await _shake_hands(tenant, current, resource, found, way, settings)
    return found


async def _shake_hands(
    tenant: Tenant, current: Stored, resource: dict[str, Any], found: Terms, way: Channel, settings: Settings
) -> None:
    """Send the handshake; Unanswered unless it is taken."""
    about = await notices.about(tenant, current, wants.read(resource), "requested")
    notice = notices.notice(way, about, "handshake", secrets=await signing.secrets(tenant, current.rid))
    async with egress.client(settings) as client:
        outcome = await send(client, way, notice, settings)
    if not outcome.delivered:
        raise Unanswered(f"handshake-{outcome.reason}", found)
