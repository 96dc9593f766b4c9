"""Wake-ups over a real Redis: they arrive, they coalesce, and nothing depends on them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

from fhir_server.cli.redis_server import EmbeddedRedis
from fhir_server.kit import json
from tests.subscriptions import subscribing as given
from workers import queue
from workers.queue import Waker


class Bells:
    def __init__(self) -> None:
        self.rings: list[tuple[str, str, float]] = []
        self.rang = asyncio.Event()

    def ring(self, tenant: str, kind: str) -> None:
        self.rings.append((tenant, kind, time.perf_counter()))
        self.rang.set()

    async def next(self, seconds: float = 60.0) -> float:
        self.rang.clear()
        await asyncio.wait_for(self.rang.wait(), seconds)
        return self.rings[-1][2]


@pytest.fixture
async def waker(redis_url: str) -> AsyncIterator[Waker]:
    waker = Waker(redis_url)
    yield waker
    await waker.close()


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    redis = Redis.from_url(redis_url)
    await redis.flushall()
    yield redis
    await redis.aclose()


@pytest.fixture
async def bells(redis_url: str, redis: Redis) -> AsyncIterator[Bells]:
    bells, stop = Bells(), asyncio.Event()
    task = asyncio.create_task(queue.listen(redis_url, bells.ring, stop))
    yield bells
    stop.set()
    await asyncio.wait_for(task, 10)


async def test_a_wake_up_arrives(waker: Waker, bells: Bells) -> None:
    waker.wake("second")
    await bells.next()
    assert bells.rings[0][:2] == ("second", "outbox")


async def test_the_last_of_a_burst_is_heard_after_it_was_sent_and_few_are(waker: Waker, bells: Bells) -> None:
    for _ in range(40):
        for _ in range(50):
            waker.wake("default")
        await asyncio.sleep(0.005)
    sent = time.perf_counter()
    waker.wake("default")
    while await bells.next() < sent:
        pass
    assert len(bells.rings) < 60


async def test_waking_costs_the_caller_next_to_nothing(waker: Waker, bells: Bells) -> None:
    began = time.process_time()
    for _ in range(10_000):
        waker.wake("default")
    assert time.process_time() - began < 0.5


async def test_redis_holds_json_and_only_names(waker: Waker, redis: Redis) -> None:
    waker.wake("default")
    found = await given.until(lambda: redis.keys("arq:job:*"))
    assert json.decode(await redis.get(found[0]))["a"] == ["default", "outbox"]
    assert 0 < await redis.ttl(found[0]) <= 60


async def test_flushall_loses_no_later_wake_up(waker: Waker, bells: Bells, redis: Redis) -> None:
    waker.wake("default")
    await bells.next()
    for _ in range(5):
        await redis.flushall()
        waker.wake("default")
        await asyncio.sleep(0.05)
    waker.wake("default")
    await bells.next()


async def test_junk_in_redis_is_survived(waker: Waker, bells: Bells, redis: Redis) -> None:
    for number, junk in enumerate((b"\x80\x04junk", b"[1", b'{"t":1,"f":"drain","a":[],"k":{},"et":1}', b'{"f":"rm"}')):
        await redis.set(f"arq:job:junk{number}", junk)
        await redis.zadd("clarity:wake", {f"junk{number}": 1})
    await asyncio.sleep(0.2)
    waker.wake("default")
    await bells.next()


async def test_without_redis_nothing_fails_and_it_comes_back(tmp_path: Path) -> None:
    server = EmbeddedRedis(tmp_path / "redis", lasting=False)
    bells, stop, waker = Bells(), asyncio.Event(), Waker(server.url)
    task = asyncio.create_task(queue.listen(server.url, bells.ring, stop))
    try:
        waker.wake("default")
        await asyncio.sleep(0.3)
        assert not task.done()
        await asyncio.to_thread(server.start)
        await asyncio.sleep(0.5)
        async with asyncio.timeout(60):
            while not bells.rings:
                waker.wake("default")
                await asyncio.sleep(0.1)
        server.child.process.kill()
        server.child.process.wait()
        await asyncio.sleep(0.2)
        await asyncio.to_thread(server.restart)
        before = len(bells.rings)
        async with asyncio.timeout(60):
            while len(bells.rings) == before:
                waker.wake("default")
                await asyncio.sleep(0.1)
    finally:
        stop.set()
        await asyncio.wait_for(task, 10)
        await waker.close()
        await asyncio.to_thread(server.stop)
