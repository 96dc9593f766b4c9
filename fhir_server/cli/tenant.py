"""One tenant of the running instance (or of its database, when nothing runs), for a command that needs its keys."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

import typer

from fhir_server.cli.options import fail
from fhir_server.settings import Settings
from fhir_server.storage.tenants import Tenant, connect, open_tenants

TenantName = Annotated[str, typer.Option("--tenant", help="Tenant, of those in TENANTS.")]


@asynccontextmanager
async def opened(settings: Settings, name: str) -> AsyncIterator[Tenant]:
    """Give the tenant with a small pool of connections."""
    if name not in settings.tenants:
        fail(f"There is no tenant {name!r}: TENANTS names {', '.join(settings.tenants)}.", code=2)
    if settings.database_url is None:
        raise RuntimeError("settings without a database address: pass those of services.for_command")
    pool = await connect(settings.database_url, min_size=1, max_size=2)
    try:
        yield open_tenants(settings.tenants, pool, settings.keys_dir, settings.origin)[name]
    finally:
        await pool.close()
