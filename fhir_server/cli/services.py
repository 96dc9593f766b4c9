"""The database and Redis that a command uses: those of the settings, those of the running instance, or embedded ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from fhir_server.cli import instance
from fhir_server.cli.options import fail
from fhir_server.cli.postgres import EmbeddedPostgres
from fhir_server.cli.redis_server import EmbeddedRedis
from fhir_server.settings import Settings

Embedded = EmbeddedPostgres | EmbeddedRedis


class NothingThere(Exception):
    """A command that needs an instance, over a data folder that never had one."""


def start(settings: Settings, stack: ExitStack, told: Callable[[str], None]) -> tuple[Settings, list[Embedded]]:
    """Start what the settings do not name; return settings that name both, and what was started."""
    started: list[Embedded] = []
    found: dict[str, str] = {}
    kinds: tuple[tuple[str, str, type[EmbeddedPostgres] | type[EmbeddedRedis]], ...] = (
        ("database_url", "postgres", EmbeddedPostgres),
        ("redis_url", "redis", EmbeddedRedis),
    )
    for name, folder, kind in kinds:
        if getattr(settings, name) is None:
            server = kind(settings.data / folder)
            stack.callback(server.stop)
            server.start()
            told(folder)
            started.append(server)
            found[name] = server.url
    return settings.model_copy(update=found), started


@contextmanager
def for_command(settings: Settings) -> Iterator[Settings]:
    """Give a short command its database and Redis: of the running instance, or started for as long as it takes."""
    if (there := instance.running(settings.data)) is not None:
        yield settings.model_copy(update=addresses(there))
        return
    if settings.database_url is None and not (settings.data / "postgres").exists():
        raise NothingThere(f"Nothing runs over {settings.data}, and no database is there: start it with ./clarity up.")
    settings.data.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        if settings.database_url is None or settings.redis_url is None:
            stack.enter_context(instance.claim(settings.data))
        ready, _ = start(settings, stack, lambda _: None)
        yield ready


def addresses(there: instance.Instance) -> dict[str, str | int]:
    """Return the settings that say where a running instance is reached."""
    return {
        "database_url": there.database_url,
        "redis_url": there.redis_url,
        "host": there.host,
        "port": there.port,
        "base_url": there.origin,
    }


def of_running(settings: Settings) -> Settings:
    """Return the settings with the addresses of what runs over their folder; ends the command when nothing does."""
    there = instance.running(settings.data)
    if there is not None:
        return settings.model_copy(update=addresses(there))
    if settings.database_url is None:
        fail(f"Nothing runs over {settings.data}: start it with ./clarity up.")
    return settings
