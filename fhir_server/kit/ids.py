"""Identifiers that we hand out: time-ordered, so that neighbours in time are neighbours in an index."""

from __future__ import annotations

import base64
import os
import uuid

from fhir_server.kit import clock


def new_id() -> str:
    """Return a FHIR id of 26 characters of [0-9a-v]: 48 bits of milliseconds, then 80 random bits."""
    stamp = int(clock.seconds() * 1000).to_bytes(6, "big")
    return base64.b32hexencode(stamp + os.urandom(10))[:26].decode().lower()


def uuid_() -> str:
    """Return a UUID, for what stands in an answer and has no address of its own."""
    return str(uuid.uuid4())


def request_id() -> str:
    """Return an id for a request that came without `X-Request-Id`."""
    return str(uuid.uuid4())
