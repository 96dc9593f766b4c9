"""Authorization codes: issued together with their authorization, redeemed once (RFC 6749 §4.1, RFC 7636, RFC 9700).

What redeems a code is one UPDATE that finds it unused: of any number of simultaneous tries one gets the token, and every other
one ends the authorization.
"""

from __future__ import annotations

import hmac
import re
import secrets
from base64 import urlsafe_b64encode
from datetime import timedelta
from hashlib import sha256
from typing import Any, Final

from fhir_server.auth.flow import authorizations, launches, state
from fhir_server.auth.flow.authorizations import Authorization
from fhir_server.auth.flow.state import Flow
from fhir_server.auth.oauth_errors import OAuthError
from fhir_server.kit import clock
from fhir_server.storage.tenants import Tenant

SECONDS: Final = 60
_VERIFIER = re.compile(r"[A-Za-z0-9\-._~]{43,128}")
_INSERT = """
INSERT INTO {s}.oauth_code (digest, grant_id, redirect_uri, challenge, expires_at) VALUES ($1, $2, $3, $4, $5)
"""
_FIND = """
SELECT c.grant_id, c.redirect_uri, c.challenge, c.expires_at, c.used_at, g.client_id
FROM {s}.oauth_code c JOIN {s}.oauth_grant g ON g.id = c.grant_id WHERE c.digest = $1
"""
_USE = "UPDATE {s}.oauth_code SET used_at = $2 WHERE digest = $1 AND used_at IS NULL RETURNING true"


class DecidedAlready(Exception):
    """This flow, or its launch, has led to a decision before."""


def _digest(code: str) -> bytes:
    return sha256(code.encode()).digest()


async def issue(tenant: Tenant, flow: Flow, made: Authorization) -> str:
    """Return a code for an authorization, both written in one transaction that uses the flow and its launch up."""
    code, now = secrets.token_urlsafe(32), clock.now()
    async with tenant.pool.acquire() as connection, connection.transaction():
        if not await state.spend(connection, tenant, flow) or not await launches.use(connection, tenant, flow):
            raise DecidedAlready
        await authorizations.insert(connection, tenant, made)
        values = (_digest(code), made.id, flow.redirect_uri, flow.challenge, now + timedelta(seconds=SECONDS))
        await connection.execute(tenant.sql(_INSERT), *values)
    return code


async def redeem(tenant: Tenant, client_id: str, form: dict[str, str]) -> Authorization:
    """Return the authorization that a code stands for, using the code up; OAuthError says what is wrong."""
    code, verifier = form.get("code"), form.get("code_verifier")
    if code is None or "redirect_uri" not in form:
        raise OAuthError(
            "invalid_request", "Send code and the redirect_uri of the authorize request.", client_id=client_id
        )
    if verifier is None or not _VERIFIER.fullmatch(verifier):
        text = "Send code_verifier: the 43 to 128 characters from which code_challenge was made."
        raise OAuthError("invalid_grant" if verifier else "invalid_request", text, client_id=client_id)
    row = await tenant.pool.fetchrow(tenant.sql(_FIND), _digest(code[:200]))
    if row is None or row["client_id"] != client_id:
        raise _refused("it was not issued to this client, or has long run out", client_id)
    if row["used_at"] is not None:
        raise await _used(tenant, row["grant_id"], client_id)
    _check(row, form["redirect_uri"], verifier, client_id)
    found = await authorizations.get(tenant, row["grant_id"])
    if found is None or found.ended:
        raise _refused("its authorization has ended", client_id)
    if not await tenant.pool.fetchval(tenant.sql(_USE), _digest(code[:200]), clock.now()):
        raise await _used(tenant, row["grant_id"], client_id)
    return found


def _check(row: Any, redirect_uri: str, verifier: str, client_id: str) -> None:
    if row["expires_at"] <= clock.now():
        raise _refused(f"it ran out: a code holds {SECONDS} seconds", client_id)
    if row["redirect_uri"] != redirect_uri:
        raise _refused("redirect_uri is not the one of the authorize request", client_id)
    challenge = urlsafe_b64encode(sha256(verifier.encode()).digest()).decode().rstrip("=")
    if not hmac.compare_digest(challenge, row["challenge"]):
        raise _refused("code_verifier does not belong to the code_challenge of the authorize request", client_id)


async def _used(tenant: Tenant, grant_id: str, client_id: str) -> OAuthError:
    """End the authorization of a code that came twice: one of the two was not the app."""
    await authorizations.end(tenant, grant_id)
    return _refused("it was used before; what was issued for it has been revoked", client_id)


def _refused(reason: str, client_id: str) -> OAuthError:
    return OAuthError("invalid_grant", f"The code is refused: {reason}.", client_id=client_id)
