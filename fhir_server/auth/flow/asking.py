"""What a token means (RFC 7662, SMART "Token introspection"), and the end of one (RFC 7009)."""

from __future__ import annotations

from typing import Any

from fhir_server.auth import bearer
from fhir_server.auth.clients import Client
from fhir_server.auth.flow import authorizations, refresh
from fhir_server.auth.flow.answers import context_of
from fhir_server.auth.jose import TokenError
from fhir_server.auth.principals import current_principal
from fhir_server.auth.scopes import ScopeError
from fhir_server.auth.tokens import Claims, issuer, verify
from fhir_server.errors import Unauthenticated
from fhir_server.kit import clock
from fhir_server.storage.tenants import Tenant

INACTIVE: dict[str, Any] = {"active": False}


async def introspect(tenant: Tenant, token: str, *, only_of: str | None) -> dict[str, Any]:
    """Return what a token means now; `only_of` is the client that may ask about its own alone, None for one that may ask all."""
    if "." in token:
        return await _access_token(tenant, token, only_of)
    row = await refresh.find(tenant, token)
    if row is None or row["used_at"] is not None or row["expires_at"] <= clock.now():
        return INACTIVE
    grant = await authorizations.get(tenant, row["grant_id"])
    if grant is None or grant.ended or only_of not in (None, grant.client_id):
        return INACTIVE
    return {
        "active": True, "scope": grant.scope, "client_id": grant.client_id, "exp": int(row["expires_at"].timestamp()),
        "iss": issuer(tenant), "sub": grant.person,
    }  # fmt: skip


async def _access_token(tenant: Tenant, token: str, only_of: str | None) -> dict[str, Any]:
    try:
        claims = await verify(tenant, token)
        account = await authorizations.account_behind(tenant, claims)
        await current_principal(
            tenant, claims.client_id, claims.scope, patient=claims.patient, user=claims.user, account=account
        )
    except (TokenError, ScopeError, Unauthenticated):
        return INACTIVE
    if only_of not in (None, claims.client_id):
        return INACTIVE
    said: dict[str, Any] = {
        "active": True, "scope": claims.scope, "client_id": claims.client_id, "exp": claims.expires,
        "token_type": "Bearer", "iss": issuer(tenant), "aud": tenant.base, "jti": claims.token_id,
        "sub": account.id if account else claims.user or claims.client_id,
    }  # fmt: skip
    if claims.user and "fhirUser" in claims.scope.split():
        said["fhirUser"] = f"{tenant.base}/{claims.user}"
    return said | await _context(tenant, claims)


async def _context(tenant: Tenant, claims: Claims) -> dict[str, Any]:
    grant = await authorizations.get(tenant, claims.grant) if claims.grant else None
    if grant is None:
        return {"patient": claims.patient} if claims.patient else {}
    return context_of(tenant, grant)


async def revoke(tenant: Tenant, client: Client, token: str) -> str | None:
    """End a token of this client; return what was ended, None for a token that is nobody's or another's (RFC 7009: also 200).

    A refresh token takes its authorization with it, an access token goes alone.
    """
    if "." not in token:
        row = await refresh.find(tenant, token)
        if row is None or row["client_id"] != client.client_id:
            return None
        await authorizations.end(tenant, row["grant_id"])
        bearer.forget(tenant)
        return "authorization"
    try:
        claims = await verify(tenant, token)
    except TokenError:
        return None
    if claims.client_id != client.client_id:
        return None
    await authorizations.revoke_token(tenant, claims)
    bearer.forget(tenant)
    return "access token"
