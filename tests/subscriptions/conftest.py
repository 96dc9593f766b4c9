"""HTTP into the application in this process, and a worker beside it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from fhir_server.settings import Settings
from fhir_server.storage.tenants import Tenant
from tests.rest_fixtures import http, services, system
from tests.subscriptions import subscribing as given
from tests.subscriptions.receiver import Receiver, receiving

__all__ = ["http", "services", "system"]


@pytest.fixture
async def hook() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


@pytest.fixture(scope="module")
async def served(
    tmp_path_factory: pytest.TempPathFactory, redis_url: str, database_url: str, tenants: dict[str, Tenant]
) -> AsyncIterator[Settings]:
    """A worker runs."""
    settings = given.settings(tmp_path_factory.mktemp("data"), redis_url=redis_url, database_url=database_url)
    for tenant in tenants.values():  # ports come again: no breaker of what came before is left open
        await tenant.pool.execute(tenant.sql("DELETE FROM {s}.endpoint_state"))
    async with given.working(settings, tenants):
        yield settings
        for tenant in tenants.values():  # what comes after shares the database
            await tenant.pool.execute(tenant.sql("UPDATE {s}.subscription_state SET status = 'off', topic = NULL"))
            await tenant.pool.execute(tenant.sql("UPDATE {s}.subscription_revision SET revision = revision + 1"))
