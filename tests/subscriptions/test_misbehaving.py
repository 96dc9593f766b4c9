"""A receiver that misbehaves at random under writes: it fails, sleeps, hangs up before and in the middle of answers, and restarts,
while the worker is killed, stopped beyond its lease, and Redis forgets.

The oracle: what was delivered and `$events` together are the committed changes that match, numbers are dense, order is kept, and no
event is ever told with another content.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import redis

from fhir_server.kit import clock
from fhir_server.storage.tenants import Tenant
from tests.http.client import Caller
from tests.subscriptions import subscribing as given
from tests.subscriptions import topical
from tests.subscriptions.receiver import Answer, Received, Receiver, receiving
from tests.subscriptions.topical import Notice

CHANCE = random.Random(20261)
BACKLOG = 200
MOODS: list[Answer] = [200, 200, 200, 200, 503, 429, 404, 302, "hangup", "cut", 0.05, 1.3]


class Worker:
    """A worker process of its own that can be killed, and held still beyond its leases (1 s in tests)."""

    def __init__(self, data: Path, database_url: str, redis_url: str) -> None:
        self._arguments = [sys.executable, "-m", "tests.workers.run_worker", str(data), database_url, redis_url]
        self._data, self._redis_url = data, redis_url
        self.start()

    @property
    def up(self) -> bool:
        """Whether it works by now: who is killed before does nobody harm but the test, on a busy machine without end."""
        return (self._data / f"up-{self.process.pid}").exists()

    def start(self) -> None:
        self.process = subprocess.Popen(self._arguments, env={**os.environ, "PYTHONPATH": str(Path.cwd())})

    async def harm(self, what: str) -> None:
        if what == "kill":
            self.process.kill()
            await asyncio.to_thread(self.process.wait)
            self.start()
        elif what == "hold":
            self.process.send_signal(signal.SIGSTOP)
            await asyncio.sleep(1.5)
            self.process.send_signal(signal.SIGCONT)
        else:
            with redis.Redis.from_url(self._redis_url) as client:
                client.flushall()

    def end(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture
async def workers(tmp_path: Path, keys_dir: Path, database_url: str, redis_url: str) -> AsyncIterator[list[Worker]]:
    (tmp_path / "keys").symlink_to(keys_dir)
    both = [Worker(tmp_path, database_url, redis_url) for _ in range(2)]
    yield both
    for worker in both:
        worker.end()


def moody(request: Received, before: int) -> Answer:
    """Misbehave, but let every event through at last: nobody waits three days in a test."""
    if Notice.of(request).kind == "handshake":
        return 200
    return 200 if before >= 3 else CHANCE.choice(MOODS)


def accepting(receiver: Receiver) -> Callable[[], set[int]]:
    """Return what tells the numbers of the events that were accepted, each request read once."""
    numbers: set[int] = set()
    read: set[int] = set()

    def told() -> set[int]:
        for place, request in enumerate(receiver.got):
            if place not in read and request.answered == 200:
                read.add(place)
                numbers.update(Notice.of(request).numbers)
        return numbers

    return told


async def writing(system: Caller, patient: str, seconds: float, told: Callable[[], set[int]]) -> list[tuple[str, int]]:
    """Create and change Observations of the patient and of others; return (id, value) of what matches, in order of commit.

    Whoever writes takes a breath when BACKLOG events have not come: who fails every other time takes fewer than are written.
    """
    until, committed = clock.monotonic() + seconds, []
    mine = await system.post("Observation", given.observation(patient, 0))
    committed.append((mine.id, 0))
    value = 0
    while clock.monotonic() < until:
        value += 1
        kind = CHANCE.randrange(4)
        if kind == 0:
            await system.post("Observation", given.observation("somebody-else", value))
        elif kind == 1:
            await system.put(f"Observation/{mine.id}", given.observation(patient, value) | {"id": mine.id})
            committed.append((mine.id, value))
        elif kind == 2:
            committed.append(((await system.post("Observation", given.observation(patient, value))).id, value))
        else:
            entries = [
                {"resource": given.observation(who, value), "request": {"method": "POST", "url": "Observation"}}
                for who in ("somebody-else", patient)
            ]
            answer = await system.transaction(*entries)
            committed.append((answer.json["entry"][1]["response"]["location"].split("/")[-3], value))
        await asyncio.sleep(CHANCE.random() * 0.15)
        if len(committed) - len(told()) > BACKLOG:
            await asyncio.sleep(1)
    return committed


async def restarting(receiver: Receiver, stop: asyncio.Event) -> None:
    """Let the receiver go away and come back on the same port."""
    while not stop.is_set():
        async with receiving(receiver.port) as again:
            again.got, again.taken, again.answer = receiver.got, receiver.taken, moody
            await asyncio.sleep(CHANCE.uniform(2, 6))
        await asyncio.sleep(CHANCE.uniform(0.1, 1))


def check(notices: list[Notice], asked: Notice, committed: list[tuple[str, int]]) -> None:
    """Compare what came and what `$events` says with what was committed."""
    wanted = [(f"Observation/{id_}", value) for id_, value in committed]
    told: dict[int, tuple[str, int]] = {}
    first_seen: list[int] = []
    for notice in notices:
        for event, entry in zip(notice.events, notice.entries[1:], strict=True):
            number, resource = int(event["event-number"]), entry["resource"]
            content = (f"Observation/{resource['id']}", resource["valueQuantity"]["value"])
            assert told.setdefault(number, content) == content, f"event {number} was told with different content"
            if number not in first_seen:
                first_seen.append(number)
    assert first_seen == sorted(first_seen)
    assert asked.numbers == list(range(1, len(wanted) + 1))
    complete = {int(e["event-number"]): "/".join(e["focus"]["reference"].split("/")[-2:]) for e in asked.events}
    assert [complete[number] for number in sorted(complete)] == [name for name, _ in wanted]
    assert [told[number] for number in sorted(told)] == [wanted[number - 1] for number in sorted(told)]
    assert told.keys() == set(range(1, len(wanted) + 1)), "something never arrived"


async def misbehave(system: Caller, tenant: Tenant, workers: list[Worker], unique: str, seconds: float) -> None:
    async with receiving() as probe:
        port = probe.port
    receiver, stop = Receiver(port), asyncio.Event()
    away = asyncio.create_task(restarting(receiver, stop))
    made = topical.subscription(
        "observation", receiver.url, f"patient=Patient/{unique}", content="full-resource", most=CHANCE.choice([1, 5])
    )
    for _ in range(5):
        answer = await system.post("Subscription", made)

        async def judged(id_: str = answer.id) -> bool:
            return (await given.status_of(tenant, id_))[0] != "requested"

        await given.until(judged)
        if (await given.status_of(tenant, answer.id))[0] == "active":
            break
    told = accepting(receiver)
    task = asyncio.create_task(writing(system, unique, seconds, told))
    harms = []
    while not task.done():
        await asyncio.wait({task}, timeout=CHANCE.uniform(2, 5))
        harms.append(CHANCE.choice(["kill", "hold", "forget"] if all(each.up for each in workers) else ["forget"]))
        await CHANCE.choice(workers).harm(harms[-1])
    committed = await task

    try:
        while len(told()) < len(committed):  # however slow the machine is: as long as something comes
            before = len(told())
            await receiver.until(lambda before=before: len(told()) > before, 120)
    except AssertionError as error:
        standing = await given.status_of(tenant, answer.id)
        raise AssertionError(f"{len(told())} of {len(committed)} told; {standing}; {error}") from None
    stop.set()
    await away
    events = Notice((await system.get(f"Subscription/{answer.id}/$events")).json)
    while link := next((each["url"] for each in events.bundle.get("link", ()) if each["relation"] == "next"), None):
        more = Notice((await system.get(link)).json)
        events.status["parameter"] += [p for p in more.status["parameter"] if p["name"] == "notification-event"]
        events.bundle["link"] = more.bundle.get("link", [])
    delivered = [each for r in receiver.got if (each := Notice.of(r)).kind == "event-notification"]
    check(delivered, events, committed)
    assert {"kill", "hold"} & set(harms) or seconds < 60
    assert any(request.answered is None or request.answered >= 300 for request in receiver.got)


@pytest.mark.parametrize("tenant", ["default", pytest.param("second", marks=pytest.mark.slow)], indirect=True)
async def test_nothing_is_lost_doubled_or_out_of_order(
    system: Caller, tenant: Tenant, workers: list[Worker], unique: str
) -> None:
    if tenant.name == "default":
        await misbehave(system, tenant, workers, unique, 15)
    else:
        await misbehave(system, tenant, workers, unique, 5)


@pytest.mark.slow
async def test_nor_in_ten_minutes(system: Caller, tenant: Tenant, workers: list[Worker], unique: str) -> None:
    await misbehave(system, tenant, workers, unique, 600 if tenant.name == "default" else 30)
