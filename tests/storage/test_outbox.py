"""Every committed event is read once by each consumer, whatever the order in which transactions end."""

from __future__ import annotations

import asyncio
import secrets
from datetime import timedelta

import asyncpg
import pytest

from fhir_server.kit import clock, ids
from fhir_server.storage import jobs, outbox
from fhir_server.storage.commands import Command, IndexRows
from fhir_server.storage.commit import commit
from fhir_server.storage.tenants import Tenant


def basic() -> Command:
    return Command("create", "Basic", ids.new_id(), {"resourceType": "Basic"}, IndexRows(), fresh=True)


async def read_all(tenant: Tenant, consumer: str, limit: int = 1000) -> list[outbox.Event]:
    events: list[outbox.Event] = []
    while True:
        async with tenant.pool.acquire() as connection, connection.transaction():
            page = await outbox.read_events(connection, tenant, consumer, limit)
        if not page:
            return events
        events += page


@pytest.mark.parametrize("limit", [7, 1000])
async def test_thirty_writers_with_long_transactions_lose_no_event(tenant: Tenant, unique: str, limit: int) -> None:
    await read_all(tenant, unique)
    insert = (
        f"INSERT INTO {tenant.schema}.outbox (rid, at, version, type, method, origin) VALUES ($1, now(), 1, 1, 1, 0)"
    )
    [row] = await commit(tenant, [basic()])
    committed = 0
    seen: list[int] = [event.id for event in await read_all(tenant, unique, limit)]
    stop = asyncio.Event()

    async def writer() -> int:
        async with tenant.pool.acquire() as connection:
            for _ in range(12):
                async with connection.transaction():
                    await connection.execute(insert, row.rid)
                    await asyncio.sleep(secrets.randbelow(8) / 1000)
        return 12

    async def reader() -> None:
        while not stop.is_set():
            seen.extend(event.id for event in await read_all(tenant, unique, limit))
            await asyncio.sleep(0.002)

    task = asyncio.create_task(reader())
    committed = sum(await asyncio.gather(*(writer() for _ in range(8))))
    stop.set()
    await task
    seen.extend(event.id for event in await read_all(tenant, unique, limit))
    assert len(seen) == len(set(seen)) == committed + 1


async def test_a_place_moves_only_with_the_transaction_that_read(tenant: Tenant, unique: str) -> None:
    await read_all(tenant, unique)
    [row] = await commit(tenant, [basic()])
    async with tenant.pool.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        assert [e.rid for e in await outbox.read_events(connection, tenant, unique)] == [row.rid]
        await transaction.rollback()
    assert [event.fhir_id for event in await read_all(tenant, unique)] == [row.id]


async def test_a_job_is_done_once_and_again_when_asked_for_meanwhile(tenant: Tenant, unique: str) -> None:
    minute = timedelta(minutes=1)
    await jobs.add(tenant.pool, tenant, [(unique, "a", {"n": 1}, clock.now()), (unique, "a", {"n": 1}, clock.now())])
    [job] = await jobs.claim(tenant, [unique], minute, 5)
    assert job.payload == {"n": 1}
    assert await jobs.claim(tenant, [unique], minute) == []
    await jobs.add(tenant.pool, tenant, [(unique, "a", {"n": 2}, clock.now())])
    assert await jobs.finish(tenant.pool, tenant, job)
    [again] = await jobs.claim(tenant, [unique], minute)
    assert again.payload == {"n": 2}
    assert await jobs.finish(tenant.pool, tenant, again)
    assert await jobs.claim(tenant, [unique], minute) == []


async def test_a_worker_that_slept_past_its_lease_is_fenced_out(tenant: Tenant, unique: str) -> None:
    await jobs.add(tenant.pool, tenant, [(unique, "a", {}, clock.now())])
    [slow] = await jobs.claim(tenant, [unique], timedelta(0))
    await asyncio.sleep(0.01)
    [quick] = await jobs.claim(tenant, [unique], timedelta(minutes=1))
    assert quick.fence == slow.fence + 1
    assert not await jobs.finish(tenant.pool, tenant, slow)
    async with tenant.pool.acquire() as connection, connection.transaction():
        assert not await jobs.hold(connection, tenant, slow)
        assert await jobs.hold(connection, tenant, quick)
    await jobs.fail(tenant, quick, ValueError("a secret"))
    row: asyncpg.Record = await tenant.pool.fetchrow(
        f"SELECT state, last_error FROM {tenant.schema}.job WHERE kind = $1", unique
    )
    assert dict(row) == {"state": "ready", "last_error": "ValueError"}


async def test_read_events_are_trimmed_and_unread_ones_are_not(tenant: Tenant, unique: str) -> None:
    [row] = await commit(tenant, [basic()])
    await outbox.trim(tenant)
    assert row.rid in {event.rid for event in await read_all(tenant, unique)}
