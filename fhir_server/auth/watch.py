"""Access that was taken away in another process (an app revoked, a person disabled, a client removed) is noticed here at once.

PostgreSQL tells every process that listens, by triggers (`storage/schema/registration.py`), when it commits; what is remembered of
the tenant's tokens and clients is then forgotten. Who misses a notice (a connection that was lost) notices within a minute too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

import asyncpg

from fhir_server.auth import bearer, clients, cors
from fhir_server.kit.logs import logger
from fhir_server.storage.tenants import Tenant, schema_name

CHANNEL: Final = "clarity_access"
_PAUSE: Final = 2.0
_LOOK_SECONDS: Final = 30.0
_AWAY: Final = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError)
_log = logger(__name__)


async def keep_watch(database_url: str, tenants: Mapping[str, Tenant]) -> None:
    """Listen until cancelled, over a connection of its own; one that is lost is made anew, and everything forgotten."""
    by_schema = {schema_name(name): tenant for name, tenant in tenants.items()}
    while True:
        try:
            await _listen(database_url, by_schema)
        except _AWAY as error:
            _log.warning("not listening for revocations, looking once a minute instead", error=type(error).__name__)
        await asyncio.sleep(_PAUSE)


async def _listen(database_url: str, by_schema: Mapping[str, Tenant]) -> None:
    def told(_connection: Any, _process: int, _channel: str, schema: str) -> None:
        if schema in by_schema:
            forget(by_schema[schema])

    lost = asyncio.Event()
    connection = await asyncpg.connect(database_url)
    try:
        connection.add_termination_listener(lambda _: lost.set())
        await connection.add_listener(CHANNEL, told)
        for tenant in by_schema.values():
            forget(tenant)
        while True:  # a peer that vanished without a word is found by asking
            with suppress(TimeoutError):
                await asyncio.wait_for(lost.wait(), _LOOK_SECONDS)
                raise ConnectionError("the connection was lost")
            await connection.execute("SELECT 1", timeout=5)
    finally:
        connection.terminate()


def forget(tenant: Tenant) -> None:
    """Verify every token and look up every client and their origins again."""
    bearer.forget(tenant)
    cors.forget(tenant)
    clients.forget(tenant)
