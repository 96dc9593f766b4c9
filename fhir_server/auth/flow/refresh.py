"""Refresh tokens: random, bound to client and authorization, new at every use; one that comes back ends them all (RFC 9700)."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from datetime import timedelta
from hashlib import sha256
from typing import Any, Final

from fhir_server.auth.flow import authorizations
from fhir_server.auth.flow.authorizations import Authorization
from fhir_server.auth.launch_scopes import OFFLINE, ONLINE
from fhir_server.auth.oauth_errors import OAuthError
from fhir_server.auth.people import sessions
from fhir_server.kit import clock
from fhir_server.storage.tenants import Tenant

OFFLINE_DAYS: Final = 180
"""Renewed at every use; the certification criterion (g)(10) asks for three months."""

_INSERT = "INSERT INTO {s}.oauth_refresh (digest, grant_id, expires_at) VALUES ($1, $2, $3)"
_FIND = """
SELECT r.grant_id, r.expires_at, r.used_at, g.client_id
FROM {s}.oauth_refresh r JOIN {s}.oauth_grant g ON g.id = r.grant_id WHERE r.digest = $1
"""
_USE = "UPDATE {s}.oauth_refresh SET used_at = $2 WHERE digest = $1 AND used_at IS NULL RETURNING true"


def digest_of(token: str) -> bytes:
    """Return what the database knows a refresh token by."""
    return sha256(token[:200].encode()).digest()


def is_wanted(special: tuple[str, ...]) -> bool:
    """Tell whether the scopes ask for a refresh token."""
    return OFFLINE in special or ONLINE in special


async def issue(tenant: Tenant, grant: Authorization, special: tuple[str, ...]) -> str:
    """Return a new refresh token of an authorization."""
    token, now = secrets.token_urlsafe(32), clock.now()
    holds = timedelta(days=OFFLINE_DAYS) if OFFLINE in special else sessions.LONGEST
    await tenant.pool.execute(tenant.sql(_INSERT), digest_of(token), grant.id, now + holds)
    return token


async def find(tenant: Tenant, token: str) -> Any:
    """Return the row of a refresh token: `grant_id`, `expires_at`, `used_at`, `client_id`; None when there is none."""
    return await tenant.pool.fetchrow(tenant.sql(_FIND), digest_of(token))


async def use(
    tenant: Tenant, client_id: str, token: str | None, check: Callable[[Authorization], Awaitable[None]]
) -> Authorization:
    """Return the authorization of a refresh token, using the token up; OAuthError says what is wrong.

    What `check` refuses leaves the token as it was.
    """
    if token is None:
        raise OAuthError("invalid_request", "Send refresh_token.", client_id=client_id)
    row = await find(tenant, token)
    if row is None or row["client_id"] != client_id:
        raise _refused("it was not issued to this client, or has long run out", client_id)
    if row["used_at"] is not None:
        raise await _came_back(tenant, row["grant_id"], client_id)
    if row["expires_at"] <= clock.now():
        raise _refused("it has run out", client_id)
    grant = await authorizations.get(tenant, row["grant_id"])
    if grant is None or grant.ended:
        raise _refused("its authorization has ended", client_id)
    if OFFLINE not in grant.scope.split() and not await sessions.is_online(tenant, grant.session):
        raise _refused("the person has signed out, and online_access ends with that", client_id)
    await check(grant)
    if not await tenant.pool.fetchval(tenant.sql(_USE), digest_of(token), clock.now()):
        raise await _came_back(tenant, row["grant_id"], client_id)
    return grant


async def _came_back(tenant: Tenant, grant_id: str, client_id: str) -> OAuthError:
    await authorizations.end(tenant, grant_id)
    return _refused("it was used before: two hold it, so the authorization has been revoked", client_id)


def _refused(reason: str, client_id: str) -> OAuthError:
    return OAuthError("invalid_grant", f"The refresh token is refused: {reason}.", client_id=client_id)
