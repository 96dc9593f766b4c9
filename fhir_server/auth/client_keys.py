"""The public keys of a client: what a JWK set may hold, and which key of it an assertion means.

Checked when a set is registered and when it is fetched: public keys only, RSA of 2,048 bits or more, or EC P-384, each
with a kid that no other key of its kty has.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode
from collections.abc import Mapping, Sequence
from typing import Any, Final

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey

from fhir_server.auth.jose import KEY_TYPES, MAX_KID, Key

MAX_KEYS: Final = 20
MIN_RSA_BITS: Final = 2048
_PRIVATE = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})


class KeySetError(ValueError):
    """A JWK set that is not taken; the text says why."""


def import_keys(jwks: Any) -> list[Key]:
    """Return the keys of a JWK set; KeySetError when it is not one that a client may register."""
    keys = jwks.get("keys") if isinstance(jwks, Mapping) else None
    if not isinstance(keys, list) or not 0 < len(keys) <= MAX_KEYS:
        raise KeySetError(f"a JWK set is a JSON object with 1 to {MAX_KEYS} keys under 'keys'")
    imported = [_import_key(key) for key in keys]
    names = [(key.key_type, key.kid) for key in imported]
    if len(set(names)) != len(names):
        raise KeySetError("two keys have the same kid and kty: give each key a kid of its own")
    return imported


def _import_key(data: Any) -> Key:
    if not isinstance(data, dict) or not isinstance(data.get("kid"), str) or not 0 < len(data["kid"]) <= MAX_KID:
        raise KeySetError(f"every key is an object with a kid of 1 to {MAX_KID} characters")
    if _PRIVATE & data.keys():
        raise KeySetError(
            "the JWK set holds private or symmetric keys: send the public part only, and replace these keys"
        )
    if data.get("kty") not in KEY_TYPES.values():
        raise KeySetError("kty must be RSA (for RS384) or EC (for ES384)")
    if data.get("use", "sig") != "sig":
        raise KeySetError("use of a key must be sig, or absent")
    if data["kty"] == "RSA" and _bits(data.get("n")) < MIN_RSA_BITS:
        raise KeySetError(f"RSA keys have {MIN_RSA_BITS} bits or more")
    try:
        key: Key = RSAKey.import_key(data) if data["kty"] == "RSA" else ECKey.import_key(data)
    except (JoseError, ValueError, TypeError, KeyError) as error:
        raise KeySetError("a key cannot be read: check its n and e, or crv, x and y") from error
    if isinstance(key, ECKey) and key.curve_name != "P-384":
        raise KeySetError("EC keys for ES384 are on the curve P-384")
    return key


def _bits(modulus: Any) -> int:
    """Return the length of an RSA modulus in bits; 0 for what is none. (The library would only warn.)"""
    if not isinstance(modulus, str) or len(modulus) > 4096:
        return 0
    try:
        return int.from_bytes(urlsafe_b64decode(modulus + "=" * (-len(modulus) % 4)), "big").bit_length()
    except ValueError:
        return 0


def select(keys: Sequence[Key], kid: str, alg: str) -> Key | None:
    """Return the one key of this kid and of the kty that `alg` needs; None unless exactly one matches."""
    matching = [key for key in keys if key.kid == kid and key.key_type == KEY_TYPES[alg]]
    return matching[0] if len(matching) == 1 else None
