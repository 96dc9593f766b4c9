"""Jobs are claimed, kept, finished, tried again; a worker that lost its claim stops."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from fhir_server.kit import clock
from fhir_server.settings import Settings
from fhir_server.storage import jobs
from fhir_server.storage.jobs import Job
from fhir_server.storage.tenants import Tenant
from tests.subscriptions import subscribing as given
from workers.jobs import runner
from workers.jobs.runner import Kind, Runner


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return given.settings(tmp_path)


def runner_of(tenant: Tenant, settings: Settings, kind: str, do: object, hands: int = 2, **more: object) -> Runner:
    async def run(_tenant: Tenant, job: Job, _settings: Settings) -> None:
        await do(job)

    return Runner(tenant, {kind: Kind(run, **more)}, settings, asyncio.Semaphore(hands), lambda: None)


async def ask(tenant: Tenant, kind: str, *keys: str) -> None:
    await jobs.add(tenant.pool, tenant, [(kind, key, {}, clock.now()) for key in keys])


async def row(tenant: Tenant, kind: str, key: str) -> tuple[str, int, str | None]:
    text = tenant.sql("SELECT state, attempts, last_error FROM {s}.job WHERE kind = $1 AND key = $2")
    return tuple(await tenant.pool.fetchrow(text, kind, key))


async def test_as_many_run_as_there_are_hands(tenant: Tenant, unique: str, settings: Settings) -> None:
    running, most, done = 0, 0, []

    async def do(job: Job) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.03)
        running -= 1
        done.append(job.key)

    await ask(tenant, unique, *"abcdef")
    crew = runner_of(tenant, settings, unique, do)
    while len(done) < 6:
        await crew.claim()
        await asyncio.sleep(0.005)
    await crew.end(5)
    assert (most, sorted(done)) == (2, list("abcdef"))
    assert not await crew.claim()
    assert await row(tenant, unique, "a") == ("done", 0, None)


async def test_what_fails_comes_back_later_with_the_kind_of_error_only(
    tenant: Tenant, unique: str, settings: Settings
) -> None:
    async def do(_job: Job) -> None:
        raise ValueError("Patient Anna Example")

    await ask(tenant, unique, "a")
    crew = runner_of(tenant, settings, unique, do)
    assert await crew.claim()
    await crew.end(5)
    assert await row(tenant, unique, "a") == ("ready", 1, "ValueError")
    assert not await crew.claim()


async def test_what_takes_too_long_is_a_failure(tenant: Tenant, unique: str, settings: Settings) -> None:
    async def do(_job: Job) -> None:
        await asyncio.sleep(60)

    await ask(tenant, unique, "a")
    crew = runner_of(tenant, settings, unique, do, limit=timedelta(seconds=0.05))
    assert await crew.claim()
    await crew.end(5)
    assert await row(tenant, unique, "a") == ("ready", 1, "TimeoutError")


async def test_leases_are_kept_and_a_lost_claim_ends_the_job(
    tenant: Tenant, unique: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "LEASE", timedelta(seconds=0.3))
    finished = []

    async def do(job: Job) -> None:
        await asyncio.sleep(1.0)
        finished.append(job.fence)

    await ask(tenant, unique, "kept", "lost")
    crew = runner_of(tenant, settings, unique, do)
    assert await crew.claim()
    assert await crew.claim()
    for _ in range(6):
        await asyncio.sleep(0.1)
        await crew.renew()
        assert await jobs.claim(tenant, [unique], timedelta(minutes=1)) == []
    await tenant.pool.execute(
        tenant.sql("UPDATE {s}.job SET fence = fence + 1 WHERE kind = $1 AND key = 'lost'"), unique
    )
    await crew.renew()
    await crew.end(5)
    assert len(finished) == 1
    assert (await row(tenant, unique, "kept"))[0] == "done"


@pytest.fixture
def resting(tenant: Tenant, unique: str, settings: Settings) -> Runner:
    async def do(_job: Job) -> None:
        await ask(tenant, unique, "a")

    return runner_of(tenant, settings, unique, do, rest=lambda _: timedelta(minutes=5))


async def test_asked_for_while_it_ran_it_runs_again_after_its_rest(
    tenant: Tenant, unique: str, resting: Runner
) -> None:
    await ask(tenant, unique, "a")
    assert await resting.claim()
    await resting.end(5)
    text = tenant.sql("SELECT state, run_at - now() AS wait FROM {s}.job WHERE kind = $1")
    found = await tenant.pool.fetchrow(text, unique)
    assert found["state"] == "ready"
    assert timedelta(minutes=4) < found["wait"] <= timedelta(minutes=5)
