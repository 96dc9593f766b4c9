"""The database is away, going, or without room: not our mistake and not the caller's, and over when somebody has looked."""

from __future__ import annotations

from typing import Final

import asyncpg

OUTAGES: Final[tuple[type[Exception], ...]] = (
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # what asyncpg says of a connection whose server has just been stopped
    asyncpg.OperatorInterventionError,  # shut down, starting up, or a statement over its time
    asyncpg.InsufficientResourcesError,  # disk full, out of memory, too many connections
    asyncpg.PostgresSystemError,
    asyncpg.LockNotAvailableError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.InsufficientPrivilegeError,  # somebody took away a right that the server needs
    ConnectionError,
    TimeoutError,
)
"""What a statement raises then; whether a commit under way was made is not known, so the caller has to ask again."""
_PASSING: Final = (*OUTAGES, asyncpg.TransactionRollbackError, OSError, MemoryError)


def passing(error: Exception) -> bool:
    """Tell whether the same again may go well another time: an outage, a deadlock, no room; not a mistake in what was done."""
    return isinstance(error, _PASSING)
