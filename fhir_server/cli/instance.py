"""One running instance a data folder: a lock that says whether one runs, and a file that says where it is reached."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO

import msgspec

from fhir_server.kit import json


class Instance(msgspec.Struct, frozen=True):
    """Where a running instance is reached."""

    pid: int
    origin: str
    port: int
    database_url: str
    redis_url: str
    host: str = "127.0.0.1"


class AlreadyRuns(Exception):
    """Another Clarity uses this data folder now."""


class Claim:
    """The right to run over a data folder, held until the process ends."""

    def __init__(self, data: Path) -> None:
        """Take the folder whose lock is held."""
        self._file = data / "instance.json"

    def publish(self, instance: Instance) -> None:
        """Tell other commands where the instance is reached; the file holds database credentials and is private."""
        partial = self._file.with_suffix(".partial")
        handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(json.encode(msgspec.to_builtins(instance)))
        partial.replace(self._file)

    def withdraw(self) -> None:
        """Say that it is reached no more."""
        self._file.unlink(missing_ok=True)


@contextmanager
def claim(data: Path) -> Iterator[Claim]:
    """Hold the data folder; AlreadyRuns names the process that holds it already. The system lets go when we die."""
    data.mkdir(parents=True, exist_ok=True)
    with (data / "instance.lock").open("a+") as lock:
        if not _locked(lock):
            lock.seek(0)
            raise AlreadyRuns(f"Clarity already runs over {data} (process {lock.read().strip()}).")
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        held = Claim(data)
        held.withdraw()
        try:
            yield held
        finally:
            held.withdraw()


def _locked(lock: IO[str]) -> bool:
    """Lock, trying for a moment: `running` of another command may hold it while it looks."""
    for _ in range(5):
        with suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        time.sleep(0.02)
    return False


@contextmanager
def claim_unless_held(data: Path) -> Iterator[Claim | None]:
    """Hold the data folder if nobody does: over outside databases several instances may share its keys."""
    with ExitStack() as stack:
        try:
            held = stack.enter_context(claim(data))
        except AlreadyRuns:
            held = None
        yield held


def running(data: Path) -> Instance | None:
    """Return the instance that runs over the data folder now."""
    with suppress(FileNotFoundError), (data / "instance.lock").open("r") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return msgspec.convert(json.decode_trusted((data / "instance.json").read_bytes()), Instance)
    return None
