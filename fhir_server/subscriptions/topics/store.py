"""Where topics are found: those that came with the server, and those that an administrator keeps as Basic."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any, Final
from weakref import WeakKeyDictionary

from fhir_server.context import RequestContext
from fhir_server.kit import clock, json, logs
from fhir_server.search import run
from fhir_server.storage.reads import Stored
from fhir_server.storage.tenants import Tenant
from fhir_server.storage.visibility import EVERYTHING
from fhir_server.subscriptions import author
from fhir_server.subscriptions.refusal import Refusal
from fhir_server.subscriptions.topics import basic, topic
from fhir_server.subscriptions.topics.topic import Topic

MOST: Final = 500
"""Topics of its own that a tenant can have."""
_SHIPPED: Final = Path(__file__).with_name("shipped.json")
_WITHIN: Final = 1.0
_looked: WeakKeyDictionary[Tenant, float] = WeakKeyDictionary()
_LOG = logs.logger("clarity.subscriptions")


@functools.cache
def shipped() -> dict[str, dict[str, Any]]:
    """Return the SubscriptionTopics that came with the server, by URL."""
    return {each["url"]: each for each in json.decode(_SHIPPED.read_bytes())}


@functools.cache
def _read(url: str) -> Topic:
    return topic.read(shipped()[url], "")


async def find(tenant: Tenant, url: str) -> Topic | None:
    """Return the topic with a canonical URL, as it is now; None when there is none that is active."""
    plain = url.partition("|")[0]
    if plain in shipped():
        return _read(plain)
    return next((each for each in await own(tenant) if each.url == plain), None)


async def own(tenant: Tenant) -> list[Topic]:
    """Return the active topics that the tenant keeps itself."""
    return [made for _, made in await named(tenant)]


async def named(tenant: Tenant) -> list[tuple[str, Topic]]:
    """Return the same with the id of the Basic that holds each."""
    return [(stored.id, made) for stored in await _kept(tenant) if (made := of(tenant, stored)) is not None]


async def refresh(tenant: Tenant) -> None:
    """Bring `tenant.topics` up to date, once a second at most; while the database is away, what was known holds."""
    if clock.monotonic() - _looked.get(tenant, -_WITHIN) < _WITHIN:
        return
    _looked[tenant] = clock.monotonic()
    try:
        tenant.topics = tuple(each.url for each in await own(tenant))
    except Exception:  # noqa: BLE001  the statement is told without: what else it says is true all the same
        _LOG.warning("topics not refreshed", tenant=tenant.name, exc_info=True)


async def resources(tenant: Tenant) -> list[dict[str, Any]]:
    """Return every topic as a Basic: the shipped ones, then the tenant's own."""
    made = [basic.to_basic(each, f"topic-{each['id']}") for each in shipped().values()]
    return made + [json.decode_trusted(stored.body) for stored in await _kept(tenant)]


def of(tenant: Tenant, stored: Stored) -> Topic | None:
    """Return the topic that a Basic holds; None when it is not active or not understood any more."""
    found = basic.to_topic(json.decode_trusted(stored.body))
    if found.get("status") != "active":
        return None
    try:
        return topic.read(found, tenant.base, (stored.rid, stored.version))
    except Refusal as refusal:
        _LOG.error("topic not understood", tenant=tenant.name, reason=refusal.reason)
        return None


async def _kept(tenant: Tenant) -> list[Stored]:
    ctx = RequestContext(tenant, (await author.server(tenant, "")).principal, "", tenant.base)
    query = [("code", f"{basic.SYSTEM}|{basic.CODE}"), ("_count", str(MOST))]
    page = await run.search(ctx, "Basic", query, visibility=EVERYTHING)
    return sorted(page.rows, key=lambda row: row.rid)
