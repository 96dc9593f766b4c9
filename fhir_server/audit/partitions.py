"""The audit table's months: made ahead of time, dropped whole when their retention is over."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from fhir_server.kit import clock
from fhir_server.storage.tenants import Tenant

MONTHS_AHEAD: Final = 3

_ENSURE = """
SELECT {s}.audit_month((date_trunc('month', $1::timestamptz AT TIME ZONE 'UTC') + ahead * interval '1 month')::date)
FROM generate_series(0, $2::int) AS ahead
"""


async def ensure_partitions(tenant: Tenant, now: datetime | None = None) -> None:
    """Make the partitions of this month and the next three where they are missing; safe to call by many at once."""
    async with tenant.pool.acquire() as connection, connection.transaction():
        # Two that create the same partition at once would not both succeed: one after the other.
        await connection.execute("SELECT pg_advisory_xact_lock(hashtext($1))", f"audit {tenant.schema}")
        await connection.execute(tenant.sql(_ENSURE), now or clock.now(), MONTHS_AHEAD)
