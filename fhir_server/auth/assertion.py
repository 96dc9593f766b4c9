"""Client authentication by private_key_jwt (SMART App Launch 2.2 "Asymmetric authentication", RFC 7523).

The order matters: nothing that the assertion says is used before its signature holds but to find the key, `jku` is compared
and never fetched, and the jti is spent last, so that a refused assertion spends nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from hashlib import sha256
from typing import Any, Final

from fhir_server.auth import clients
from fhir_server.auth.client_keys import KeySetError, import_keys, select
from fhir_server.auth.clients import Client
from fhir_server.auth.jose import KEY_TYPES, Envelope, Key, TokenError, open_envelope
from fhir_server.auth.oauth_errors import OAuthError, printable
from fhir_server.auth.remote_keys import RemoteKeys
from fhir_server.auth.tokens import token_url
from fhir_server.kit import clock, json
from fhir_server.storage.tenants import Tenant

ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
MAX_SECONDS: Final = 300
"""SMART: `exp` no more than five minutes in the future."""
_CLOCK_SKEW = 30

_SPEND = """
INSERT INTO {s}.oauth_jti (issuer, digest, expires_at) VALUES ($1, $2, $3)
ON CONFLICT (issuer, digest) DO NOTHING RETURNING true
"""


def _refused(reason: str, client_id: str | None = None) -> OAuthError:
    return OAuthError("invalid_client", f"The client assertion is refused: {reason}.", client_id=client_id)


async def authenticate(tenant: Tenant, remote: RemoteKeys, text: str, claimed: str | None) -> Client:
    """Return the client that signed the assertion; OAuthError says what is wrong. `claimed` is the form's client_id."""
    try:
        envelope = open_envelope(text, algorithms=frozenset(KEY_TYPES), typ="JWT", optional=frozenset({"jku"}))
        client_id = _issuer(envelope, claimed)
    except TokenError as error:
        raise _refused(str(error), claimed) from error
    try:
        client = await _client(tenant, client_id)
        claims = envelope.claims(await _key(client, envelope, remote))
        _check_times(claims)
        _check_audience(claims, token_url(tenant))
        await _spend(tenant, client_id, claims)
    except (TokenError, KeySetError) as error:
        raise _refused(str(error), client_id) from error
    return client


def _issuer(envelope: Envelope, claimed: str | None) -> str:
    claims = envelope.unverified_claims()
    issuer, subject = claims.get("iss"), claims.get("sub")
    if not isinstance(issuer, str) or issuer != subject:
        raise TokenError("iss and sub must both be the client_id")
    if claimed is not None and claimed != issuer:
        raise TokenError("client_id in the form differs from iss")
    return issuer


async def _client(tenant: Tenant, client_id: str) -> Client:
    client = await clients.get(tenant, client_id, fresh=True) if len(client_id) <= 64 else None
    if client is None:
        raise TokenError(f"no client {printable(client_id)} is registered here")
    if client.method != "private_key_jwt":
        raise TokenError("this client is registered with a secret, not with keys")
    return client


async def _key(client: Client, envelope: Envelope, remote: RemoteKeys) -> Key:
    jku = envelope.header.get("jku")
    if jku is not None and (client.jwks_uri is None or jku != client.jwks_uri):
        raise TokenError("jku is not the URL that the client has registered")
    keys: Sequence[Key]
    keys = (
        await remote.get(client.jwks_uri) if client.jwks_uri else import_keys(json.decode((client.jwks or "").encode()))
    )
    key = select(keys, envelope.kid, envelope.alg)
    if key is None:
        named = ", ".join(printable(f"{key.key_type} {key.kid}", 40) for key in keys)
        raise TokenError(
            f"{envelope.alg} needs exactly one registered {KEY_TYPES[envelope.alg]} key with kid"
            f" {printable(envelope.kid)}; registered: {named}"
        )
    return key


def _seconds(claims: dict[str, Any], name: str) -> int:
    value = claims.get(name)
    if type(value) is not int or not 0 <= value <= 1 << 40:
        raise TokenError(f"{name} must be a whole number of seconds since 1970")
    return value


def _check_times(claims: dict[str, Any]) -> None:
    now = clock.seconds()
    left = _seconds(claims, "exp") - int(now)
    if left <= 0:
        raise TokenError(f"it expired {-left} seconds ago by this server's clock")
    if left > MAX_SECONDS:
        raise TokenError(f"exp is {left} seconds ahead by this server's clock, {MAX_SECONDS} at most")
    for name in ("nbf", "iat"):
        if name in claims and _seconds(claims, name) > now + _CLOCK_SKEW:
            raise TokenError(f"{name} is in the future by this server's clock")


def _check_audience(claims: dict[str, Any], expected: str) -> None:
    if claims.get("aud") not in (expected, [expected]):
        raise TokenError(f"aud must be the token endpoint, {expected}")


async def _spend(tenant: Tenant, client_id: str, claims: dict[str, Any]) -> None:
    """Use up the jti: the primary key lets exactly one of any number of simultaneous replays through."""
    jti = claims.get("jti")
    if not isinstance(jti, str) or not 0 < len(jti) <= 256:
        raise TokenError("jti must be a string of 1 to 256 characters, new for each assertion")
    keep_until = clock.now() + timedelta(seconds=_seconds(claims, "exp") - int(clock.seconds()) + 2 * _CLOCK_SKEW)
    spent = await tenant.pool.fetchval(tenant.sql(_SPEND), client_id, sha256(jti.encode()).digest(), keep_until)
    if not spent:
        raise TokenError("its jti was used before; every assertion needs a new one")
