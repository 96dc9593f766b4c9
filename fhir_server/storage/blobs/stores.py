"""Where the bytes of blobs are: a store knows names and ciphertext, nothing else."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Protocol


class BlobMissing(Exception):
    """The store has no blob of this name: an incomplete or foreign folder or bucket."""


class StoreAway(Exception):
    """The store cannot be reached now."""


class Store(Protocol):
    """Bytes under names of letters, digits, `_` and `/`."""

    async def put(self, name: str, data: bytes) -> None:
        """Keep bytes; durable when it returns, StoreAway when they cannot be kept."""
        ...

    async def part(self, name: str, start: int, length: int) -> bytes:
        """Return bytes from `start` on, fewer at the end; BlobMissing, StoreAway."""
        ...

    async def delete(self, name: str) -> None:
        """Forget bytes; nothing happens when there are none."""
        ...


class Folder:
    """Files below a folder; written beside their place, then moved there."""

    def __init__(self, root: Path) -> None:
        self._root = root

    async def put(self, name: str, data: bytes) -> None:
        """Write, flush to disk, rename."""
        try:
            await asyncio.to_thread(self._put, self._root / name, data)
        except OSError as error:
            raise StoreAway(f"a blob cannot be written: {type(error).__name__}") from error

    @staticmethod
    def _put(path: Path, data: bytes) -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        beside = path.with_suffix(f".{os.getpid()}.part")
        with beside.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        beside.rename(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    async def part(self, name: str, start: int, length: int) -> bytes:
        """Read a part of a file."""
        return await asyncio.to_thread(self._part, self._root / name, start, length)

    @staticmethod
    def _part(path: Path, start: int, length: int) -> bytes:
        try:
            with path.open("rb") as file:
                file.seek(start)
                return file.read(length)
        except FileNotFoundError as error:
            raise BlobMissing("a blob is not in its folder") from error
        except OSError as error:
            raise StoreAway(f"a blob cannot be read: {type(error).__name__}") from error

    async def delete(self, name: str) -> None:
        """Remove a file."""
        await asyncio.to_thread((self._root / name).unlink, missing_ok=True)
