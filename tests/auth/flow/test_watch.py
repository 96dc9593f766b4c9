"""What another process takes away is noticed here at once, and what has run out is forgotten by the sweep."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from fhir_server.auth import bearer, expiry, watch
from fhir_server.kit import clock
from tests.auth.flow.conftest import granted

OFFLINE = "launch/patient patient/*.rs offline_access"


@pytest.fixture
async def watching(database_url, tenants):
    task = asyncio.create_task(watch.keep_watch(database_url, tenants))
    await asyncio.sleep(0.3)
    yield
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


TAKEN = {
    "the app": "UPDATE {s}.oauth_grant SET ended_at = now() WHERE client_id = $1",
    "the person": "UPDATE {s}.person SET disabled_at = now() WHERE id IN (SELECT person FROM {s}.oauth_grant WHERE client_id = $1)",
    "the roles": "UPDATE {s}.person SET roles = '{device}' WHERE id IN (SELECT person FROM {s}.oauth_grant WHERE client_id = $1)",
    "the client": "DELETE FROM {s}.oauth_client WHERE client_id = $1",
    "its scopes": "UPDATE {s}.oauth_client SET scope = 'patient/Device.c' WHERE client_id = $1",
}


@pytest.mark.parametrize("what", TAKEN)
async def test_other_processes_are_told(browser, app, ward, watching, what):
    said = await granted(browser(), app, ward.own.login, scope=OFFLINE)
    fhir = app.caller(said["access_token"])
    assert (await fhir.get(f"Patient/{ward.mine}")).status == 200
    await app.tenant.pool.execute(app.tenant.sql(TAKEN[what]), app.client_id)  # past every function of this process
    for _ in range(40):
        if (status := (await fhir.get(f"Patient/{ward.mine}")).status) != 200:
            break
        await asyncio.sleep(0.05)
    assert status in (401, 403)


async def test_a_lost_connection_is_made_anew(browser, app, ward, watching, monkeypatch, pool):
    monkeypatch.setattr(watch, "_PAUSE", 0.01)
    monkeypatch.setattr(watch, "_LOOK_SECONDS", 0.05)
    await pool.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'")
    await asyncio.sleep(0.5)
    await test_other_processes_are_told(browser, app, ward, None, "the app")


async def test_what_has_run_out_is_forgotten(browser, app, ward):
    said = await granted(browser(), app, ward.own.login, scope=OFFLINE)
    bearer.forget(app.tenant)
    tenant, grants = app.tenant, "SELECT count(*) FROM {s}.oauth_grant WHERE client_id = $1"
    await expiry.purge(tenant)
    assert await tenant.pool.fetchval(tenant.sql(grants), app.client_id) == 1
    assert (await app.refresh(said["refresh_token"])).status_code == 200
    old = clock.now() - timedelta(days=3)
    await tenant.pool.execute(
        tenant.sql("UPDATE {s}.oauth_grant SET created_at = $2 WHERE client_id = $1"), app.client_id, old
    )
    await expiry.purge(tenant)
    assert await tenant.pool.fetchval(tenant.sql(grants), app.client_id) == 1, "a refresh token lives"
    await tenant.pool.execute(
        tenant.sql(
            "UPDATE {s}.oauth_refresh SET expires_at = $2 WHERE grant_id IN"
            " (SELECT id FROM {s}.oauth_grant WHERE client_id = $1)"
        ),
        app.client_id, old,
    )  # fmt: skip
    await tenant.pool.execute(tenant.sql("UPDATE {s}.oauth_code SET expires_at = $1"), old)
    await expiry.purge(tenant)
    assert await tenant.pool.fetchval(tenant.sql(grants), app.client_id) == 0


async def test_what_was_ended_is_kept_a_month(browser, app, ward):
    await granted(browser(), app, ward.own.login, scope=OFFLINE)
    tenant, grants = app.tenant, "SELECT count(*) FROM {s}.oauth_grant WHERE client_id = $1"
    end = tenant.sql("UPDATE {s}.oauth_grant SET ended_at = $2 WHERE client_id = $1")
    for days, left in ((29, 1), (31, 0)):
        await tenant.pool.execute(end, app.client_id, clock.now() - timedelta(days=days))
        await expiry.purge(tenant)
        assert await tenant.pool.fetchval(tenant.sql(grants), app.client_id) == left
