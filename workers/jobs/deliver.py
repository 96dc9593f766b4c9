"""Sends what waits for Subscriptions: each in its order, many at a time, few to one endpoint, again until it is taken.

One claim serves one Subscription for some seconds, in batches. A batch is marked `sending` before its first byte leaves,
sent one by one, audited, then recorded: a worker that dies anywhere in between leaves rows that are sent once more.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from datetime import timedelta

import httpcore

from fhir_server.audit.record import write_audit
from fhir_server.context import RequestContext
from fhir_server.kit import clock, ids, json, logs, metrics
from fhir_server.storage import reads
from fhir_server.storage.commands import AuditRow
from fhir_server.storage.tenants import Tenant
from fhir_server.storage.visibility import Visibility
from fhir_server.subscriptions import author, channel, closing, deliveries, notify, schedule, state
from fhir_server.subscriptions.channel import Channel
from fhir_server.subscriptions.deliveries import Delivery, Record
from fhir_server.subscriptions.send import Outcome, send
from fhir_server.subscriptions.state import Claim
from workers.loop import pause_after

LEASE = timedelta(seconds=25)
"""Longer than a batch can take: FRESH and one receiver that answers at the last moment."""
PER_ENDPOINT = 4
BATCH = 16
FRESH = 2.0
"""Seconds for which what was found out about the author's rights is good enough to begin another send."""
_TURN = 10.0
_LATER = timedelta(seconds=1)
_SOON = timedelta(minutes=1)
_LOG = logs.logger("clarity.delivery")


class _Batch:
    """Deliveries of one claim on their way: what came of each, and the one that failed."""

    def __init__(self, ctx: RequestContext, claim: Claim, subscription_id: str, way: Channel, sees: Visibility) -> None:
        self.ctx, self.claim, self.id, self.way, self.sees = ctx, claim, subscription_id, way, sees
        self.began = clock.monotonic()
        self.records: list[Record] = []
        self.audit: list[AuditRow] = []
        self.failed: tuple[Delivery, Outcome] | None = None

    async def send(self, client: httpcore.AsyncConnectionPool, delivery: Delivery) -> None:
        """Send one, if it may be seen, and note what came of it."""
        version = await notify.disclosable(self.ctx.tenant, delivery, self.sees)
        if version is None:
            self.records.append(Record(delivery.event, "skipped"))
            return
        message = notify.notification(self.id, delivery, version, payload=self.way.payload is not None)
        outcome = await send(client, self.way, message)
        self.audit.append(notify.disclosure(self.ctx, self.claim.agent, self.id, version, outcome))
        if outcome.delivered:
            self.records.append(Record(delivery.event, "delivered", outcome.status))
        else:
            self.failed = (delivery, outcome)
            metrics.DELIVERY_FAILURES.labels("rest-hook", outcome.reason).inc()

    def over(self) -> bool:
        """Tell whether another send may not begin."""
        return self.failed is not None or clock.monotonic() - self.began > FRESH


class Courier:
    """The deliveries that this process makes for one tenant; `hands` is shared by all tenants."""

    def __init__(
        self,
        tenant: Tenant,
        client: httpcore.AsyncConnectionPool,
        hands: asyncio.Semaphore,
        freed: Callable[[], None],
        stop: asyncio.Event,
    ) -> None:
        self._tenant, self._client, self._hands, self._freed, self._stop = tenant, client, hands, freed, stop
        self._under_way: Counter[int] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()

    async def claim(self) -> bool:
        """Begin to serve one Subscription that something is due for; False when there is none, or no hand free."""
        if self._hands.locked():
            return False
        await self._hands.acquire()
        try:
            claimed = await state.claim(self._tenant, 1, PER_ENDPOINT, +self._under_way, LEASE)
        except BaseException:
            self._hands.release()
            raise
        if not claimed:
            self._hands.release()
            return False
        [claim] = claimed
        self._under_way[claim.endpoint] += 1
        task = asyncio.create_task(self._run(claim))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return True

    async def end(self, patience: float) -> None:
        """Let what is being sent come to its end for some seconds; what is cut off then is sent again by another."""
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=patience)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def _run(self, claim: Claim) -> None:
        try:
            await self._serve(claim)
        except Exception:  # noqa: BLE001  whatever broke off, what was under way is sent again
            _LOG.error("delivery broke off", tenant=self._tenant.name, exc_info=True)
            await self._give_back(claim)
        finally:
            self._under_way[claim.endpoint] -= 1
            self._hands.release()
            self._freed()

    async def _give_back(self, claim: Claim) -> None:
        """Release a claim that broke off, when the database is there again; later than that the lease will have run out."""
        for failures in range(1, 4):
            await asyncio.sleep(pause_after(failures * 2))
            try:
                await deliveries.release(self._tenant, claim)
                return
            except Exception as error:  # noqa: BLE001  the next try, or the end of the lease
                _LOG.warning("claim not given back", tenant=self._tenant.name, error=type(error).__name__)

    async def _serve(self, claim: Claim) -> None:
        """Send in batches until nothing waits, something fails, or others shall have their turn."""
        began = clock.monotonic()
        while not self._stop.is_set() and clock.monotonic() - began < _TURN:
            served = await self._subscription(claim)
            if served is None:
                await deliveries.release(self._tenant, claim, _LATER)
                return
            batch = await deliveries.take(self._tenant, claim, BATCH, LEASE)
            failed = await self._send(claim, *served, batch) if batch else None
            if failed is not None:
                await self._retry_later(claim, *failed)
                return
            if len(batch) < BATCH:
                break
        await deliveries.release(self._tenant, claim)

    async def _subscription(self, claim: Claim) -> tuple[str, Channel] | None:
        """Return id and channel of the Subscription as it stands now; None when it is not to be served as it is."""
        found = await reads.fetch(self._tenant, [claim.rid])
        if not found:
            await closing.close(self._tenant, claim.rid, "deleted")
            return None
        resource = json.decode_trusted(found[0].body)
        return (found[0].id, channel.parse(resource)) if resource.get("status") == "active" else None

    async def _send(
        self, claim: Claim, subscription_id: str, way: Channel, taken: list[Delivery]
    ) -> tuple[Delivery, Outcome] | None:
        """Send a batch in its order and make it durable; return the delivery that failed."""
        tenant = self._tenant
        if again := [delivery for delivery in taken if delivery.again]:
            await closing.audit_unknown(tenant, claim.rid, claim.agent, again)
        ctx = await author.server(tenant, ids.request_id())
        batch = _Batch(ctx, claim, subscription_id, way, await author.sees(tenant, claim.agent, claim.type))
        for delivery in taken:
            if batch.over() or self._stop.is_set():
                batch.records.append(Record(delivery.event, "waiting", unsent=True))
            else:
                await batch.send(self._client, delivery)
        await write_audit(tenant, batch.audit)
        await deliveries.record(tenant, claim, batch.records)
        return batch.failed

    async def _retry_later(self, claim: Claim, delivery: Delivery, outcome: Outcome) -> None:
        tenant = self._tenant
        wait = None if outcome.gone else schedule.wait_after(delivery.attempts, outcome.retry_after)
        if wait is not None:
            await deliveries.record(tenant, claim, [Record(delivery.event, "waiting", outcome.status)])
            await deliveries.release(tenant, claim, wait)
            if wait < _SOON:
                asyncio.get_running_loop().call_later(wait.total_seconds(), self._freed)
            return
        await deliveries.record(tenant, claim, [Record(delivery.event, "dead", outcome.status)])
        if outcome.gone:
            await closing.give_up(tenant, claim, "off", "endpoint-gone")
        else:
            await closing.give_up(tenant, claim, "error", f"endpoint-{outcome.reason}")
