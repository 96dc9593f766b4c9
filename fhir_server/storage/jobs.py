"""Work to be done, as rows: the truth of a job is here, Redis only carries the wake-up.

A job is claimed with a lease and a fencing number. A worker that dies loses its lease; one that sleeps past it finds its
fence outrun and its `finish` refused. What is asked for while a job runs makes it run once more (`dirty`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import asyncpg

from fhir_server.kit import clock
from fhir_server.kit import json as kit_json
from fhir_server.storage.tenants import JOBS, Tenant

MAX_ATTEMPTS = 12

_ADD = """
INSERT INTO {s}.job AS j (kind, key, payload, run_at)
SELECT DISTINCT ON (u.kind, u.key) u.kind, u.key, u.payload::jsonb, u.run_at
FROM unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[]) u(kind, key, payload, run_at) ORDER BY u.kind, u.key, u.run_at
ON CONFLICT (kind, key) DO UPDATE SET
  payload = excluded.payload,
  dirty = j.state = 'running',
  state = CASE WHEN j.state = 'running' THEN 'running' ELSE 'ready' END,
  attempts = CASE WHEN j.state IN ('done', 'dead') THEN 0 ELSE j.attempts END,
  run_at = CASE WHEN j.state = 'ready' THEN least(j.run_at, excluded.run_at) ELSE excluded.run_at END
"""
_CLAIM = """
UPDATE {s}.job SET state = 'running', attempts = attempts + 1, fence = fence + 1, dirty = false, lease_until = now() + $2::interval
WHERE id IN (
  SELECT id FROM {s}.job
  WHERE kind = ANY($1::text[]) AND ((state = 'ready' AND run_at <= now()) OR (state = 'running' AND lease_until < now()))
  ORDER BY run_at LIMIT $3 FOR UPDATE SKIP LOCKED)
RETURNING id, kind, key, payload::text, attempts, fence
"""
_FINISH = """
UPDATE {s}.job SET state = CASE WHEN dirty THEN 'ready' ELSE 'done' END, dirty = false, attempts = 0, lease_until = NULL,
  last_error = NULL, finished_at = now(), run_at = greatest(run_at, now() + $3::interval)
WHERE id = $1 AND fence = $2 AND state = 'running'
"""
_FAIL = """
UPDATE {s}.job SET state = CASE WHEN attempts >= $5 THEN 'dead' ELSE 'ready' END, lease_until = NULL, last_error = $3, run_at = $4
WHERE id = $1 AND fence = $2 AND state = 'running'
"""


@dataclass(frozen=True, slots=True)
class Job:
    """A claimed job; `fence` proves that the claim still holds."""

    id: int
    kind: str
    key: str
    payload: dict[str, Any]
    attempts: int
    fence: int


NewJob = tuple[str, str, dict[str, Any], datetime]
"""(kind, key, payload, run_at). The payload holds ids and numbers only, never content."""


async def add(connection: asyncpg.Connection | asyncpg.Pool, tenant: Tenant, new: Sequence[NewJob]) -> None:
    """Ask for jobs in the caller's transaction; one that waits already keeps the earlier time."""
    if new:
        columns = [
            list(column)
            for column in zip(*((k, key, kit_json.encode(p).decode(), at) for k, key, p, at in new), strict=True)
        ]
        await connection.execute(tenant.sql(_ADD), *columns)


async def claim(tenant: Tenant, kinds: Sequence[str], lease: timedelta, limit: int = 1) -> list[Job]:
    """Take up to `limit` jobs that are due, or whose worker let its lease run out."""
    rows = await tenant.pool.fetch(tenant.sql(_CLAIM), list(kinds), lease, limit)
    return [
        Job(r["id"], r["kind"], r["key"], kit_json.decode_trusted(r["payload"].encode()), r["attempts"], r["fence"])
        for r in rows
    ]


async def renew(tenant: Tenant, running: Sequence[Job], lease: timedelta) -> set[int]:
    """Prolong the leases of jobs that run; return the ids of those whose claim still holds."""
    # Locked in the order in which `add` takes its rows, so that the two never wait for each other.
    text = """WITH held AS (
      SELECT j.id FROM {s}.job j JOIN unnest($1::bigint[], $2::bigint[]) u(id, fence) ON j.id = u.id AND j.fence = u.fence
      WHERE j.state = 'running' ORDER BY j.kind, j.key FOR UPDATE OF j)
    UPDATE {s}.job j SET lease_until = now() + $3::interval FROM held WHERE j.id = held.id RETURNING j.id"""
    arguments = [job.id for job in running], [job.fence for job in running], lease
    return {row["id"] for row in await tenant.pool.fetch(tenant.sql(text), *arguments)}


async def hold(connection: asyncpg.Connection, tenant: Tenant, job: Job) -> bool:
    """Lock the job in the caller's transaction; False when somebody else has it by now and the work must be dropped."""
    text = "SELECT true FROM {s}.job WHERE id = $1 AND fence = $2 AND state = 'running' FOR UPDATE"
    return bool(await connection.fetchval(tenant.sql(text), job.id, job.fence))


async def finish(
    connection: asyncpg.Connection | asyncpg.Pool, tenant: Tenant, job: Job, rest: timedelta = timedelta(0)
) -> bool:
    """Mark the job done, or ready again after `rest` when it was asked for meanwhile; False when the claim was lost."""
    done: str = await connection.execute(tenant.sql(_FINISH), job.id, job.fence, rest)
    return done.endswith(" 1")


async def fail(tenant: Tenant, job: Job, error: BaseException) -> None:
    """Put the job back with exponential delay, or to the dead ones after MAX_ATTEMPTS; keeps the kind of error only."""
    delay = timedelta(seconds=min(2**job.attempts, 3600))
    await tenant.pool.execute(
        tenant.sql(_FAIL), job.id, job.fence, type(error).__name__, clock.now() + delay, MAX_ATTEMPTS
    )


async def hurry(tenant: Tenant, kind: str, key: str) -> None:
    """Make a job that waits for its time due now."""
    text = "UPDATE {s}.job SET run_at = now() WHERE kind = $1 AND key = $2 AND state = 'ready' AND run_at > now()"
    done: str = await tenant.pool.execute(tenant.sql(text), kind, key)
    if done.endswith(" 1"):
        tenant.announce(JOBS)


async def last_finished(
    connection: asyncpg.Connection, tenant: Tenant, kind: str, keys: Sequence[str]
) -> dict[str, datetime]:
    """Return when jobs were last done, for work that is not to be repeated too often."""
    text = "SELECT key, finished_at FROM {s}.job WHERE kind = $1 AND key = ANY($2::text[]) AND finished_at IS NOT NULL"
    return {row["key"]: row["finished_at"] for row in await connection.fetch(tenant.sql(text), kind, list(keys))}


async def depth(tenant: Tenant) -> dict[str, int]:
    """Return how many jobs of each state there are, for metrics."""
    return {
        row["state"]: row["n"]
        for row in await tenant.pool.fetch(tenant.sql("SELECT state, count(*) AS n FROM {s}.job GROUP BY state"))
    }
