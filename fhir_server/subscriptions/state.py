"""What the workers know of each Subscription, beside its body: is it served, who wrote it, what number comes next.

A Subscription is served by one worker at a time: the claim is a lease with a fence, so that notifications keep their order,
and one that slept past its lease writes nothing more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

import asyncpg

from fhir_server.storage.tenants import Tenant
from profiles.registry import R4

Status = Literal["active", "off", "error"]

_PUT = """
INSERT INTO {s}.subscription_state AS t (rid, version, agent, status, criteria_type, endpoint, ends_at, last_error)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (rid) DO UPDATE SET version = excluded.version, agent = excluded.agent, status = excluded.status,
  criteria_type = excluded.criteria_type, endpoint = excluded.endpoint, ends_at = excluded.ends_at,
  last_error = excluded.last_error, updated_at = now(),
  next_at = (SELECT now() FROM {s}.delivery d WHERE d.subscription = $1 AND d.state IN ('waiting', 'sending') LIMIT 1)
"""
_STOP = """
UPDATE {s}.subscription_state SET status = $2, last_error = $3, lease_until = NULL, fence = fence + 1, updated_at = now()
WHERE rid = $1 AND status = 'active' AND ($4::bigint IS NULL OR fence = $4) RETURNING version
"""
_ACTIVE = """
SELECT rid, version, agent, criteria_type FROM {s}.subscription_state
WHERE status = 'active' AND criteria_type = ANY($1::smallint[]) AND (ends_at IS NULL OR ends_at > now()) ORDER BY rid
"""
_LOCK = "SELECT FROM {s}.subscription_state WHERE rid = ANY($1::bigint[]) ORDER BY rid FOR UPDATE"
# In two statements: the second sees what whoever held the locks before has written.
_NUMBER = """
WITH fresh AS (
  SELECT t.rid AS subscription, t.events + row_number() OVER (PARTITION BY t.rid ORDER BY u.place) AS event, u.rid, u.version
  FROM unnest($1::bigint[], $2::bigint[], $3::int[]) WITH ORDINALITY u(subscription, rid, version, place)
  JOIN {s}.subscription_state t ON t.rid = u.subscription AND t.status = 'active'
  WHERE NOT EXISTS (
    SELECT FROM {s}.delivery d WHERE d.subscription = t.rid AND d.rid = u.rid AND d.version = u.version)),
made AS (
  INSERT INTO {s}.delivery (subscription, event, rid, version) SELECT subscription, event, rid, version FROM fresh
  RETURNING subscription, event)
UPDATE {s}.subscription_state t SET events = m.last, next_at = coalesce(t.next_at, now())
FROM (SELECT subscription, max(event) AS last FROM made GROUP BY subscription) m WHERE t.rid = m.subscription
"""
# At most so many of one endpoint as are free there ($3, $4), $2 where nothing of it is under way. The lease need not be on disk
# before it is used: after a crash of the database nobody holds one.
_CLAIM = """
UPDATE {s}.subscription_state t SET lease_until = now() + $5::interval, fence = fence + 1
WHERE t.rid IN (
  SELECT rid FROM {s}.subscription_state
  WHERE rid IN (
    SELECT rid FROM (
      SELECT rid, next_at, endpoint, row_number() OVER (PARTITION BY endpoint ORDER BY next_at, rid) AS place
      FROM {s}.subscription_state
      WHERE status = 'active' AND next_at <= now() AND (lease_until IS NULL OR lease_until < now())) due
    LEFT JOIN unnest($3::bigint[], $4::int[]) busy(endpoint, free) USING (endpoint)
    WHERE place <= coalesce(free, $2) ORDER BY next_at LIMIT $1)
    AND status = 'active' AND next_at <= now() AND (lease_until IS NULL OR lease_until < now())
  ORDER BY rid FOR UPDATE SKIP LOCKED)
RETURNING rid, version, agent, criteria_type, endpoint, fence, set_config('synchronous_commit', 'off', true)
"""
_ENDED = "SELECT rid FROM {s}.subscription_state WHERE status = 'active' AND ends_at <= now()"


@dataclass(frozen=True, slots=True)
class Watch:
    """An active Subscription: the version with its criteria, whose they are, and the type that they are about."""

    rid: int
    version: int
    agent: int
    type: str


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to send for one Subscription until the lease runs out; `fence` proves that it still holds."""

    rid: int
    version: int
    agent: int
    type: str
    endpoint: int
    fence: int


Change = tuple[int, int]
"""(rid, version) of what a Subscription is to be told of."""


async def put(
    tenant: Tenant,
    rid: int,
    version: int,
    agent: int,
    status: Status,
    *,
    type_: str = "Subscription",
    endpoint: int = 0,
    ends_at: datetime | None = None,
    error: str | None = None,
) -> None:
    """Note what was decided about a version of a Subscription; what waits for it is due at once."""
    arguments = rid, version, agent, status, R4.type_id(type_), endpoint, ends_at, error
    await tenant.pool.execute(tenant.sql(_PUT), *arguments)


async def stop(tenant: Tenant, rid: int, status: Status, reason: str, fence: int | None = None) -> bool:
    """Serve it no longer; False when it was not served, or the claim was lost."""
    return await tenant.pool.fetchval(tenant.sql(_STOP), rid, status, reason, fence) is not None


async def active(tenant: Tenant, types: Sequence[str]) -> list[Watch]:
    """Return the Subscriptions that are to be told of changes of these types."""
    rows = await tenant.pool.fetch(tenant.sql(_ACTIVE), [R4.type_id(type_) for type_ in types])
    return [Watch(row["rid"], row["version"], row["agent"], R4.type_name(row["criteria_type"])) for row in rows]


async def number(connection: asyncpg.Connection, tenant: Tenant, found: Mapping[int, Sequence[Change]]) -> None:
    """Give each change its number in its Subscription, dense and ascending, and let it wait; in the caller's transaction."""
    wanted = [(rid, *change) for rid, changes in found.items() for change in changes]
    if wanted:
        columns = [list(column) for column in zip(*wanted, strict=True)]
        await connection.execute(tenant.sql(_LOCK), list(found))
        await connection.execute(tenant.sql(_NUMBER), *columns)


async def claim(
    tenant: Tenant, limit: int, per_endpoint: int, under_way: Mapping[int, int], lease: timedelta
) -> list[Claim]:
    """Take up to `limit` Subscriptions that something waits for, with no more than `per_endpoint` at one endpoint."""
    free = [max(0, per_endpoint - count) for count in under_way.values()]
    rows = await tenant.pool.fetch(tenant.sql(_CLAIM), limit, per_endpoint, list(under_way), free, lease)
    return [
        Claim(r["rid"], r["version"], r["agent"], R4.type_name(r["criteria_type"]), r["endpoint"], r["fence"])
        for r in rows
    ]


async def ended(tenant: Tenant) -> list[int]:
    """Return the active Subscriptions whose `end` has come."""
    return [row["rid"] for row in await tenant.pool.fetch(tenant.sql(_ENDED))]
