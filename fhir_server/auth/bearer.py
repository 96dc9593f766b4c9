"""From an Authorization header to a Principal: the first thing that happens to a request, and the cheapest it can be.

A token is verified once a minute; in between a dictionary by the header's SHA-256 answers, so that memory holds no token. Each look
at the clients' table, the authorization and the account afresh within that minute is what ends the tokens of a client that was
removed or cut down, of an app whose access was taken back, and of a person who was disabled.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import sha256
from typing import Final
from weakref import WeakKeyDictionary

from fhir_server.auth import tokens
from fhir_server.auth.flow import authorizations
from fhir_server.auth.jose import TokenError
from fhir_server.auth.principals import current_principal
from fhir_server.auth.scopes import ScopeError
from fhir_server.context import Principal
from fhir_server.errors import Forbidden, Unauthenticated
from fhir_server.kit import clock
from fhir_server.storage.tenants import Tenant

RECHECK_SECONDS: Final = 60.0
MAX_REMEMBERED: Final = 10_000
_BEARER = re.compile(r"[Bb][Ee][Aa][Rr][Ee][Rr] +([A-Za-z0-9\-._~+/]{1,8192}=*) *")


@dataclass(frozen=True, slots=True)
class _Verified:
    principal: Principal
    until: float


_verified: WeakKeyDictionary[Tenant, dict[bytes, _Verified]] = WeakKeyDictionary()


async def authenticate(tenant: Tenant, header: str | None) -> Principal:
    """Return who the Authorization header stands for; Unauthenticated, with WWW-Authenticate, when it does not hold.

    `header` is the only one of its name: with several, pass them joined by a comma, and they are refused.
    """
    if not header:
        raise _refusal(tenant, "Send an access token: Authorization: Bearer ...", "login-required", code=None)
    remembered = _verified.setdefault(tenant, {})
    digest = sha256(header.encode()).digest()
    known = remembered.get(digest)
    if known is not None and clock.seconds() < known.until:
        return known.principal
    match = _BEARER.fullmatch(header)
    if match is None:
        raise _refusal(tenant, "Authorization must be one Bearer token.", "token-malformed", code="invalid_request")
    remembered.pop(digest, None)
    principal = await _verify(tenant, match[1])
    if len(remembered) >= MAX_REMEMBERED:
        _forget(remembered)
    remembered[digest] = _Verified(principal, min(principal.expires, clock.seconds() + RECHECK_SECONDS))
    return principal


async def _verify(tenant: Tenant, text: str) -> Principal:
    try:
        claims = await tokens.verify(tenant, text)
        account = await authorizations.account_behind(tenant, claims)
        return await current_principal(
            tenant, claims.client_id, claims.scope, patient=claims.patient, user=claims.user,
            token_id=claims.token_id, expires=claims.expires, account=account,
        )  # fmt: skip
    except (TokenError, ScopeError) as error:
        raise _refusal(
            tenant, f"The access token is refused: {error}.", "token-invalid", code="invalid_token"
        ) from error
    except Unauthenticated as error:
        raise _refusal(tenant, error.text, error.id, code="invalid_token") from error


def forget(tenant: Tenant) -> None:
    """Verify every token again: something was just revoked here. (Other processes notice within RECHECK_SECONDS.)"""
    _verified.pop(tenant, None)


def need(principal: Principal, right: str) -> None:
    """Raise Forbidden unless the token holds a scope that names no resources."""
    if right not in principal.special:
        raise Forbidden(
            f"The token needs the scope {right}, which its client must be registered for.",
            "insufficient-scope",
            headers={"WWW-Authenticate": f'Bearer error="insufficient_scope", scope="{right}"'},
        )


def _forget(remembered: dict[bytes, _Verified]) -> None:
    """Drop what has run out, or the oldest half when that is nothing."""
    now = clock.seconds()
    stale = [digest for digest, entry in remembered.items() if entry.until <= now]
    for digest in stale or list(remembered)[: MAX_REMEMBERED // 2]:
        del remembered[digest]


def _refusal(tenant: Tenant, text: str, id_: str, *, code: str | None) -> Unauthenticated:
    challenge = f'Bearer realm="{tenant.base}"' + (f', error="{code}"' if code else "")
    return Unauthenticated(text, id_, headers={"WWW-Authenticate": challenge})
