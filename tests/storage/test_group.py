"""Creates that come together share a statement, and none pays for another."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

from fhir_server.kit import ids
from fhir_server.storage import group, reads
from fhir_server.storage.commands import Command, IndexRows
from fhir_server.storage.commit import commit
from fhir_server.storage.tenants import Tenant
from fhir_server.storage.visibility import EVERYTHING
from tests.storage.test_commit import audit_row, create


async def test_many_at_once_are_all_written_in_few_statements(tenant: Tenant, unique: str, monkeypatch) -> None:
    sizes = []
    insert = group.insert

    async def counted(tenant, rows, audit):
        sizes.append(len(rows))
        await insert(tenant, rows, audit)

    monkeypatch.setattr(group, "insert", counted)
    done = await asyncio.gather(*(commit(tenant, [create(tenant, unique)], [audit_row(unique)]) for _ in range(100)))
    assert sum(sizes) == 100
    assert len(sizes) < 50
    for [one] in done:
        stored = await reads.read(tenant, "Observation", one.id, EVERYTHING)
        assert stored is not None
        assert stored.body == one.body
        count = await tenant.pool.fetchval(
            f"SELECT count(*) FROM {tenant.schema}.audit WHERE rid = $1 AND request = $2", one.rid, unique
        )
        assert count == 1
        assert await tenant.pool.fetchval(f"SELECT count(*) FROM {tenant.schema}.outbox WHERE rid = $1", one.rid) == 1


async def test_one_that_the_database_refuses_does_not_spoil_the_others(tenant: Tenant, unique: str) -> None:
    bad = Command(
        "create", "Basic", ids.new_id(), {"resourceType": "Basic"}, IndexRows(strings=[(1, "nul \x00")]), fresh=True
    )
    results = await asyncio.gather(
        *(commit(tenant, [create(tenant, unique)]) for _ in range(10)),
        commit(tenant, [bad]),
        *(commit(tenant, [create(tenant, unique)]) for _ in range(10)),
        return_exceptions=True,
    )
    assert sum(isinstance(result, list) for result in results) == 20
    assert isinstance(results[10], asyncpg.PostgresError)


async def test_a_cancelled_caller_takes_nobody_along(tenant: Tenant, unique: str) -> None:
    tasks = [asyncio.create_task(commit(tenant, [create(tenant, unique)])) for _ in range(20)]
    await asyncio.sleep(0)
    tasks[3].cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert sum(isinstance(result, list) for result in results) >= 19


@pytest.mark.parametrize("count", [1, 2, 128, 129])
async def test_any_number_of_new_resources_is_one_commit(tenant: Tenant, unique: str, count: int) -> None:
    written = await commit(tenant, [create(tenant, unique) for _ in range(count)], [audit_row() for _ in range(count)])
    ids_found = {row.id for row in await reads.fetch(tenant, [done.rid for done in written])}
    assert ids_found == {done.id for done in written}
    xmins = await tenant.pool.fetch(
        f"SELECT DISTINCT xmin::text FROM {tenant.schema}.resource WHERE rid = ANY($1)", [done.rid for done in written]
    )
    assert len(xmins) == 1
