"""A tenant that nothing else writes to, so that counts are counts of the suite."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import httpx
import pytest

from fhir_server.app import application
from fhir_server.http.services import Services
from fhir_server.settings import Settings
from fhir_server.storage import migrate
from fhir_server.storage.tenants import open_tenants
from tests.auth.test_labels import ALL
from tests.http.client import Caller, caller

ORIGIN = "http://clarity.test"


@pytest.fixture(scope="module")
def fresh_tenant(request: pytest.FixtureRequest, database_url: str) -> str:
    """The name of a migrated tenant of this module's own."""
    name = request.module.__name__.rsplit(".", 1)[-1].removeprefix("test_")
    migrate.upgrade(database_url, [name])
    return name


@pytest.fixture(scope="module")
async def fresh(
    fresh_tenant: str, pool: asyncpg.Pool, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Caller]:
    """A client of that tenant that may do everything."""
    data: Path = tmp_path_factory.mktemp("data")
    tenants = open_tenants([fresh_tenant], pool, tmp_path_factory.mktemp("keys"), ORIGIN)
    settings = Settings(environment="test", data=data, tenants=fresh_tenant)  # type: ignore[arg-type]
    transport = httpx.ASGITransport(app=application(Services(settings, pool, tenants)))
    async with httpx.AsyncClient(transport=transport, timeout=600) as http:
        yield await caller(http, tenants[fresh_tenant], ALL)
