"""The database is away, or going: not our mistake and not the caller's, and over soon."""

from __future__ import annotations

from typing import Final

import asyncpg

OUTAGES: Final[tuple[type[Exception], ...]] = (
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
    asyncpg.ReadOnlySQLTransactionError,
    ConnectionError,
    TimeoutError,
)
"""What a statement raises then; whether a commit under way was made is not known, so the caller has to ask again."""
