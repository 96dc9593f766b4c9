"""From committed changes to what is to be told to whom: each change gets its number in every Subscription that it concerns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import asyncpg

from fhir_server.auth import policy
from fhir_server.kit import clock, json, logs
from fhir_server.search.query import Query, parse_query
from fhir_server.storage import reads
from fhir_server.storage.commands import DELETE
from fhir_server.storage.outbox import Event
from fhir_server.storage.reads import Kept
from fhir_server.storage.tenants import Tenant
from fhir_server.storage.visibility import NOTHING
from fhir_server.subscriptions import author, criteria, standing, state
from fhir_server.subscriptions.refusal import Refusal
from fhir_server.subscriptions.state import Watch

_REMEMBER_SECONDS = 60.0
"""How long read criteria are used: `ap` dates are as near as the moment they were read says."""
_MOST_REMEMBERED = 10_000
_LOG = logs.logger("clarity.subscriptions")


@dataclass(frozen=True, slots=True)
class _Known:
    at: float
    query: Query | None


_known: WeakKeyDictionary[Tenant, dict[tuple[int, int], _Known]] = WeakKeyDictionary()


async def enqueue(connection: asyncpg.Connection, tenant: Tenant, events: Sequence[Event]) -> int:
    """Number what of the events the active Subscriptions are to be told of, in the caller's transaction; return how many.

    A deletion tells nobody: criteria are about the new value of a resource (R4 subscription.html).
    """
    changes = [event for event in events if event.method != DELETE]
    watches = await state.active(tenant, sorted({event.type for event in changes})) if changes else []
    if not watches:
        return 0
    watched = {watch.type for watch in watches}
    changes = [event for event in changes if event.type in watched]
    kept = await reads.exact(tenant, [(event.rid, event.version) for event in changes])
    found: dict[int, list[state.Change]] = {}
    for watch in watches:
        of_type = [
            kept[at] for event in changes if event.type == watch.type and (at := (event.rid, event.version)) in kept
        ]
        told = await _concerning(tenant, watch, of_type)
        if told:
            found[watch.rid] = [(version.stored.rid, version.stored.version) for version in told]
    await state.number(connection, tenant, found)
    return sum(map(len, found.values()))


async def _concerning(tenant: Tenant, watch: Watch, versions: Sequence[Kept]) -> Sequence[Kept]:
    """Return the versions that meet the criteria and that the author may see."""
    sees = await author.sees(tenant, watch.agent, watch.type)
    visible = [version for version in versions if policy.admits(sees, version.keys)] if sees != NOTHING else []
    if not visible:
        return ()
    query = await _query(tenant, watch)
    return await standing.meeting(tenant, query, visible) if query is not None else ()


async def _query(tenant: Tenant, watch: Watch) -> Query | None:
    """Return the criteria of the version that holds; None when they cannot be read any more."""
    known = _known.setdefault(tenant, {})
    at = (watch.rid, watch.version)
    remembered = known.get(at)
    if remembered is None or clock.monotonic() - remembered.at > _REMEMBER_SECONDS:
        if len(known) > _MOST_REMEMBERED:
            known.clear()
        remembered = known[at] = _Known(clock.monotonic(), await _read(tenant, watch))
    return remembered.query


async def _read(tenant: Tenant, watch: Watch) -> Query | None:
    kept = (await reads.exact(tenant, [(watch.rid, watch.version)])).get((watch.rid, watch.version))
    if kept is None:
        return None
    try:
        wanted = criteria.parse(tenant, json.decode_trusted(kept.stored.body))
    except Refusal as refusal:
        _LOG.error("criteria no longer understood", tenant=tenant.name, reason=refusal.reason)
        return None
    return parse_query(wanted.type, wanted.params, lenient=False, base=tenant.base)
