"""Sends what waits for Subscriptions: each in its order, many at a time, few to one endpoint, again until it is taken.

One claim serves one Subscription for some seconds, in batches. A batch is marked `sending` before its first byte leaves,
sent one by one, audited, then recorded: a worker that dies anywhere in between leaves rows that are sent once more.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta

import httpcore

from fhir_server.audit.record import write_audit
from fhir_server.kit import clock, ids, json, logs
from fhir_server.settings import Settings
from fhir_server.storage import reads
from fhir_server.storage.tenants import Tenant
from fhir_server.subscriptions import author, breaker, channel, closing, deliveries, notices, schedule, signing, state
from fhir_server.subscriptions.deliveries import Delivery, Record, Taken
from fhir_server.subscriptions.send import Outcome
from fhir_server.subscriptions.state import Claim
from fhir_server.subscriptions.topics import wants
from workers.jobs.batches import Batch, Served, groups
from workers.loop import pause_after

LEASE = timedelta(seconds=25)
"""Longer than a batch can take: FRESH and one receiver that answers at the last moment."""
PER_ENDPOINT = 4
BATCH = 16
_TURN = 10.0
_CLAIMS = 8
"""Subscriptions claimed by one statement at most."""
_LATER = timedelta(seconds=1)
_SOON = timedelta(minutes=1)
_LOG = logs.logger("clarity.delivery")


class Courier:
    """The deliveries that this process makes for one tenant; `hands` is shared by all tenants."""

    def __init__(
        self,
        tenant: Tenant,
        client: httpcore.AsyncConnectionPool,
        hands: asyncio.Semaphore,
        freed: Callable[[], None],
        stop: asyncio.Event,
        settings: Settings,
    ) -> None:
        self._tenant, self._client, self._hands, self._freed, self._stop = tenant, client, hands, freed, stop
        self._settings = settings
        self._under_way: Counter[int] = Counter()
        self._failing: set[int] = set()
        self._tried: set[int] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def claim(self) -> bool:
        """Begin to serve Subscriptions that something is due for; False when there is none, or no hand free."""
        held = await self._free_hands()
        if not held:
            return False
        claimed: list[Claim] = []
        try:
            claimed = await state.claim(self._tenant, held, PER_ENDPOINT, +self._under_way, LEASE)
        finally:
            for _ in range(held - len(claimed)):
                self._hands.release()
        for claim in claimed:
            self._under_way[claim.endpoint] += 1
            task = asyncio.create_task(self._run(claim))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return bool(claimed)

    async def _free_hands(self) -> int:
        """Take hands as long as there are some, and not the last one beside another: tenants share them. Never waits."""
        held = 0
        while held < _CLAIMS and not self._hands.locked():
            await self._hands.acquire()
            held += 1
        if held > 1 and self._hands.locked():
            self._hands.release()
            held -= 1
        return held

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
            if claim.probing and claim.rid not in self._tried:
                await breaker.untried(self._tenant, claim.endpoint)
        except Exception:  # noqa: BLE001  whatever broke off, what was under way is sent again
            _LOG.error("delivery broke off", tenant=self._tenant.name, exc_info=True)
            await self._give_back(claim)
        finally:
            self._tried.discard(claim.rid)
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
            if claim.beat:
                await self._beat(claim, served)
                claim = replace(claim, beat=False)
            taken = await deliveries.take(self._tenant, claim, BATCH, LEASE) if claim.due else Taken([])
            batch = await self._send(claim, served, taken) if taken.deliveries else None
            if batch is not None and batch.failed is not None:
                await self._retry_later(claim, *batch.failed)
                return
            if len(taken.deliveries) < BATCH:
                if batch is not None and batch.complete:
                    await deliveries.release_done(self._tenant, claim, taken.deliveries[-1].event)
                    return
                break
        await deliveries.release(self._tenant, claim)

    async def _subscription(self, claim: Claim) -> Served | None:
        """Return the Subscription as it stands now; None when it is not to be served as it is."""
        found = await reads.fetch(self._tenant, [claim.rid])
        if not found:
            await closing.close(self._tenant, claim.rid, "deleted")
            return None
        resource = json.decode_trusted(found[0].body)
        if resource.get("status") != "active":
            return None
        if not wants.topical(resource):
            return Served(found[0], channel.parse(resource), None)
        asked = wants.read(resource)
        return Served(found[0], channel.of_topic(resource, asked.channel, asked.mime, asked.timeout), asked)

    async def _batch(self, claim: Claim, served: Served, taken: Taken) -> Batch:
        ctx = await author.server(self._tenant, ids.request_id())
        sees = {type_: await author.sees(self._tenant, claim.agent, type_) for type_ in claim.types}
        about = notices.standing(self._tenant, served.stored, served.wants, ("active", taken.events, None))
        secrets = signing.of(self._tenant, claim.rid, taken.secret, taken.secret_at)
        return Batch(ctx, claim, served, sees, self._settings, about, secrets)

    async def _beat(self, claim: Claim, served: Served) -> None:
        """Send a heartbeat; one that fails says nothing of the events, and is not repeated."""
        batch = await self._batch(claim, served, Taken([]))
        batch.about = await notices.about(self._tenant, served.stored, served.wants, "active")
        batch.secrets = await signing.secrets(self._tenant, claim.rid)
        outcome = await batch.beat(self._client)
        await self._told(claim, outcome)

    async def _told(self, claim: Claim, outcome: Outcome) -> None:
        """Let the breaker of the endpoint know what came of an attempt."""
        self._tried.add(claim.rid)
        if breaker.broken(outcome):
            self._failing.add(claim.endpoint)
            if await breaker.failed(self._tenant, claim.endpoint):
                _LOG.warning("endpoint left alone", tenant=self._tenant.name, reason=outcome.reason)
        elif claim.endpoint in self._failing or claim.probing:
            self._failing.discard(claim.endpoint)
            await breaker.closed(self._tenant, claim.endpoint)

    async def _send(self, claim: Claim, served: Served, taken: Taken) -> Batch:
        """Send a batch in its order and make it durable; return what came of it."""
        tenant = self._tenant
        if again := [delivery for delivery in taken.deliveries if delivery.again]:
            await closing.audit_unknown(tenant, claim.rid, claim.agent, again)
        batch = await self._batch(claim, served, taken)
        for group in groups(taken.deliveries, batch.most):
            if batch.over() or self._stop.is_set():
                batch.records += [Record(delivery.event, "waiting", unsent=True) for delivery in group]
            else:
                await batch.send(self._client, group)
        await write_audit(tenant, batch.audit)
        await deliveries.record(tenant, claim, batch.records)
        if batch.failed is not None:
            if any(record.state == "delivered" for record in batch.records):  # not in a row, then
                await self._told(claim, Outcome(200))
            await self._told(claim, batch.failed[1])
        elif batch.audit:
            await self._told(claim, Outcome(200))
        return batch

    async def _retry_later(self, claim: Claim, group: Sequence[Delivery], outcome: Outcome) -> None:
        tenant = self._tenant
        wait = None if outcome.gone else schedule.wait_after(group[0].attempts, outcome.retry_after)
        if wait is not None:
            await deliveries.record(tenant, claim, [Record(each.event, "waiting", outcome.status) for each in group])
            await deliveries.release(tenant, claim, wait)
            if wait < _SOON:
                asyncio.get_running_loop().call_later(wait.total_seconds(), self._freed)
            return
        await deliveries.record(tenant, claim, [Record(each.event, "dead", outcome.status) for each in group])
        if outcome.gone:
            await closing.give_up(tenant, claim, "off", "endpoint-gone")
        else:
            await closing.give_up(tenant, claim, "error", f"endpoint-{outcome.reason}")
