"""What the routes work with: opened by `app.py`, handed to everybody who needs it."""

from __future__ import annotations

from dataclasses import dataclass, field

import asyncpg
from redis.asyncio import Redis

from fhir_server.interactions.call import Limits
from fhir_server.kit.throttle import Throttle
from fhir_server.settings import Settings
from fhir_server.storage.tenants import Tenant


@dataclass(slots=True)
class Services:
    """The open parts of a running server."""

    settings: Settings
    pool: asyncpg.Pool
    tenants: dict[str, Tenant]
    redis: Redis | None = None
    throttle: Throttle | None = None
    """Rate limits; None counts nobody."""
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
