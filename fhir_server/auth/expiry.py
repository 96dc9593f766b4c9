"""What has run out is forgotten, by the sweep alone: no request pays for what others left behind."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from fhir_server.auth import registration
from fhir_server.auth.people import failures, sessions
from fhir_server.kit import clock
from fhir_server.storage.tenants import Tenant

ENDED_DAYS: Final = 30
"""So long an authorization that was ended is kept: what was issued under it and comes back is told so."""
_DAY: Final = timedelta(days=1)

_EXPIRED: Final = {
    # A code that comes back is noticed for a day, a launch handle for an hour.
    "DELETE FROM {s}.oauth_code WHERE expires_at < $1": _DAY,
    "DELETE FROM {s}.oauth_launch WHERE expires_at < $1": timedelta(hours=1),
    "DELETE FROM {s}.oauth_jti WHERE expires_at < $1": timedelta(0),
    "DELETE FROM {s}.oauth_refresh WHERE expires_at < $1": timedelta(0),
    "DELETE FROM {s}.oauth_revoked WHERE expires_at < $1": timedelta(0),
    "DELETE FROM {s}.session WHERE began_at < $1": 2 * sessions.LONGEST,
}
_GRANTS: Final = """
DELETE FROM {s}.oauth_grant g WHERE ended_at < $1 OR (created_at < $2
  AND NOT EXISTS (SELECT FROM {s}.oauth_refresh r WHERE r.grant_id = g.id)
  AND NOT EXISTS (SELECT FROM {s}.oauth_code c WHERE c.grant_id = g.id))
"""


async def purge(tenant: Tenant) -> None:
    """Forget tokens, codes, launches, sessions, failures and authorizations of which nothing can be left."""
    now = clock.now()
    for text, longer in _EXPIRED.items():
        await tenant.pool.execute(tenant.sql(text), now - longer)
    # No access token holds longer than a day.
    await tenant.pool.execute(tenant.sql(_GRANTS), now - timedelta(days=ENDED_DAYS), now - 2 * _DAY)
    await failures.purge(tenant)
    await registration.forget_old(tenant)
