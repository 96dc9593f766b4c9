"""The keys that sign access tokens (ES384) and id_tokens (RS256): a tenant's own, sealed in its schema, ready to rotate.

A token of one tenant cannot verify at another. The newest key of its kind that is not retired signs; a retired one verifies until
every token it could have signed has run out. Several processes share the table: an unknown kid makes one look again.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final
from weakref import WeakKeyDictionary

from joserfc.jwk import ECKey, RSAKey

from fhir_server.auth.jose import Key
from fhir_server.kit import clock, json
from fhir_server.storage.tenants import Tenant

ALGORITHM: Final = "ES384"
IDENTITY_ALGORITHM: Final = "RS256"
"""What every OpenID Connect client can verify; SMART asks for it."""
MAX_TOKEN_SECONDS: Final = 86_400
"""No access token holds longer, whoever asks; so long a retired key still verifies."""

_RELOAD_SECONDS = 60.0
_LOOK_AGAIN_SECONDS = 1.0

_LOAD = """
SELECT kid, sealed, retired_at IS NOT NULL AS retired FROM {s}.signing_key
WHERE retired_at IS NULL OR retired_at > $1 ORDER BY retired_at IS NOT NULL, created_at DESC, kid
"""
_INSERT = "INSERT INTO {s}.signing_key (kid, created_at, sealed) VALUES ($1, $2, $3)"
_RETIRE = "UPDATE {s}.signing_key SET retired_at = $2 WHERE kid <> ALL($1::text[]) AND retired_at IS NULL"


@dataclass(frozen=True, slots=True)
class SigningKeys:
    """The keys of a tenant as they were at `loaded`; `active` signs access tokens, `identity` id_tokens."""

    active: ECKey
    identity: RSAKey
    verifying: dict[str, Key]
    loaded: float


_known: WeakKeyDictionary[Tenant, SigningKeys] = WeakKeyDictionary()


def _aad(kid: str) -> bytes:
    return b"signing-key/" + kid.encode()


def _new_key() -> ECKey:
    key = ECKey.generate_key("P-384", {"use": "sig", "alg": ALGORITHM})
    key.ensure_kid()
    return key


def _new_identity_key() -> RSAKey:
    key = RSAKey.generate_key(2048, {"use": "sig", "alg": IDENTITY_ALGORITHM})
    key.ensure_kid()
    return key


async def _insert(tenant: Tenant, connection: Any, key: Key) -> None:
    sealed = tenant.keystore.seal(json.encode(key.as_dict(private=True)), _aad(_kid(key)))
    await connection.execute(tenant.sql(_INSERT), _kid(key), clock.now(), sealed)


def _kid(key: Key) -> str:
    assert key.kid is not None
    return key.kid


def _opened(tenant: Tenant, row: Any) -> Key:
    data = json.decode(tenant.keystore.open(row["sealed"], _aad(row["kid"])))
    return RSAKey.import_key(data) if data["kty"] == "RSA" else ECKey.import_key(data)


async def _load(tenant: Tenant) -> SigningKeys:
    oldest = clock.now() - timedelta(seconds=MAX_TOKEN_SECONDS)
    rows = await tenant.pool.fetch(tenant.sql(_LOAD), oldest)
    keys = [(_opened(tenant, row), row["retired"]) for row in rows]
    active = next((key for key, retired in keys if isinstance(key, ECKey) and not retired), None)
    identity = next((key for key, retired in keys if isinstance(key, RSAKey) and not retired), None)
    if active is None:
        active = _new_key()
        await _insert(tenant, tenant.pool, active)
    if identity is None:
        identity = await asyncio.to_thread(_new_identity_key)
        await _insert(tenant, tenant.pool, identity)
    verifying = {_kid(key): key for key in (active, identity, *(key for key, _ in keys))}
    loaded = SigningKeys(active, identity, verifying, clock.monotonic())
    _known[tenant] = loaded
    return loaded


async def signing_keys(tenant: Tenant) -> SigningKeys:
    """Return the keys of the tenant; the first call on a new tenant makes one."""
    known = _known.get(tenant)
    if known is None or clock.monotonic() - known.loaded > _RELOAD_SECONDS:
        return await _load(tenant)
    return known


async def verification_key(tenant: Tenant, kid: str) -> ECKey | None:
    """Return the access tokens' key of this kid, looking again at most once a second for one that another process has made."""
    known = await signing_keys(tenant)
    if kid not in known.verifying and clock.monotonic() - known.loaded > _LOOK_AGAIN_SECONDS:
        known = await _load(tenant)
    key = known.verifying.get(kid)
    return key if isinstance(key, ECKey) else None


async def rotate(tenant: Tenant) -> str:
    """Make new signing keys and retire the others; return the kid for access tokens. Tokens already out hold until they expire."""
    key, identity = _new_key(), await asyncio.to_thread(_new_identity_key)
    async with tenant.pool.acquire() as connection, connection.transaction():
        await _insert(tenant, connection, key)
        await _insert(tenant, connection, identity)
        await connection.execute(tenant.sql(_RETIRE), [_kid(key), _kid(identity)], clock.now())
    await _load(tenant)
    return _kid(key)


async def public_jwks(tenant: Tenant) -> dict[str, Any]:
    """Return the public keys as a JWK set, bare JWKs as SMART has it."""
    keys = (await signing_keys(tenant)).verifying.values()
    return {"keys": [dict(key.as_dict(private=False)) for key in keys]}
