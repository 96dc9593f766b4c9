"""The registered clients of a tenant: who they are, how they prove it, and what they may ask for at most.

Symmetric secrets are made here, shown once and kept as argon2id hashes.
"""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

import asyncpg
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from fhir_server.auth.client_keys import KeySetError, import_keys
from fhir_server.auth.scopes import ScopeError, join, parse_scopes
from fhir_server.context import Scope
from fhir_server.errors import FhirError
from fhir_server.kit import clock, json
from fhir_server.storage.tenants import Tenant

Method = Literal["private_key_jwt", "client_secret"]

BUILT_IN: Final = frozenset({"clarity-cli", "clarity-worker"})
"""Clients that are this installation itself: they have no row, cannot be registered and never use the token endpoint."""

_REMEMBER_SECONDS = 30.0
_CLIENT_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_COLUMNS = "client_id, name, method, scope, secret_hash, jwks, jwks_uri"


class ClientError(ValueError):
    """A client that cannot be registered; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Client:
    """A registered client; `scopes` is the most that it may be granted."""

    client_id: str
    name: str
    method: Method
    scopes: tuple[Scope, ...]
    secret_hash: str | None = None
    jwks: str | None = None
    jwks_uri: str | None = None

    @property
    def scope(self) -> str:
        """The registered scopes as one string."""
        return join(self.scopes)


_hasher = PasswordHasher()
_hashing = asyncio.Semaphore(2)
"""argon2 takes 64 MiB and a core for some 50 ms: two at a time, so that guessing cannot starve the server."""
_NOBODY = _hasher.hash(secrets.token_urlsafe(32))
_known: WeakKeyDictionary[Tenant, dict[str, tuple[float, Client | None]]] = WeakKeyDictionary()


def _client(row: Mapping[str, Any]) -> Client:
    scopes = parse_scopes(row["scope"])
    return Client(
        row["client_id"], row["name"], row["method"], scopes, row["secret_hash"], row["jwks"], row["jwks_uri"]
    )


async def get(tenant: Tenant, client_id: str, *, fresh: bool = False) -> Client | None:
    """Return a client, as it was at most 30 seconds ago, or `fresh`: where a token is asked for, who was removed gets none.

    What cannot be an id is nobody's, and PostgreSQL is not asked.
    """
    if not _CLIENT_ID.fullmatch(client_id):
        return None
    known = _known.setdefault(tenant, {})
    at, client = known.get(client_id, (float("-inf"), None))
    if fresh or clock.monotonic() - at > _REMEMBER_SECONDS:
        text = f"SELECT {_COLUMNS} FROM {{s}}.oauth_client WHERE client_id = $1"
        row = await tenant.pool.fetchrow(tenant.sql(text), client_id)
        client = _client(row) if row else None
        if len(known) > 10_000:
            known.clear()
        known[client_id] = (clock.monotonic(), client)
    return client


async def listed(tenant: Tenant) -> list[Client]:
    """Return all clients by id."""
    rows = await tenant.pool.fetch(tenant.sql(f"SELECT {_COLUMNS} FROM {{s}}.oauth_client ORDER BY client_id"))
    return [_client(row) for row in rows]


def _checked_scopes(scope: str) -> tuple[Scope, ...]:
    try:
        scopes = parse_scopes(scope)
    except ScopeError as error:
        raise ClientError(str(error)) from error
    if not scopes:
        raise ClientError("a client needs at least one scope, such as system/Observation.c")
    if any(scope.level == "user" for scope in scopes):
        raise ClientError(
            "user/ scopes are not given out: they wait until care relationships limit them. Use patient/ or system/ scopes."
        )
    return scopes


def _checked_uri(uri: str) -> str:
    try:
        parts = urlsplit(uri)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    if not host or parts.scheme not in ("https", "http") or parts.username is not None or parts.fragment:
        raise ClientError("the JWK set's URL is https://host/path, without user name or fragment")
    return uri


async def add(
    tenant: Tenant,
    *,
    name: str,
    scope: str,
    client_id: str | None = None,
    jwks: str | bytes | None = None,
    jwks_uri: str | None = None,
) -> tuple[Client, str | None]:
    """Register a client by JWK set, by the set's URL, or (neither given) with a secret that is returned this once."""
    client_id = client_id or f"client-{secrets.token_hex(8)}"
    if not _CLIENT_ID.fullmatch(client_id) or client_id in BUILT_IN:
        raise ClientError("a client id has 1 to 64 letters, digits, '.', '_' or '-', and is not one of Clarity's own")
    if jwks is not None and jwks_uri is not None:
        raise ClientError("give the JWK set or its URL, not both")
    scopes = _checked_scopes(scope)
    secret = secret_hash = text = None
    if jwks is not None:
        text = _checked_set(jwks)
    elif jwks_uri is not None:
        jwks_uri = _checked_uri(jwks_uri)
    else:
        secret = secrets.token_urlsafe(32)
        secret_hash = await _hash(secret)
    method: Method = "client_secret" if secret else "private_key_jwt"
    client = Client(client_id, name, method, scopes, secret_hash, text, jwks_uri)
    await _insert(tenant, client)
    return client, secret


def _checked_set(jwks: str | bytes) -> str:
    data = jwks.encode() if isinstance(jwks, str) else jwks
    try:
        import_keys(json.decode(data))
    except KeySetError as error:
        raise ClientError(str(error)) from error
    except FhirError as error:
        raise ClientError("the JWK set is not JSON") from error
    return data.decode()


async def _insert(tenant: Tenant, client: Client) -> None:
    text = f"INSERT INTO {{s}}.oauth_client ({_COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7)"
    values = (client.name, client.method, client.scope, client.secret_hash, client.jwks, client.jwks_uri)
    try:
        await tenant.pool.execute(tenant.sql(text), client.client_id, *values)
    except asyncpg.UniqueViolationError as error:
        raise ClientError(f"the client {client.client_id} is registered already; remove it first") from error
    _known.setdefault(tenant, {}).pop(client.client_id, None)


async def remove(tenant: Tenant, client_id: str) -> bool:
    """Remove a client; its tokens are refused within a minute and a half in every process. False when there was none."""
    done = await tenant.pool.fetchval(
        tenant.sql("DELETE FROM {s}.oauth_client WHERE client_id = $1 RETURNING client_id"), client_id
    )
    _known.setdefault(tenant, {}).pop(client_id, None)
    return done is not None


async def _hash(secret: str) -> str:
    async with _hashing:
        return await asyncio.to_thread(_hasher.hash, secret)


async def secret_matches(client: Client | None, secret: str) -> bool:
    """Tell whether the secret is the client's; takes as long for a client that is not there."""
    expected = client.secret_hash if client is not None and client.secret_hash else None
    async with _hashing:
        return await asyncio.to_thread(_verify, expected or _NOBODY, secret) and expected is not None


def _verify(expected: str, secret: str) -> bool:
    try:
        return _hasher.verify(expected, secret)
    except (VerificationError, InvalidHashError):
        return False
