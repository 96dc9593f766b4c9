"""From committed changes to what is to be told to whom: each change gets its number in every Subscription that it concerns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import asyncpg

from fhir_server.auth import policy
from fhir_server.kit import clock, json, logs
from fhir_server.search.parse import parse_query
from fhir_server.storage import reads
from fhir_server.storage.commands import DELETE
from fhir_server.storage.outbox import Event
from fhir_server.storage.tenants import Tenant
from fhir_server.subscriptions import author, criteria, standing, state
from fhir_server.subscriptions.criteria import Criteria
from fhir_server.subscriptions.refusal import Refusal
from fhir_server.subscriptions.standing import Standing
from fhir_server.subscriptions.state import Watch

_REMEMBER_SECONDS = 60.0
"""How long criteria are used as they were read: `ap` dates are as near as that moment says."""
_MOST_REMEMBERED = 10_000
_LOG = logs.logger("clarity.subscriptions")


@dataclass(slots=True)
class _Known:
    """The criteria of a version (None: they cannot be read any more), and how they were read last."""

    wanted: Criteria | None
    search: Standing | None = None
    read_at: float = 0.0


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
    rights = {(watch.agent, watch.type) for watch in watches}
    sees = {right: await author.sees(tenant, *right) for right in rights}
    searches = {watch.rid: await _search(tenant, watch) for watch in watches}
    await standing.look_up(tenant, filter(None, searches.values()))
    found: dict[int, list[state.Change]] = {}
    for watch in watches:
        of_type = [
            kept[at] for event in changes if event.type == watch.type and (at := (event.rid, event.version)) in kept
        ]
        visible = [version for version in of_type if policy.admits(sees[(watch.agent, watch.type)], version.keys)]
        search = searches[watch.rid]
        if search is not None and (told := await standing.meeting(tenant, search, visible)):
            found[watch.rid] = [(version.stored.rid, version.stored.version) for version in told]
    await state.number(connection, tenant, found)
    return sum(map(len, found.values()))


async def _search(tenant: Tenant, watch: Watch) -> Standing | None:
    """Return the criteria of the version that holds, as a search; None when they cannot be read any more."""
    known = _known.setdefault(tenant, {})
    at = (watch.rid, watch.version)
    if at not in known:
        if len(known) > _MOST_REMEMBERED:
            known.clear()
        known[at] = _Known(await _criteria(tenant, watch))
    remembered, wanted = known[at], known[at].wanted
    if wanted is not None and (remembered.search is None or clock.monotonic() - remembered.read_at > _REMEMBER_SECONDS):
        remembered.search = Standing(parse_query(wanted.type, wanted.params, lenient=False, base=tenant.base))
        remembered.read_at = clock.monotonic()
    return remembered.search


async def _criteria(tenant: Tenant, watch: Watch) -> Criteria | None:
    kept = (await reads.exact(tenant, [(watch.rid, watch.version)])).get((watch.rid, watch.version))
    if kept is None:
        return None
    try:
        return criteria.parse(tenant, json.decode_trusted(kept.stored.body))
    except Refusal as refusal:
        _LOG.error("criteria no longer understood", tenant=tenant.name, reason=refusal.reason)
        return None
