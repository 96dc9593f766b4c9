"""A worker process: dispatches what was committed, runs jobs, delivers notifications, keeps the house, for every tenant.

    commit -> outbox row ---- wake-up over Redis, or a look every second ----> dispatch -> jobs      -> runner
                                                                                        -> deliveries -> courier

Everything it knows is in PostgreSQL; it may be killed at any instruction, and any number of it may run.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial

import asyncpg
import httpcore
import uvloop

from fhir_server.kit import logs
from fhir_server.search import parameters
from fhir_server.settings import Settings
from fhir_server.storage import own
from fhir_server.storage.blobs import keep
from fhir_server.storage.tenants import JOBS, OUTBOX, Tenant, connect, open_tenants, refuse_unsafe
from fhir_server.subscriptions import egress
from workers import loop, queue
from workers.jobs import dispatch, predict, retain, sweep
from workers.jobs.deliver import Courier
from workers.jobs.runner import LEASE, Kinds, Runner
from workers.loop import Bell, repeat

_PATIENCE = 15.0
_DATABASE_AWAY = (OSError, asyncpg.PostgresConnectionError, asyncpg.CannotConnectNowError, TimeoutError)
_LOG = logs.logger("clarity.worker")


@dataclass(slots=True)
class _Bells:
    """What wakes the loops of one tenant."""

    outbox: Bell = field(default_factory=Bell)
    jobs: Bell = field(default_factory=Bell)
    deliveries: Bell = field(default_factory=Bell)
    quiet: Bell = field(default_factory=Bell)

    def __iter__(self) -> Iterator[Bell]:
        return iter((self.outbox, self.jobs, self.deliveries, self.quiet))


class Worker:
    """The loops of all tenants over one pool; `stop` ends them."""

    def __init__(
        self, settings: Settings, tenants: dict[str, Tenant], kinds: Kinds, client: httpcore.AsyncConnectionPool
    ) -> None:
        self.stop = asyncio.Event()
        self._settings, self._tenants = settings, tenants
        self._bells = {name: _Bells() for name in tenants}
        # A dispatcher asks for a second connection while it holds one: not so many at a time that all wait for all.
        self._dispatchers = asyncio.Semaphore(max(1, settings.database_pool // 4))
        hands, senders = asyncio.Semaphore(settings.worker_jobs), asyncio.Semaphore(settings.worker_deliveries)
        self._runners = {
            name: Runner(tenant, kinds, settings, hands, self._ring_jobs) for name, tenant in tenants.items()
        }
        self._couriers = {
            name: Courier(tenant, client, senders, self._ring_deliveries, self.stop, settings)
            for name, tenant in tenants.items()
        }

    async def run(self) -> None:
        """Work until `stop`, then finish what is under way as far as the patience goes."""
        for name, tenant in self._tenants.items():
            tenant.announce = partial(self.ring, name)  # what our own jobs commit needs no Redis
        listener = None
        if self._settings.redis_url:
            listener = asyncio.create_task(queue.listen(self._settings.redis_url, self.ring, self.stop))
        loops = [task for name in self._tenants for task in self._loops(name)]
        try:
            await self.stop.wait()
        finally:
            self.stop.set()
            for bells in self._bells.values():
                for bell in bells:
                    bell.ring()
            await self._end(loops)
            if listener is not None:
                await asyncio.wait({listener}, timeout=_PATIENCE)
                await loop.ended(listener)

    def ring(self, tenant: str, kind: str) -> None:
        """Take a wake-up; one for a tenant that is not ours, or of a kind unknown, is nothing."""
        bells = self._bells.get(tenant)
        if bells is not None and kind in (OUTBOX, JOBS):
            (bells.outbox if kind == OUTBOX else bells.jobs).ring()

    def _loops(self, name: str) -> list[asyncio.Task[None]]:
        tenant, bells, runner, courier = (
            self._tenants[name],
            self._bells[name],
            self._runners[name],
            self._couriers[name],
        )
        work: list[tuple[str, Callable[[], Awaitable[bool]], Bell, float]] = [
            ("dispatch", partial(self._dispatch, name), bells.outbox, loop.PAUSE),
            ("jobs", runner.claim, bells.jobs, loop.PAUSE),
            ("deliveries", courier.claim, bells.deliveries, loop.PAUSE),
            ("leases", runner.renew, bells.quiet, LEASE.total_seconds() / 3),
            ("measure", partial(sweep.measure, tenant), bells.quiet, sweep.MEASURE_SECONDS),
            ("tidy", partial(sweep.tidy, tenant), bells.quiet, sweep.TIDY_SECONDS),
            ("predict", partial(predict.nightly, tenant, self._settings), bells.quiet, predict.EVERY_SECONDS),
            ("retain", partial(retain.retain, tenant, self._settings), bells.quiet, retain.EVERY_SECONDS),
        ]
        return [
            asyncio.create_task(repeat(task, _knowing(tenant, what), bell, self.stop, pause), name=f"{task} {name}")
            for task, what, bell, pause in work
        ]

    async def _dispatch(self, name: str) -> bool:
        async with self._dispatchers:
            busy = await dispatch.dispatch(self._tenants[name], self._settings)
        if busy:
            self._bells[name].jobs.ring()
            self._bells[name].deliveries.ring()
        return busy

    def _ring_jobs(self) -> None:
        for bells in self._bells.values():
            bells.jobs.ring()

    def _ring_deliveries(self) -> None:
        for bells in self._bells.values():
            bells.deliveries.ring()

    async def _end(self, loops: list[asyncio.Task[None]]) -> None:
        ends = [runner.end(_PATIENCE) for runner in self._runners.values()]
        ends += [courier.end(_PATIENCE) for courier in self._couriers.values()]
        await asyncio.gather(asyncio.wait(loops, timeout=_PATIENCE), *ends)
        for task in loops:
            task.cancel()
        await asyncio.gather(*loops, return_exceptions=True)


def _knowing(tenant: Tenant, work: Callable[[], Awaitable[bool]]) -> Callable[[], Awaitable[bool]]:
    """Return the work with searches, and the jobs that it starts, knowing the tenant's own parameters as they are then."""

    async def round_() -> bool:
        parameters.use(tenant.own)
        return await work()

    return round_


@asynccontextmanager
async def opened(settings: Settings, kinds: Kinds) -> AsyncIterator[Worker]:
    """Open the database (waiting for it as long as it takes), the tenants and the way out; close them at the end."""
    pool = await _database(settings)
    try:
        await refuse_unsafe(pool)
        tenants = open_tenants(
            settings.tenants,
            pool,
            settings.keys_dir,
            settings.origin,
            every_patient=settings.user_reach == "tenant",
            care_after=settings.care_after,
            consent_required=settings.consent_default == "deny",
            canonical_base=settings.canonical_base,
        )
        for tenant in tenants.values():
            tenant.blobs = keep.store_of(settings)
        async with egress.client(settings) as client:
            await own.refresh(tenants.values())
            learning = asyncio.create_task(own.keep_learning(tenants.values()), name="own search parameters")
            try:
                yield Worker(settings, tenants, kinds, client)
            finally:
                await loop.ended(learning)
    finally:
        await pool.close()


async def _database(settings: Settings) -> asyncpg.Pool:
    failures = 0
    while True:
        try:
            return await connect(settings.database_url or "", min_size=1, max_size=settings.database_pool)
        except _DATABASE_AWAY as error:
            failures += 1
            _LOG.warning("database is away", error=type(error).__name__, attempt=failures)
            await asyncio.sleep(loop.pause_after(failures))


async def serve(settings: Settings, kinds: Kinds) -> None:
    """Run one worker until SIGTERM or SIGINT."""
    async with opened(settings, kinds) as worker:
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, worker.stop.set)
        _LOG.info("worker started")
        await worker.run()
        _LOG.info("worker ended")


def main(settings: Settings) -> None:
    """Run one worker process with everything it does."""
    from workers.jobs.kinds import KINDS

    uvloop.run(serve(settings, KINDS))
