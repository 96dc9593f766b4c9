"""`up`, `serve`, `worker`: an instance with everything, the web part alone, the worker alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fhir_server.cli import demo_apps, demo_users, instance, probe, services
from fhir_server.cli.demo import DemoFailed, prepare
from fhir_server.cli.options import Data, Port, fail, read_settings, screen
from fhir_server.cli.stack import CannotStart, instance_of
from fhir_server.cli.welcome import welcome
from fhir_server.kit import clock, logs
from fhir_server.settings import Settings

Host = Annotated[str | None, typer.Option("--host", help="Address to listen on; default 127.0.0.1.")]
Processes = Annotated[int | None, typer.Option("--processes", min=1, help="Web processes; default one a core.")]
NoDemo = Annotated[
    bool, typer.Option("--no-demo", help="Load no demo patients on the first start (production never does).")
]
NoWorkers = Annotated[bool, typer.Option("--no-workers", help="Start no worker process.")]
_DONE = {"postgres": "PostgreSQL 18", "redis": "Redis", "migrations": "Schema", "web": "Web"}


def up(
    *,
    data: Data = None,
    port: Port = None,
    host: Host = None,
    processes: Processes = None,
    no_demo: NoDemo = False,
    no_workers: NoWorkers = False,
) -> None:
    """Start everything: databases, migrations, demo patients on the first start, web and worker processes."""
    _run(data, port, host, processes, demo=not no_demo, worker=not no_workers, log_files=True)


def serve(*, data: Data = None, port: Port = None, host: Host = None, processes: Processes = None) -> None:
    """Start the web processes (and embedded databases where no URL is set), without demo patients and worker."""
    _run(data, port, host, processes, demo=False, worker=False, log_files=False)


def worker(*, data: Data = None, port: Port = None) -> None:
    """Start one worker process over the database and Redis of the settings or of the running instance."""
    settings = read_settings(data, port)
    from workers import process

    logs.configure(settings.log_level, sanitize=settings.phi_sanitization_enabled, process="worker")
    try:
        with services.for_command(settings) as ready:
            process.main(ready)
    except (instance.AlreadyRuns, services.NothingThere) as error:
        fail(str(error))


def _warn(settings: Settings) -> None:
    """Tell of models that settings name and that cannot be read: they stop their predictions, not the server."""
    from workers.ml.registry import shelf

    for problem in shelf.problems(settings):
        screen.print(f"[yellow]![/yellow] {problem} Nothing is predicted by it.", soft_wrap=True)


def _run(
    data: Path | None,
    port: int | None,
    host: str | None,
    processes: int | None,
    *,
    demo: bool,
    worker: bool,
    log_files: bool,
) -> None:
    settings = read_settings(data, port, host=host, web_processes=processes)
    began = clock.monotonic()
    if problems := [*filter(None, (probe.of_folder(settings.data), *probe.of_tenants(settings)))]:
        fail("\n".join(problems), code=2)
    _warn(settings)
    folder = settings.data / "logs" if log_files else None
    if folder:
        folder.mkdir(parents=True, exist_ok=True)
    file = folder / "supervisor.log" if folder else None
    logs.configure(settings.log_level, sanitize=settings.phi_sanitization_enabled, process="supervisor", file=file)

    def told(step: str) -> None:
        screen.print(f"[green]✓[/green] {_DONE[step]:<14} {clock.monotonic() - began:5.1f} s")

    try:
        with instance_of(settings, worker=worker, logs=folder, told=told) as running:
            wanted = demo and settings.environment != "production"  # nobody's record may stand beside made-up ones
            clients = prepare(running.settings, running.supervisor) if wanted else []
            users = demo_users.prepare(running.settings) if wanted else []
            if wanted:
                demo_apps.prepare(running.settings)
            welcome(running.settings, clients, users, folder, clock.monotonic() - began)
            running.supervisor.watch()
            screen.print("Ending …")
    except (CannotStart, DemoFailed, instance.AlreadyRuns) as error:
        fail(str(error))
