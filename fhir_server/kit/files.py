"""Secrets on disk: written once, whole, readable by their owner only."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path


def write_once(path: Path, data: bytes) -> None:
    """Write a file that is not there yet, durably; where another process was first, what it wrote stays and counts."""
    own = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    handle = os.open(own, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(handle)
        with contextlib.suppress(FileExistsError):
            os.link(own, path)
    finally:
        own.unlink()
