"""`/health/live`, `/health/ready` and `/metrics`: for whoever runs the server, not for FHIR clients."""

from __future__ import annotations

import asyncio
from functools import cache
from typing import Any, Final

import asyncpg
from redis.exceptions import RedisError
from starlette.responses import Response

from fhir_server.http.services import Services
from fhir_server.kit import json, metrics
from fhir_server.storage import migrate
from fhir_server.storage.blobs.stores import BlobMissing, StoreAway
from fhir_server.storage.tenants import schema_name

_SECONDS = 3.0
_WRITES = "SELECT pg_logical_emit_message(true, 'clarity', 'ready')"
"""Writes to the log of the database and nowhere else: fails where nothing can be written."""


def live() -> Response:
    """Answer that the process runs."""
    return _answer(200, {"status": "live"})


async def ready(services: Services) -> Response:
    """Answer whether requests can be served: the database takes writes and is at our version; Redis and S3 may be down."""
    database, redis, blobs = await asyncio.gather(_database(services), _redis(services), _blobs(services))
    ok = database == "ok"
    status = "ready" if ok and redis == "ok" and blobs in ("ok", None) else "degraded" if ok else "not ready"
    body = {"status": status, "database": database, "redis": redis, "migration": _newest()}
    body |= {"blobs": blobs} if blobs is not None else {}
    return _answer(200 if ok else 503, body)


def show_metrics(services: Services) -> Response:
    """Answer with the counts and durations of all web processes."""
    return Response(metrics.render(services.settings.prometheus_multiproc_dir), media_type=metrics.CONTENT_TYPE)


async def _database(services: Services) -> str:
    try:
        async with asyncio.timeout(_SECONDS), services.pool.acquire() as connection:
            await connection.execute(_WRITES)
            for name in services.tenants:
                at = await connection.fetchval(f"SELECT version_num FROM {schema_name(name)}.alembic_version")
                if at != _newest():
                    return f"tenant {name} is at migration {at}"
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
        return f"cannot be written ({type(error).__name__})"
    return "ok"


async def _redis(services: Services) -> str:
    if services.redis is None:
        return "not set"
    try:
        async with asyncio.timeout(_SECONDS):
            await services.redis.ping()
    except (RedisError, OSError, TimeoutError) as error:
        return f"down ({type(error).__name__})"
    return "ok"


async def _blobs(services: Services) -> str | None:
    """Return how it stands with S3, asked for a blob that there never is; None where content is kept in the folder."""
    if services.settings.s3_bucket is None:
        return None
    store = next(iter(services.tenants.values())).blobs
    try:
        async with asyncio.timeout(_SECONDS):
            await store.part(_NEVER, 0, 1)
    except BlobMissing:
        return "ok"
    except (StoreAway, TimeoutError) as error:
        return f"cannot be used ({error or type(error).__name__})"
    return "ok"


_NEVER: Final = "clarity-ready"


@cache
def _newest() -> str:
    return migrate.newest()


def _answer(status: int, body: dict[str, Any]) -> Response:
    return Response(json.encode(body), status, {"Cache-Control": "no-store"}, media_type="application/json")
