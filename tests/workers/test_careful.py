"""An event whose consequences always fail holds up no other: it is set aside, and has them when it is tried again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from fhir_server.kit import metrics
from fhir_server.settings import Settings
from fhir_server.storage import aside, jobs, reads
from fhir_server.storage.aside import Aside
from fhir_server.storage.outbox import Event
from fhir_server.storage.tenants import Tenant
from fhir_server.storage.visibility import EVERYTHING
from fhir_server.subscriptions import board
from fhir_server.subscriptions.judge import judge
from fhir_server.subscriptions.orders import Change, Order
from tests.subscriptions import subscribing as given
from tests.workers.test_dispatch import drain, twin_of, waiting
from workers.jobs import dispatch, sweep

HOOK = "http://127.0.0.1:9/hook"
SECRET = "Mrs Somebody, born 1970"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return given.settings(tmp_path)


@pytest.fixture(autouse=True)
async def nothing_aside(tenant: Tenant, settings: Settings) -> AsyncIterator[None]:
    """Begin with nothing waiting and nothing set aside, and leave nothing."""
    await drain(tenant, settings)
    yield
    await tenant.pool.execute(tenant.sql("DELETE FROM {s}.outbox_aside"))
    await drain(tenant, settings)


async def rounds(tenant: Tenant, settings: Settings) -> list[str]:
    """Dispatch as a worker does, until there is nothing to read; return the classes of what was raised."""
    raised = []
    while len(raised) < 50:
        try:
            if not await dispatch.dispatch(tenant, settings):
                break
        except Exception as error:  # noqa: BLE001  a worker goes on after whatever it was
            raised.append(type(error).__name__)
    return raised


def failing(consequence: Any, rid: int, error: Exception) -> Callable[..., Any]:
    """Return the consequence as it is with a mistake: it fails for one resource, after having begun."""

    async def act(connection: asyncpg.Connection, tenant: Tenant, events: Sequence[Event], settings: Settings) -> None:
        await consequence(connection, tenant, events, settings)
        if any(event.rid == rid for event in events):
            raise error

    return act


async def subscribed(tenant: Tenant, settings: Settings, criteria: str, who: given.Principal) -> tuple[str, int]:
    made = await given.write(tenant, given.subscription(criteria, HOOK), who)
    await judge(tenant, made.rid, settings)
    return made.id, made.rid


async def told(tenant: Tenant, subscription: int) -> list[tuple[int, int]]:
    text = tenant.sql("SELECT event, rid FROM {s}.delivery WHERE subscription = $1 ORDER BY event")
    return [tuple(row) for row in await tenant.pool.fetch(text, subscription)]


async def replayed(tenant: Tenant, settings: Settings, wanted: list[int] | None = None) -> int:
    """Do what an administrator and then a worker does."""
    count = await aside.replay(tenant, wanted)
    [job] = await jobs.claim(tenant, [aside.JOB], dispatch.timedelta(seconds=30))
    await dispatch.replay(tenant, job, settings)
    assert await jobs.finish(tenant.pool, tenant, job)
    return count


def said(rows: list[Aside]) -> list[tuple[int, str, str]]:
    return [(row.failed.event.rid, row.failed.consequence, row.failed.error) for row in rows]


@pytest.mark.parametrize("name", [name for name in dispatch.CONSEQUENCES if name not in dispatch.CAREFUL])
async def test_what_fails_for_one_event_is_done_for_all_others(
    tenant: Tenant, unique: str, settings: Settings, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    who = await given.client(tenant, "system/*.cruds")
    _, watching = await subscribed(tenant, settings, f"Observation?code=8867-4&_tag={unique}", who)
    await drain(tenant, settings)
    tagged = {"meta": {"tag": [{"code": unique}]}}
    made = [await given.write(tenant, given.observation(f"{unique}-{n}", n) | tagged, who) for n in range(9)]
    asked = await given.write(tenant, given.subscription("Observation?code=x", "https://example.org"), who)
    bad = made[5]
    with monkeypatch.context() as patch:
        broken = failing(dispatch.CONSEQUENCES[name], bad.rid, KeyError(SECRET))
        patch.setitem(dispatch.CONSEQUENCES, name, broken)
        assert await rounds(tenant, settings) == ["KeyError"]
        rows = await aside.listed(tenant)
        assert said(rows) == [(bad.rid, name, "KeyError")]
        assert (rows[0].failed.event.version, rows[0].failed.event.fhir_id) == (1, bad.id)
        assert SECRET not in str(rows)
        assert await told(tenant, watching) == [(n + 1, each.rid) for n, each in enumerate(made)]
        fed = [each for n, each in enumerate(made) if await waiting(tenant, f"{unique}-{n}") == {each.rid}]
        assert fed == [each for each in made if name != "twins" or each is not bad]
        text = tenant.sql("SELECT count(*) FROM {s}.job WHERE kind = 'subscription' AND key = $1")
        assert await tenant.pool.fetchval(text, str(asked.rid)) == 1
        assert await replayed(tenant, settings) == 1
        assert said(await aside.listed(tenant)) == [(bad.rid, name, "KeyError")], "it fails as before"
    assert await replayed(tenant, settings, [row.id for row in await aside.listed(tenant)]) == 1
    assert await aside.listed(tenant) == []
    assert await waiting(tenant, f"{unique}-5") == {bad.rid}
    assert await twin_of(tenant, f"{unique}-5") is not None
    assert len(await told(tenant, watching)) == len(made)


async def test_what_passes_sets_nothing_aside(
    tenant: Tenant, unique: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    who = await given.client(tenant, "system/*.cruds")
    made = await given.write(tenant, given.observation(unique), who)
    honest = dispatch.CONSEQUENCES["alerts"]
    with monkeypatch.context() as patch:
        patch.setitem(dispatch.CONSEQUENCES, "alerts", failing(honest, made.rid, KeyError()))
        with pytest.raises(KeyError):
            await dispatch.dispatch(tenant, settings)  # from now on with care
        for error in (OSError(), asyncpg.DeadlockDetectedError(), asyncpg.SerializationError(), TimeoutError()):
            patch.setitem(dispatch.CONSEQUENCES, "alerts", failing(honest, made.rid, error))
            with pytest.raises(type(error)):
                await dispatch.dispatch(tenant, settings)
        assert await twin_of(tenant, unique) is None
    assert await aside.waiting(tenant) == 0
    assert await rounds(tenant, settings) == []
    assert await twin_of(tenant, unique) is not None


async def test_what_is_cancelled_sets_nothing_aside(
    tenant: Tenant, unique: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    who = await given.client(tenant, "system/*.cruds")
    made = await given.write(tenant, given.observation(unique), who)
    with monkeypatch.context() as patch:
        cancelled = failing(dispatch.CONSEQUENCES["twins"], made.rid, asyncio.CancelledError())  # type: ignore[arg-type]
        patch.setitem(dispatch.CONSEQUENCES, "twins", cancelled)
        with pytest.raises(asyncio.CancelledError):
            await dispatch.dispatch(tenant, settings)
    assert await aside.waiting(tenant) == 0
    assert await rounds(tenant, settings) == []


def asking(fails: Callable[[Order, Change], bool]) -> Callable[..., Any]:
    """Return `Order.meeting` with a mistake."""
    honest = Order.meeting

    async def meeting(self: Order, tenant: Tenant, changes: Sequence[Change]) -> list[Change]:
        if any(fails(self, each) for each in changes):
            raise LookupError(SECRET)
        return await honest(self, tenant, changes)

    return meeting


async def test_a_change_that_cannot_be_judged_for_anybody_is_set_aside_once(
    tenant: Tenant, unique: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    who = await given.client(tenant, "system/*.cruds")
    both = [
        await subscribed(tenant, settings, f"Observation?patient={unique}{more}", who) for more in ("", "&code=8867-4")
    ]
    await drain(tenant, settings)
    made = [await given.write(tenant, given.observation(unique, n), who) for n in range(5)]
    with monkeypatch.context() as patch:
        patch.setattr(Order, "meeting", asking(lambda _, change: change.event.rid == made[2].rid))
        assert await rounds(tenant, settings) == ["LookupError"]
    rids = [each.rid for each in made if each is not made[2]]
    assert [await told(tenant, rid) for _, rid in both] == [list(enumerate(rids, 1))] * 2
    assert said(await aside.listed(tenant)) == [(made[2].rid, "match", "LookupError")]
    assert [await given.status_of(tenant, id_) for id_, _ in both] == [("active", None)] * 2
    assert await replayed(tenant, settings) == 1
    assert [await told(tenant, rid) for _, rid in both] == [list(enumerate([*rids, made[2].rid], 1))] * 2


async def test_a_subscription_that_cannot_be_asked_ends_in_error_and_holds_up_nobody(
    tenant: Tenant, unique: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    who = await given.client(tenant, "system/*.cruds")
    bad_id, bad = await subscribed(tenant, settings, f"Observation?patient={unique}&status=final", who)
    _, good = await subscribed(tenant, settings, f"Observation?patient={unique}", who)
    await drain(tenant, settings)
    with monkeypatch.context() as patch:
        patch.setattr(Order, "meeting", asking(lambda order, _: order.watch.rid == bad))
        first = [await given.write(tenant, given.observation(unique, n), who) for n in range(2)]
        assert await rounds(tenant, settings) == ["LookupError"]
        assert await given.status_of(tenant, bad_id) == ("active", None), "two failures may be of two changes"
        assert [rid for rid, _, _ in said(await aside.listed(tenant))] == [each.rid for each in first]
        more = [await given.write(tenant, given.observation(unique, n), who) for n in range(6)]
        assert await rounds(tenant, settings) == ["LookupError"]
        status, why = await given.status_of(tenant, bad_id)
        assert status == "error"
        assert why is not None
        assert why.startswith("criteria-failed")
        assert SECRET not in why
        after = await given.write(tenant, given.observation(unique, 99), who)
        assert await rounds(tenant, settings) == []
    assert await aside.waiting(tenant) == 2, "what would have met one that is not served any more is not set aside"
    assert [rid for _, rid in await told(tenant, good)] == [each.rid for each in (*first, *more, after)]
    assert await told(tenant, bad) == []


async def test_a_subscription_that_cannot_be_read_ends_in_error(
    tenant: Tenant, unique: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    who = await given.client(tenant, "system/*.cruds")
    bad_id, bad = await subscribed(tenant, settings, f"Observation?patient={unique}", who)
    _, good = await subscribed(tenant, settings, f"Observation?patient={unique}", who)
    await drain(tenant, settings)
    made = await given.write(tenant, given.observation(unique), who)
    honest = board._read

    async def read(of: Tenant, watch: Any, *more: Any) -> list[Order]:
        if watch.rid == bad:
            raise RecursionError(SECRET)
        return await honest(of, watch, *more)

    with monkeypatch.context() as patch:
        patch.setattr(board, "_read", read)
        patch.setattr(board, "_known", {})
        patch.setattr(board, "_boards", {})
        assert await rounds(tenant, settings) == ["RecursionError"]
        assert (await given.status_of(tenant, bad_id))[0] == "error"
        assert await told(tenant, good) == [(1, made.rid)]
        assert await aside.waiting(tenant) == 0
        later = await given.write(tenant, given.observation(unique), who)
        assert await rounds(tenant, settings) == []
        assert await told(tenant, good) == [(1, made.rid), (2, later.rid)]


async def test_a_newer_version_is_not_blamed_for_the_last_one(tenant: Tenant, unique: str, settings: Settings) -> None:
    from fhir_server.subscriptions import closing, state

    who = await given.client(tenant, "system/*.cruds")
    id_, rid = await subscribed(tenant, settings, f"Observation?patient={unique}", who)
    [old] = [watch for watch in (await state.watches(tenant))[1] if watch.rid == rid]
    asked = given.subscription(f"Observation?patient={unique}", HOOK) | {"id": id_}
    await given.write(tenant, asked, who, id_=id_)
    await judge(tenant, rid, settings)
    await closing.break_off(tenant, old)
    assert (await given.status_of(tenant, id_))[0] == "active"
    current = await reads.read(tenant, "Subscription", id_, EVERYTHING)
    assert current is not None


async def test_more_than_is_set_aside_at_most_holds_everything_up(
    tenant: Tenant, unique: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fault of everything is no reason to pass over everything."""
    who = await given.client(tenant, "system/*.cruds")
    made = await given.write(tenant, given.observation(unique), who)
    with monkeypatch.context() as patch:
        patch.setitem(
            dispatch.CONSEQUENCES, "twins", failing(dispatch.CONSEQUENCES["twins"], made.rid, ZeroDivisionError())
        )
        patch.setattr(aside, "MOST", 0)
        with pytest.raises(ZeroDivisionError):
            await dispatch.dispatch(tenant, settings)
        for _ in range(2):
            with pytest.raises(aside.TooMany):
                await dispatch.dispatch(tenant, settings)
        assert await aside.waiting(tenant) == 0
    assert await rounds(tenant, settings) == []
    assert await waiting(tenant, unique) == {made.rid}


async def test_what_is_set_aside_is_shown_and_forgotten_after_four_weeks(tenant: Tenant, unique: str) -> None:
    who = await given.client(tenant, "system/*.cruds")
    done = await given.write(tenant, given.observation(unique), who)
    event = Event(1 << 40, done.rid, "Observation", done.id, 1, 1, 0, (done.rid,))
    async with tenant.pool.acquire() as connection, connection.transaction():
        await aside.put(connection, tenant, [aside.Failed(event, "twins", "KeyError")])
    await sweep.measure(tenant)
    shown = metrics.QUEUE_DEPTH.labels(f"{tenant.name}/events-aside")
    assert shown._value.get() == 1
    assert [row.failed.event for row in await aside.listed(tenant)] == [event]
    await aside.forget(tenant)
    assert await aside.waiting(tenant) == 1
    await tenant.pool.execute(tenant.sql("UPDATE {s}.outbox_aside SET at = now() - interval '29 days'"))
    await sweep.tidy(tenant)
    assert await aside.waiting(tenant) == 0
