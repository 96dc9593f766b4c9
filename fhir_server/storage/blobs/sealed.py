"""The form of a blob at rest: `form(1) prefix(8)`, then chunks of 64 KiB, each AES-256-GCM with its own tag (STREAM).

A chunk's nonce is the blob's random prefix and its number; the additional data bind tenant, name, number and whether it is the
last. So a chunk that was moved, changed, or cut off the end does not open, and a range opens no more chunks than it touches.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

CHUNK = 64 * 1024
TAG = 16
_FORM = b"\x01"
_PREFIX = 8
HEAD = len(_FORM) + _PREFIX


def _count(size: int) -> int:
    return max(1, -(-size // CHUNK))


def _aad(bound: bytes, number: int, size: int) -> bytes:
    return bound + struct.pack(">I?", number, number == _count(size) - 1)


def _nonce(prefix: bytes, number: int) -> bytes:
    return prefix + struct.pack(">I", number)


def seal(data: bytes, cipher: AESGCM, bound: bytes) -> bytes:
    """Return the blob of some bytes, bound to `bound` (tenant and name)."""
    prefix, size = os.urandom(_PREFIX), len(data)
    parts = [
        cipher.encrypt(_nonce(prefix, n), data[n * CHUNK : (n + 1) * CHUNK], _aad(bound, n, size))
        for n in range(_count(size))
    ]
    return b"".join((_FORM, prefix, *parts))


def place(number: int) -> tuple[int, int]:
    """Return where in the blob a chunk is: (start, length at most)."""
    return HEAD + number * (CHUNK + TAG), CHUNK + TAG


def chunks(start: int, end: int) -> Iterator[int]:
    """Yield the numbers of the chunks that hold the bytes from `start` to before `end`."""
    yield from range(start // CHUNK, max(start, end - 1) // CHUNK + 1)


def unseal(head: bytes, chunk: bytes, number: int, size: int, cipher: AESGCM, bound: bytes) -> bytes:
    """Return the bytes of one chunk of a blob of `size` bytes; InvalidTag when anything was changed."""
    return cipher.decrypt(_nonce(head[len(_FORM) :], number), chunk, _aad(bound, number, size))
