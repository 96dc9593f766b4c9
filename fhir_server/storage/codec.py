"""Body bytes at rest: zstd with a trained dictionary, then AES-256-GCM.

`form(1) dictionary(2, little-endian) nonce(12) ciphertext tag(16)`. The dictionary's number stands in every body and old
dictionaries are kept for ever. The additional data bind tenant, type, id and version, so that a body moved to another row
does not open. Nonces are random: a version number may be tried twice with different content when a commit is retried.
"""

from __future__ import annotations

import os
import struct
from functools import cache
from pathlib import Path

import zstandard
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_FORM = 1
_HEADER = struct.Struct("<BH")
_NONCE = 12
_LEVEL = 3
FOLDER = Path(__file__).parent / "dictionaries"


@cache
def newest() -> int:
    """Return the number of the dictionary that new bodies use, 0 for none."""
    return max((int(path.stem) for path in FOLDER.glob("*.zdict")), default=0)


@cache
def _dictionary(number: int) -> zstandard.ZstdCompressionDict | None:
    if number == 0:
        return None
    data = zstandard.ZstdCompressionDict((FOLDER / f"{number:04d}.zdict").read_bytes())
    data.precompute_compress(level=_LEVEL)
    return data


@cache
def _compressor(number: int) -> zstandard.ZstdCompressor:
    parameters = zstandard.ZstdCompressionParameters.from_level(
        _LEVEL,
        format=zstandard.FORMAT_ZSTD1_MAGICLESS,
        write_dict_id=False,
        write_checksum=False,
        write_content_size=True,
    )
    return zstandard.ZstdCompressor(compression_params=parameters, dict_data=_dictionary(number))


@cache
def _decompressor(number: int) -> zstandard.ZstdDecompressor:
    return zstandard.ZstdDecompressor(dict_data=_dictionary(number), format=zstandard.FORMAT_ZSTD1_MAGICLESS)


def encode(body: bytes, cipher: AESGCM, aad: bytes) -> bytes:
    """Return `body` compressed and encrypted, bound to `aad`."""
    number = newest()
    nonce = os.urandom(_NONCE)
    return _HEADER.pack(_FORM, number) + nonce + cipher.encrypt(nonce, _compressor(number).compress(body), aad)


def decode(stored: bytes, cipher: AESGCM, aad: bytes) -> bytes:
    """Return the body; `cryptography.exceptions.InvalidTag` when it is not the one of this row, whatever was changed."""
    try:
        _, number = _HEADER.unpack_from(stored)
        start = _HEADER.size + _NONCE
        return _decompressor(number).decompress(cipher.decrypt(stored[_HEADER.size : start], stored[start:], aad))
    except (struct.error, ValueError, OSError, zstandard.ZstdError) as error:
        raise InvalidTag from error
