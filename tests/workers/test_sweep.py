"""The house is kept: what was read is forgotten, months are made, numbers are shown."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from prometheus_client import REGISTRY

from fhir_server.kit import clock
from fhir_server.storage.tenants import Tenant
from tests.subscriptions import subscribing as given
from workers.jobs import sweep
from workers.jobs.dispatch import dispatch


def shown(name: str, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(name, labels)


async def test_what_waits_is_shown_and_what_was_read_is_forgotten(tenant: Tenant, unique: str, tmp_path: Path) -> None:
    settings = given.settings(tmp_path)
    who = await given.client(tenant, "system/*.cruds")
    while await dispatch(tenant, settings):
        pass
    await given.write(tenant, given.observation(unique), who)
    assert not await sweep.measure(tenant)
    consumer = f"{tenant.name}/dispatch"
    assert 0 < shown("clarity_outbox_lag_seconds", consumer=consumer) < 60
    while await dispatch(tenant, settings):
        pass
    await sweep.measure(tenant)
    assert shown("clarity_outbox_lag_seconds", consumer=consumer) == 0
    assert shown("clarity_queue_depth", kind=f"{tenant.name}/jobs-ready") >= 1
    await sweep.tidy(tenant)
    assert not await sweep.tidy(tenant)


async def test_old_guesses_and_spent_assertions_are_forgotten(tenant: Tenant, unique: str) -> None:
    """Each key is a row; what a stranger leaves behind must not grow for ever."""
    old, fresh = f"old-{unique}".encode(), f"new-{unique}".encode()
    text = tenant.sql("INSERT INTO {s}.failure (key, count, last_at, attempt) VALUES ($1, 1, $2, '')")
    await tenant.pool.execute(text, old, clock.now() - timedelta(hours=25))
    await tenant.pool.execute(text, fresh, clock.now())
    await sweep.tidy(tenant)
    left = await tenant.pool.fetch(tenant.sql("SELECT key FROM {s}.failure WHERE key = ANY($1)"), [old, fresh])
    assert [row["key"] for row in left] == [fresh]
