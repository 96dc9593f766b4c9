"""One tenant of the running instance (or of its database, when nothing runs), for a command that needs its keys."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Annotated, TypeVar

import asyncpg
import typer

from fhir_server.auth.keys import signing_keys
from fhir_server.cli import instance, services
from fhir_server.cli.options import fail
from fhir_server.kit import json
from fhir_server.search.extract import extract
from fhir_server.settings import Settings
from fhir_server.storage import own
from fhir_server.storage.commands import IndexRows
from fhir_server.storage.keystore import InvalidSeal
from fhir_server.storage.reindex import reindex
from fhir_server.storage.tenants import Tenant, connect, open_tenants, schema_name

T = TypeVar("T")

TenantName = Annotated[str, typer.Option("--tenant", help="Tenant, of those in TENANTS.")]


@asynccontextmanager
async def opened(settings: Settings, name: str) -> AsyncIterator[Tenant]:
    """Give the tenant with a small pool of connections."""
    if name not in settings.tenants:
        fail(f"There is no tenant {name!r}: TENANTS names {', '.join(settings.tenants)}.", code=2)
    if settings.database_url is None:
        raise RuntimeError("settings without a database address: pass those of services.for_command")
    try:
        pool = await connect(settings.database_url, min_size=1, max_size=2)
    except (OSError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        fail(f"The database cannot be used ({type(error).__name__}): ./clarity doctor says more.")
    try:
        if await pool.fetchval("SELECT to_regclass($1)", f"{schema_name(name)}.signing_key") is None:
            fail(f"The database holds no tables of tenant {name} yet: ./clarity up or serve makes them.")
        tenant = open_tenants(
            settings.tenants,
            pool,
            settings.keys_dir,
            settings.origin,
            every_patient=settings.user_reach == "tenant",
            care_after=settings.care_after,
            consent_required=settings.consent_default == "deny",
            canonical_base=settings.canonical_base,
        )[name]
        await _refuse_other_keys(tenant, settings)
        yield tenant
    finally:
        await pool.close()


def with_tenant(
    settings: Settings, name: str, action: Callable[[Tenant], Awaitable[T]], *expected: type[Exception]
) -> T:
    """Return what an action on one tenant comes to; end with its reason when it is refused by an expected error."""

    async def run(ready: Settings) -> T:
        async with opened(ready, name) as tenant:
            return await action(tenant)

    try:
        with services.for_command(settings) as ready:
            return asyncio.run(run(ready))
    except (instance.AlreadyRuns, services.NothingThere) as error:
        fail(str(error))
    except expected as error:
        fail(str(error))


async def check_keys(settings: Settings) -> None:
    """End with the reason when the keys of the data folder are not those that the database was written with."""
    for name in settings.tenants:
        async with opened(settings, name):
            pass


async def index_anew(settings: Settings) -> int:
    """Bring the index of every tenant to the newest form of extraction; return how many resources had an older one."""
    changed = 0
    for name in settings.tenants:
        async with opened(settings, name) as tenant:
            await own.load(tenant)
            changed += await reindex(tenant, partial(_index_of, tenant))
    return changed


def _index_of(tenant: Tenant, body: bytes) -> IndexRows:
    return extract(tenant, json.decode_trusted(body))


async def _refuse_other_keys(tenant: Tenant, settings: Settings) -> None:
    try:
        await signing_keys(tenant)
    except InvalidSeal:
        fail(
            f"The keys in {settings.keys_dir} are not those that tenant {tenant.name} of this database was written with: "
            "bring those keys back, name their data folder with --data DIR or CLARITY_DATA, or use an empty database."
        )
