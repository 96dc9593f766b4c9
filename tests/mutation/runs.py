"""Databases to copy, and forks that run tests over one."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit, urlunsplit

import asyncpg

TEMPLATE: Final = "mutation_template"
COPY: Final = "mutation_run"
_ENDING: Final = 20.0


async def _fresh(url: str, name: str, template: str | None) -> str:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        await connection.execute(f"CREATE DATABASE {name}" + (f" TEMPLATE {template}" if template else ""))
    finally:
        await connection.close()
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


def copy(url: str) -> str:
    """Copy the migrated database: what a run leaves behind is under keys that the next one does not have."""
    return asyncio.run(_fresh(url, COPY, TEMPLATE))


@contextmanager
def server(folder: Path) -> Iterator[str]:
    """Run one PostgreSQL with a migrated database to copy; pytest has to be first to import what it rewrites."""
    from fhir_server.cli.embedded import embedded_postgres
    from fhir_server.storage import migrate
    from tests.conftest import TENANTS

    with embedded_postgres(folder) as url:
        migrate.upgrade(asyncio.run(_fresh(url, TEMPLATE, None)), TENANTS)
        yield url


def _wait(pid: int, seconds: float) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if os.waitpid(pid, os.WNOHANG)[0]:
            return True
        time.sleep(0.01)
    return False


def forked(work: Callable[[], None], seconds: float) -> bool:
    """Do something in a fork; tell whether it came to an end in time."""
    pid = os.fork()
    if pid == 0:
        code = 3
        try:
            os.setsid()
            work()
            code = 0
        except BaseException:  # noqa: BLE001  a fork must never go on as its parent
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)
    if _wait(pid, seconds):
        return True
    for how in (signal.SIGINT, signal.SIGKILL):
        os.killpg(pid, how)
        if _wait(pid, _ENDING if how is signal.SIGINT else 600.0):
            break
    return False
