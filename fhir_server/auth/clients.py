"""The registered clients of a tenant: who they are, how they prove it, and what they may ask for at most.

Symmetric secrets are made here, shown once and kept as argon2id hashes. A client that people launch has redirect URIs.
"""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal
from weakref import WeakKeyDictionary

import asyncpg
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from fhir_server.auth.client_keys import KeySetError, import_keys
from fhir_server.auth.launch_scopes import known, written
from fhir_server.auth.oauth_errors import is_plain
from fhir_server.auth.redirects import ClientError, checked_key_url, checked_redirects, checked_url
from fhir_server.auth.scopes import ScopeError
from fhir_server.context import Scope
from fhir_server.errors import FhirError
from fhir_server.kit import clock, json
from fhir_server.storage.tenants import Tenant

__all__ = [
    "BUILT_IN",
    "Asked",
    "Client",
    "ClientError",
    "add",
    "checked_scopes",
    "client_of",
    "forget",
    "get",
    "hash_matches",
    "hashed",
    "listed",
    "remove",
    "secret_matches",
]

Method = Literal["private_key_jwt", "client_secret", "none"]

BUILT_IN: Final = frozenset({"clarity-cli", "clarity-worker", "clarity-login", "clarity-gateway"})
"""Clients that are this installation itself: they have no row, cannot be registered and never use the token endpoint."""

MAX_NAME: Final = 120
_REMEMBER_SECONDS = 30.0
CLIENT_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
COLUMNS = "client_id, name, method, scope, secret_hash, jwks, jwks_uri, redirect_uris, launch_url"
_REMOVE: Final = """
WITH ended AS (UPDATE {s}.oauth_grant SET ended_at = $2 WHERE client_id = $1 AND ended_at IS NULL),
     launched AS (DELETE FROM {s}.oauth_launch WHERE client_id = $1)
DELETE FROM {s}.oauth_client WHERE client_id = $1 RETURNING client_id
"""
HOLDS: Final = "NOT pending AND disabled_at IS NULL"
"""What makes a row a client: nobody has to decide about it still, and nobody has taken that back."""


@dataclass(frozen=True, slots=True)
class Client:
    """A registered client; `scopes` and `special` are the most that it may be granted. A public one has the method `none`."""

    client_id: str
    name: str
    method: Method
    scopes: tuple[Scope, ...]
    secret_hash: str | None = None
    jwks: str | None = None
    jwks_uri: str | None = None
    special: tuple[str, ...] = ()
    redirect_uris: tuple[str, ...] = ()
    launch_url: str | None = None

    @property
    def scope(self) -> str:
        """The registered scopes as one string."""
        return written(self.scopes, self.special)


@dataclass(frozen=True, slots=True)
class Asked:
    """Who asked for a client to be registered: the hash of their token, what they say of themselves, the address that asked."""

    token: bytes
    contacts: tuple[str, ...] = ()
    uri: str | None = None
    address: str | None = None


_hasher = PasswordHasher()
_hashing = asyncio.Semaphore(2)
"""argon2 takes 64 MiB and a core for some 50 ms: two at a time, so that guessing cannot starve the server."""
_NOBODY = _hasher.hash(secrets.token_urlsafe(32))
_known: WeakKeyDictionary[Tenant, dict[str, tuple[float, Client | None]]] = WeakKeyDictionary()


def client_of(row: Mapping[str, Any]) -> Client:
    """Return the client of a row with the columns COLUMNS."""
    scopes, special = known(row["scope"])
    return Client(
        row["client_id"], row["name"], row["method"], scopes, row["secret_hash"], row["jwks"], row["jwks_uri"],
        special, tuple(row["redirect_uris"]), row["launch_url"],
    )  # fmt: skip


async def get(tenant: Tenant, client_id: str, *, fresh: bool = False) -> Client | None:
    """Return a client, as it was at most 30 seconds ago, or `fresh`: where a token is asked for, who was removed gets none.

    What cannot be an id is nobody's, and PostgreSQL is not asked.
    """
    if not CLIENT_ID.fullmatch(client_id):
        return None
    known = _known.setdefault(tenant, {})
    at, client = known.get(client_id, (float("-inf"), None))
    if fresh or clock.monotonic() - at > _REMEMBER_SECONDS:
        text = f"SELECT {COLUMNS} FROM {{s}}.oauth_client WHERE client_id = $1 AND {HOLDS}"
        row = await tenant.pool.fetchrow(tenant.sql(text), client_id)
        client = client_of(row) if row else None
        if len(known) > 10_000:
            known.clear()
        known[client_id] = (clock.monotonic(), client)
    return client


async def listed(tenant: Tenant) -> list[Client]:
    """Return all clients by id: neither those that wait for an administrator nor those that one has disabled."""
    text = f"SELECT {COLUMNS} FROM {{s}}.oauth_client WHERE {HOLDS} ORDER BY client_id"
    return [client_of(row) for row in await tenant.pool.fetch(tenant.sql(text))]


def checked_scopes(scope: str) -> tuple[tuple[Scope, ...], tuple[str, ...]]:
    """Return what a client is to be registered for; ClientError where it is no list of scopes, or an empty one."""
    try:
        scopes, special = known(scope)
    except ScopeError as error:
        raise ClientError(str(error)) from error
    if not scopes and not special:
        raise ClientError("a client needs at least one scope, such as system/Observation.c")
    return scopes, special


async def add(
    tenant: Tenant,
    *,
    name: str,
    scope: str,
    client_id: str | None = None,
    jwks: str | bytes | None = None,
    jwks_uri: str | None = None,
    public: bool = False,
    redirect_uris: Sequence[str] = (),
    launch_url: str | None = None,
    asked: Asked | None = None,
) -> tuple[Client, str | None]:
    """Register a client by JWK set, by the set's URL, as a public one, or (none given) with a secret that is returned this once.

    With `asked` it waits for an administrator.
    """
    client_id = client_id or f"client-{secrets.token_hex(8)}"
    if not CLIENT_ID.fullmatch(client_id) or client_id in BUILT_IN:
        raise ClientError("a client id has 1 to 64 letters, digits, '.', '_' or '-', and is not one of Clarity's own")
    if sum((jwks is not None, jwks_uri is not None, public)) > 1:
        raise ClientError("give one of: the JWK set, its URL, public")
    if not is_plain(name, MAX_NAME):
        raise ClientError(f"a name has 1 to {MAX_NAME} visible characters: people are shown it when they decide")
    scopes, special = checked_scopes(scope)
    places = _launch_places(redirect_uris, launch_url, public=public)
    text = _checked_set(jwks) if jwks is not None else None
    url = checked_key_url(jwks_uri) if jwks_uri is not None else None
    secret = None if public or text or url else secrets.token_urlsafe(32)
    method: Method = "none" if public else "client_secret" if secret else "private_key_jwt"
    secret_hash = await hashed(secret) if secret else None
    client = Client(client_id, name, method, scopes, secret_hash, text, url, special, *places)
    await _insert(tenant, client, asked)
    return client, secret


def _launch_places(
    redirect_uris: Sequence[str], launch_url: str | None, *, public: bool
) -> tuple[tuple[str, ...], str | None]:
    """Return redirect URIs and launch URL, checked."""
    places = checked_redirects(redirect_uris)
    if public and not places:
        raise ClientError("a public client needs a redirect URI: it can do nothing but be launched")
    if launch_url is not None:
        launch_url = checked_url(launch_url, "the launch URL")
    return places, launch_url


def _checked_set(jwks: str | bytes) -> str:
    data = jwks.encode() if isinstance(jwks, str) else jwks
    try:
        import_keys(json.decode(data))
    except KeySetError as error:
        raise ClientError(str(error)) from error
    except FhirError as error:
        raise ClientError("the JWK set is not JSON") from error
    return data.decode()


async def _insert(tenant: Tenant, client: Client, asked: Asked | None) -> None:
    columns = f"{COLUMNS}, pending, registration, contacts, client_uri, asked_from"
    places = ", ".join(f"${number + 1}" for number in range(len(columns.split(","))))
    values = (
        client.client_id, client.name, client.method, client.scope, client.secret_hash, client.jwks, client.jwks_uri,
        list(client.redirect_uris), client.launch_url,
    )  # fmt: skip
    by = (True, asked.token, list(asked.contacts), asked.uri, asked.address) if asked else (False, None, [], None, None)
    text = f"INSERT INTO {{s}}.oauth_client ({columns}) VALUES ({places})"
    try:
        await tenant.pool.execute(tenant.sql(text), *values, *by)
    except asyncpg.UniqueViolationError as error:
        raise ClientError(f"the client {client.client_id} is registered already; remove it first") from error
    _known.setdefault(tenant, {}).pop(client.client_id, None)


async def remove(tenant: Tenant, client_id: str) -> bool:
    """Remove a client; its tokens are refused within a minute and a half in every process. False when there was none.

    What people have allowed it ends with it: another one that is added under its id has to ask them.
    """
    if not CLIENT_ID.fullmatch(client_id):
        return False
    done = await tenant.pool.fetchval(tenant.sql(_REMOVE), client_id, clock.now())
    _known.setdefault(tenant, {}).pop(client_id, None)
    return done is not None


def forget(tenant: Tenant) -> None:
    """Look up every client again: one was just changed or removed."""
    _known.pop(tenant, None)


async def hashed(secret: str) -> str:
    """Return the argon2id hash of a secret or password."""
    async with _hashing:
        return await asyncio.to_thread(_hasher.hash, secret)


async def secret_matches(client: Client | None, secret: str) -> bool:
    """Tell whether the secret is the client's; takes as long for a client that is not there."""
    return await hash_matches(client.secret_hash if client is not None else None, secret)


async def hash_matches(expected: str | None, secret: str) -> bool:
    """Tell whether a secret has this hash; takes as long when there is none to compare with."""
    async with _hashing:
        return await asyncio.to_thread(_verify, expected or _NOBODY, secret) and bool(expected)


def _verify(expected: str, secret: str) -> bool:
    try:
        return _hasher.verify(expected, secret)
    except (VerificationError, InvalidHashError):
        return False
