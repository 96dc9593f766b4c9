"""The form of blobs at rest: what comes out is what went in, in whatever parts; nothing that was changed opens."""

from __future__ import annotations

import os

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.storage.blobs import sealed

CIPHER = AESGCM(os.urandom(32))
SIZES = (0, 1, sealed.CHUNK - 1, sealed.CHUNK, sealed.CHUNK + 1, 3 * sealed.CHUNK, 3 * sealed.CHUNK + 7)


def part(blob: bytes, size: int, start: int, end: int, bound: bytes = b"b") -> bytes:
    made = b""
    for number in sealed.chunks(start, end):
        at, length = sealed.place(number)
        data = sealed.unseal(blob[: sealed.HEAD], blob[at : at + length], number, size, CIPHER, bound)
        made += data[max(0, start - number * sealed.CHUNK) : end - number * sealed.CHUNK]
    return made


@given(st.sampled_from(SIZES), st.data())
def test_any_part_comes_back(size, data):
    content = os.urandom(size)
    blob = sealed.seal(content, CIPHER, b"b")
    assert len(blob) == sealed.HEAD + size + sealed.TAG * max(1, -(-size // sealed.CHUNK))
    start = data.draw(st.integers(0, max(0, size - 1)))
    end = data.draw(st.integers(start, size))
    assert part(blob, size, start, end) == content[start:end]
    assert content[:32] not in blob or size == 0 or size < 4


def test_what_was_changed_cut_moved_or_bound_elsewhere_does_not_open():
    size = 2 * sealed.CHUNK + 5
    blob = sealed.seal(os.urandom(size), CIPHER, b"b")
    for at in (1, sealed.HEAD, sealed.HEAD + sealed.CHUNK, len(blob) - 1):
        broken = blob[:at] + bytes([blob[at] ^ 1]) + blob[at + 1 :]
        with pytest.raises(InvalidTag):
            part(broken, size, 0, size)
    with pytest.raises(InvalidTag):
        part(blob, size, 0, size, bound=b"other")
    shorter = sealed.CHUNK * 2  # the end cut off, and the size with it
    with pytest.raises(InvalidTag):
        part(blob, shorter, 0, shorter)
    first, second = (blob[a : a + n] for a, n in (sealed.place(0), sealed.place(1)))
    with pytest.raises(InvalidTag):
        part(blob[: sealed.HEAD] + second + first + blob[sealed.HEAD + 2 * len(first) :], size, 0, size)
