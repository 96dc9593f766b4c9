"""A block as bytes: a small header, then columns with their bytes transposed, zstd. Encryption and tables are storage's.

Equal blocks give equal bytes, so that a job can see that nothing changed.
"""

from __future__ import annotations

import threading
from typing import Any

import msgspec
import numpy as np
import zstandard
from numpy.typing import NDArray

from workers.twin.block import ROW, SOURCE, Block

FORMAT = 1
LEVEL = 3
LIMIT = 256 << 20
_own = threading.local()


class _Header(msgspec.Struct, array_like=True):
    format: int
    devices: tuple[str, ...]
    sources: int
    rows: int


def encode(block: Block) -> bytes:
    """Return the block as compact bytes."""
    header = msgspec.msgpack.encode(_Header(FORMAT, block.devices, len(block.sources), len(block.rows)))
    rows = block.rows.copy()
    rows["start"] = np.diff(rows["start"], prepend=np.int32(0))
    pieces = [len(header).to_bytes(4, "little"), header, _columns(block.sources), _columns(rows)]
    return zstandard.ZstdCompressor(level=LEVEL).compress(b"".join(pieces))


def decode(data: bytes) -> Block:
    """Return the block that `encode` wrote."""
    plain = _decompressor().decompress(data, max_output_size=LIMIT)
    end = 4 + int.from_bytes(plain[:4], "little")
    header = msgspec.msgpack.decode(plain[4:end], type=_Header)
    if header.format != FORMAT:
        raise ValueError(f"signal block of format {header.format}, this code reads {FORMAT}: rebuild the block")
    middle = end + header.sources * SOURCE.itemsize
    rows = _table(plain[middle:], ROW, header.rows)
    rows["start"] = np.cumsum(rows["start"], dtype=np.int32)
    return Block(header.devices, _table(plain[end:middle], SOURCE, header.sources), rows)


def _decompressor() -> zstandard.ZstdDecompressor:
    """Return this thread's: to make one takes longer than to open a block, and threads may not share it."""
    if not hasattr(_own, "decompressor"):
        _own.decompressor = zstandard.ZstdDecompressor()
    found: zstandard.ZstdDecompressor = _own.decompressor
    return found


def _columns(table: NDArray[Any]) -> bytes:
    """Return column after column, of each the first bytes of all values, then the second: neighbours are alike."""
    return np.ascontiguousarray(table).view(np.uint8).reshape(len(table), table.dtype.itemsize).T.tobytes()


def _table(data: bytes, dtype: np.dtype[Any], length: int) -> NDArray[Any]:
    """Return the table whose columns were written by `_columns`."""
    if not length:
        return np.empty(0, dtype)
    planes = np.frombuffer(data, np.uint8, dtype.itemsize * length).reshape(dtype.itemsize, length)
    return planes.T.copy().view(dtype).reshape(length)
