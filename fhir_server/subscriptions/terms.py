"""On which terms a Subscription can be served: what it asks for, checked against what there is; Refusal says what is missing."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from fhir_server.auth import policy
from fhir_server.context import RequestContext
from fhir_server.errors import FhirError
from fhir_server.kit import clock
from fhir_server.model.primitives import date_range
from fhir_server.settings import Settings
from fhir_server.storage.tenants import Tenant
from fhir_server.subscriptions import author, channel, criteria, egress
from fhir_server.subscriptions.channel import Channel
from fhir_server.subscriptions.refusal import Refusal
from fhir_server.subscriptions.state import Terms
from fhir_server.subscriptions.topics import store, wants


async def of_criteria(
    tenant: Tenant, ctx: RequestContext, resource: dict[str, Any], settings: Settings
) -> tuple[Terms, Channel]:
    """Return the terms of a Subscription with R4 criteria."""
    wanted = criteria.parse(tenant, resource)
    way = channel.parse(resource)
    await egress.check(way, settings)
    await _permitted(ctx, wanted.type)
    return Terms(wanted.type, _endpoint(tenant, way), _end(resource), types=(wanted.type,)), way


async def of_topic(
    tenant: Tenant, ctx: RequestContext, resource: dict[str, Any], settings: Settings
) -> tuple[Terms, Channel]:
    """Return the terms of a topic-based Subscription."""
    asked = wants.read(resource)
    topic = await store.find(tenant, asked.topic)
    if topic is None:
        text = "There is no such topic; Subscription/$topics lists them, and so does the CapabilityStatement."
        raise Refusal("topic-unknown", text)
    wants.filters(resource, topic, tenant.base)
    way = channel.of_topic(resource, asked.channel, asked.mime, asked.timeout)
    await egress.check(way, settings)
    for type_ in topic.types:
        await _permitted(ctx, type_)
    return Terms(
        topic.types[0], _endpoint(tenant, way), _end(resource), topic.url, topic.at, topic.types, asked.channel, asked.heartbeat
    ), way  # fmt: skip


def _endpoint(tenant: Tenant, way: Channel) -> int:
    return tenant.key(0, "endpoint", way.origin) if way.kind != "websocket" else 0


async def _permitted(ctx: RequestContext, type_: str) -> None:
    try:
        await policy.visibility(ctx, type_, author.INTERACTION)
    except FhirError as error:
        raise Refusal("criteria-not-permitted", f"The client may not search {type_}.") from error


def _end(resource: dict[str, Any]) -> datetime | None:
    text = resource.get("end")
    end = date_range(text)[0] if text else None
    if end is not None and end <= clock.now():
        raise Refusal("ended", "The end of the Subscription has passed.")
    return end
