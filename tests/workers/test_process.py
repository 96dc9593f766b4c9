"""Worker processes under fire: killed, stopped, without Redis, without database. Nothing committed is lost, nothing changes."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import subprocess
import sys
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import asyncpg
import pytest
from redis.asyncio import Redis

from fhir_server.cli.postgres import EmbeddedPostgres
from fhir_server.kit import clock
from fhir_server.storage import ident, migrate
from fhir_server.storage.tenants import Tenant, connect, open_tenants
from fhir_server.subscriptions import schedule
from tests.conftest import ORIGIN, TENANTS
from tests.subscriptions import subscribing as given
from tests.subscriptions.receiver import Received, Receiver, receiving
from workers import loop
from workers.queue import Waker


@pytest.fixture
async def web(pool: asyncpg.Pool, keys_dir: Path, redis_url: str) -> AsyncIterator[dict[str, Tenant]]:
    """The tenants as a web process has them: what it commits it announces over Redis."""
    waker, tenants = Waker(redis_url), open_tenants(TENANTS, pool, keys_dir, ORIGIN)
    for name, tenant in tenants.items():
        await pool.execute(tenant.sql("DELETE FROM {s}.endpoint_state"))  # ports come again
        tenant.announce = partial(waker.wake, name)
    yield tenants
    await waker.close()


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


@pytest.fixture
def data(tmp_path: Path, keys_dir: Path) -> Path:
    (tmp_path / "keys").symlink_to(keys_dir)
    return tmp_path


@contextmanager
def process(data: Path, database_url: str, redis_url: str) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "tests.workers.run_worker", str(data), database_url, redis_url]
    with (data / "worker.log").open("ab") as log:
        worker = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        yield worker
    finally:
        worker.kill()
        worker.wait()


async def subscribed(tenant: Tenant, url: str, path: str, author: given.Principal) -> tuple[str, str]:
    """Return a patient and the id of an active Subscription to it."""
    patient = given.word()
    made = await given.write(tenant, given.subscription(f"Observation?patient={patient}", f"{url}/{path}"), author)
    await given.until_status(tenant, made.id, "active")
    return patient, made.id


def check(receiver: Receiver, wanted: dict[str, list[bytes]]) -> None:
    """Everything at least once, numbered densely in the order of its commits, and never with different content."""
    bodies: dict[str, set[bytes]] = defaultdict(set)
    first: dict[str, list[Received]] = defaultdict(list)
    for request in receiver.got:
        if request.method == "PUT":
            bodies[request.id].add(request.body)
    for request in receiver.accepted():
        if request.id not in {each.id for each in first[request.id.rsplit("-", 1)[0]]}:
            first[request.id.rsplit("-", 1)[0]].append(request)
    assert all(len(each) == 1 for each in bodies.values())
    for subscription_id, committed in wanted.items():
        assert [request.event for request in first[subscription_id]] == list(range(1, len(committed) + 1))
        assert [request.body for request in first[subscription_id]] == committed


async def test_kill_9_and_flushall_in_the_middle(
    web: dict[str, Tenant], database_url: str, redis_url: str, data: Path, receiver: Receiver
) -> None:
    """Two processes, one of them killed again and again, Redis emptied meanwhile, a receiver that fails now and then."""
    receiver.answer = lambda *_: secrets.choice([200] * 12 + [503, "hangup", "cut", 0.03])
    redis = Redis.from_url(redis_url)
    wanted: dict[str, list[bytes]] = {}
    with process(data, database_url, redis_url) as steady:
        authors = {name: await given.client(tenant, "system/*.cruds") for name, tenant in web.items()}
        subscriptions = [
            (tenant, *await subscribed(tenant, receiver.url, f"{name}{number}", authors[name]))
            for name, tenant in web.items()
            for number in range(3)
        ]

        async def commits(tenant: Tenant, patient: str, subscription_id: str) -> None:
            wanted[subscription_id] = []
            for value in range(40):
                done = await given.write(tenant, given.observation(patient, value), authors[tenant.name])
                wanted[subscription_id].append(done.body)
                await asyncio.sleep(0.01)

        async def disturb() -> None:
            for _ in range(3):
                with process(data, database_url, redis_url) as victim:
                    await asyncio.sleep(1.5 + secrets.randbelow(500) / 1000)
                    await redis.flushall()
                    victim.send_signal(signal.SIGKILL)

        await asyncio.gather(disturb(), *(commits(*each) for each in subscriptions))
        await receiver.until_accepted(sum(map(len, wanted.values())))
        steady.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(steady.wait, 25) == 0
    await redis.aclose()
    check(receiver, wanted)


async def test_a_worker_that_sleeps_past_its_lease_spoils_nothing(
    web: dict[str, Tenant], database_url: str, redis_url: str, data: Path, receiver: Receiver
) -> None:
    tenant = web["default"]
    receiver.answer = lambda *_: 0.02
    author = await given.client(tenant, "system/*.cruds")
    with process(data, database_url, redis_url) as sleeper:
        patient, subscription_id = await subscribed(tenant, receiver.url, "x", author)
        committed = [(await given.write(tenant, given.observation(patient, n), author)).body for n in range(60)]
        await receiver.until(lambda: len(receiver.got) >= 10)
        sleeper.send_signal(signal.SIGSTOP)
        with process(data, database_url, redis_url):
            await receiver.until_accepted(60)
            sleeper.send_signal(signal.SIGCONT)
            await asyncio.sleep(0.5)
    check(receiver, {subscription_id: committed})
    rid = await ident.known_rid(tenant, "Subscription", subscription_id)
    assert {state for _, state, _ in await given.deliveries(tenant, rid)} == {"delivered"}
    assert len(await given.deliveries(tenant, rid)) == 60


async def test_a_database_that_restarts_is_waited_for(
    tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without Redis at all: polling alone."""
    monkeypatch.setattr(schedule, "WAITS", (0.05,) * 9)
    server = EmbeddedPostgres(tmp_path / "pg", lasting=False)
    await asyncio.to_thread(server.start)
    try:
        await asyncio.to_thread(migrate.upgrade, server.url, TENANTS)
        pool = await connect(server.url, min_size=1, max_size=6)
        tenants = open_tenants(TENANTS, pool, tmp_path / "keys", ORIGIN)
        tenant = tenants["default"]
        async with given.working(given.settings(tmp_path, database_url=server.url), tenants):
            author = await given.client(tenant, "system/*.cruds")
            patient, subscription_id = await subscribed(tenant, receiver.url, "x", author)
            committed = [(await given.write(tenant, given.observation(patient), author)).body]
            await receiver.until_accepted(1)
            process = server.child.process
            process.send_signal(signal.SIGQUIT)
            await asyncio.to_thread(process.wait)
            await asyncio.sleep(0.5)
            await asyncio.to_thread(server.start)
            committed += [await again(tenant, patient, author, n) for n in range(20)]
            await receiver.until_accepted(21)
        await pool.close()
    finally:
        await asyncio.to_thread(server.stop)
    check(receiver, {subscription_id: committed})


async def again(tenant: Tenant, patient: str, author: given.Principal, value: int) -> bytes:
    """Commit, however often the connection turns out to be of before the restart."""
    async with asyncio.timeout(120):
        while True:
            try:
                return (await given.write(tenant, given.observation(patient, value), author)).body
            except (OSError, asyncpg.PostgresConnectionError, asyncpg.InterfaceError, asyncpg.CannotConnectNowError):
                await asyncio.sleep(0.1)


async def test_from_commit_to_receiver(
    tenants: dict[str, Tenant],
    web: dict[str, Tenant],
    database_url: str,
    redis_url: str,
    tmp_path: Path,
    receiver: Receiver,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Reports how long a change is on its way over Redis; asserts only that nothing waits for the next look of the poll."""
    monkeypatch.setattr(loop, "PAUSE", 60.0)
    tenant = web["default"]
    settings = given.settings(tmp_path, database_url=database_url, redis_url=redis_url)
    async with given.working(settings, {"default": tenants["default"]}):
        author = await given.client(tenant, "system/*.cruds")
        patient, _ = await subscribed(tenant, receiver.url, "x", author)
        sent = []
        for value in range(100):
            await given.write(tenant, given.observation(patient, value), author)
            sent.append(clock.monotonic())
            await asyncio.sleep(0.03)
        await receiver.until_accepted(100)
    waits = sorted(request.at - at for request, at in zip(receiver.accepted(), sent, strict=True))
    with capsys.disabled():
        numbers = f"p50 {waits[50] * 1000:.0f} ms, p99 {waits[98] * 1000:.0f} ms"
        print(f"\ncommit to receiver: {numbers}, load {os.getloadavg()[0]:.1f}")
    assert waits[50] < 30.0
