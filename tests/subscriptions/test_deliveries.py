"""Claims and rows: one serves a Subscription at a time, and what may have left the house before a crash is on record."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from fhir_server.kit import json
from fhir_server.settings import Settings
from fhir_server.storage import reads
from fhir_server.storage.tenants import Tenant
from fhir_server.subscriptions import closing, deliveries, letters, state
from fhir_server.subscriptions.deliveries import Record
from fhir_server.subscriptions.judge import judge
from fhir_server.subscriptions.state import Claim
from tests.subscriptions import subscribing as given
from workers.jobs import sweep
from workers.jobs.dispatch import dispatch

MINUTE = timedelta(minutes=1)


@pytest.fixture
async def waiting(tenant: Tenant, unique: str, tmp_path: Path) -> int:
    """A Subscription for which three notifications wait, the only one."""
    settings: Settings = given.settings(tmp_path)
    await tenant.pool.execute(tenant.sql("UPDATE {s}.subscription_state SET status = 'off'"))
    await tenant.pool.execute(tenant.sql("DELETE FROM {s}.endpoint_state"))  # what other tests have found broken
    who = await given.client(tenant, "system/*.cruds")
    wanted = given.subscription(f"Observation?patient={unique}", "http://127.0.0.1:9")
    made = await given.write(tenant, wanted, who)
    await judge(tenant, made.rid, settings)
    for value in range(3):
        await given.write(tenant, given.observation(unique, value), who)
    while await dispatch(tenant, settings):
        pass
    return made.rid


async def claim(tenant: Tenant, lease: timedelta = MINUTE, **more: int) -> list[Claim]:
    return await state.claim(tenant, 10, more.pop("per_endpoint", 4), more.pop("busy", {}), lease)


async def test_one_claim_at_a_time(tenant: Tenant, waiting: int) -> None:
    [mine] = await claim(tenant)
    assert mine.rid == waiting
    assert await claim(tenant) == []
    await deliveries.release(tenant, mine)
    [other] = await claim(tenant)
    assert other.fence > mine.fence


async def test_a_full_endpoint_is_left_alone(tenant: Tenant, waiting: int) -> None:
    endpoint = tenant.key(0, "endpoint", "http://127.0.0.1:9")
    assert await claim(tenant, busy={endpoint: 4}) == []
    assert len(await claim(tenant, busy={endpoint: 3})) == 1


async def test_who_slept_past_the_lease_writes_nothing(tenant: Tenant, waiting: int) -> None:
    [slow] = await claim(tenant, timedelta(0))
    taken = (await deliveries.take(tenant, slow, 2, timedelta(0))).deliveries
    [quick] = await claim(tenant)
    await deliveries.record(tenant, slow, [Record(taken[0].event, "dead")])
    assert (await deliveries.take(tenant, slow, 2, MINUTE)).deliveries == []
    await deliveries.release(tenant, slow)
    assert not await state.stop(tenant, waiting, "error", "late", slow.fence)
    again = (await deliveries.take(tenant, quick, 5, MINUTE)).deliveries
    assert [(d.event, d.attempts, d.again) for d in again] == [(1, 1, True), (2, 1, True), (3, 1, False)]


async def test_what_was_not_tried_costs_no_attempt(tenant: Tenant, waiting: int) -> None:
    [mine] = await claim(tenant)
    await deliveries.take(tenant, mine, 3, MINUTE)
    records = [Record(1, "delivered", 200), Record(2, "waiting", 500), Record(3, "waiting", unsent=True)]
    await deliveries.record(tenant, mine, records)
    assert await given.deliveries(tenant, waiting) == [(1, "delivered", 1), (2, "waiting", 1), (3, "waiting", 0)]


async def test_a_released_claim_waits_as_long_as_it_was_told(tenant: Tenant, waiting: int) -> None:
    [mine] = await claim(tenant)
    await deliveries.release(tenant, mine, MINUTE)
    assert await claim(tenant) == []
    text = tenant.sql("SELECT next_at - now() FROM {s}.subscription_state WHERE rid = $1")
    assert timedelta(seconds=50) < await tenant.pool.fetchval(text, waiting) <= MINUTE


async def test_when_nothing_waits_any_more_nothing_is_due(tenant: Tenant, waiting: int) -> None:
    [mine] = await claim(tenant)
    taken = (await deliveries.take(tenant, mine, 5, MINUTE)).deliveries
    await deliveries.record(tenant, mine, [Record(d.event, "delivered", 200) for d in taken])
    await deliveries.release(tenant, mine)
    assert await claim(tenant) == []
    await deliveries.forget(tenant, MINUTE)  # older ones are those of other tests
    assert len(await given.deliveries(tenant, waiting)) == 3
    assert await deliveries.forget(tenant, timedelta(0)) >= 3
    assert await given.deliveries(tenant, waiting) == []


async def test_what_comes_between_taking_and_giving_back_is_due_at_once(
    tenant: Tenant, waiting: int, unique: str, tmp_path: Path
) -> None:
    """Giving back after all was told looks at no delivery: the row of the Subscription says whether there is anything new."""
    who = await given.client(tenant, "system/*.cruds")

    async def told() -> tuple[Claim, int]:
        [mine] = await claim(tenant)
        taken = (await deliveries.take(tenant, mine, 5, MINUTE)).deliveries
        await deliveries.record(tenant, mine, [Record(d.event, "delivered", 200) for d in taken])
        return mine, taken[-1].event

    mine, last = await told()
    await given.write(tenant, given.observation(unique, 9), who)
    while await dispatch(tenant, given.settings(tmp_path)):
        pass
    await deliveries.release_done(tenant, mine, last)
    mine, last = await told()
    assert last == 4
    await tenant.pool.execute(tenant.sql("UPDATE {s}.delivery SET state = 'dead' WHERE subscription = $1"), waiting)
    assert await letters.replay(tenant, waiting, 2, 2) == 1
    await deliveries.release_done(tenant, mine, last)
    mine, last = await told()
    assert last == 2
    await deliveries.release_done(tenant, mine, last)
    [mine] = await claim(tenant)  # numbers up to 4 were given: who comes looks, and finds nothing
    assert (await deliveries.take(tenant, mine, 5, MINUTE)).deliveries == []
    await deliveries.release(tenant, mine)
    assert await claim(tenant) == []


async def test_what_a_dead_worker_may_have_sent_is_audited_when_the_subscription_ends(
    tenant: Tenant, waiting: int
) -> None:
    [mine] = await claim(tenant)
    await deliveries.take(tenant, mine, 2, MINUTE)
    await closing.close(tenant, waiting, "deleted")
    assert [state for _, state, _ in await given.deliveries(tenant, waiting)] == ["skipped"] * 3
    text = """SELECT a.status, a.agent, cardinality(a.patients) FROM {s}.audit a JOIN {s}.delivery d USING (rid, version)
    WHERE d.subscription = $1 AND a.interaction = 17 ORDER BY a.id"""
    rows = [tuple(row) for row in await tenant.pool.fetch(tenant.sql(text), waiting)]
    assert rows == [(closing.UNKNOWN, mine.agent, 1)] * 2


async def aged(tenant: Tenant, rid: int, days: int) -> None:
    text = "UPDATE {s}.subscription_state SET updated_at = now() - make_interval(days => $2) WHERE rid = $1"
    await tenant.pool.execute(tenant.sql(text), rid, days)


async def standing(tenant: Tenant, rid: int) -> tuple[str | None, str | None, list[str]]:
    """Return what the row says, what the resource says, and the states of what it was to be told of."""
    status = await tenant.pool.fetchval(tenant.sql("SELECT status FROM {s}.subscription_state WHERE rid = $1"), rid)
    said = [json.decode_trusted(each.body)["status"] for each in await reads.fetch(tenant, [rid])]
    rows = await tenant.pool.fetch(tenant.sql("SELECT state FROM {s}.delivery WHERE subscription = $1"), rid)
    return status, said[0] if said else None, [row["state"] for row in rows]


async def test_what_nobody_mends_is_off_after_28_days_and_may_be_served_again(
    tenant: Tenant, waiting: int, unique: str, tmp_path: Path
) -> None:
    [mine] = await claim(tenant)
    await closing.give_up(tenant, mine, "error", "endpoint-status-503")
    await aged(tenant, waiting, 27)
    await sweep.tidy(tenant)
    assert await standing(tenant, waiting) == ("error", "error", ["waiting"] * 3)
    await aged(tenant, waiting, 29)
    await sweep.tidy(tenant)
    await sweep.tidy(tenant)
    assert await standing(tenant, waiting) == ("off", "off", ["skipped"] * 3)
    [stored] = await reads.fetch(tenant, [waiting])
    body = json.decode_trusted(stored.body)
    assert body["error"].startswith(closing.ABANDONED)
    who = await given.client(tenant, "system/*.cruds")
    await given.write(tenant, body | {"status": "requested"}, who, id_=stored.id)
    await judge(tenant, waiting, given.settings(tmp_path))
    await given.write(tenant, given.observation(unique, 4), who)
    while await dispatch(tenant, given.settings(tmp_path)):
        pass
    [again] = await claim(tenant)
    assert [each.event for each in (await deliveries.take(tenant, again, 9, MINUTE)).deliveries] == [4]


async def test_one_written_anew_is_judged_and_not_abandoned(tenant: Tenant, waiting: int) -> None:
    [mine] = await claim(tenant)
    await closing.give_up(tenant, mine, "error", "endpoint-status-503")
    [stored] = await reads.fetch(tenant, [waiting])
    who = await given.client(tenant, "system/*.cruds")
    await given.write(tenant, json.decode_trusted(stored.body) | {"status": "requested"}, who, id_=stored.id)
    await aged(tenant, waiting, 29)
    await sweep.tidy(tenant)
    assert await standing(tenant, waiting) == ("error", "requested", ["waiting"] * 3)


async def test_what_is_known_of_a_deleted_one_goes_with_its_rows(tenant: Tenant, waiting: int, tmp_path: Path) -> None:
    [stored] = await reads.fetch(tenant, [waiting])
    await given.remove(tenant, "Subscription", stored.id, await given.client(tenant, "system/*.cruds"))
    await judge(tenant, waiting, given.settings(tmp_path))
    await aged(tenant, waiting, 29)
    await sweep.tidy(tenant)
    assert await standing(tenant, waiting) == ("off", None, ["skipped"] * 3), "what was told is remembered for a week"
    text = "UPDATE {s}.delivery SET done_at = now() - interval '8 days' WHERE subscription = $1"
    await tenant.pool.execute(tenant.sql(text), waiting)
    await sweep.tidy(tenant)
    assert await standing(tenant, waiting) == (None, None, [])
