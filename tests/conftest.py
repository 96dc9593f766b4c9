"""What every test may ask for: an embedded PostgreSQL and Redis of its own, and two migrated tenants."""

from __future__ import annotations

import os
import secrets
from collections.abc import AsyncIterator, Generator, Iterator
from pathlib import Path

import asyncpg
import hypothesis
import pytest

from fhir_server.cli.embedded import embedded_postgres, embedded_redis
from fhir_server.storage import migrate
from fhir_server.storage.tenants import Tenant, connect, open_tenants
from tests import post_mortem

TENANTS = ("default", "second")
ORIGIN = "http://clarity.test"

# How long an example takes says how busy the machine is; what CI judges is the same twice.
hypothesis.settings.register_profile(
    "clarity", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow], derandomize="CI" in os.environ
)
hypothesis.settings.load_profile("clarity")


@pytest.fixture(scope="session")
def database_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An empty database with the two tenants migrated; `TEST_DATABASE_URL` names a running one instead."""
    given = os.environ.get("TEST_DATABASE_URL")
    if given:
        migrate.upgrade(given, TENANTS)
        yield given
        return
    with embedded_postgres(tmp_path_factory.mktemp("postgres")) as url:
        migrate.upgrade(url, TENANTS)
        yield url


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An empty Redis."""
    with embedded_redis(tmp_path_factory.mktemp("redis")) as url:
        yield url


@pytest.fixture(scope="session")
async def pool(database_url: str) -> AsyncIterator[asyncpg.Pool]:
    """A pool as the server opens it."""
    pool = await connect(database_url, min_size=1, max_size=10)
    yield pool
    await pool.close()


@pytest.fixture(scope="session")
def keys_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the tenants' keys lie."""
    return tmp_path_factory.mktemp("keys")


@pytest.fixture(scope="session")
async def tenants(pool: asyncpg.Pool, keys_dir: Path) -> dict[str, Tenant]:
    """Two tenants over one database."""
    return open_tenants(TENANTS, pool, keys_dir, ORIGIN)


@pytest.fixture(params=TENANTS)
def tenant(request: pytest.FixtureRequest, tenants: dict[str, Tenant]) -> Tenant:
    """Each tenant in turn: every storage test runs with both."""
    return tenants[request.param]


@pytest.fixture
def unique() -> str:
    """A word that no other test has used, so that tests may share a database."""
    return secrets.token_hex(6)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Tell of a test with the database that failed where the database stood."""
    report = yield
    url = getattr(item, "funcargs", {}).get("database_url")
    if report.failed and call.when == "call" and isinstance(url, str):
        try:
            report.sections.append(("the database then", post_mortem.of(url, TENANTS)))
        except (OSError, TimeoutError, asyncpg.PostgresError) as error:
            report.sections.append(("the database then", f"does not say: {error!r}"))
    return report
