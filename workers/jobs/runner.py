"""Runs the jobs of a tenant: claims as many as there are hands free, keeps their leases, and notes how each ended."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta

from fhir_server.kit import clock, logs, metrics
from fhir_server.settings import Settings
from fhir_server.storage import jobs
from fhir_server.storage.jobs import Job
from fhir_server.storage.tenants import Tenant

LEASE = timedelta(seconds=30)
"""How long a job of a worker that was killed waits for another; renewed every third of it."""
_LOG = logs.logger("clarity.jobs")


@dataclass(frozen=True, slots=True)
class Kind:
    """What runs a job of this kind, how long it may take, and how long it then rests before it runs again."""

    run: Callable[[Tenant, Job, Settings], Awaitable[None]]
    limit: timedelta = timedelta(minutes=10)
    rest: Callable[[Settings], timedelta] = lambda _settings: timedelta(0)


Kinds = Mapping[str, Kind]


class Runner:
    """The jobs that this process runs for one tenant; `hands` is shared by all tenants, `freed` is called when one is free."""

    def __init__(
        self, tenant: Tenant, kinds: Kinds, settings: Settings, hands: asyncio.Semaphore, freed: Callable[[], None]
    ) -> None:
        self._tenant, self._kinds, self._settings = tenant, kinds, settings
        self._hands, self._freed = hands, freed
        self._running: dict[tuple[int, int], tuple[Job, asyncio.Task[None]]] = {}

    async def claim(self) -> bool:
        """Start one job that is due; False when none is due or no hand is free."""
        if self._hands.locked():
            return False
        await self._hands.acquire()
        try:
            claimed = await jobs.claim(self._tenant, list(self._kinds), LEASE)
        except BaseException:
            self._hands.release()
            raise
        if not claimed:
            self._hands.release()
            return False
        [job] = claimed
        task = asyncio.create_task(self._run(job))
        self._running[(job.id, job.fence)] = (job, task)
        task.add_done_callback(lambda _: self._ended(job))
        return True

    async def renew(self) -> bool:
        """Prolong the leases of what runs; a job whose claim was lost is cancelled, somebody else has it."""
        running = list(self._running.values())
        if running:
            held = await jobs.renew(self._tenant, [job for job, _ in running], LEASE)
            for job, task in running:
                if job.id not in held:
                    task.cancel()
        return False

    async def end(self, patience: float) -> None:
        """Give what runs some seconds to finish, then cancel it: its lease will run out."""
        if not self._running:
            return
        _, late = await asyncio.wait([task for _, task in self._running.values()], timeout=patience)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)

    def _ended(self, job: Job) -> None:
        del self._running[(job.id, job.fence)]
        self._hands.release()
        self._freed()

    async def _run(self, job: Job) -> None:
        began, outcome = clock.monotonic(), "failed"
        try:
            outcome = await self._attempt(job)
        except asyncio.CancelledError:
            outcome = "lost"
            raise
        except Exception as error:  # noqa: BLE001  any failure of a job is noted in its row and tried again
            _LOG.error("job failed", tenant=self._tenant.name, kind=job.kind, attempt=job.attempts, exc_info=True)
            await self._note(job, error)
        finally:
            metrics.observe_job(job.kind, outcome, clock.monotonic() - began)

    async def _attempt(self, job: Job) -> str:
        kind = self._kinds[job.kind]
        async with asyncio.timeout(kind.limit.total_seconds()):
            await kind.run(self._tenant, job, self._settings)
        done = await jobs.finish(self._tenant.pool, self._tenant, job, kind.rest(self._settings))
        return "done" if done else "lost"

    async def _note(self, job: Job, error: BaseException) -> None:
        try:
            await jobs.fail(self._tenant, job, error)
        except Exception:  # noqa: BLE001  the database is away: the lease runs out and the job is claimed again
            _LOG.warning("failure not noted", tenant=self._tenant.name, kind=job.kind, exc_info=True)
