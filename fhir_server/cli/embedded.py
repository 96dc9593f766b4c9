"""PostgreSQL and Redis of our own where `DATABASE_URL` and `REDIS_URL` are not set; the tests use the same two."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fhir_server.cli.postgres import EmbeddedPostgres
from fhir_server.cli.redis_server import EmbeddedRedis


@contextmanager
def embedded_postgres(path: Path, *, lasting: bool = False) -> Iterator[str]:
    """Run PostgreSQL in `path` and give its URL; unless `lasting`, it is small and deleted afterwards."""
    server = EmbeddedPostgres(path, lasting=lasting)
    try:
        server.start()
        yield server.url
    finally:
        server.stop()


@contextmanager
def embedded_redis(path: Path, *, lasting: bool = False) -> Iterator[str]:
    """Run Redis in `path` and give its URL; unless `lasting`, the folder is deleted afterwards."""
    server = EmbeddedRedis(path, lasting=lasting)
    try:
        server.start()
        yield server.url
    finally:
        server.stop()
