"""The composition root: from settings to one ASGI application; the only module that knows all rooms.

FHIR requests go straight to `http/routes.py`; FastAPI serves what is not FHIR: OAuth, discovery, health, metrics, OpenAPI.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import Any

from fastapi import FastAPI
from redis.asyncio import Redis
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from fhir_server import settings as all_settings
from fhir_server.audit.partitions import ensure_partitions
from fhir_server.audit.record import door_event, token_event
from fhir_server.auth import routes as oauth
from fhir_server.auth.watch import keep_watch
from fhir_server.errors import FhirError, NotFound
from fhir_server.http import apps, edge, health, hooks, render, sockets
from fhir_server.http.ask import ask
from fhir_server.http.browse import session
from fhir_server.http.metadata import openapi_body
from fhir_server.http.routes import Fhir, is_fhir
from fhir_server.http.services import Services
from fhir_server.interactions import contents
from fhir_server.kit.throttle import Throttle, budgets
from fhir_server.operations import proposals, sign_note
from fhir_server.operations.alerting import check as alert_rules
from fhir_server.settings import Settings
from fhir_server.storage import own
from fhir_server.storage.tenants import Tenant, connect, open_tenants, refuse_unsafe
from fhir_server.subscriptions import guard
from workers.queue import Waker

_READ: dict[str, Any] = {"methods": ["GET", "HEAD"], "include_in_schema": False}
Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]


class Clarity(FastAPI):
    """FastAPI with a door beside it: FHIR requests do not pass its middleware."""

    fhir: Fhir | None = None
    services: Services

    def use(self, services: Services) -> None:
        """Serve with these open parts."""
        self.services = services
        self.fhir = Fhir(services)
        for tenant in services.tenants.values():
            guard.use(tenant, services.settings)
            alert_rules.use(tenant, services.settings.canonical_base)
            contents.use(tenant, services.settings)
            proposals.use(tenant)
            sign_note.use(tenant)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand FHIR requests to their own application, everything else to FastAPI."""
        if scope["type"] == "http" and self.fhir is not None and is_fhir(scope["path"]):
            await self.fhir(scope, receive, send)
        elif scope["type"] == "websocket":
            await sockets.serve(self.services, scope, receive, send)
        else:
            await super().__call__(scope, receive, send)


def create_app(given: Settings | None = None) -> Clarity:
    """Return the application of this process: what uvicorn calls. The parts are opened when it starts."""
    settings = given or all_settings.current()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        assert isinstance(app, Clarity)
        async with opened(settings) as services:
            app.use(services)
            yield

    return _application(lifespan, settings)


def application(services: Services) -> Clarity:
    """Return an application over parts that are open already, as tests and workers have them."""
    app = _application(None, services.settings)
    app.use(services)
    return app


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Services]:
    """Open pool, tenants and Redis, and close them in the end; refuses a database that would lose what it acknowledged."""
    assert settings.database_url is not None, "up and serve set DATABASE_URL for the processes that they start"
    pool = await connect(settings.database_url, max_size=settings.database_pool)
    redis: Redis | None = Redis.from_url(settings.redis_url) if settings.redis_url else None
    waker = Waker(settings.redis_url) if settings.redis_url else None
    tasks: list[asyncio.Task[None]] = []
    try:
        await refuse_unsafe(pool)
        every_patient = settings.user_reach == "tenant"
        tenants = open_tenants(
            settings.tenants,
            pool,
            settings.keys_dir,
            settings.origin,
            every_patient=every_patient,
            care_after=settings.care_after,
            consent_required=settings.consent_default == "deny",
            canonical_base=settings.canonical_base,
        )
        for name, tenant in tenants.items():
            await ensure_partitions(tenant)
            if waker is not None:
                tenant.announce = partial(waker.wake, name)
        await own.refresh(tenants.values())
        tasks = [
            asyncio.create_task(own.keep_learning(tenants.values()), name="own search parameters"),
            asyncio.create_task(keep_watch(settings.database_url, tenants), name="revocations"),
        ]
        yield Services(settings, pool, tenants, redis, _throttle(settings, redis))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if waker is not None:
            await waker.close()
        if redis is not None:
            await redis.aclose()
        await pool.close()


def _throttle(settings: Settings, redis: Redis | None) -> Throttle | None:
    return Throttle(budgets(settings.rate_limits), redis) if settings.rate_limiting_enabled else None


def _application(lifespan: Lifespan | None, settings: Settings) -> Clarity:
    app = Clarity(
        title="Clarity", openapi_url=None, docs_url=None, redoc_url=None, lifespan=lifespan,
        redirect_slashes=False,  # it would send what came on to whatever host the request names
    )  # fmt: skip
    app.add_exception_handler(FhirError, _fhir_error)

    @app.api_route("/health/live", **_READ)
    async def live() -> Response:
        return health.live()

    @app.api_route("/health/ready", **_READ)
    async def ready() -> Response:
        return await health.ready(app.services)

    @app.api_route("/metrics", **_READ)
    async def metrics() -> Response:
        return health.show_metrics(app.services)

    @app.api_route("/openapi.json", **_READ)
    async def openapi() -> Response:
        body = openapi_body(app.services, app.services.tenants["default"].base)
        return Response(body, media_type="application/json")

    def tenant_of(request: Request) -> Tenant:
        tenant = app.services.tenants.get(request.path_params.get("tenant", "default"))
        if tenant is None:
            raise NotFound("There is no FHIR base at this address.", "unknown-address")
        return tenant

    async def charge(tenant: Tenant, budget: str, who: str) -> None:
        if app.services.throttle is not None:
            await app.services.throttle.charge(budget, f"{tenant.name}/{who}")

    loopback = settings.environment != "production"
    app.router.routes.extend(
        oauth.routes(
            tenant_of, _request_id, token_event, ask, charge, loopback=loopback, seconds=settings.token_seconds
        )
    )
    app.router.routes.extend(session.routes(tenant_of, _request_id, _turned_away, charge, production=not loopback))
    app.router.routes.extend(hooks.routes(settings, tenant_of, lambda: app.services.tenants.values(), charge))
    app.router.routes.extend(apps.routes())
    return app


async def _turned_away(tenant: Tenant, request: Request) -> None:
    """Record that somebody came to sign in with a token that does not hold."""
    address = request.client.host if request.client else None
    await door_event(tenant, "token", request=_request_id(request), address=address)


def _request_id(request: Request) -> str:
    return edge.request_id({"x-request-id": request.headers.get("x-request-id", "")})


async def _fhir_error(request: Request, error: Exception) -> Response:
    """Render an error of a route outside of FHIR the same way as inside."""
    assert isinstance(error, FhirError)
    made = render.render_error(error, _request_id(request))
    return Response(made.body, made.status, {name.decode(): value.decode("latin-1") for name, value in made.headers})
