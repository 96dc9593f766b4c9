"""A hub's stream: so many Observations a second in batches of 60 through `$ingest`, with a worker beside, for minutes.

A batch is a minute of one patient, a heart rate a second; every patient has a batch a minute, which at 1,000 a second are 1,000
patients. Batches leave on time whatever became of those before (an open loop, over a few connections); a 429 is sent again after
its Retry-After. At the end every Observation that was acknowledged is counted in the database.

What has to stay flat is watched once a second: the memory of the web processes and the workers, how long the oldest event of the
outbox waits for dispatch, and how long the oldest twin that is due waits for a worker. What memory grows by is told of the second
half alone, as the slope of a line through its looks: what a process remembers has an end, and is full by then.
"""

from __future__ import annotations

import asyncio
import resource
import statistics
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import psutil

from fhir_server.cli.child import Child
from fhir_server.cli.options import screen
from fhir_server.cli.stack import PYTHON, environment_of
from fhir_server.interactions import commands
from fhir_server.kit import clock, json
from fhir_server.storage import outbox
from fhir_server.storage.commands import IMPORT
from fhir_server.storage.commit import commit
from fhir_server.storage.tenants import Tenant
from tests.bench.client import Connection, connections, request
from tests.bench.rig import Rig, opened
from workers.jobs.dispatch import CONSUMER

BATCH = 60
CONNECTIONS = 16
WARM_S = 10.0
"""Seconds after which the memory is looked at first: what a process imports late is no growth."""

DRAIN_S = 300.0
"""How long the workers may take for what is left when the load has ended."""

MIB = 1 << 20
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Load:
    """Observations a second, for how many seconds, with how many worker processes."""

    rate: int = 1000
    seconds: int = 300
    workers: int = 1

    @property
    def patients(self) -> int:
        """How many there are when each has a batch a minute."""
        return max(1, self.rate)

    @property
    def batches(self) -> int:
        """How many are sent."""
        return self.rate * self.seconds // BATCH


@dataclass(slots=True)
class Sent:
    """What came back."""

    statuses: Counter[int] = field(default_factory=Counter)
    waits: list[float] = field(default_factory=list)
    """Seconds from the time at which a batch was to leave to its acknowledgement."""
    accepted: int = 0
    seconds: float = 0.0
    cpu: float = 0.0
    """The generator's share of one core."""


@dataclass(frozen=True, slots=True)
class Look:
    """One second: seconds since the start, Observations so far, MiB by kind of process, seconds that events and due twins wait."""

    at: float
    accepted: int
    web: float
    worker: float
    events: float
    twins: float


async def measure(rig: Rig, load: Load) -> Json:
    """Return rates, waits, memory and lag."""
    with ExitStack() as stack:
        workers = [_worker(rig, number) for number in range(load.workers)]
        for child in workers:
            child.start()
            stack.callback(child.stop)
        async with opened(rig.settings, "default") as tenant:
            names = await _patients(tenant, load.patients)
            token, sent, looks, ended = await rig.token(), Sent(), list[Look](), asyncio.Event()
            before = rig.cpu() | _worker_cpu(workers)
            watching = asyncio.create_task(_watch(rig, tenant, workers, sent, looks, ended))
            try:
                await _send(rig.port, token, names, load, sent)
                spent = {kind: taken - before[kind] for kind, taken in (rig.cpu() | _worker_cpu(workers)).items()}
                screen.print(f"bench: {sent.accepted} Observations were accepted, the workers go on …")
                drained = await _drained(tenant)
            finally:
                ended.set()
                await watching
            await _all_there(tenant, sent.accepted)
    return _figures(load, sent, looks, spent) | {"drained_s": drained}


def _worker(rig: Rig, number: int) -> Child:
    name, environment = f"ingest-worker-{number}", environment_of(rig.settings)
    return Child(
        name, [*PYTHON, "-m", "fhir_server", "worker"], log=rig.folder / "logs" / f"{name}.log", env=environment
    )


async def _patients(tenant: Tenant, count: int) -> list[str]:
    """Put the patients there; return their ids."""
    names = [f"hub-{number:05d}" for number in range(count)]
    for start in range(0, count, 500):
        made = [{"resourceType": "Patient", "id": name} for name in names[start : start + 500]]
        await commit(tenant, [commands.build(tenant, r, r["id"], current=None, origin=IMPORT) for r in made])
    return names


def body(minute: datetime) -> bytes:
    """Return a minute of somebody's heart rate, a number a second."""
    device = {"name": "Strap", "serial": "S1"}
    samples = [
        {"type": "heart-rate", "start": clock.instant(minute + timedelta(seconds=second)), "value": 60 + second % 30,
         "device": device, "status": "final"} for second in range(BATCH)
    ]  # fmt: skip
    return json.encode({"format": "clarity", "source": "hub", "samples": samples})


async def _send(port: int, token: str, names: list[str], load: Load, sent: Sent) -> None:
    """Send all batches, each at its time; `sent` tells at any moment what came back so far."""
    queue = asyncio.Queue[tuple[float, bytes] | None]()
    first = datetime(2026, 1, 5, tzinfo=UTC)
    minutes = [body(first + timedelta(minutes=minute)) for minute in range(-(-load.batches // len(names)))]
    async with connections(port, CONNECTIONS) as opened_:
        senders = [asyncio.create_task(_sender(connection, queue, sent)) for connection in opened_]
        usage, began = _own_cpu(), clock.monotonic()
        for number in range(load.batches):
            due = began + number * BATCH / load.rate
            await asyncio.sleep(max(0.0, due - clock.monotonic()))
            minute, patient = divmod(number, len(names))
            path = f"/fhir/Patient/{names[patient]}/$ingest"
            queue.put_nowait((due, request("POST", path, token, minutes[minute])))
        for _ in senders:
            queue.put_nowait(None)
        await asyncio.gather(*senders)
        sent.seconds = clock.monotonic() - began
        sent.cpu = (_own_cpu() - usage) / sent.seconds


async def _sender(connection: Connection, queue: asyncio.Queue[tuple[float, bytes] | None], sent: Sent) -> None:
    """Send what is due, again after a 429 as long as that asks for."""
    while (batch := await queue.get()) is not None:
        due, data = batch
        while (answer := await connection.send(data)).status == 429:
            sent.statuses[429] += 1
            await asyncio.sleep(float(answer.retry_after or 1))
        sent.statuses[answer.status] += 1
        if answer.status != 200:
            raise AssertionError(f"{answer.status}: {answer.body[:500]!r}")
        sent.waits.append(clock.monotonic() - due)
        sent.accepted += BATCH


async def _watch(
    rig: Rig, tenant: Tenant, workers: list[Child], sent: Sent, looks: list[Look], ended: asyncio.Event
) -> None:
    """Look once a second until the end."""
    web = [child.process.pid for child in rig.supervisor.children() if child.process and child.name.startswith("web")]
    own = [child.process.pid for child in workers if child.process]
    began = clock.monotonic()
    while not ended.is_set():
        waits = await outbox.age(tenant, CONSUMER), await _twins_wait(tenant)
        looks.append(Look(clock.monotonic() - began, sent.accepted, _memory(web), _memory(own), *waits))
        await asyncio.wait([asyncio.ensure_future(ended.wait())], timeout=1.0)


async def _busy(tenant: Tenant) -> bool:
    """Tell whether an event waits, or a twin is due or being computed."""
    text = """SELECT EXISTS (SELECT FROM {s}.job WHERE kind = 'twin'
      AND (state = 'running' OR (state = 'ready' AND run_at <= now())))"""
    return await outbox.age(tenant, CONSUMER) > 0 or bool(await tenant.pool.fetchval(tenant.sql(text)))


async def _twins_wait(tenant: Tenant) -> float:
    text = "SELECT extract(epoch FROM now() - min(run_at)) FROM {s}.job WHERE state = 'ready' AND kind = 'twin'"
    return max(0.0, float(await tenant.pool.fetchval(tenant.sql(text)) or 0.0))


async def _drained(tenant: Tenant) -> float | None:
    """Return after how many seconds no event and no twin that is due waits any more; None when that takes too long."""
    began = clock.monotonic()
    while clock.monotonic() - began < DRAIN_S:
        if not await _busy(tenant):
            return round(clock.monotonic() - began, 1)
        await asyncio.sleep(0.5)
    return None


async def _all_there(tenant: Tenant, accepted: int) -> None:
    """Raise AssertionError unless everything that was acknowledged is stored."""
    text = "SELECT count(*) FROM {s}.resource WHERE fhir_id LIKE 'in-%' AND NOT deleted"
    stored = int(await tenant.pool.fetchval(tenant.sql(text)))
    if stored != accepted:
        raise AssertionError(f"{accepted} Observations were acknowledged, {stored} are stored")


def _figures(load: Load, sent: Sent, looks: list[Look], spent: dict[str, float]) -> Json:
    """Return what the bench prints; memory begins when everything is warm."""
    under = [look for look in looks if look.at <= sent.seconds] or looks
    warm = [look for look in under if look.at >= WARM_S] or under
    waits = sorted(sent.waits)
    memory, lag = {}, {}
    for kind in ("web", "worker"):
        held = [getattr(look, kind) for look in warm]
        memory[f"{kind}_mib"] = {
            "begin": held[0], "middle": held[len(held) // 2], "end": held[-1], "most": max(held),
            "second_half_per_100000": _slope(warm[len(warm) // 2 :], kind),
        }  # fmt: skip
    for kind in ("events", "twins"):
        waited = [round(getattr(look, kind), 1) for look in under]
        lag[f"{kind}_wait_s"] = {"most": max(waited), "end": waited[-1]}
    return {
        "asked_per_s": load.rate, "seconds": round(sent.seconds, 1), "workers": load.workers, "patients": load.patients,
        "accepted": sent.accepted, "accepted_per_s": round(sent.accepted / sent.seconds, 1),
        "refused_429": sent.statuses[429],
        "acknowledged_ms": {"p50": _ms(waits, 0.5), "p99": _ms(waits, 0.99), "most": _ms(waits, 1.0)},
        **memory, **lag,
        "cpu_of_one_core": {kind: round(taken / sent.seconds, 2) for kind, taken in spent.items()},
        "generator_cpu_of_one_core": round(sent.cpu, 3),
    }  # fmt: skip


def _slope(looks: list[Look], kind: str) -> float | None:
    """Return MiB for 100,000 Observations; None where none were accepted between the looks."""
    accepted = [look.accepted for look in looks]
    if len(set(accepted)) < 2:
        return None
    line = statistics.linear_regression(accepted, [getattr(look, kind) for look in looks])
    return round(line.slope * 100_000, 1)


def _ms(waits: list[float], part: float) -> float:
    return round(waits[min(len(waits) - 1, int(len(waits) * part))] * 1000, 1) if waits else 0.0


def _memory(pids: list[int]) -> float:
    """Return MiB that processes and their children hold."""
    found = [each for pid in pids for each in (psutil.Process(pid), *psutil.Process(pid).children(recursive=True))]
    return float(round(sum(each.memory_info().rss for each in found) / MIB, 1))


def _worker_cpu(workers: list[Child]) -> dict[str, float]:
    times = [psutil.Process(child.process.pid).cpu_times() for child in workers if child.process]
    return {"worker": float(sum(each.user + each.system for each in times))}


def _own_cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime
