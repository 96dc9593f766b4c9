"""A block as bytes: a small header, then columns with their bytes transposed, zstd. Encryption and tables are storage's.

Equal blocks give equal bytes, so that a job can see that nothing changed.
"""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import zstandard
from numpy.typing import NDArray

from workers.twin.block import ROW, SOURCE, Block

FORMAT = 1
LEVEL = 3
LIMIT = 256 << 20


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
    plain = zstandard.ZstdDecompressor().decompress(data, max_output_size=LIMIT)
    end = 4 + int.from_bytes(plain[:4], "little")
    header = msgspec.msgpack.decode(plain[4:end], type=_Header)
    if header.format != FORMAT:
        raise ValueError(f"signal block of format {header.format}, this code reads {FORMAT}: rebuild the block")
    middle = end + header.sources * SOURCE.itemsize
    rows = _table(plain[middle:], ROW, header.rows)
    rows["start"] = np.cumsum(rows["start"], dtype=np.int32)
    return Block(header.devices, _table(plain[end:middle], SOURCE, header.sources), rows)


def _columns(table: NDArray[Any]) -> bytes:
    """Return column after column, of each the first bytes of all values, then the second: neighbours are alike."""
    pieces = []
    for name in table.dtype.names or ():
        column = np.ascontiguousarray(table[name]).view(np.uint8)
        pieces.append(column.reshape(len(table), table.dtype[name].itemsize).T.tobytes())
    return b"".join(pieces)


def _table(data: bytes, dtype: np.dtype[Any], length: int) -> NDArray[Any]:
    """Return the table whose columns were written by `_columns`."""
    table, at = np.empty(length, dtype), 0
    for name in dtype.names or ():
        column = dtype[name]
        size = column.itemsize * length
        piece = np.frombuffer(data, np.uint8, size, at).reshape(column.itemsize, length)
        table[name] = np.ascontiguousarray(piece.T).view(column).reshape(length)
        at += size
    return table
