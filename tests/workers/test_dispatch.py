"""What follows from a commit: twins of the patients concerned, as often as allowed; never from what the twin wrote."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from fhir_server.kit import clock
from fhir_server.settings import Settings
from fhir_server.storage import ident, jobs
from fhir_server.storage.commands import IMPORT, PREDICTION, SUBSCRIPTION, TWIN
from fhir_server.storage.tenants import Tenant
from tests.subscriptions import subscribing as given
from workers.jobs.dispatch import dispatch


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return given.settings(tmp_path)


async def drain(tenant: Tenant, settings: Settings) -> None:
    while await dispatch(tenant, settings):
        pass


async def twin_of(tenant: Tenant, patient: str) -> tuple[str, datetime] | None:
    rid = await ident.known_rid(tenant, "Patient", patient)
    row = await tenant.pool.fetchrow(
        tenant.sql("SELECT state, run_at FROM {s}.job WHERE kind = 'twin' AND key = $1"), str(rid)
    )
    return row and tuple(row)


async def waiting(tenant: Tenant, patient: str) -> set[int]:
    rid = await ident.known_rid(tenant, "Patient", patient)
    rows = await tenant.pool.fetch(tenant.sql("SELECT rid FROM {s}.signal_pending WHERE patient = $1"), rid)
    return {row["rid"] for row in rows}


@pytest.mark.parametrize("origin", [0, IMPORT])
async def test_an_observation_feeds_its_patients_twin_at_once(
    tenant: Tenant, unique: str, settings: Settings, origin: int
) -> None:
    who = await given.client(tenant, "system/*.cruds")
    done = [await given.write(tenant, given.observation(unique, n), who, origin=origin) for n in range(3)]
    await given.remove(tenant, "Observation", done[0].id, who)
    await drain(tenant, settings)
    state, run_at = await twin_of(tenant, unique)
    assert state == "ready"
    assert abs(run_at - clock.now()) < timedelta(seconds=20)
    assert await waiting(tenant, unique) == {each.rid for each in done}


@pytest.mark.parametrize("origin", [TWIN, PREDICTION])
async def test_what_the_twin_writes_does_not_wake_it(
    tenant: Tenant, unique: str, settings: Settings, origin: int
) -> None:
    who = await given.client(tenant, "system/*.cruds")
    await given.write(tenant, given.observation(unique), who, origin=origin)
    await drain(tenant, settings)
    assert await twin_of(tenant, unique) is None
    assert await waiting(tenant, unique) == set()


async def test_a_twin_just_refreshed_waits_out_its_rest(tenant: Tenant, unique: str, settings: Settings) -> None:
    who = await given.client(tenant, "system/*.cruds")
    await given.write(tenant, given.observation(unique), who)
    await drain(tenant, settings)
    rid = str(await ident.known_rid(tenant, "Patient", unique))
    text = tenant.sql("UPDATE {s}.job SET state = 'done', finished_at = now() WHERE kind = 'twin' AND key = $1")
    await tenant.pool.execute(text, rid)
    await given.write(tenant, given.observation(unique), who)
    await drain(tenant, settings)
    state, run_at = await twin_of(tenant, unique)
    assert state == "ready"
    assert timedelta(seconds=200) < run_at - clock.now() <= timedelta(seconds=settings.twin_refresh_seconds)


async def test_a_subscription_is_judged_when_a_client_wrote_it_and_only_then(
    tenant: Tenant, settings: Settings
) -> None:
    who = await given.client(tenant, "system/*.cruds")
    asked = await given.write(tenant, given.subscription("Observation?code=x", "https://example.org"), who)
    own = await given.write(tenant, given.subscription("Observation?code=x", "https://e.org"), who, origin=SUBSCRIPTION)
    await drain(tenant, settings)
    text = tenant.sql("SELECT key FROM {s}.job WHERE kind = 'subscription' AND key = ANY($1::text[])")
    rows = await tenant.pool.fetch(text, [str(asked.rid), str(own.rid)])
    assert [row["key"] for row in rows] == [str(asked.rid)]


async def test_jobs_of_a_page_are_asked_for_with_the_place_in_the_outbox_or_not_at_all(
    tenant: Tenant, unique: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fhir_server.subscriptions import match

    async def broken(*_: object) -> int:
        raise OSError("the connection broke")

    who = await given.client(tenant, "system/*.cruds")
    await drain(tenant, settings)
    await given.write(tenant, given.observation(unique), who)
    with monkeypatch.context() as patch:
        patch.setattr(match, "enqueue", broken)
        with pytest.raises(OSError, match="broke"):
            await dispatch(tenant, settings)
    assert await twin_of(tenant, unique) is None
    await drain(tenant, settings)
    assert await twin_of(tenant, unique) is not None
    assert not await dispatch(tenant, settings)
    assert await jobs.depth(tenant)
