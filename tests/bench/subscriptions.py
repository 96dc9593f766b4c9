"""What Subscriptions cost: a change to match against a thousand with disjoint filters, and from the commit to the receiver.

The worker is a process of its own, as `up` runs it; the writer and the receiver share this one.
"""

from __future__ import annotations

import asyncio
import json
import statistics
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from time import process_time
from typing import Any

from fhir_server.cli.child import Child
from fhir_server.cli.stack import PYTHON, environment_of
from fhir_server.context import Principal
from fhir_server.kit import clock, ids
from fhir_server.storage import outbox
from fhir_server.storage.commands import SUBSCRIPTION
from fhir_server.storage.outbox import Event
from fhir_server.storage.tenants import Tenant, connect, open_tenants
from fhir_server.subscriptions import match, state
from fhir_server.subscriptions.state import Terms
from tests.bench.client import Connection, connections, request
from tests.bench.rig import Rig
from tests.subscriptions import subscribing as given
from tests.subscriptions import topical
from tests.subscriptions.receiver import Received, receiving
from workers.queue import Waker

SUBSCRIPTIONS = 1000
CHANGES = 100
ROUNDS = 7
RATE, SECONDS = 200, 20
ENTRIES = 3000
HOOK = "http://127.0.0.1:9/hook"


async def measure(rig: Rig) -> dict[str, Any]:
    """Return milliseconds a change to match, alone and a hundred together, and from commit to receiver."""
    async with _tenant(rig) as tenant:
        who = await given.client(tenant, "system/*.cruds")
        found = await _matching(tenant, who)
        await tenant.pool.execute(tenant.sql("UPDATE {s}.subscription_state SET status = 'off', topic = NULL"))
        await tenant.pool.execute(tenant.sql("UPDATE {s}.subscription_revision SET revision = revision + 1"))
        return {"subscriptions": SUBSCRIPTIONS, **found, **await _delivery(rig, tenant, who)}


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
    made = [
        (await given.write(tenant, given.observation(f"m{word}-{number * 7}", number), who)).rid
        for number in range(CHANGES)
    ]
    read = {event.rid: event for event in await _read(tenant)}
    events = [read[rid] for rid in made]
    first = await _timed(tenant, events[:1])
    alone, by_two = [], []
    for event in [*events, *events]:  # in turns: what else the machine does falls on both
        alone.append(await _timed(tenant, [event]))
        by_two.append(await _timed(tenant, [replace(event, kept=None)]))
    together = [await _timed(tenant, events) for _ in range(ROUNDS)]
    return {
        "first_ms": _ms([first.match]),
        "alone_ms": _ms([each.match for each in alone]),
        "alone_tenth_ms": _tenth([each.match for each in alone]),
        "alone_cpu_ms": _ms([each.cpu for each in alone]),
        "alone_with_transaction_ms": _ms([each.whole for each in alone]),
        "alone_versions_asked_for_ms": _ms([each.match for each in by_two]),
        "alone_versions_asked_for_tenth_ms": _tenth([each.match for each in by_two]),
        "round_trip_ms": _ms([each.round_trip for each in alone]),
        "round_trip_tenth_ms": _tenth([each.round_trip for each in alone]),
        "of_a_hundred_ms": _ms([each.match / CHANGES for each in together]),
    }


def _tenth(seconds: list[float]) -> float:
    """Return below what the quickest tenth lies: what it costs where nobody else takes the core."""
    return round(statistics.quantiles(seconds, n=10)[0] * 1000, 3)


def _ms(seconds: list[float]) -> float:
    return round(statistics.median(seconds) * 1000, 3)


async def _read(tenant: Tenant) -> list[Event]:
    """Return all events as the worker reads them: with what the versions say."""
    found: list[Event] = []
    async with tenant.pool.acquire() as connection, connection.transaction():
        while page := await outbox.read_events(connection, tenant, "bench", types=["Observation"]):
            found += page
    return found


@dataclass(frozen=True)
class Took:
    """Seconds that a match took, and what else was timed beside it on the same connection."""

    match: float
    cpu: float
    whole: float
    """With the beginning and the end of a transaction, which a page of events has once."""
    round_trip: float
    """Of `SELECT 1`."""


async def _timed(tenant: Tenant, events: list[Event]) -> Took:
    """Match and number the events, and take it back."""
    async with tenant.pool.acquire() as connection:
        at = [clock.monotonic()]
        await connection.fetchval("SELECT 1")
        at.append(clock.monotonic())
        transaction = connection.transaction()
        await transaction.start()
        at.append(clock.monotonic())
        cpu = process_time()
        assert await match.enqueue(connection, tenant, events) == len(events)
        cpu = process_time() - cpu
        at.append(clock.monotonic())
        await transaction.rollback()
        at.append(clock.monotonic())
    return Took(at[3] - at[2], cpu, at[4] - at[1], at[1] - at[0])


async def _delivery(rig: Rig, tenant: Tenant, who: Principal) -> dict[str, dict[str, float]]:
    """Return p50 and p99 from the commit to the receiver at RATE changes a second, ten receivers' Subscriptions each a tenth:
    alone, and while bundles of ENTRIES are committed one after the other.
    """
    command = [*PYTHON, "-m", "fhir_server", "worker"]
    worker = Child("worker", command, log=rig.folder / "logs" / "worker.log", env=environment_of(rig.settings))
    worker.start()
    try:
        async with receiving() as receiver:
            alone = await _told(tenant, who, receiver.url, lambda: receiver.got)
            await _quiet(tenant)
            posted, stop = request("POST", "/fhir", await rig.token(), _bundle()), asyncio.Event()
            async with connections(rig.port, 1) as (connection,):
                posting = asyncio.create_task(_posting(connection, posted, stop))
                await asyncio.sleep(0.5)
                beside = await _told(tenant, who, receiver.url, lambda: receiver.got, stop)
                took = await posting
        return {
            "delivery": alone,
            "delivery_beside_bundles": beside | {"bundles": len(took), "bundle_s": round(took[0], 2)},
        }
    finally:
        worker.stop()


async def _quiet(tenant: Tenant) -> None:
    """Wait until the worker has done what followed from the changes before: twins are not what is measured."""
    text = "SELECT NOT EXISTS (SELECT FROM {s}.job WHERE state = 'running' OR state = 'ready' AND run_at <= now())"
    await given.until(lambda: tenant.pool.fetchval(tenant.sql(text)), 120)


def _bundle() -> bytes:
    """Return a transaction of ENTRIES Observations, which nobody has subscribed to."""
    word = ids.new_id()[-12:]
    entries = [
        {"resource": given.observation(word, number), "request": {"method": "POST", "url": "Observation"}}
        for number in range(ENTRIES)
    ]
    return json.dumps({"resourceType": "Bundle", "type": "transaction", "entry": entries}).encode()


async def _posting(connection: Connection, posted: bytes, stop: asyncio.Event) -> list[float]:
    """Post the bundle again and again until `stop`; return the seconds that each took."""
    took: list[float] = []
    while not stop.is_set() or not took:
        began = clock.monotonic()
        answer = await connection.send(posted)
        assert answer.status == 200, answer.body[:500]
        took.append(clock.monotonic() - began)
    return took


async def _told(
    tenant: Tenant, who: Principal, url: str, got: Callable[[], list[Received]], stop: asyncio.Event | None = None
) -> dict[str, float]:
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
    if stop is not None:
        stop.set()
    told: dict[str, float] = {}
    async with asyncio.timeout(120):
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
    for each in got:
        for url in topical.Notice(json.loads(each.body)).foci:
            found.setdefault(url.rsplit("/", 1)[1], each.at)
    return found
