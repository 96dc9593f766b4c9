"""Bring every tenant's schema to the newest version, one process at a time."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Sequence
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from fhir_server.storage.tenants import schema_name

_LOCK = zlib.crc32(b"clarity migrations")
_FOLDER = Path(__file__).parents[2] / "migrations"


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_FOLDER))
    return config


def newest() -> str:
    """Return the revision that a running server needs."""
    head = ScriptDirectory.from_config(_config()).get_current_head()
    return head or ""


def _upgrade(connection: Connection, tenants: Sequence[str]) -> None:
    connection.execute(text("SELECT pg_advisory_lock(:lock)"), {"lock": _LOCK})
    for tenant in tenants:
        schema = schema_name(tenant)
        connection.exec_driver_sql(f"CREATE SCHEMA IF NOT EXISTS {schema}")
        connection.commit()
        config = _config()
        config.attributes.update(connection=connection, schema=schema)
        command.upgrade(config, "head")
        connection.commit()
    connection.execute(text("SELECT pg_advisory_unlock(:lock)"), {"lock": _LOCK})


async def _run(url: str, tenants: Sequence[str]) -> None:
    engine = create_async_engine(url, poolclass=NullPool)
    async with engine.connect() as connection:
        await connection.run_sync(_upgrade, tenants)
    await engine.dispose()


def upgrade(dsn: str, tenants: Sequence[str]) -> None:
    """Create missing schemas and run missing migrations; `dsn` is what asyncpg takes."""
    url = "postgresql+asyncpg://" + dsn.split("://", 1)[1]
    asyncio.run(_run(url, tenants))
