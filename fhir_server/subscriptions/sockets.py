"""What goes to a bound websocket: a handshake, then events in their order, heartbeats; asked of the rows every tenth of a second.

Rows of websocket Subscriptions wait as `kept`. Whoever binds first is told of what nobody was told of yet; several sockets may be
bound to one Subscription, in several processes, and each is told of everything from then on. What was written to a socket counts as
told; numbers show the client a gap, `$events` fills it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from fhir_server.audit.record import write_audit
from fhir_server.auth import policy
from fhir_server.kit import clock, ids, json
from fhir_server.storage import reads
from fhir_server.storage.reads import Stored
from fhir_server.storage.tenants import Tenant
from fhir_server.storage.visibility import Visibility
from fhir_server.subscriptions import author, binding, channel, deliveries, notices, notify
from fhir_server.subscriptions.binding import Binding
from fhir_server.subscriptions.channel import Channel
from fhir_server.subscriptions.refusal import Refusal
from fhir_server.subscriptions.send import Outcome
from fhir_server.subscriptions.topics import wants
from fhir_server.subscriptions.topics.bundle import Kind, Told
from fhir_server.subscriptions.topics.wants import Wants
from profiles.registry import R4

BEAT: Final = 0.1
"""Seconds between two looks."""
_PAGE: Final = 50
_STATE: Final = "SELECT rid, version, agent, events, status FROM {s}.subscription_state WHERE rid = ANY($1::bigint[])"
_NEXT: Final = "SELECT min(event) FROM {s}.delivery WHERE subscription = $1 AND state = 'kept'"
_DONE: Final = """
UPDATE {s}.delivery SET state = 'delivered', done_at = now()
WHERE subscription = $1 AND event = ANY($2::bigint[]) AND state = 'kept'
"""
Send = Callable[[str], Awaitable[None]]


@dataclass(slots=True)
class _Bound:
    """One Subscription of one socket: the last number that was told, when the next heartbeat is due."""

    stored: Stored
    asked: Wants
    way: Channel
    owner: int
    binder: int
    last: int
    beat_at: float | None
    until: int
    """Unix time; 0 for without end."""


class Pump:
    """The Subscriptions that one socket is bound to."""

    def __init__(self, tenant: Tenant, send: Send) -> None:
        self._tenant, self._send = tenant, send
        self._bound: dict[int, _Bound] = {}

    @property
    def idle(self) -> bool:
        """Whether nothing is bound."""
        return not self._bound

    async def bind(self, token: str) -> bool:
        """Bind what a token is for and shake hands; False when it does not hold."""
        found = await binding.take(self._tenant, token)
        if found is None:
            return False
        rows = await self._tenant.pool.fetch(self._tenant.sql(_STATE), list(found.subscriptions))
        states = {row["rid"]: row for row in rows}
        for stored in await reads.fetch(self._tenant, found.subscriptions):
            row = states.get(stored.rid)
            if row is None or row["status"] != "active":
                continue
            bound = await self._read(stored, row["agent"], found, row["events"])
            if bound is not None:
                self._bound[stored.rid] = bound
                await self._tell(bound, "handshake")
        return bool(self._bound)

    async def look(self) -> None:
        """Tell of what is new, send the heartbeats that are due, let go of what is not served any more."""
        if not self._bound:
            return
        rows = await self._tenant.pool.fetch(self._tenant.sql(_STATE), list(self._bound))
        states = {row["rid"]: row for row in rows}
        for rid, bound in list(self._bound.items()):
            row = states.get(rid)
            if row is None or row["status"] != "active" or 0 < bound.until <= clock.seconds():
                del self._bound[rid]
                continue
            if row["events"] > bound.last:
                await self._events(bound)
            if bound.beat_at is not None and clock.monotonic() >= bound.beat_at:
                bound.beat_at += bound.asked.heartbeat or 0
                await self._tell(bound, "heartbeat")

    async def _read(self, stored: Stored, owner: int, by: Binding, events: int) -> _Bound | None:
        resource = json.decode_trusted(stored.body)
        try:
            asked = wants.read(resource)
            way = channel.of_topic(resource, asked.channel, asked.mime, None)
        except Refusal:
            return None
        first = await self._tenant.pool.fetchval(self._tenant.sql(_NEXT), stored.rid)
        beat_at = clock.monotonic() + asked.heartbeat if asked.heartbeat else None
        last = first - 1 if first is not None else events
        return _Bound(stored, asked, way, owner, by.agent, last, beat_at, by.until)

    async def _events(self, bound: _Bound) -> None:
        tenant, rid = self._tenant, bound.stored.rid
        found = await deliveries.between(tenant, rid, bound.last + 1, None, _PAGE)
        sees = await self._sees(bound) if found else {}
        most = bound.asked.most or 1
        told = [await notices.told(tenant, each, sees) for each in found]
        for start in range(0, len(told), most):
            group = told[start : start + most]
            shown = [each for each in group if each.focus is not None]
            if shown:
                await self._disclose(bound, shown)
                await self._tell(bound, "event-notification", shown)
            await tenant.pool.execute(tenant.sql(_DONE), rid, [each.number for each in group])
            bound.last = group[-1].number

    async def _sees(self, bound: _Bound) -> dict[str, Visibility]:
        """Return what both who subscribed and who bound the socket may see at this moment."""
        text = self._tenant.sql("SELECT types FROM {s}.subscription_state WHERE rid = $1")
        types = [R4.type_name(number) for number in await self._tenant.pool.fetchval(text, bound.stored.rid)]
        now = clock.monotonic()
        return {
            type_: policy.both(
                await author.sees(self._tenant, bound.owner, type_, now),
                await author.sees(self._tenant, bound.binder, type_, now),
            )
            for type_ in types
        }

    async def _disclose(self, bound: _Bound, told: list[Told]) -> None:
        """Make the disclosures durable in the audit trail before the first byte leaves."""
        ctx = await author.server(self._tenant, ids.request_id())
        await write_audit(
            self._tenant,
            [
                notify.disclosure(ctx, bound.binder, bound.stored.id, each.focus, Outcome(200))
                for each in told
                if each.focus is not None
            ],
        )

    async def _tell(self, bound: _Bound, kind: Kind, told: list[Told] | None = None) -> None:
        about = await notices.about(self._tenant, bound.stored, bound.asked, "active")
        notice = notices.notice(bound.way, about, kind, told or ())
        await self._send(notice.body.decode())
