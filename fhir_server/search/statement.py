"""Running one statement of a search: what takes too long is given up, with a sentence that says what to do."""

from __future__ import annotations

from typing import Any

import asyncpg

from fhir_server.errors import Unavailable
from fhir_server.storage.tenants import Tenant


async def fetch(tenant: Tenant, text: str, args: list[Any]) -> list[Any]:
    """Return the records of a statement; Unavailable when the database's time for it is over."""
    try:
        return list(await tenant.pool.fetch(tenant.sql(text), *args))
    except asyncpg.QueryCanceledError:
        raise Unavailable(
            "The search took too long; narrow it.", "search-timeout", headers={"Retry-After": "5"}
        ) from None
