"""Messages as rows: one for each recipient of a Communication, `sending` before the first byte leaves, and what came of it.

States only move forward, so that receipts may come twice, late and in any order. Ids, numbers and hashes only, never an address.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import asyncpg

from fhir_server.kit import ids
from fhir_server.storage import jobs
from fhir_server.storage.jobs import NewJob
from fhir_server.storage.tenants import JOBS, Tenant

JOB: Final = "message"
"""The kind of job that sends; its key is the rid of the Communication."""

_COLUMNS = """id, ref, communication, position, recipient, reason, urgent, state, why, channel, transport, address, carrier,
  provider_id, attempts, next_at, created_at, started_at, sent_at, ended_at, refused,
  state = 'waiting' AND next_at <= now() AS due"""
_ENSURE = """
INSERT INTO {s}.message AS m (ref, communication, position, recipient, reason, urgent)
SELECT u.ref, $1, u.position, u.recipient, $2, $3 FROM unnest($4::text[], $5::smallint[], $6::bigint[]) u(ref, position, recipient)
ON CONFLICT (communication, position) DO UPDATE
SET recipient = excluded.recipient, reason = excluded.reason, urgent = excluded.urgent, next_at = now()
WHERE m.state = 'waiting' AND (m.recipient, m.reason, m.urgent) <> (excluded.recipient, excluded.reason, excluded.urgent)
"""
_FEWER = "DELETE FROM {s}.message WHERE communication = $1 AND position >= $2 AND state = 'waiting'"
# Those that were to go along wait for themselves again.
_END = """
WITH gone AS (
  UPDATE {s}.message SET state = $2, why = $3, ended_at = now() WHERE id = $1 AND state = 'waiting' RETURNING ref)
UPDATE {s}.message m SET state = 'waiting', carrier = NULL, next_at = now() FROM gone
WHERE m.carrier = gone.ref AND m.id <> $1 AND m.state = 'sending' RETURNING m.communication
"""
_WAIT = "UPDATE {s}.message SET why = $2, next_at = $3, channel = $4, address = $5 WHERE id = $1 AND state = 'waiting'"
# The others are rows that were found sendable to the same place before and wait only for company, or for the morning.
_TAKE = """
WITH one AS (
  UPDATE {s}.message SET state = 'sending', channel = $2, address = $3, transport = $4, carrier = ref, attempts = attempts + 1,
    started_at = now(), why = NULL
  WHERE id = $1 AND state = 'waiting' RETURNING id, ref, recipient, reason, attempts),
others AS (
  SELECT m.id FROM {s}.message m JOIN one USING (recipient, reason)
  WHERE m.state = 'waiting' AND m.id <> one.id AND m.channel = $2 AND m.address = $3 AND m.why = ANY($5::text[])
    AND m.attempts = 0
  ORDER BY m.id LIMIT 500 FOR UPDATE OF m SKIP LOCKED),
taken AS (
  UPDATE {s}.message m SET state = 'sending', transport = $4, carrier = one.ref, started_at = now(), why = NULL
  FROM others, one WHERE m.id = others.id RETURNING m.id)
SELECT attempts, 1 + (SELECT count(*) FROM taken)
  + (SELECT count(*) FROM {s}.message m WHERE m.carrier = one.ref AND m.id <> one.id AND m.state = 'sending') AS count FROM one
"""
_NOTE = """
UPDATE {s}.message SET state = CASE WHEN $2 = 'waiting' AND ref <> $1 THEN 'sending' ELSE $2 END, why = $3,
  provider_id = coalesce($4, provider_id),
  sent_at = CASE WHEN $2 = 'sent' THEN coalesce(sent_at, now()) ELSE sent_at END,
  ended_at = CASE WHEN $2 IN ('unknown', 'refused', 'dead') THEN now() END, next_at = coalesce($5, next_at),
  refused = CASE WHEN $7::bigint IS NULL THEN refused ELSE refused || $7::bigint END
WHERE carrier = $1 AND state = 'sending' AND EXISTS (SELECT FROM {s}.message c WHERE c.ref = $1 AND c.attempts = $6)
RETURNING communication
"""
_RECEIPT = """
UPDATE {s}.message SET state = $3, why = $4, provider_id = coalesce(provider_id, $2), sent_at = coalesce(sent_at, now()),
  ended_at = CASE WHEN $3 = 'sent' THEN NULL ELSE now() END
WHERE carrier = coalesce($1, (SELECT carrier FROM {s}.message WHERE provider_id = $2 LIMIT 1))
  AND (provider_id IS NULL OR provider_id = $2) AND state = ANY($5::text[])
RETURNING communication
"""
_DOUBTED: Final = ["waiting", "sending", "unknown", "dead"]
_BEFORE: Final = {
    "sent": _DOUBTED,
    "undelivered": [*_DOUBTED, "sent"],
    "received": [*_DOUBTED, "sent", "undelivered"],
}
"""From which states a receipt leads to which: what was tried and seemed to fail may have been taken after all."""
_RECENT = """
SELECT count(DISTINCT carrier) FILTER (WHERE sent_at > now() - interval '24 hours') AS today,
  max(started_at) FILTER (WHERE reason = $2 AND state IN ('sending', 'sent', 'received')) AS last
FROM {s}.message WHERE recipient = $1 AND started_at > now() - interval '25 hours' AND id <> $3
"""
_OPEN = """
SELECT min(CASE state WHEN 'waiting' THEN next_at ELSE started_at + interval '30 seconds' END) FROM {s}.message
WHERE communication = $1 AND (state = 'waiting' OR (state = 'sending' AND carrier = ref))
"""
_AGAIN = """
UPDATE {s}.message SET state = 'waiting', why = NULL, attempts = 0, next_at = now(), ended_at = NULL, carrier = NULL
WHERE ref = $1 AND state = 'dead' RETURNING communication
"""
_FORGET = """
DELETE FROM {s}.message WHERE id IN (
  SELECT id FROM {s}.message WHERE state NOT IN ('waiting', 'sending') AND created_at < now() - $1::interval LIMIT $2)
"""


@dataclass(frozen=True, slots=True)
class Message:
    """What is known of the message to one recipient."""

    id: int
    ref: str
    communication: int
    position: int
    recipient: int
    reason: str
    urgent: bool
    state: str
    why: str | None
    channel: str | None
    transport: str | None
    address: int | None
    carrier: str | None
    provider_id: str | None
    attempts: int
    next_at: datetime
    created_at: datetime
    started_at: datetime | None
    sent_at: datetime | None
    ended_at: datetime | None
    refused: Sequence[int]
    """The addresses at which it was refused for good: it is not tried there again."""
    due: bool
    """Whether it waits no longer, by the clock that said until when: a process's own is another one, and coarser."""


async def ensure(tenant: Tenant, communication: int, recipients: Sequence[int], reason: str, *, urgent: bool) -> None:
    """Have a row for each recipient (rids, 0 for one that is not served); those that have not left yet follow a change."""
    refs = [ids.new_id() for _ in recipients]
    columns = refs, list(range(len(recipients))), list(recipients)
    async with tenant.pool.acquire() as connection, connection.transaction():
        await connection.execute(tenant.sql(_ENSURE), communication, reason, urgent, *columns)
        await connection.execute(tenant.sql(_FEWER), communication, len(recipients))


async def of(tenant: Tenant, communication: int) -> list[Message]:
    """Return the messages of a Communication in the order of its recipients."""
    text = f"SELECT {_COLUMNS} FROM {{s}}.message WHERE communication = $1 ORDER BY position"
    return [Message(*row) for row in await tenant.pool.fetch(tenant.sql(text), communication)]


async def end(tenant: Tenant, id_: int, state: str, why: str) -> None:
    """Note that a message that waits will not be sent."""
    async with tenant.pool.acquire() as connection, connection.transaction():
        rows = await connection.fetch(tenant.sql(_END), id_, state, why)
        await _tell(connection, tenant, {row["communication"] for row in rows})


async def wait(tenant: Tenant, id_: int, why: str, until: datetime, place: tuple[str, int] | None = None) -> None:
    """Note why a message waits and until when; `place` (channel, address) is where it will go."""
    await tenant.pool.execute(tenant.sql(_WAIT), id_, why, until, *(place or (None, None)))


async def take(
    tenant: Tenant, id_: int, channel: str, address: int, transport: str, company: Sequence[str]
) -> tuple[int, int] | None:
    """Mark a message as being sent, with those that wait for the same reasons to go to the same place.

    Returns (attempt, how many it stands for); None when it does not wait any more.
    """
    row = await tenant.pool.fetchrow(tenant.sql(_TAKE), id_, channel, address, transport, list(company))
    return None if row is None else (row["attempts"], row["count"])


async def note(
    tenant: Tenant,
    ref: str,
    attempt: int,
    state: str,
    *,
    why: str | None = None,
    provider_id: str | None = None,
    next_at: datetime | None = None,
    refused: int | None = None,
) -> bool:
    """Note what came of an attempt for all that went with it, and have their Communications told; False when overtaken.

    `refused` is the address that will not take it: those that wait go to another one.
    """
    async with tenant.pool.acquire() as connection, connection.transaction():
        rows = await connection.fetch(tenant.sql(_NOTE), ref, state, why, provider_id, next_at, attempt, refused)
        await _tell(connection, tenant, {row["communication"] for row in rows}, next_at)
    return bool(rows)


async def receipt(tenant: Tenant, ref: str | None, provider_id: str, state: str, why: str | None = None) -> bool:
    """Take what a provider says of a message (`sent`, `received`, `undelivered`); False when it says nothing new."""
    async with tenant.pool.acquire() as connection, connection.transaction():
        rows = await connection.fetch(tenant.sql(_RECEIPT), ref, provider_id, state, why, _BEFORE[state])
        await _tell(connection, tenant, {row["communication"] for row in rows})
    if rows:
        tenant.announce(JOBS)
    return bool(rows)


async def addresses(tenant: Tenant, ref: str | None, provider_id: str) -> list[int]:
    """Return the addresses to which a message went that a provider speaks of."""
    text = """SELECT DISTINCT address FROM {s}.message
    WHERE (ref = $1 OR provider_id = $2) AND (provider_id IS NULL OR provider_id = $2) AND address IS NOT NULL"""
    return [row["address"] for row in await tenant.pool.fetch(tenant.sql(text), ref, provider_id)]


async def _tell(
    connection: asyncpg.Connection, tenant: Tenant, communications: set[int], at: datetime | None = None
) -> None:
    now = await connection.fetchval("SELECT now()")
    new: list[NewJob] = [(JOB, str(rid), {}, at or now) for rid in sorted(communications)]
    await jobs.add(connection, tenant, new)


async def recent(tenant: Tenant, message: Message) -> tuple[int, datetime | None]:
    """Return how many other messages the recipient had in 24 hours, and when the last of the same reason left."""
    row = await tenant.pool.fetchrow(tenant.sql(_RECENT), message.recipient, message.reason, message.id)
    return row["today"], row["last"]


async def due(tenant: Tenant, communication: int) -> datetime | None:
    """Return when a message of a Communication is to be looked at next: one that waits, or whose sender has died."""
    found: datetime | None = await tenant.pool.fetchval(tenant.sql(_OPEN), communication)
    return found


async def again(tenant: Tenant, ref: str) -> bool:
    """Let a message that was given up be tried again."""
    async with tenant.pool.acquire() as connection, connection.transaction():
        rows = await connection.fetch(tenant.sql(_AGAIN), ref)
        await _tell(connection, tenant, {row["communication"] for row in rows})
    return bool(rows)


async def listed(tenant: Tenant, states: Sequence[str], most: int = 1000) -> list[Message]:
    """Return the newest messages in some states."""
    text = f"SELECT {_COLUMNS} FROM {{s}}.message WHERE state = ANY($1::text[]) ORDER BY id DESC LIMIT $2"
    return [Message(*row) for row in await tenant.pool.fetch(tenant.sql(text), list(states), most)]


async def waiting(tenant: Tenant) -> dict[str, int]:
    """Return how many messages wait, are being sent, and were given up; for metrics."""
    text = "SELECT state, count(*) AS n FROM {s}.message WHERE state IN ('waiting', 'sending', 'dead') GROUP BY state"
    found: dict[str, Any] = {row["state"]: row["n"] for row in await tenant.pool.fetch(tenant.sql(text))}
    return {state: found.get(state, 0) for state in ("waiting", "sending", "dead")}


async def forget(tenant: Tenant, after: timedelta, limit: int = 10_000) -> int:
    """Delete what is older than `after` and over; the Communications and the audit trail keep what happened."""
    done: str = await tenant.pool.execute(tenant.sql(_FORGET), after, limit)
    return int(done.rsplit(" ", 1)[1])
