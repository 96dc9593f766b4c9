"""Base64url without padding (RFC 4648 section 5), for what travels in links and forms: one text for one value."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode


def encode(data: bytes) -> str:
    """Return the text of the bytes."""
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def decode(text: str) -> bytes:
    """Return the bytes of a text; ValueError unless it is exactly what `encode` makes of them.

    The library alone reads past strange characters and past the padding: a link with a letter added would open like the true one.
    """
    data = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if encode(data) != text:
        raise ValueError("not base64url as it is written here")
    return data
