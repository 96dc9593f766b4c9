"""Signed JSON (JWS compact form), read strictly: one shape, named algorithms, known headers, no clever extras.

What RFC 8725 and the advisories of JOSE libraries warn of is refused before any key is touched: `alg` none or another,
`crit`, `jwk`, `x5u`, `x5c`, duplicate members, encrypted tokens, tokens of any size.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode
from binascii import Error as Base64Error
from dataclasses import dataclass
from typing import Any, Final

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey

from fhir_server.errors import FhirError
from fhir_server.kit import json

MAX_TOKEN: Final = 8192
MAX_KID: Final = 256
KEY_TYPES: Final = {"RS384": "RSA", "ES384": "EC"}
"""The algorithms that SMART names for clients, and the kty each needs."""

Key = ECKey | RSAKey

_COMPACT = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)")


class TokenError(Exception):
    """A token that is refused; the text is a sentence that repeats nothing secret."""


class _Registry(jws.JWSRegistry):
    max_header_length = 2048
    max_payload_length = MAX_TOKEN


@dataclass(frozen=True, slots=True)
class Envelope:
    """A token taken apart but not verified: nothing but the header may be used, and only to find the key."""

    text: str
    header: dict[str, Any]

    @property
    def alg(self) -> str:
        """The algorithm, one of those that were allowed."""
        return str(self.header["alg"])

    @property
    def kid(self) -> str:
        """The id of the key."""
        return str(self.header["kid"])

    def claims(self, key: Key) -> dict[str, Any]:
        """Verify the signature and return the claims; TokenError when it does not hold."""
        registry = _Registry(algorithms=[self.alg])
        try:
            signed = jws.deserialize_compact(self.text, key, registry=registry)
        except JoseError as error:
            raise TokenError("the signature does not verify with the registered key") from error
        return _object(signed.payload or b"", "payload")

    def unverified_claims(self) -> dict[str, Any]:
        """Return the claims without verifying them: only to find out whose key must verify them."""
        return unverified(self.text)


def unverified(text: str) -> dict[str, Any]:
    """Return what a signed JWT claims, unverified; TokenError when it is none."""
    match = _COMPACT.fullmatch(text) if len(text) <= MAX_TOKEN else None
    if match is None:
        raise TokenError("not a signed JWT in compact form (header.payload.signature)")
    return _object(_decoded(match[2]), "payload")


def _decoded(segment: str) -> bytes:
    try:
        return urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
    except (Base64Error, ValueError) as error:
        raise TokenError("a segment is not base64url") from error


def _object(data: bytes, what: str) -> dict[str, Any]:
    try:
        value = json.decode(data)
    except FhirError as error:
        raise TokenError(f"the {what} is not strict JSON") from error
    if not isinstance(value, dict):
        raise TokenError(f"the {what} is not a JSON object")
    return value


def open_envelope(
    text: str, *, algorithms: frozenset[str], typ: str, optional: frozenset[str] = frozenset()
) -> Envelope:
    """Take a token apart; TokenError unless its header is exactly alg, kid, typ and perhaps some of `optional`."""
    if len(text) > MAX_TOKEN:
        raise TokenError(f"the token has more than {MAX_TOKEN} characters")
    match = _COMPACT.fullmatch(text)
    if match is None:
        raise TokenError("not a signed JWT in compact form (header.payload.signature)")
    header = _object(_decoded(match[1]), "header")
    if unknown := sorted(header.keys() - {"alg", "kid", "typ"} - optional):
        raise TokenError(f"header parameters that are not taken here: {', '.join(unknown)[:80]}")
    if header.get("alg") not in algorithms:
        raise TokenError(f"alg must be {' or '.join(sorted(algorithms))}")
    if header.get("typ") != typ:
        raise TokenError(f"typ must be {typ}")
    kid = header.get("kid")
    if not isinstance(kid, str) or not 0 < len(kid) <= MAX_KID:
        raise TokenError(f"kid must name the key, by 1 to {MAX_KID} characters")
    return Envelope(text, header)


def sign(header: dict[str, Any], claims: dict[str, Any], key: Key) -> str:
    """Return the compact form of signed claims."""
    registry = _Registry(algorithms=[header["alg"]])
    return jws.serialize_compact(header, json.encode(claims), key, registry=registry)
