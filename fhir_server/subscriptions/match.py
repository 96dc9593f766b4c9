"""From committed changes to what is to be told to whom: each change gets its number in every Subscription that it concerns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import asyncpg

from fhir_server.auth import policy
from fhir_server.kit import clock
from fhir_server.storage import reads
from fhir_server.storage.commands import DELETE
from fhir_server.storage.outbox import Event
from fhir_server.storage.tenants import Tenant
from fhir_server.storage.visibility import Visibility
from fhir_server.subscriptions import author, standing, state
from fhir_server.subscriptions.board import Board, board, types
from fhir_server.subscriptions.orders import Change, Order

__all__ = ["changes_of", "enqueue", "in_order", "types"]


async def enqueue(connection: asyncpg.Connection, tenant: Tenant, events: Sequence[Event]) -> int:
    """Number what of the events Subscriptions are to be told of, in the caller's transaction; return how many.

    Of deletions only topics tell: R4 criteria are about the new value of a resource (R4 subscription.html).
    """
    if not events:
        return 0
    orders = await board(tenant, events[0].revision)
    changes = await changes_of(tenant, orders, events, connection)
    found = await _told(tenant, await orders.concerned(tenant, changes)) if changes else {}
    await state.number(connection, tenant, found)
    return sum(map(len, found.values()))


async def changes_of(
    tenant: Tenant, orders: Board, events: Sequence[Event], connection: asyncpg.Connection
) -> list[Change]:
    """Return the events that anybody may want to hear of, with what the versions say."""
    chosen = [e for e in events if e.type in orders.types and (e.method != DELETE or e.type in orders.topical)]
    wanted = {(event.rid, event.version) for event in chosen if event.method != DELETE}
    wanted |= {(event.rid, event.version - 1) for event in chosen if event.type in orders.topical and event.version > 1}
    kept = {(event.rid, event.version): event.kept for event in chosen if event.kept is not None}
    kept |= await reads.exact(tenant, sorted(wanted - kept.keys()), connection)
    return list(_compared(chosen, kept))


def _compared(events: Sequence[Event], kept: dict[tuple[int, int], reads.Kept]) -> Iterator[Change]:
    for place, event in enumerate(events):
        now, before = kept.get((event.rid, event.version)), kept.get((event.rid, event.version - 1))
        if event.method == DELETE:
            if before is not None:
                yield Change(place, event, "delete", None, before)
        elif now is not None:
            yield Change(place, event, "create" if before is None else "update", now, before)


async def _visible(tenant: Tenant, type_: str, changes: Sequence[Change], right: Visibility) -> list[Change]:
    """Return the changes of what the author may see; what keys alone do not decide (a Provenance, which is told of others; what a
    Consent names one by one) only while it is there.
    """
    seen = {change.place for change in changes if policy.admits(right, change.subject.keys)}
    rest = [change.event.rid for change in changes if change.place not in seen]
    there = await reads.seen(tenant, rest, {type_: right}) if rest and any(grant.by_row for grant in right) else {}
    return [change for change in changes if change.place in seen or change.event.rid in there]


async def _told(tenant: Tenant, concerned: dict[Order, list[Change]]) -> dict[int, list[state.Change]]:
    """Return, for each Subscription, what it is to be told of: what it asked for and its author may see."""
    await standing.look_up(tenant, [search for order in concerned for search in order.searches(tenant)])
    rights: dict[tuple[int, str], Visibility] = {}
    began = clock.monotonic()
    found: dict[int, dict[int, state.Change]] = {}
    for order, changes in concerned.items():
        right = (order.watch.agent, order.type)
        if right not in rights:
            rights[right] = await author.sees(tenant, *right, began)
        visible = await _visible(tenant, order.type, changes, rights[right])
        for change in await order.meeting(tenant, visible):
            found.setdefault(order.watch.rid, {})[change.place] = change.told
    return in_order(found)


def in_order(found: Mapping[int, Mapping[int, state.Change]]) -> dict[int, list[state.Change]]:
    """Return what each Subscription is to be told of in the order in which it was committed, given by place."""
    return {rid: [told[place] for place in sorted(told)] for rid, told in found.items()}
