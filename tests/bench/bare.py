"""The yardstick: a Starlette endpoint that inserts one row and returns, served exactly as Clarity is."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from fhir_server import settings
from fhir_server.storage.tenants import connect

TABLE = "CREATE TABLE IF NOT EXISTS bare (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, body bytea NOT NULL)"


async def insert(request: Request) -> JSONResponse:
    """Insert the body, return its number."""
    number = await request.app.state.pool.fetchval(
        "INSERT INTO bare (body) VALUES ($1) RETURNING id", await request.body()
    )
    return JSONResponse({"id": number}, 201)


async def ready(_: Request) -> JSONResponse:
    """Say that it answers."""
    return JSONResponse({})


def create_app() -> Starlette:
    """Return the application, with a pool of the size that Clarity's has."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        current = settings.current()
        assert current.database_url
        app.state.pool = await connect(current.database_url, min_size=2, max_size=current.database_pool)
        yield
        await app.state.pool.close()

    return Starlette(routes=[Route("/", insert, methods=["POST"]), Route("/health/ready", ready)], lifespan=lifespan)
