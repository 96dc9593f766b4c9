"""What a topic-based Subscription is told, made at the moment of sending: what its author may see by then, as a Bundle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from fhir_server.kit import ids
from fhir_server.storage import ident, reads
from fhir_server.storage.commands import DELETE
from fhir_server.storage.errors import Erased
from fhir_server.storage.reads import Stored
from fhir_server.storage.tenants import Tenant
from fhir_server.storage.visibility import Visibility
from fhir_server.subscriptions import notify
from fhir_server.subscriptions.channel import Channel
from fhir_server.subscriptions.deliveries import Delivery
from fhir_server.subscriptions.send import Notification
from fhir_server.subscriptions.topics import bundle
from fhir_server.subscriptions.topics.bundle import About, Json, Kind, Told
from fhir_server.subscriptions.topics.wants import Content, Wants

_STATE: Final = "SELECT events, last_error, status FROM {s}.subscription_state WHERE rid = $1"
Sees = Mapping[str, Visibility]


async def about(
    tenant: Tenant, stored: Stored, asked: Wants | None, status: str, content: Content | None = None
) -> About:
    """Return how a Subscription stands; without what it asks for (R4 criteria) there is no topic."""
    row = await tenant.pool.fetchrow(tenant.sql(_STATE), stored.rid)
    error = row["last_error"] if row is not None and status == "error" else None
    return standing(tenant, stored, asked, (status, row["events"] if row else 0, error), content)


def standing(
    tenant: Tenant,
    stored: Stored,
    asked: Wants | None,
    state: tuple[str, int, str | None],
    content: Content | None = None,
) -> About:
    """Return how a Subscription stands by its status, its last number and its error."""
    status, events, error = state
    chosen = content or (asked.content if asked else "empty")
    return About(tenant.base, stored.id, status, events, asked.topic if asked else None, chosen, error)


async def all_told(tenant: Tenant, group: Sequence[Delivery], sees: Sees) -> list[Told]:
    """Return events in order as `told` does; those that are current still, nearly all, by one statement."""
    written = [each.rid for each in group if each.method != DELETE]
    current = await reads.current(tenant, written, sees) if written else {}
    found = []
    for each in group:
        stored = current.get(each.rid)
        if each.method == DELETE or (stored is not None and stored.version != each.version):
            found.append(await told(tenant, each, sees))
        else:
            found.append(Told(each.event, each.created_at, each.method, stored))
    return found


async def told(tenant: Tenant, delivery: Delivery, sees: Sees) -> Told:
    """Return an event with what it is about, as far as that may be seen now."""
    [(type_, id_)] = (await ident.names(tenant, [delivery.rid])).values()
    seen = sees.get(type_, ())
    if delivery.method == DELETE:
        focus = await _deleted(tenant, type_, id_, delivery.version, seen)
    else:
        focus = await notify.disclosable(tenant, delivery, seen)
    return Told(delivery.event, delivery.created_at, delivery.method, focus)


async def _deleted(tenant: Tenant, type_: str, id_: str, version: int, seen: Visibility) -> Stored | None:
    """Return what was deleted, without its content, to who could see the version before."""
    try:
        return await reads.vread(tenant, type_, id_, version - 1, seen)
    except (Erased, reads.Damaged):
        return None


def notice(
    way: Channel, of: About, kind: Kind, events: Sequence[Told] = (), secrets: tuple[bytes, ...] = ()
) -> Notification:
    """Return what is sent: a Bundle in the MIME type of the channel, wrapped for messaging, to be signed by the secrets."""
    made: Json = bundle.notification(of, kind, events)
    if way.kind == "message":
        made = bundle.message(of, made, f"{way.scheme}://{way.host}:{way.port}{way.target()}")
    if events:
        first, last = events[0].number, events[-1].number
        name = f"{of.id}-{first}" if first == last else f"{of.id}-{first}.{last}"
    else:
        name = f"{of.id}-{kind}-{ids.uuid_()}"
    body = bundle.encoded(made, way.payload or "")
    return Notification(name, "", body, secrets)
