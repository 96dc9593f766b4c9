"""The notifications of a Subscription as rows: taken in order, `sending` before the first byte leaves, and what came of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from fhir_server.storage.tenants import Tenant
from fhir_server.subscriptions.state import Claim

Ending = Literal["delivered", "skipped", "dead"]

# The lease starts anew with every batch. A row that was `sending` already is of a worker that died: told apart by `again`, and it
# is the same attempt still, for a worker that is killed says nothing of the receiver, whose next wait would be minutes.
_TAKE = """
WITH held AS (
  UPDATE {s}.subscription_state SET lease_until = now() + $4::interval WHERE rid = $1 AND fence = $2 AND status = 'active'
  RETURNING rid, events, secret, secret_at),
open AS (
  SELECT d.subscription, d.event, d.state FROM {s}.delivery d JOIN held ON d.subscription = held.rid
  WHERE d.state IN ('waiting', 'sending') ORDER BY d.event LIMIT $3)
UPDATE {s}.delivery d SET state = 'sending', attempts = d.attempts + (open.state = 'waiting')::int FROM open, held
WHERE d.subscription = open.subscription AND d.event = open.event
RETURNING d.event, d.rid, d.version, d.attempts, open.state = 'sending' AS again, d.method, d.created_at, held.events, held.secret,
  held.secret_at
"""
# Need not be on disk at once: after a crash of the database what was sent is `sending` still, and is audited and sent once more.
_RECORD = """
WITH held AS (SELECT rid FROM {s}.subscription_state WHERE rid = $1 AND fence = $2 FOR UPDATE)
UPDATE {s}.delivery d SET state = u.state, last_status = coalesce(u.status, d.last_status),
  attempts = d.attempts - CASE WHEN u.unsent THEN 1 ELSE 0 END, done_at = CASE WHEN u.state <> 'waiting' THEN now() END
FROM held, unnest($3::bigint[], $4::text[], $5::int[], $6::bool[]) u(event, state, status, unsent)
WHERE d.subscription = held.rid AND d.event = u.event RETURNING set_config('synchronous_commit', 'off', true)
"""
# Nothing waits unless an event was numbered after the last one that was taken, or somebody has set another time since the claim:
# both stand in the row itself, which is read as whoever held its lock before has left it.
_RELEASE_DONE = """
UPDATE {s}.subscription_state t SET lease_until = NULL, fence = fence + 1,
  next_at = CASE WHEN t.events > $3 OR t.next_at IS DISTINCT FROM $4 THEN now() END,
  beat_at = CASE WHEN beat_at <= now() THEN now() + make_interval(secs => heartbeat) ELSE beat_at END
WHERE rid = $1 AND fence = $2 RETURNING set_config('synchronous_commit', 'off', true)
"""
_RELEASE = """
UPDATE {s}.subscription_state t SET lease_until = NULL, fence = fence + 1, next_at = CASE
  WHEN NOT EXISTS (SELECT FROM {s}.delivery d WHERE d.subscription = t.rid AND d.state IN ('waiting', 'sending')) THEN NULL
  ELSE now() + $3::interval END,
  beat_at = CASE WHEN beat_at <= now() THEN now() + make_interval(secs => heartbeat) ELSE beat_at END
WHERE rid = $1 AND fence = $2 RETURNING set_config('synchronous_commit', 'off', true)
"""
_CLOSE = """
UPDATE {s}.delivery SET state = 'skipped', done_at = now()
WHERE subscription = $1 AND state IN ('waiting', 'sending', 'kept')
"""
_SENDING = """
SELECT event, rid, version, attempts, true AS again, method, created_at FROM {s}.delivery
WHERE subscription = $1 AND state = 'sending'
"""
# Dead letters are kept four times as long: somebody has to find them. What no socket came for has no end and is as old as it is.
_FORGET = """
DELETE FROM {s}.delivery d USING (
  SELECT subscription, event FROM {s}.delivery
  WHERE done_at < now() - $1::interval AND (state <> 'dead' OR done_at < now() - 4 * $1::interval)
    OR state = 'kept' AND created_at < now() - $1::interval LIMIT $2) old
WHERE d.subscription = old.subscription AND d.event = old.event
"""
_BETWEEN = """
SELECT event, rid, version, attempts, false AS again, method, created_at FROM {s}.delivery
WHERE subscription = $1 AND event >= $2 AND ($3::bigint IS NULL OR event <= $3) ORDER BY event LIMIT $4
"""
_WAITING = "SELECT count(*) FROM {s}.delivery WHERE state IN ('waiting', 'sending')"


@dataclass(frozen=True, slots=True)
class Delivery:
    """One version that a Subscription is to be told of; `again` says that a worker may have sent it and died."""

    event: int
    rid: int
    version: int
    attempts: int
    again: bool
    method: int
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Taken:
    """Deliveries that were taken, in order, and how their Subscription stood then: its last number, the secrets that there were."""

    deliveries: list[Delivery]
    events: int = 0
    secret: int = 0
    secret_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Record:
    """What came of a delivery that was taken: an ending, or `waiting` again (`unsent`: it was not tried this time)."""

    event: int
    state: Ending | Literal["waiting"]
    status: int | None = None
    unsent: bool = False


async def take(tenant: Tenant, claim: Claim, limit: int, lease: timedelta) -> Taken:
    """Mark the next deliveries as being sent and return them in order; nothing when none waits or the claim was lost."""
    rows = await tenant.pool.fetch(tenant.sql(_TAKE), claim.rid, claim.fence, limit, lease)
    if not rows:
        return Taken([])
    found = sorted((Delivery(*row[:7]) for row in map(tuple, rows)), key=lambda delivery: delivery.event)
    return Taken(found, *rows[0][7:])


async def between(tenant: Tenant, rid: int, since: int, until: int | None, limit: int) -> list[Delivery]:
    """Return the events of a Subscription from one number to another, both included, whatever came of them."""
    rows = await tenant.pool.fetch(tenant.sql(_BETWEEN), rid, since, until, limit)
    return [Delivery(*row) for row in rows]


async def record(tenant: Tenant, claim: Claim, records: Sequence[Record]) -> None:
    """Note what came of the deliveries, if the claim still holds."""
    columns = (
        [record.event for record in records],
        [record.state for record in records],
        [record.status for record in records],
        [record.unsent for record in records],
    )
    await tenant.pool.execute(tenant.sql(_RECORD), claim.rid, claim.fence, *columns)


async def release(tenant: Tenant, claim: Claim, wait: timedelta = timedelta(0)) -> None:
    """Give the claim back; what still waits is due after `wait`."""
    async with tenant.pool.acquire() as connection, connection.transaction():
        # The row is locked before it is looked whether anything waits: what the dispatcher adds meanwhile comes before or after.
        await connection.fetchval(
            tenant.sql("SELECT rid FROM {s}.subscription_state WHERE rid = $1 FOR UPDATE"), claim.rid
        )
        await connection.execute(tenant.sql(_RELEASE), claim.rid, claim.fence, wait)


async def release_done(tenant: Tenant, claim: Claim, last: int) -> None:
    """Give the claim back when all was told up to the event `last`, after which none waited when it was taken."""
    await tenant.pool.execute(tenant.sql(_RELEASE_DONE), claim.rid, claim.fence, last, claim.next_at)


async def close(tenant: Tenant, rid: int) -> list[Delivery]:
    """Skip everything that waits for a Subscription that is no more; return what may have been sent by one who died."""
    async with tenant.pool.acquire() as connection, connection.transaction():
        sending = [Delivery(*row) for row in await connection.fetch(tenant.sql(_SENDING), rid)]
        await connection.execute(tenant.sql(_CLOSE), rid)
    return sending


async def forget(tenant: Tenant, after: timedelta, limit: int = 10_000) -> int:
    """Delete what ended longer ago than `after`; return how many."""
    done: str = await tenant.pool.execute(tenant.sql(_FORGET), after, limit)
    return int(done.rsplit(" ", 1)[1])


async def waiting(tenant: Tenant) -> int:
    """Return how many notifications wait, for metrics."""
    return int(await tenant.pool.fetchval(tenant.sql(_WAITING)))
