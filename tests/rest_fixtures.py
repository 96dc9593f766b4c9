"""The application over the test database, and clients of it; for every room that tests through HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import httpx
import pytest

from fhir_server.app import application
from fhir_server.http.services import Services
from fhir_server.settings import Settings
from fhir_server.storage.tenants import Tenant
from tests.http.client import Caller, caller


@pytest.fixture(scope="session")
def services(pool: asyncpg.Pool, tenants: dict[str, Tenant], tmp_path_factory: pytest.TempPathFactory) -> Services:
    """The open parts of a server over the test database."""
    data: Path = tmp_path_factory.mktemp("data")
    settings = Settings(environment="test", data=data, tenants=",".join(tenants))  # type: ignore[arg-type]
    return Services(settings, pool, tenants)


@pytest.fixture(scope="session")
async def http(services: Services) -> AsyncIterator[httpx.AsyncClient]:
    """HTTP into the application, without a socket."""
    transport = httpx.ASGITransport(app=application(services), raise_app_exceptions=True)
    async with httpx.AsyncClient(transport=transport, timeout=120) as client:
        yield client


@pytest.fixture
async def system(http: httpx.AsyncClient, tenant: Tenant) -> Caller:
    """A client that may do everything."""
    return await caller(http, tenant)
