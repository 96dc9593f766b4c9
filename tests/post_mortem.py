"""What the database was doing when a test failed: what dispatch has not read, what is not delivered, who waits for whom.

Ids and numbers only. A test that waits for a worker says no more than that nothing came; this says where it stopped.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

import asyncpg

_SESSIONS = """
SELECT pid, state, wait_event_type || '/' || wait_event AS waits, pg_blocking_pids(pid) AS blocked_by,
  round(extract(epoch FROM now() - xact_start)::numeric, 1) AS seconds, left(regexp_replace(query, '\\s+', ' ', 'g'), 90) AS query
FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start IS NOT NULL
"""
_TENANT = {
    "outbox_position": "SELECT *, pg_current_snapshot()::text AS present FROM {s}.outbox_position",
    "endpoint_state": "SELECT endpoint, failures, open_until - now() AS open_for FROM {s}.endpoint_state",
    "subscription_state": """SELECT rid, status, events, next_at - now() AS due_in, lease_until - now() AS leased_for, last_error
      FROM {s}.subscription_state WHERE status <> 'off' ORDER BY rid DESC LIMIT 5""",
    "delivery": "SELECT state, count(*) FROM {s}.delivery GROUP BY state",
    "job": "SELECT kind, state, count(*) FROM {s}.job GROUP BY kind, state",
}


def of(database_url: str, tenants: tuple[str, ...]) -> str:
    """Return the rows as text; in a thread with a loop of its own, for the one of the tests may be busy."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(lambda: asyncio.run(_rows(database_url, tenants))).result(30)


async def _rows(database_url: str, tenants: tuple[str, ...]) -> str:
    connection = await asyncpg.connect(database_url)
    try:
        lines = [f"session: {dict(row)}" for row in await connection.fetch(_SESSIONS)]
        for tenant in tenants:
            for name, text in _TENANT.items():
                rows = await connection.fetch(text.replace("{s}", f"t_{tenant}"))
                lines += [f"{tenant} {name}: {dict(row)}" for row in rows]
        return "\n".join(lines)
    finally:
        await connection.close()
