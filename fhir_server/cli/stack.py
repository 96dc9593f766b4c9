"""The processes of one instance: PostgreSQL, Redis, web processes, worker; started in order, kept alive, ended in order."""

from __future__ import annotations

import asyncio
import http.client
import os
import shutil
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from fhir_server import settings as room
from fhir_server.cli import instance, probe, services
from fhir_server.cli.child import Child
from fhir_server.cli.options import screen
from fhir_server.cli.published import publish_all
from fhir_server.cli.supervise import Supervisor
from fhir_server.cli.tenant import check_keys, index_anew
from fhir_server.kit import clock, metrics
from fhir_server.settings import Settings

Told = Callable[[str], None]
READY_SECONDS = 60.0
PYTHON = (sys.executable, "-P")


class CannotStart(Exception):
    """The instance did not come up; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Running:
    """An instance that answers: its settings (with the addresses in use) and who watches over it."""

    settings: Settings
    supervisor: Supervisor


@contextmanager
def instance_of(settings: Settings, *, worker: bool, logs: Path | None, told: Told) -> Iterator[Running]:
    """Start everything and wait until it answers; end everything when the block ends."""
    from fhir_server.storage import migrate

    settings.data.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        embeds = settings.database_url is None or settings.redis_url is None
        held = stack.enter_context((instance.claim if embeds else instance.claim_unless_held)(settings.data))
        stack.enter_context(_reserved(settings))
        if problems := asyncio.run(probe.of_services(settings.database_url, None)):
            raise CannotStart("\n".join(problems))
        for problem in asyncio.run(probe.of_services(None, settings.redis_url)):  # jobs are rows: it starts without
            screen.print(f"{problem} Jobs wait until it answers.", style="yellow", markup=False, soft_wrap=True)
        supervisor = Supervisor()
        supervisor.listen()
        ready, embedded = services.start(settings, stack, told)
        for server in embedded:
            supervisor.keep(server.child, restart=server.restart, ours_to_end=False)
        migrate.upgrade(_url(ready), ready.tenants)
        asyncio.run(check_keys(ready))
        if changed := asyncio.run(index_anew(ready)):
            screen.print(f"{changed} resources were indexed anew.")
        asyncio.run(publish_all(ready))
        told("migrations")
        stack.callback(supervisor.end)
        shared = _metrics_folder(settings, stack, ours=held is not None)
        _start_processes(ready, supervisor, shared, worker=worker, logs=logs)
        _wait_until_ready(ready, supervisor)
        told("web")
        if held:
            where = (os.getpid(), ready.origin, ready.port, _url(ready), ready.redis_url or "", ready.host)
            held.publish(instance.Instance(*where))
        yield Running(ready, supervisor)


def _metrics_folder(settings: Settings, stack: ExitStack, *, ours: bool) -> Path:
    """Return an empty folder for the metrics of the web processes; in the data folder where that is ours alone."""
    if not ours:
        return Path(stack.enter_context(TemporaryDirectory(prefix="clarity-metrics-")))
    shared = settings.data / "metrics"
    shutil.rmtree(shared, ignore_errors=True)
    shared.mkdir()
    return shared


def _start_processes(
    settings: Settings, supervisor: Supervisor, shared: Path, *, worker: bool, logs: Path | None
) -> None:
    environment = environment_of(settings, shared)
    names = [f"web-{number + 1}" for number in range(settings.processes)]
    commands = {name: [*PYTHON, "-m", "fhir_server.cli.web", name] for name in names}
    if worker:
        commands["worker"] = [*PYTHON, "-m", "fhir_server", "worker"]
    for name, command in commands.items():
        log = logs / f"{name}.log" if logs else None
        child = Child(name, command, log=log, env=environment, patience=25)
        child.start()
        supervisor.keep(child, on_death=lambda number: metrics.forget_process(shared, number))


def environment_of(settings: Settings, shared: Path | None = None) -> dict[str, str]:
    """Return the environment in which a process of this instance reads these very settings."""
    values = {
        "CLARITY_DATA": str(settings.data),
        "HOST": settings.host,
        "PORT": str(settings.port),
        "DATABASE_URL": _url(settings),
        "REDIS_URL": settings.redis_url or "",
        "TENANTS": ",".join(settings.tenants),
    }
    if shared is not None:
        values["PROMETHEUS_MULTIPROC_DIR"] = str(shared)
    return room.environment(**values)


def answers(settings: Settings, path: str = "/health/ready") -> bool:
    """Tell whether the instance answers 200 at `path`."""
    connection = http.client.HTTPConnection(_here(settings), settings.port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def nearest(settings: Settings, base: str) -> str:
    """Return a tenant's base as it is reached on this machine, past any proxy, when the instance answers here."""
    if not answers(settings, "/health/live"):
        return base
    host = _here(settings)
    there = f"[{host}]" if ":" in host else host
    return f"http://{there}:{settings.port}{base.removeprefix(settings.origin)}"


def _here(settings: Settings) -> str:
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)  # noqa: S104  looked up, not bound


def _wait_until_ready(settings: Settings, supervisor: Supervisor) -> None:
    began = clock.monotonic()
    while not answers(settings):
        if supervisor.asked_to_end():
            raise CannotStart("Ended before it was ready.")
        if child := supervisor.dead():
            raise CannotStart(f"{child.name} ended at once; the end of its log:\n{child.tail(20)}")
        if clock.monotonic() - began > READY_SECONDS:
            raise CannotStart(f"Nothing answers at {settings.origin}/health/ready after {READY_SECONDS:.0f} s.")
        time.sleep(0.05)


@contextmanager
def _reserved(settings: Settings) -> Iterator[socket.socket]:
    """Hold the port without listening, once nobody else does: the web processes share it with us, others may not."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            raise CannotStart(
                f"Port {settings.port} of {settings.host}: {error.strerror}. Choose one by --port N."
            ) from error
    with socket.socket(family, socket.SOCK_STREAM) as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        held.bind((settings.host, settings.port))
        yield held


def _url(settings: Settings) -> str:
    if settings.database_url is None:
        raise CannotStart("DATABASE_URL is not set and no embedded PostgreSQL was started.")
    return settings.database_url
