"""`letters` over the database of the tests."""

from __future__ import annotations

import asyncio
import json

from fhir_server.storage.tenants import Tenant
from tests.cli.test_users import run
from tests.subscriptions import subscribing as given

__all__ = ["run"]


async def test_letters_are_listed_and_replayed(run, tenants: dict[str, Tenant], unique: str) -> None:
    tenant = tenants["default"]
    who = await given.client(tenant, "system/*.cruds")
    made = await given.write(
        tenant, given.subscription(f"Observation?patient=nobody-{unique}", "http://127.0.0.1:9/x"), who
    )
    told = await given.write(tenant, given.observation(unique), who)
    text = "INSERT INTO {s}.delivery (subscription, event, rid, version, state, attempts, last_status, done_at)"
    for event in (1, 2):
        values = tenant.sql(text + " VALUES ($1, $2::bigint, $3, $2::bigint::int, 'dead', 10, 503, now())")
        await tenant.pool.execute(values, made.rid, event, told.rid)
    done = await asyncio.to_thread(run, "letters", "list", "--json")
    mine = [each for each in json.loads(done.stdout) if each["subscription"] == made.id]
    assert [(each["event"], each["attempts"], each["last_status"]) for each in mine] == [(1, 10, 503), (2, 10, 503)]
    assert "503" in (await asyncio.to_thread(run, "letters", "list")).stdout
    done = await asyncio.to_thread(run, "letters", "replay", made.id, "--since", "2", "--json")
    assert json.loads(done.stdout) == {"replayed": 1}
    assert await given.deliveries(tenant, made.rid) == [(1, "dead", 10), (2, "waiting", 0)]
    assert "1 will be sent" in (await asyncio.to_thread(run, "letters", "replay", made.id)).stdout
    await asyncio.to_thread(run, "letters", "replay", "nobody", code=1)
