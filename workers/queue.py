"""Wake-ups over Redis: the only module that knows arq. What is to be done stands in PostgreSQL; this only says "look now".

A wake-up that is lost costs at most the second until the worker looks by itself, so nothing here is retried for long and
nothing is kept: `FLUSHALL`, a restarted Redis and none at all are the same to the result.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from arq import func
from arq.connections import ArqRedis
from arq.worker import Worker
from redis.exceptions import RedisError

from fhir_server.kit import clock, json, logs, metrics
from fhir_server.storage.tenants import OUTBOX
from workers.loop import ended, pause_after, rest

_QUEUE = "clarity:wake"
_FUNCTION = "drain"
_KEPT = 60
_SPACING = 0.025
_AFTER_FAILURE = 1.0
_POLL = 0.02
_LONGEST_PAUSE = 5.0
_STEADY = 10.0
_AWAY = (RedisError, OSError, TimeoutError)
_LOG = logs.logger("clarity.queue")

Ring = Callable[[str, str], None]
"""What a wake-up (tenant, kind) does where it arrives; must not wait."""


def _plain(value: dict[str, Any]) -> bytes:
    """Return JSON; the error of a job, which is all of it that JSON cannot hold, by its class."""
    result = value.get("r")
    return json.encode(value | {"r": type(result).__name__} if isinstance(result, BaseException) else value)


def _connect(url: str) -> ArqRedis:
    """Return a client that connects when it is first used and waits for no answer longer than two seconds."""
    redis: ArqRedis = ArqRedis.from_url(url, socket_connect_timeout=1, socket_timeout=2)
    redis.job_serializer, redis.job_deserializer = _plain, json.decode
    redis.default_queue_name = _QUEUE
    return redis


class Waker:
    """The sending side. `wake` returns at once: one task at most sends what gathers meanwhile."""

    def __init__(self, url: str) -> None:
        """Send to the Redis at `url`; nothing is connected before the first wake-up."""
        self._redis = _connect(url)
        self._wanted: set[tuple[str, str]] = set()
        self._task: asyncio.Task[None] | None = None

    def wake(self, tenant: str, kind: str = OUTBOX) -> None:
        """Ask the workers to look, once for however many calls come in the next 25 ms; never fails, never waits."""
        self._wanted.add((tenant, kind))
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._send())

    async def close(self) -> None:
        """Stop sending and close the connections."""
        if self._task is not None:
            await ended(self._task)
        await self._redis.aclose()

    async def _send(self) -> None:
        while self._wanted:
            batch, self._wanted = self._wanted, set()
            pause = _SPACING
            try:
                for tenant, kind in batch:
                    await self._enqueue(tenant, kind)
            except _AWAY as error:
                metrics.WAKES_FAILED.labels(type(error).__name__).inc()
                pause = _AFTER_FAILURE
            await asyncio.sleep(pause)

    async def _enqueue(self, tenant: str, kind: str) -> None:
        # The second in the id: what a killed worker left in progress keeps its id taken, but only that one.
        job_id = f"wake:{tenant}:{kind}:{int(clock.seconds())}"
        await self._redis.enqueue_job(_FUNCTION, tenant, kind, _job_id=job_id, _expires=_KEPT)


def _worker(redis: ArqRedis, ring: Ring) -> Worker:
    heard: dict[str, tuple[str, str]] = {}

    async def drain(ctx: dict[str, Any], tenant: str, kind: str) -> None:
        heard[ctx["job_id"]] = (tenant, kind)

    async def after(ctx: dict[str, Any]) -> None:
        # Only now is the job's id free again: whoever was told "that is queued already" has committed before this ring.
        if ctx["job_id"] in heard:
            ring(*heard.pop(ctx["job_id"]))

    return Worker(
        [func(drain, name=_FUNCTION, timeout=1, keep_result=0, max_tries=5)],
        queue_name=_QUEUE,
        redis_pool=redis,
        handle_signals=False,
        job_timeout=1,
        keep_result=0,
        max_tries=5,
        poll_delay=_POLL,
        health_check_interval=60,
        after_job_end=after,
        job_serializer=_plain,
        job_deserializer=json.decode,
        log_results=False,
    )


async def _listen_once(url: str, ring: Ring, stop: asyncio.Event) -> None:
    redis = _connect(url)
    worker = _worker(redis, ring)
    working, stopping = asyncio.create_task(worker.main()), asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
        # arq ends by itself only as a "burst" worker: one that has no more jobs to start is done after its next look.
        worker.max_burst_jobs, worker.burst = 0, True
        await asyncio.wait({working}, timeout=_LONGEST_PAUSE)
        if working.done():
            working.result()
    finally:
        for task in (working, stopping, *worker.tasks.values()):
            await ended(task)
        await redis.aclose()


async def listen(url: str, ring: Ring, stop: asyncio.Event) -> None:
    """Call `ring` for every wake-up until `stop`; while Redis is away, try again with longer pauses."""
    logging.getLogger("arq").setLevel(logging.WARNING)
    failures = 0
    while not stop.is_set():
        began = clock.monotonic()
        try:
            await _listen_once(url, ring, stop)
        except Exception as error:  # noqa: BLE001  arq lets many kinds through when Redis goes; polling goes on meanwhile
            failures = failures + 1 if clock.monotonic() - began < _STEADY else 1
            _LOG.warning("redis is away, polling instead", error=type(error).__name__, attempt=failures)
            await rest(stop, pause_after(failures))
