"""Running one statement of a search: what takes too long is given up, with a sentence that says what to do."""

from __future__ import annotations

from typing import Any

import asyncpg

from fhir_server.errors import Unavailable
from fhir_server.storage.tenants import Tenant

_ANEW = "BEGIN READ ONLY; SET LOCAL plan_cache_mode = force_custom_plan"


async def fetch(tenant: Tenant, text: str, args: list[Any], *, anew: bool = False) -> list[Any]:
    """Return the records of a statement; Unavailable when the database's time for it is over.

    `anew` has it planned for these values: where it joins, what is right for few rows takes a hundred times as long for many.
    """
    try:
        if anew:
            return await _planned(tenant, text, args)
        return list(await tenant.pool.fetch(tenant.sql(text), *args))
    except asyncpg.QueryCanceledError:
        raise Unavailable(
            "The search took too long; narrow it.", "search-timeout", headers={"Retry-After": "5"}
        ) from None


async def _planned(tenant: Tenant, text: str, args: list[Any]) -> list[Any]:
    async with tenant.pool.acquire() as connection:
        await connection.execute(_ANEW)
        try:
            return list(await connection.fetch(tenant.sql(text), *args))
        finally:
            await connection.execute("ROLLBACK")
