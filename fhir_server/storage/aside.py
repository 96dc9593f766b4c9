"""Consequences of events that fail whenever they are tried: set aside as rows, so that all others go on, and tried again on demand.

A row holds what the event says (ids and numbers), which consequence it is, and the class of what was raised: never its text, which
may quote a resource.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import asyncpg

from fhir_server.kit import clock
from fhir_server.storage import jobs
from fhir_server.storage.outbox import Event, event_of
from fhir_server.storage.tenants import JOBS, Tenant
from profiles.registry import R4

JOB: Final = "aside"
"""The kind of job that tries again what is marked."""
MOST: Final = 10_000
"""Rows of a tenant: so many are no single events but a fault of the program, for which nothing may be passed over."""
KEPT: Final = timedelta(days=28)
_LISTED = 1000

_PUT = """
INSERT INTO {s}.outbox_aside (event, rid, version, type, method, origin, patients, consequence, error)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
ON CONFLICT (event, consequence) DO UPDATE SET error = excluded.error, at = now(), again = false
"""
_ROWS = """
SELECT a.id AS aside, a.event AS id, a.rid, a.type, a.version, a.method, a.origin, a.patients, r.fhir_id, a.consequence,
  a.error, a.at, a.again
FROM {s}.outbox_aside a JOIN {s}.resource r USING (rid)
"""
_FORGET = "DELETE FROM {s}.outbox_aside WHERE at < now() - $1::interval"


class TooMany(Exception):
    """More fails than may be set aside."""


@dataclass(frozen=True, slots=True)
class Failed:
    """One consequence of an event that failed when it was tried alone, and the class of what it raised."""

    event: Event
    consequence: str
    error: str


@dataclass(frozen=True, slots=True)
class Aside:
    """What stands in a row."""

    id: int
    failed: Failed
    at: datetime
    again: bool

    def told(self) -> dict[str, Any]:
        """Return what an administrator is told of it: ids, numbers and names, never content."""
        event = self.failed.event
        return {
            "id": self.id,
            "change": f"{event.type}/{event.fhir_id}/_history/{event.version}",
            "consequence": self.failed.consequence,
            "error": self.failed.error,
            "set_aside": clock.instant(self.at),
            "again": self.again,
        }


def _aside(row: Any) -> Aside:
    return Aside(row["aside"], Failed(event_of(row), row["consequence"], row["error"]), row["at"], row["again"])


async def put(connection: asyncpg.Connection, tenant: Tenant, failed: Sequence[Failed]) -> None:
    """Set aside what failed, in the caller's transaction; TooMany when that would be more than MOST."""
    if not failed:
        return
    there = await connection.fetchval(tenant.sql("SELECT count(*) FROM {s}.outbox_aside"))
    if there + len(failed) > MOST:
        raise TooMany(f"{there} consequences of events are set aside, and {len(failed)} more fail")
    rows = [
        (
            each.event.id, each.event.rid, each.event.version, R4.type_id(each.event.type), each.event.method,
            each.event.origin, list(each.event.patients), each.consequence, each.error,
        )
        for each in failed
    ]  # fmt: skip
    await connection.executemany(tenant.sql(_PUT), rows)


async def listed(tenant: Tenant, most: int = _LISTED) -> list[Aside]:
    """Return what was set aside, in the order of the events."""
    rows = await tenant.pool.fetch(tenant.sql(_ROWS + " ORDER BY a.event, a.id LIMIT $1"), most)
    return [_aside(row) for row in rows]


async def replay(tenant: Tenant, wanted: Sequence[int] | None = None) -> int:
    """Have rows (all when None) tried again by a worker; return how many."""
    text = "UPDATE {s}.outbox_aside SET again = true WHERE $1::bigint[] IS NULL OR id = ANY($1)"
    async with tenant.pool.acquire() as connection, connection.transaction():
        done: str = await connection.execute(tenant.sql(text), None if wanted is None else list(wanted))
        await jobs.add(connection, tenant, [(JOB, "all", {}, clock.now())])
    tenant.announce(JOBS)
    return int(done.rsplit(" ", 1)[1])


async def take(connection: asyncpg.Connection, tenant: Tenant) -> Aside | None:
    """Return the first row that is to be tried again, gone from the table if the caller's transaction ends well."""
    row = await connection.fetchrow(tenant.sql(_ROWS + " WHERE a.again ORDER BY a.event, a.id LIMIT 1 FOR UPDATE OF a"))
    if row is None:
        return None
    await connection.execute(tenant.sql("DELETE FROM {s}.outbox_aside WHERE id = $1"), row["aside"])
    return _aside(row)


async def waiting(tenant: Tenant) -> int:
    """Return how many rows there are, for metrics and `doctor`."""
    return int(await tenant.pool.fetchval(tenant.sql("SELECT count(*) FROM {s}.outbox_aside")))


async def forget(tenant: Tenant) -> None:
    """Delete what nobody has tried again for KEPT."""
    await tenant.pool.execute(tenant.sql(_FORGET), KEPT)
