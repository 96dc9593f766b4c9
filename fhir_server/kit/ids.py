"""Identifiers that we hand out: time-ordered, so that neighbours in time are neighbours in an index."""

from __future__ import annotations

import secrets
import uuid

from fhir_server.kit import clock

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: no i, l, o, u


def _base32(number: int, length: int) -> str:
    return "".join(_ALPHABET[(number >> (5 * i)) & 31] for i in range(length - 1, -1, -1))


def new_id() -> str:
    """Return a FHIR id of 26 characters: 48 bits of milliseconds, then 80 random bits."""
    return _base32(int(clock.seconds() * 1000), 10) + _base32(secrets.randbits(80), 16)


def request_id() -> str:
    """Return an id for a request that came without `X-Request-Id`."""
    return str(uuid.uuid4())
