"""What changed, read in full by each consumer, however the transactions that wrote it overlap.

A consumer's place is not a number but a pair of snapshots. Between `done` and `target` it reads what is visible in the second
and not in the first, in pages by `id`; when that is exhausted, `target` becomes `done` and the present becomes `target`. So no
event is skipped because a smaller id committed later, and a long transaction elsewhere delays only its own events.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import asyncpg

from fhir_server.storage import reads
from fhir_server.storage.reads import Kept
from fhir_server.storage.tenants import Tenant
from profiles.registry import R4

_START = "INSERT INTO {s}.outbox_position (consumer, done, target, last_id) VALUES ($1, '1:1:', '1:1:', 0) ON CONFLICT DO NOTHING"
# When all up to `target` is read, the present is the next target.
_PLACE = """
UPDATE {s}.outbox_position p SET target = CASE WHEN p.done::text = p.target::text THEN pg_current_snapshot() ELSE p.target END
FROM (SELECT consumer FROM {s}.outbox_position WHERE consumer = $1 FOR UPDATE SKIP LOCKED) free
WHERE p.consumer = free.consumer RETURNING p.done::text, p.target::text, p.last_id
"""
# What a version of the types $5 says comes along, as long as nobody has replaced it.
_PAGE = """
SELECT o.id, o.rid, o.type, o.version, o.method, o.origin, o.patients, r.fhir_id,
  (SELECT revision FROM {s}.subscription_revision) AS revision,
  r.last_updated, r.deleted, r.key_id, r.index_version, r.patients AS held, r.xmin,
  CASE WHEN r.version = o.version AND NOT r.deleted AND o.type = ANY($5::smallint[]) THEN r.body END AS body,
  CASE WHEN r.version = o.version AND NOT r.deleted AND o.type = ANY($5::smallint[]) THEN r.keys END AS keys
FROM {s}.outbox o JOIN {s}.resource r USING (rid)
WHERE o.tx >= pg_snapshot_xmin($1::text::pg_snapshot) AND NOT pg_visible_in_snapshot(o.tx, $1::text::pg_snapshot)
  AND pg_visible_in_snapshot(o.tx, $2::text::pg_snapshot) AND o.id > $3
ORDER BY o.id LIMIT $4
"""
_EXHAUSTED = "UPDATE {s}.outbox_position SET done = target, last_id = 0 WHERE consumer = $1"
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
    kept: Kept | None = field(compare=False, repr=False, default=None)
    """What the version says, where that was asked for and it was the current one."""


def event_of(row: Any, kept: Kept | None = None) -> Event:
    """Return the event that a row with its columns is."""
    return Event(
        row["id"], row["rid"], R4.type_name(row["type"]), row["fhir_id"], row["version"], row["method"], row["origin"],
        tuple(row["patients"] or ()), row.get("revision"), kept,
    )  # fmt: skip


async def read_events(
    connection: asyncpg.Connection, tenant: Tenant, consumer: str, limit: int = 1000, types: Iterable[str] = ()
) -> list[Event]:
    """Return the next events and move the consumer's place, both in the caller's transaction; of `types` with what they say.

    Returns nothing when there is nothing new, or when another process is reading for this consumer just now.
    """
    place = await connection.fetchrow(tenant.sql(_PLACE), consumer)
    if place is None:
        await connection.execute(tenant.sql(_START), consumer)
        place = await connection.fetchrow(tenant.sql(_PLACE), consumer)
    told = [R4.type_id(type_) for type_ in types]
    for _ in range(2):  # the second time after the end of an interval that was read in part
        if place is None:
            return []
        rows = await connection.fetch(tenant.sql(_PAGE), place["done"], place["target"], place["last_id"], limit, told)
        if len(rows) == limit:
            await connection.execute(tenant.sql(_NEXT_PAGE), consumer, rows[-1]["id"])
        else:
            await connection.execute(tenant.sql(_EXHAUSTED), consumer)
        if rows:
            return [event_of(row, _said(tenant, row)) for row in rows]
        place = await connection.fetchrow(tenant.sql(_PLACE), consumer)
    return []


def _said(tenant: Tenant, row: Any) -> Kept | None:
    """Return what the version of an event says, as far as the row tells it; who does not find it here asks for it."""
    return reads.kept(tenant, {**row, "patients": row["held"]}) if row["body"] is not None else None


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
