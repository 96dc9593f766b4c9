"""What changed, read in full by each consumer, however the transactions that wrote it overlap.

A consumer's place is not a number but a pair of snapshots. Between `done` and `target` it reads what is visible in the second
and not in the first, in pages by `id`; when that is exhausted, `target` becomes `done` and the present becomes `target`. So no
event is skipped because a smaller id committed later, and a long transaction elsewhere delays only its own events.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import asyncpg

from fhir_server.storage.tenants import Tenant
from profiles.registry import R4

_START = "INSERT INTO {s}.outbox_position (consumer, done, target, last_id) VALUES ($1, '1:1:', '1:1:', 0) ON CONFLICT DO NOTHING"
_PLACE = "SELECT done::text, target::text, last_id FROM {s}.outbox_position WHERE consumer = $1 FOR UPDATE SKIP LOCKED"
_PAGE = """
SELECT o.id, o.rid, o.type, o.version, o.method, o.origin, o.patients, r.fhir_id,
  (SELECT revision FROM {s}.subscription_revision) AS revision
FROM {s}.outbox o JOIN {s}.resource r USING (rid)
WHERE o.tx >= pg_snapshot_xmin($1::text::pg_snapshot) AND NOT pg_visible_in_snapshot(o.tx, $1::text::pg_snapshot)
  AND pg_visible_in_snapshot(o.tx, $2::text::pg_snapshot) AND o.id > $3
ORDER BY o.id LIMIT $4
"""
_NEXT_INTERVAL = """
UPDATE {s}.outbox_position SET done = target, target = pg_current_snapshot(), last_id = 0 WHERE consumer = $1
RETURNING done::text, target::text, last_id
"""
_NEXT_PAGE = "UPDATE {s}.outbox_position SET last_id = $2 WHERE consumer = $1"
_TRIM = """
DELETE FROM {s}.outbox WHERE id IN (
  SELECT id FROM {s}.outbox WHERE tx < (SELECT min(pg_snapshot_xmin(done)) FROM {s}.outbox_position) ORDER BY tx LIMIT $1)
"""


@dataclass(frozen=True, slots=True)
class Event:
    """One version that was written: ids and numbers only, never content."""

    id: int
    rid: int
    type: str
    fhir_id: str
    version: int
    method: int
    origin: int
    patients: tuple[int, ...]
    revision: int | None = field(default=None, compare=False)
    """Of the Subscriptions, when it was read: whoever was served when it was committed is served at that revision."""


def event_of(row: Any) -> Event:
    """Return the event that a row with its columns is."""
    return Event(
        row["id"], row["rid"], R4.type_name(row["type"]), row["fhir_id"], row["version"], row["method"], row["origin"],
        tuple(row["patients"] or ()), row.get("revision"),
    )  # fmt: skip


async def read_events(connection: asyncpg.Connection, tenant: Tenant, consumer: str, limit: int = 1000) -> list[Event]:
    """Return the next events and move the consumer's place, both in the caller's transaction.

    Returns nothing when there is nothing new, or when another process is reading for this consumer just now.
    """
    place = await connection.fetchrow(tenant.sql(_PLACE), consumer)
    if place is None:
        await connection.execute(tenant.sql(_START), consumer)
        place = await connection.fetchrow(tenant.sql(_PLACE), consumer)
    for _ in range(2):
        if place is None:
            return []
        rows = await connection.fetch(tenant.sql(_PAGE), place["done"], place["target"], place["last_id"], limit)
        if rows:
            await connection.execute(tenant.sql(_NEXT_PAGE), consumer, rows[-1]["id"])
            return [event_of(row) for row in rows]
        place = await connection.fetchrow(tenant.sql(_NEXT_INTERVAL), consumer)
    return []


async def hold(connection: asyncpg.Connection, tenant: Tenant, consumer: str) -> None:
    """Keep the consumer's place where it is until the caller's transaction ends: nobody acts on events meanwhile."""
    text = "SELECT FROM {s}.outbox_position WHERE consumer = $1 FOR UPDATE"
    await connection.execute(tenant.sql(text), consumer)


_UNREAD = """
FROM {s}.outbox_position p JOIN {s}.outbox o
  ON o.tx >= pg_snapshot_xmin(p.done) AND NOT pg_visible_in_snapshot(o.tx, p.done)
  AND NOT (pg_visible_in_snapshot(o.tx, p.target) AND o.id <= p.last_id)
"""


async def pending(tenant: Tenant, consumer: str) -> bool:
    """Tell whether the consumer has something to read, without writing anything: what an idle worker asks."""
    text = f"""SELECT NOT EXISTS (SELECT FROM {{s}}.outbox_position WHERE consumer = $1)
      OR EXISTS (SELECT {_UNREAD} WHERE p.consumer = $1)"""
    return bool(await tenant.pool.fetchval(tenant.sql(text), consumer))


async def unread_of(tenant: Tenant, consumer: str, patient: int, origins: Sequence[int]) -> bool:
    """Tell whether the consumer has not read yet some change of the patient's data that came from one of `origins`."""
    text = f"""SELECT NOT EXISTS (SELECT FROM {{s}}.outbox_position WHERE consumer = $1)
      OR EXISTS (SELECT {_UNREAD} WHERE p.consumer = $1 AND $2::bigint = ANY(o.patients) AND o.origin = ANY($3::smallint[]))"""
    return bool(await tenant.pool.fetchval(tenant.sql(text), consumer, patient, list(origins)))


async def age(tenant: Tenant, consumer: str) -> float:
    """Return how many seconds the oldest event waits that the consumer has not read, 0 when none does; for metrics."""
    text = f"SELECT extract(epoch FROM now() - min(o.at)) {_UNREAD} WHERE p.consumer = $1"
    return float(await tenant.pool.fetchval(tenant.sql(text), consumer) or 0.0)


async def trim(tenant: Tenant, limit: int = 10_000) -> int:
    """Delete events that every consumer has read; return how many."""
    done: str = await tenant.pool.execute(tenant.sql(_TRIM), limit)
    return int(done.rsplit(" ", 1)[1])


async def lag(tenant: Tenant, consumers: Sequence[str]) -> dict[str, int]:
    """Return how many events each consumer has not read yet, for metrics."""
    text = f"SELECT p.consumer, count(*) AS waiting {_UNREAD} WHERE p.consumer = ANY($1::text[]) GROUP BY p.consumer"
    found = {row["consumer"]: row["waiting"] for row in await tenant.pool.fetch(tenant.sql(text), list(consumers))}
    return {consumer: found.get(consumer, 0) for consumer in consumers}
