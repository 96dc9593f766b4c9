"""`events` and `doctor` over the database of the tests."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest

from fhir_server.cli import probe
from fhir_server.storage import aside
from fhir_server.storage.outbox import Event
from fhir_server.storage.tenants import Tenant
from tests.cli.test_users import run
from tests.subscriptions import subscribing as given

__all__ = ["run"]


@pytest.fixture
async def default(tenants: dict[str, Tenant]) -> AsyncIterator[Tenant]:
    tenant = tenants["default"]
    yield tenant
    await tenant.pool.execute(tenant.sql("DELETE FROM {s}.outbox_aside"))


async def test_what_was_set_aside_is_told_listed_and_replayed(
    run, default: Tenant, unique: str, database_url: str
) -> None:
    who = await given.client(default, "system/*.cruds")
    made = await given.write(default, given.observation(unique), who)
    assert await probe.of_work(database_url, ["default", "nowhere"]) == []
    event = Event(7, made.rid, "Observation", made.id, 1, 1, 0, ())
    async with default.pool.acquire() as connection, connection.transaction():
        await aside.put(connection, default, [aside.Failed(event, each, "KeyError") for each in ("alerts", "match")])
    [problem] = await probe.of_work(database_url, ["default", "nowhere"])
    assert problem.startswith("Tenant default: 2 changes")
    assert await probe.of_work("postgresql://127.0.0.1:1/nothing", ["default"]) == []
    listed = json.loads((await asyncio.to_thread(run, "events", "list", "--json")).stdout)
    assert [(each["change"], each["consequence"], each["error"], each["again"]) for each in listed] == [
        (f"Observation/{made.id}/_history/1", name, "KeyError", False) for name in ("alerts", "match")
    ]
    assert "KeyError" in (await asyncio.to_thread(run, "events", "list")).stdout
    done = await asyncio.to_thread(run, "events", "replay", str(listed[1]["id"]), "--json")
    assert json.loads(done.stdout) == {"replayed": 1}
    assert [row.again for row in await aside.listed(default)] == [False, True]
    assert "2 will be tried" in (await asyncio.to_thread(run, "events", "replay")).stdout
