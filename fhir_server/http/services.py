"""What the routes work with: opened by `app.py`, handed to everybody who needs it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import asyncpg
from redis.asyncio import Redis

from fhir_server.context import RequestContext
from fhir_server.interactions.call import Limits
from fhir_server.settings import Settings
from fhir_server.storage.tenants import Tenant


class Limiter(Protocol):
    """Where rate limiting joins: raises TooManyRequests, with `Retry-After`, for a caller that asks too much."""

    async def __call__(self, ctx: RequestContext) -> None:
        """Count one request of the caller."""


@dataclass(slots=True)
class Services:
    """The open parts of a running server."""

    settings: Settings
    pool: asyncpg.Pool
    tenants: dict[str, Tenant]
    redis: Redis | None = None
    limiter: Limiter | None = None
    limits: Limits = field(init=False)

    def __post_init__(self) -> None:
        given = self.settings
        self.limits = Limits(
            given.max_body_bytes,
            given.max_bundle_entries,
            given.page_default,
            given.page_max,
            lag_seconds=given.ingest_lag_seconds,
            canonical_base=given.canonical_base,
        )
