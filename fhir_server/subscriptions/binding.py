"""Binding a websocket to Subscriptions: a token that works once and soon, of which only the digest is kept."""

from __future__ import annotations

import hashlib
import secrets
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from fhir_server.context import Principal
from fhir_server.kit import clock
from fhir_server.storage.tenants import Tenant

LASTS: Final = timedelta(minutes=5)
PERSONAL_SECONDS: Final = 300
"""So long a socket is told in a person's name: what they took away from an app since, it cannot bind anew with."""
PATH: Final = "websocket"
"""Below the FHIR base."""
_INSERT: Final = "INSERT INTO {s}.socket_binding (digest, agent, subscriptions, expires_at) VALUES ($1, $2, $3, $4)"
_TAKE: Final = """
DELETE FROM {s}.socket_binding WHERE digest = $1 RETURNING agent, subscriptions, expires_at > now() AS holds
"""
_PURGE: Final = "DELETE FROM {s}.socket_binding WHERE expires_at < now()"


@dataclass(frozen=True, slots=True)
class Binding:
    """Who bound which Subscriptions (rids), and until when (Unix time; 0 for without end)."""

    agent: int
    subscriptions: tuple[int, ...]
    until: int = 0


async def issue(tenant: Tenant, who: Principal, subscriptions: Sequence[int]) -> tuple[str, datetime]:
    """Return a token and until when it may be used; a person's says itself until when its socket is told."""
    token, expires = f"{secrets.token_urlsafe(32)}.{_until(who)}", clock.now() + LASTS
    await tenant.pool.execute(tenant.sql(_INSERT), _digest(token), who.agent, list(subscriptions), expires)
    return token, expires


def _until(who: Principal) -> int:
    if who.user is None:
        return 0
    return min(who.expires or sys.maxsize, int(clock.seconds()) + PERSONAL_SECONDS)


async def take(tenant: Tenant, token: str) -> Binding | None:
    """Return what a token binds, once; None when it does not hold."""
    row = await tenant.pool.fetchrow(tenant.sql(_TAKE), _digest(token))
    if row is None or not row["holds"]:
        return None
    return Binding(row["agent"], tuple(row["subscriptions"]), int(token.rpartition(".")[2]))


async def purge(tenant: Tenant) -> None:
    """Forget tokens that nobody used in time."""
    await tenant.pool.execute(tenant.sql(_PURGE))


def url(base: str) -> str:
    """Return the address of the websocket of a FHIR base."""
    return f"ws{base.removeprefix('http')}/{PATH}"


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
