"""What Subscriptions cost: a change to match against a thousand with disjoint filters, and from the commit to the receiver.

The worker is a process of its own, as `up` runs it; the writer and the receiver share this one.
"""

from __future__ import annotations

import asyncio
import json
import statistics
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from time import process_time
from typing import Any

from fhir_server.cli.child import Child
from fhir_server.cli.stack import PYTHON, environment_of
from fhir_server.context import Principal
from fhir_server.kit import clock, ids
from fhir_server.storage.commands import CLIENT, POST, SUBSCRIPTION
from fhir_server.storage.outbox import Event
from fhir_server.storage.tenants import Tenant, connect, open_tenants
from fhir_server.subscriptions import match, state
from fhir_server.subscriptions.state import Terms
from tests.bench.rig import Rig
from tests.subscriptions import subscribing as given
from tests.subscriptions import topical
from tests.subscriptions.receiver import Received, receiving
from workers.queue import Waker

SUBSCRIPTIONS = 1000
CHANGES = 100
ROUNDS = 7
RATE, SECONDS = 200, 20
HOOK = "http://127.0.0.1:9/hook"


async def measure(rig: Rig) -> dict[str, Any]:
    """Return milliseconds a change to match, alone and a hundred together, and from commit to receiver."""
    async with _tenant(rig) as tenant:
        who = await given.client(tenant, "system/*.cruds")
        found = await _matching(tenant, who)
        await tenant.pool.execute(tenant.sql("UPDATE {s}.subscription_state SET status = 'off', topic = NULL"))
        await tenant.pool.execute(tenant.sql("UPDATE {s}.subscription_revision SET revision = revision + 1"))
        return {"subscriptions": SUBSCRIPTIONS, **found, "delivery": await _delivery(rig, tenant, who)}


@asynccontextmanager
async def _tenant(rig: Rig) -> AsyncIterator[Tenant]:
    pool = await connect(rig.dsn, max_size=8)
    waker = Waker(rig.settings.redis_url or "")
    try:
        tenant = open_tenants(["default"], pool, rig.settings.keys_dir, rig.settings.origin)["default"]
        tenant.announce = partial(waker.wake, "default")
        yield tenant
    finally:
        await waker.close()
        await pool.close()


async def _matching(tenant: Tenant, who: Principal) -> dict[str, float]:
    """Return what a change costs that concerns one of the Subscriptions, whose filters name another patient each."""
    word = ids.new_id()[-8:]
    for number in range(SUBSCRIPTIONS):
        name = f"m{word}-{number}"
        resource = topical.subscription("observation", HOOK, f"Observation?patient=Patient/{name}&code=8867-4")
        made = await given.write(tenant, resource | {"status": "active"}, who, origin=SUBSCRIPTION)  # judged already
        terms = Terms("Observation", 1, None, resource["criteria"], types=("Observation",))
        await state.put(tenant, made.rid, made.version, who.agent, "active", terms)
    events, revision = [], await state.revision(tenant)  # which the outbox tells with the events
    for number in range(CHANGES):
        done = await given.write(tenant, given.observation(f"m{word}-{number * 7}", number), who)
        events.append(Event(number, done.rid, "Observation", done.id, 1, POST, CLIENT, (), revision))
    began = clock.monotonic()
    assert await _enqueue(tenant, events[:1]) == 1
    first = clock.monotonic() - began
    alone, began = [await _timed(tenant, [event]) for event in events], process_time()
    again = [await _timed(tenant, [event]) for event in events]
    spent = process_time() - began
    together = [await _timed(tenant, events) for _ in range(ROUNDS)]
    return {
        "first_ms": round(first * 1000, 1),
        "alone_ms": round(statistics.median(alone + again) * 1000, 2),
        "alone_cpu_ms": round(spent * 1000 / CHANGES, 2),
        "of_a_hundred_ms": round(statistics.median(together) * 1000 / CHANGES, 3),
    }


async def _timed(tenant: Tenant, events: list[Event]) -> float:
    began = clock.monotonic()
    assert await _enqueue(tenant, events) == len(events)
    return clock.monotonic() - began


async def _enqueue(tenant: Tenant, events: list[Event]) -> int:
    """Match and number the events, and take it back."""
    async with tenant.pool.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        try:
            return await match.enqueue(connection, tenant, events)
        finally:
            await transaction.rollback()


async def _delivery(rig: Rig, tenant: Tenant, who: Principal) -> dict[str, float]:
    """Return p50 and p99 from the commit to the receiver at RATE changes a second, ten receivers' Subscriptions each a tenth."""
    command = [*PYTHON, "-m", "fhir_server", "worker"]
    worker = Child("worker", command, log=rig.folder / "logs" / "worker.log", env=environment_of(rig.settings))
    worker.start()
    try:
        async with receiving() as receiver:
            return await _told(tenant, who, receiver.url, lambda: receiver.got)
    finally:
        worker.stop()


async def _told(tenant: Tenant, who: Principal, url: str, got: Callable[[], list[Received]]) -> dict[str, float]:
    names = [ids.new_id()[-12:] for _ in range(10)]
    for name in names:
        resource = topical.subscription("observation", url, f"patient=Patient/{name}", most=10)
        made = await given.write(tenant, resource, who)
        await given.until_status(tenant, made.id, "active", 30)
    committed: dict[str, float] = {}

    async def one(number: int) -> None:
        done = await given.write(tenant, given.observation(names[number % 10], number), who)
        committed[done.id] = clock.monotonic()

    began, tasks = clock.monotonic(), []
    for number in range(RATE * SECONDS):
        await asyncio.sleep(max(0.0, began + number / RATE - clock.monotonic()))
        tasks.append(asyncio.create_task(one(number)))
    await asyncio.gather(*tasks)
    written = clock.monotonic() - began
    told: dict[str, float] = {}
    async with asyncio.timeout(60):
        while not committed.keys() <= told.keys():  # twins are told too
            await asyncio.sleep(0.2)
            told = _times(got())
    waits = sorted(told[id_] - at for id_, at in committed.items())
    return {
        "changes_a_second": round(len(committed) / written, 1),
        "p50_ms": round(waits[len(waits) // 2] * 1000, 1),
        "p99_ms": round(waits[int(len(waits) * 0.99)] * 1000, 1),
    }


def _times(got: list[Received]) -> dict[str, float]:
    """Return when each resource was told first."""
    found: dict[str, float] = {}
    for request in got:
        for url in topical.Notice(json.loads(request.body)).foci:
            found.setdefault(url.rsplit("/", 1)[1], request.at)
    return found
