"""One-time passwords by time (RFC 6238: HMAC-SHA-1, 30 seconds, six digits), each accepted once."""

from __future__ import annotations

import hmac
import secrets
from base64 import b32decode, b32encode
from typing import Final
from urllib.parse import quote, urlencode

from fhir_server.kit import clock

STEP: Final = 30
_DIGITS: Final = 6
_EITHER_SIDE = 1
"""Steps by which the clock of a person's device may be off."""


def new_secret() -> str:
    """Return a secret of 160 bits in base32."""
    return b32encode(secrets.token_bytes(20)).decode()


def code(secret: str, step: int) -> str:
    """Return the six digits of a step (RFC 4226 §5.3)."""
    digest = hmac.digest(b32decode(secret), step.to_bytes(8, "big"), "sha1")
    offset = digest[-1] & 15
    number = int.from_bytes(digest[offset : offset + 4], "big") & 0x7FFFFFFF
    return f"{number % 10**_DIGITS:0{_DIGITS}d}"


def step_of(secret: str, given: str, *, after: int) -> int | None:
    """Return the step whose code was given, if it is later than `after` and near now."""
    now = int(clock.seconds()) // STEP
    given = given.replace(" ", "")
    for step in range(now - _EITHER_SIDE, now + _EITHER_SIDE + 1):
        if step > after and hmac.compare_digest(code(secret, step).encode(), given.encode()):
            return step
    return None


def uri(secret: str, login: str, issuer: str) -> str:
    """Return the address that authenticator apps read."""
    label = quote(f"{issuer}:{login}")
    return f"otpauth://totp/{label}?{urlencode({'secret': secret, 'issuer': issuer})}"
