"""A circuit breaker for each endpoint: what fails for one Subscription there fails for all, so nobody asks again for a while.

After `THRESHOLD` failures in a row, whoever's they are, the endpoint is left alone for `PAUSE`, then twice as long after every
failed try, up to `LONGEST`; one try at a time. An answer that is no failure of the endpoint itself closes it.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from fhir_server.storage.tenants import Tenant
from fhir_server.subscriptions.send import Outcome

THRESHOLD = 5
PAUSE = timedelta(seconds=30)
LONGEST = timedelta(minutes=15)

_FAILED = """
INSERT INTO {s}.endpoint_state AS t (endpoint, failures) VALUES ($1, 1)
ON CONFLICT (endpoint) DO UPDATE SET failures = t.failures + 1, updated_at = now(), open_until = CASE
  WHEN t.failures + 1 >= $2 THEN now() + least($3::interval * 2 ^ least(t.failures + 1 - $2, 20), $4::interval) END
RETURNING failures
"""
_TRY = "UPDATE {s}.endpoint_state SET open_until = now() + $2::interval WHERE endpoint = $1 AND open_until <= now() RETURNING true"
_UNTIL = "SELECT open_until FROM {s}.endpoint_state WHERE endpoint = $1 AND open_until > now()"
_UNTRIED = "UPDATE {s}.endpoint_state SET open_until = now() WHERE endpoint = $1 AND open_until > now()"
_CLOSED = "DELETE FROM {s}.endpoint_state WHERE endpoint = $1"
_OPEN = """
SELECT s.rid, e.failures, e.open_until FROM {s}.endpoint_state e JOIN {s}.subscription_state s USING (endpoint)
WHERE e.open_until IS NOT NULL ORDER BY s.rid
"""
_FORGET = "DELETE FROM {s}.endpoint_state WHERE updated_at < now() - interval '7 days'"


def broken(outcome: Outcome) -> bool:
    """Tell whether an outcome says that the endpoint itself is broken: no answer, or 5xx, or 429."""
    return not outcome.delivered and (outcome.status is None or outcome.status >= 500 or outcome.status == 429)


async def failed(tenant: Tenant, endpoint: int) -> bool:
    """Count a failure; True when the breaker is open by now."""
    failures = await tenant.pool.fetchval(tenant.sql(_FAILED), endpoint, THRESHOLD, PAUSE, LONGEST)
    return bool(failures >= THRESHOLD)


async def shut(tenant: Tenant, endpoint: int) -> datetime | None:
    """Return until when an endpoint is left alone; None when it may be tried, after a pause by this caller alone."""
    until: datetime | None = await tenant.pool.fetchval(tenant.sql(_UNTIL), endpoint)
    if until is None:
        await tenant.pool.fetchval(tenant.sql(_TRY), endpoint, PAUSE)
    return until


async def untried(tenant: Tenant, endpoint: int) -> None:
    """Let others try an endpoint now: who was to be the only one had nothing to send."""
    await tenant.pool.execute(tenant.sql(_UNTRIED), endpoint)


async def closed(tenant: Tenant, endpoint: int) -> None:
    """Forget the failures of an endpoint that has answered."""
    await tenant.pool.execute(tenant.sql(_CLOSED), endpoint)


async def opened(tenant: Tenant) -> list[Any]:
    """Return (rid of a Subscription, failures, open_until) of what is left alone now."""
    return list(await tenant.pool.fetch(tenant.sql(_OPEN)))


async def forget(tenant: Tenant) -> None:
    """Forget endpoints that nobody has tried for a week."""
    await tenant.pool.execute(tenant.sql(_FORGET))
