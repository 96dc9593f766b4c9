"""Signatures of notifications (Standard Webhooks): `v1,` and HMAC-SHA-256 over `id.timestamp.body`, by the Subscription's secret.

A secret is derived, not stored: from the tenant's key, the Subscription's number and how often a new one was asked for. For a day
after that the one before signs too, so that a receiver can change over without losing a notification.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from datetime import datetime, timedelta
from typing import Final

from fhir_server.kit import clock
from fhir_server.storage.tenants import Tenant

OVERLAP: Final = timedelta(hours=24)
_STATE: Final = "SELECT secret, secret_at FROM {s}.subscription_state WHERE rid = $1"
_RENEW: Final = """
UPDATE {s}.subscription_state SET secret = secret + 1, secret_at = now() WHERE rid = $1 RETURNING secret, secret_at
"""


def signature(secret: bytes, id_: str, timestamp: str, body: bytes) -> str:
    """Return one part of `webhook-signature`."""
    signed = hmac.new(secret, f"{id_}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    return "v1," + base64.b64encode(signed).decode()


def shown(secret: bytes) -> str:
    """Return a secret as receivers take it."""
    return "whsec_" + base64.b64encode(secret).decode()


async def secrets(tenant: Tenant, rid: int) -> tuple[bytes, ...]:
    """Return the secrets that sign now, the newest first."""
    row = await tenant.pool.fetchrow(tenant.sql(_STATE), rid)
    return of(tenant, rid, row["secret"], row["secret_at"]) if row is not None else of(tenant, rid, 0, None)


async def renew(tenant: Tenant, rid: int) -> tuple[bytes, ...]:
    """Make a new secret and return those that sign now; none for a Subscription that was never looked at."""
    row = await tenant.pool.fetchrow(tenant.sql(_RENEW), rid)
    return of(tenant, rid, row["secret"], row["secret_at"]) if row is not None else ()


def of(tenant: Tenant, rid: int, number: int, since: datetime | None) -> tuple[bytes, ...]:
    """Return the secrets that sign when `number` were asked for, the last one at `since`."""
    numbers = [number]
    if since is not None and clock.now() - since < OVERLAP:
        numbers.append(number - 1)
    return tuple(tenant.keystore.derived(b"webhook", f"{rid}/{each}") for each in numbers)
