"""The 64-bit numbers by which equality is searched.

Two kinds share one `bigint[]` and never meet: references to our own resources are arithmetic, `(parameter << 44) | rid`, and
not negative, so that SQL can compute them for joins; every other value is a keyed hash and negative. The hash is BLAKE2b keyed
with the tenant's index secret, so what stands in the database tells nothing to who lacks the key (but how often it occurs).
"""

from __future__ import annotations

from hashlib import blake2b

COMPARTMENT = 0
"""The parameter number of patient compartments: `pack(COMPARTMENT, patient_rid)`."""

PARAM_SHIFT = 44
"""Bits of the rid in the key of a reference; the parameter's number stands above them."""
MOST_RID = (1 << PARAM_SHIFT) - 1
"""The mask that leaves the rid."""
_SIGN = 1 << 63
_BLOCK = 1 << 62
BLOCK_BITS = 6
"""So many bits of a rid are left out of the key of a block of references."""


def pack(param_id: int, rid: int) -> int:
    """Return the key of a reference by `param_id` to the resource `rid`."""
    return (param_id << PARAM_SHIFT) | rid


def block(key: int) -> int:
    """Return the key that stands for a reference and those to the 63 neighbours of its rid."""
    return _BLOCK | (key >> PARAM_SHIFT << PARAM_SHIFT) | ((key & MOST_RID) >> BLOCK_BITS)


def hashed(secret: bytes, param_id: int, parts: tuple[str, ...]) -> int:
    """Return the negative key of a value; `parts` begin with a letter that says what is hashed."""
    text = f"{param_id}\x1f" + "\x1f".join(parts)
    digest = blake2b(text.encode(), digest_size=8, key=secret).digest()
    return int.from_bytes(digest, "big") % _SIGN - _SIGN


def claim(secret: bytes, parts: tuple[str, ...]) -> bytes:
    """Return the 128-bit key under which a conditional create is unique."""
    return blake2b("\x1f".join(parts).encode(), digest_size=16, key=secret, person=b"claim").digest()
