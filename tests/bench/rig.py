"""An instance of its own for the bench: databases in a temporary folder, the web processes that `up` starts, no worker."""

from __future__ import annotations

import os
import platform
import socket
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import asyncpg
import psutil

from fhir_server import settings as room
from fhir_server.auth import tokens
from fhir_server.cli.child import Child
from fhir_server.cli.options import screen
from fhir_server.cli.stack import PYTHON, answers, environment_of, instance_of
from fhir_server.cli.supervise import Supervisor
from fhir_server.cli.tenant import opened
from fhir_server.kit import clock, json
from fhir_server.settings import Settings
from tests.bench.bare import TABLE
from workers.demo.generate import generate


@dataclass(frozen=True, slots=True)
class Rig:
    """The instance and how to reach it."""

    settings: Settings
    folder: Path
    supervisor: Supervisor

    @property
    def port(self) -> int:
        """Its port."""
        return self.settings.port

    @property
    def dsn(self) -> str:
        """Its database."""
        assert self.settings.database_url
        return self.settings.database_url

    def cpu(self, children: Sequence[Child] = ()) -> dict[str, float]:
        """Return the CPU seconds that the web processes (or `children`) and PostgreSQL have taken so far."""
        found = {"web": 0.0, "postgres": 0.0}
        for child in [*self.supervisor.children(), *children]:
            kind = "postgres" if child.name == "postgres" else "web"
            if (
                child.process
                and child.name != "redis"
                and (kind == "postgres" or (child in children) == bool(children))
            ):
                found[kind] += _cpu_of(child.process.pid)
        return found

    async def token(self, scope: str = "system/*.cruds") -> str:
        """Return an access token."""
        async with opened(self.settings, "default") as tenant:
            return await tokens.mint(tenant, scope)


def machine(folder: Path) -> dict[str, object]:
    """Return what else decides the figures: cores, how busy they are already, how long the disk takes for an fsync."""
    durations = []
    with (folder / "fsync").open("wb", buffering=0) as file:
        for _ in range(50):
            file.write(bytes(8192))
            began = clock.monotonic()
            os.fdatasync(file.fileno())
            durations.append(clock.monotonic() - began)
    return {
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "load_average_before": round(os.getloadavg()[0], 2),
        "fdatasync_us": round(statistics.median(durations) * 1e6),
    }


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def demo(seed: int, people: int, end: date, name: str) -> list[dict[str, Any]]:
    """Return resources of demo patients under ids of their own: parts of a run share one instance."""
    made = [entry["resource"] for bundle in generate(seed, people, end=end) for entry in bundle["entry"]]
    return [json.decode_trusted(json.encode(each).replace(b"demo-", f"{name}-".encode())) for each in made]


@contextmanager
def rig() -> Iterator[Rig]:
    """Run an instance for as long as the block takes."""
    with tempfile.TemporaryDirectory(prefix="clarity-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # PostgreSQL, run by another user when root starts the bench, must get to its data
        settings = room.load(data=folder / "data", port=free_port(), database_url=None, redis_url=None)
        settings = settings.model_copy(update={"database_url": None, "redis_url": None, "tenants": ["default"]})
        with instance_of(settings, worker=False, logs=folder / "logs", told=_told) as running:
            yield Rig(running.settings, folder, running.supervisor)


def _cpu_of(number: int) -> float:
    process = psutil.Process(number)
    times = [each.cpu_times() for each in [process, *process.children(recursive=True)]]
    return float(sum(time.user + time.system for time in times))


@contextmanager
def bare_endpoint(of: Rig) -> Iterator[tuple[int, list[Child]]]:
    """Serve the yardstick by as many processes, over the same database; give its port and processes."""
    settings = of.settings.model_copy(update={"port": free_port()})
    command = [*PYTHON, "-m", "fhir_server.cli.web", "bare", "tests.bench.bare:create_app"]
    environment = environment_of(settings)
    children = [
        Child(f"bare-{number}", command, log=of.folder / "logs" / f"bare-{number}.log", env=environment)
        for number in range(settings.processes)
    ]
    for child in children:
        child.start()
    try:
        for _ in range(600):
            if answers(settings):
                break
            time.sleep(0.05)
        yield settings.port, children
    finally:
        for child in children:
            child.stop()


async def make_bare_table(of: Rig) -> None:
    """Create the yardstick's table."""
    connection = await asyncpg.connect(of.dsn)
    await connection.execute(TABLE)
    await connection.close()


def _told(step: str) -> None:
    screen.print(f"bench: {step} ready")
