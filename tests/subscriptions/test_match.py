"""Who is to be told of what: every committed version counts, numbers are dense, nobody is told of what it may not see."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from fhir_server.settings import Settings
from fhir_server.storage import outbox
from fhir_server.storage.commands import TWIN
from fhir_server.storage.tenants import Tenant
from fhir_server.subscriptions import match
from fhir_server.subscriptions.judge import judge
from tests.subscriptions import subscribing as given
from workers.jobs.dispatch import dispatch

HOOK = "http://127.0.0.1:9/hook"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return given.settings(tmp_path)


async def active(tenant: Tenant, settings: Settings, criteria: str, author: given.Principal) -> int:
    made = await given.write(tenant, given.subscription(criteria, HOOK), author)
    await judge(tenant, made.rid, settings)
    return made.rid


async def drain(tenant: Tenant, settings: Settings) -> None:
    while await dispatch(tenant, settings):
        pass


async def told(tenant: Tenant, subscription: int) -> list[tuple[int, int, int]]:
    text = tenant.sql("SELECT event, rid, version FROM {s}.delivery WHERE subscription = $1 ORDER BY event")
    return [tuple(row) for row in await tenant.pool.fetch(text, subscription)]


async def test_a_version_that_was_replaced_before_anybody_looked_counts(
    tenant: Tenant, unique: str, settings: Settings
) -> None:
    who = await given.client(tenant, "system/*.cruds")
    high = await active(tenant, settings, f"Observation?patient={unique}&value-quantity=gt100", who)
    every = await active(tenant, settings, f"Observation?patient={unique}", who)
    first = await given.write(tenant, given.observation(unique, 140), who)
    await given.write(tenant, given.observation(unique, 60), who, id_=first.id)
    await given.write(tenant, given.observation(unique, 150), who, id_=first.id)
    await given.remove(tenant, "Observation", first.id, who)
    await drain(tenant, settings)
    assert await told(tenant, high) == [(1, first.rid, 1), (2, first.rid, 3)]
    assert await told(tenant, every) == [(1, first.rid, 1), (2, first.rid, 2), (3, first.rid, 3)]


async def test_what_the_twin_writes_is_told_too(tenant: Tenant, unique: str, settings: Settings) -> None:
    who = await given.client(tenant, "system/*.cruds")
    watching = await active(tenant, settings, f"Observation?patient={unique}", who)
    made = await given.write(tenant, given.observation(unique), who, origin=TWIN)
    await drain(tenant, settings)
    assert await told(tenant, watching) == [(1, made.rid, 1)]


async def test_what_is_mentioned_for_the_first_time_is_told_at_once(
    tenant: Tenant, unique: str, settings: Settings
) -> None:
    """Subscriptions to patients whom nobody knows yet cost nothing, and miss nothing when somebody speaks of them."""
    who = await given.client(tenant, "system/*.cruds")
    names = [f"{unique}-{number}" for number in range(3)]
    watching = [await active(tenant, settings, f"Observation?patient={name}", who) for name in names]
    await given.write(tenant, given.observation(unique), who)
    await drain(tenant, settings)
    assert [await told(tenant, each) for each in watching] == [[], [], []]
    made = [await given.write(tenant, given.observation(name), who) for name in names[:2]]
    tenant.rids.clear()
    await drain(tenant, settings)
    assert [await told(tenant, each) for each in watching] == [[(1, made[0].rid, 1)], [(1, made[1].rid, 1)], []]
    moved = await given.write(tenant, given.observation(names[2]), who, id_=made[0].id)
    await drain(tenant, settings)
    assert await told(tenant, watching[2]) == [(1, moved.rid, 2)]


async def test_numbers_leave_no_gap_for_what_may_not_be_seen(tenant: Tenant, unique: str, settings: Settings) -> None:
    everybody = await given.client(tenant, "system/*.cruds")
    await given.write(tenant, given.observation(unique), everybody)
    who = await given.client(tenant, "patient/Observation.rs system/Subscription.cruds", unique)
    watching = await active(tenant, settings, "Observation?status=final", who)
    await drain(tenant, settings)
    before = await told(tenant, watching)
    mine = []
    for value in range(4):
        await given.write(tenant, given.observation("somebody-else", value), everybody)
        mine.append((await given.write(tenant, given.observation(unique, value), everybody)).rid)
    await drain(tenant, settings)
    after = await told(tenant, watching)
    assert [rid for _, rid, _ in after[len(before) :]] == mine
    assert [event for event, _, _ in after] == list(range(1, len(after) + 1))


async def test_many_dispatchers_number_each_change_once(tenant: Tenant, unique: str, settings: Settings) -> None:
    who = await given.client(tenant, "system/*.cruds")
    watching = await active(tenant, settings, f"Observation?patient={unique}", who)
    stop = asyncio.Event()

    async def dispatcher() -> None:
        while not stop.is_set():
            if not await dispatch(tenant, settings):
                await asyncio.sleep(0.005)

    dispatchers = [asyncio.create_task(dispatcher()) for _ in range(3)]
    made = await asyncio.gather(*(given.write(tenant, given.observation(unique, n), who) for n in range(30)))
    stop.set()
    await asyncio.gather(*dispatchers)
    await drain(tenant, settings)
    found = await told(tenant, watching)
    assert [event for event, _, _ in found] == list(range(1, 31))
    assert sorted(rid for _, rid, _ in found) == sorted(each.rid for each in made)


async def test_the_servers_own_bookkeeping_does_not_go_round_in_circles(tenant: Tenant, settings: Settings) -> None:
    who = await given.client(tenant, "system/*.cruds")
    watching = await active(tenant, settings, "Subscription?status=active", who)
    await drain(tenant, settings)
    await judge(tenant, watching, settings)
    await drain(tenant, settings)
    text = tenant.sql("SELECT count(*) FROM {s}.history WHERE rid = $1")
    assert await tenant.pool.fetchval(text, watching) == 1
    await tenant.pool.execute(tenant.sql("UPDATE {s}.subscription_state SET status = 'off' WHERE rid = $1"), watching)


async def test_codes_that_nobody_had_written_before_are_told_in_every_system(
    tenant: Tenant, unique: str, settings: Settings
) -> None:
    who = await given.client(tenant, "system/*.cruds")
    watching = await active(tenant, settings, f"Observation?code={unique}", who)
    other = await active(tenant, settings, f"Observation?code:not={unique}&_tag={unique}", who)
    made = []
    for number in range(4):
        code = {"coding": [{"system": f"urn:{number % 2}", "code": unique if number else f"not-{unique}"}]}
        tagged = given.observation(unique, number) | {"code": code, "meta": {"tag": [{"code": unique}]}}
        made.append((await given.write(tenant, tagged, who)).rid)
        await drain(tenant, settings)
    assert [rid for _, rid, _ in await told(tenant, watching)] == made[1:]
    assert [rid for _, rid, _ in await told(tenant, other)] == made[:1]


async def test_a_change_alone_is_matched_by_one_statement_and_by_two_once_it_was_replaced(
    tenant: Tenant, unique: str, settings: Settings
) -> None:
    """What it costs is mostly round trips: what the version says comes with the event, and the numbers are written."""
    who = await given.client(tenant, "system/*.cruds")
    rid = await active(tenant, settings, f"Observation?patient={unique}&code=8867-4", who)
    await given.write(tenant, given.observation(unique), who)
    await drain(tenant, settings)
    for replaced, statements in ((False, 1), (True, 2)):
        done = await given.write(tenant, given.observation(unique), who)
        if replaced:
            await given.write(tenant, given.observation("somebody-else"), who, id_=done.id)
        asked: list[str] = []
        async with tenant.pool.acquire() as connection, connection.transaction():
            read = await outbox.read_events(connection, tenant, "dispatch", types=match.types(tenant))
            [event] = [each for each in read if (each.rid, each.version) == (done.rid, 1)]
            with connection.query_logger(lambda record, asked=asked: asked.append(record.query)):
                assert await match.enqueue(connection, tenant, [event]) >= 1
        assert len(asked) == statements
        assert (await told(tenant, rid))[-1][1:] == (done.rid, 1)
