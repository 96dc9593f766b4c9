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

# Whoever changes who is told of what raises the revision in the same statement; `watches` reads both in one.
_BUMP = "bump AS (UPDATE {s}.subscription_revision SET revision = revision + 1)"
_PUT = f"""
WITH {_BUMP}
INSERT INTO {{s}}.subscription_state AS t (rid, version, agent, status, criteria_type, endpoint, ends_at, last_error,
  topic, topic_rid, topic_version, types, channel, heartbeat, beat_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14,
  CASE WHEN $13 <> 'websocket' THEN now() + make_interval(secs => $14::int) END)
ON CONFLICT (rid) DO UPDATE SET version = excluded.version, agent = excluded.agent, status = excluded.status,
  criteria_type = excluded.criteria_type, endpoint = excluded.endpoint, ends_at = excluded.ends_at,
  last_error = excluded.last_error, updated_at = now(), topic = excluded.topic, topic_rid = excluded.topic_rid,
  topic_version = excluded.topic_version, types = excluded.types, channel = excluded.channel,
  heartbeat = excluded.heartbeat, beat_at = excluded.beat_at,
  next_at = (SELECT now() FROM {{s}}.delivery d WHERE d.subscription = $1 AND d.state IN ('waiting', 'sending') LIMIT 1)
"""
_STOP = f"""
WITH {_BUMP}
UPDATE {{s}}.subscription_state SET status = $2, last_error = $3, lease_until = NULL, fence = fence + 1, updated_at = now(),
  topic = CASE WHEN $2 = 'error' THEN topic END
WHERE rid = $1 AND (status = 'active' OR (status = 'error' AND $2 = 'off'))
  AND ($4::bigint IS NULL OR fence = $4) RETURNING version
"""
_COUNTED = "(t.status = 'active' OR t.status = 'error' AND t.topic IS NOT NULL)"
"""Whose changes are numbered: what a topic-based Subscription in error misses is told later, or asked for by `$events`."""
# Not served and not counted, whatever its topic: what it asks for cannot be judged.
_BREAK = f"""
WITH {_BUMP}
UPDATE {{s}}.subscription_state t SET status = 'error', last_error = $3, topic = NULL, lease_until = NULL, fence = fence + 1,
  updated_at = now()
WHERE rid = $1 AND version = $2 AND {_COUNTED} RETURNING version
"""
_WATCHES = f"""
SELECT (SELECT revision FROM {{s}}.subscription_revision) AS revision, t.rid, t.version, t.agent, t.criteria_type, t.types,
  t.ends_at, t.topic, t.topic_rid, t.topic_version
FROM (SELECT) one LEFT JOIN {{s}}.subscription_state t ON {_COUNTED} ORDER BY t.rid
"""
_REVISION = "SELECT revision FROM {s}.subscription_revision"
# What is locked is read as whoever held the lock before has left it. That a change was not numbered before is seen as of the
# beginning of the statement: who numbers holds the place in the outbox (`outbox.hold`), so nobody else does at the same time.
_NUMBER = f"""
WITH locked AS MATERIALIZED (
  SELECT t.rid, t.events, t.channel FROM {{s}}.subscription_state t
  WHERE t.rid = ANY($1::bigint[]) AND {_COUNTED} ORDER BY t.rid FOR UPDATE),
fresh AS (
  SELECT t.rid AS subscription, t.events + row_number() OVER (PARTITION BY t.rid ORDER BY u.place) AS event, u.rid, u.version,
    u.method, CASE WHEN t.channel = 'websocket' THEN 'kept' ELSE 'waiting' END AS state
  FROM unnest($1::bigint[], $2::bigint[], $3::int[], $4::smallint[]) WITH ORDINALITY u(subscription, rid, version, method, place)
  JOIN locked t ON t.rid = u.subscription
  WHERE NOT EXISTS (
    SELECT FROM {{s}}.delivery d WHERE d.subscription = t.rid AND d.rid = u.rid AND d.version = u.version)),
made AS (
  INSERT INTO {{s}}.delivery (subscription, event, rid, version, method, state)
  SELECT subscription, event, rid, version, method, state FROM fresh RETURNING subscription, event)
UPDATE {{s}}.subscription_state t SET events = m.last,
  next_at = CASE WHEN t.channel = 'websocket' THEN NULL ELSE coalesce(t.next_at, now()) END
FROM (SELECT subscription, max(event) AS last FROM made GROUP BY subscription) m WHERE t.rid = m.subscription
"""
# At most so many of one endpoint as are free there ($3, $4), $2 where nothing of it is under way, none where the breaker is open.
# The lease need not be on disk before it is used: after a crash of the database nobody holds one. Who comes to an endpoint whose
# breaker has just closed again is the only one for as long as the lease.
_DUE = (
    """status = 'active' AND (next_at <= now() OR beat_at <= now()) AND (lease_until IS NULL OR lease_until < now())"""
)
_CLAIM = f"""
WITH claimed AS (
  UPDATE {{s}}.subscription_state t SET lease_until = now() + $5::interval, fence = fence + 1
  WHERE t.rid IN (
    SELECT rid FROM {{s}}.subscription_state
    WHERE rid IN (
      SELECT rid FROM (
        SELECT rid, least(next_at, beat_at) AS due_at, endpoint,
          row_number() OVER (PARTITION BY endpoint ORDER BY least(next_at, beat_at), rid) AS place
        FROM {{s}}.subscription_state s WHERE {_DUE}
          AND NOT EXISTS (SELECT FROM {{s}}.endpoint_state e WHERE e.endpoint = s.endpoint AND e.open_until > now())) due
      LEFT JOIN unnest($3::bigint[], $4::int[]) busy(endpoint, free) USING (endpoint)
      WHERE place <= coalesce(free, $2) ORDER BY due_at LIMIT $1)
      AND {_DUE}
    ORDER BY rid FOR UPDATE SKIP LOCKED)
  RETURNING rid, version, agent, criteria_type, types, endpoint, fence, next_at, coalesce(beat_at <= now(), false) AS beat,
    coalesce(next_at <= now(), false) AS due),
probe AS (
  UPDATE {{s}}.endpoint_state e SET open_until = now() + $5::interval FROM claimed c
  WHERE e.endpoint = c.endpoint AND e.open_until IS NOT NULL)
SELECT c.*, EXISTS (SELECT FROM {{s}}.endpoint_state e WHERE e.endpoint = c.endpoint) AS probing,
  set_config('synchronous_commit', 'off', true)
FROM claimed c
"""
_ABANDONED = """
SELECT rid FROM {s}.subscription_state t
WHERE updated_at < now() - $1::interval AND (status = 'error' OR status = 'off' AND EXISTS (
  SELECT FROM {s}.delivery d WHERE d.subscription = t.rid AND d.state IN ('waiting', 'sending')))
ORDER BY updated_at LIMIT $2
"""
# Only what was deleted: any other one may be written `requested` again, and goes on counting then.
_FORGET = """
DELETE FROM {s}.subscription_state t WHERE status = 'off' AND last_error = 'deleted' AND updated_at < now() - $1::interval
  AND NOT EXISTS (SELECT FROM {s}.delivery d WHERE d.subscription = t.rid)
"""
_ENDED = "SELECT rid FROM {s}.subscription_state WHERE status = 'active' AND ends_at <= now()"


@dataclass(frozen=True, slots=True)
class Terms:
    """What was found out about a Subscription that can be served."""

    type: str = "Subscription"
    endpoint: int = 0
    ends_at: datetime | None = None
    topic: str | None = None
    topic_at: tuple[int, int] = (0, 0)
    types: tuple[str, ...] = ()
    channel: str = "rest-hook"
    heartbeat: int | None = None


NO_TERMS = Terms()


@dataclass(frozen=True, slots=True)
class Watch:
    """A Subscription that is counted: the version with its criteria, whose they are, and the types that they are about."""

    rid: int
    version: int
    agent: int
    types: tuple[str, ...]
    ends_at: datetime | None
    topic: str | None
    topic_at: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to send for one Subscription until the lease runs out; `fence` proves that it still holds."""

    rid: int
    version: int
    agent: int
    types: tuple[str, ...]
    endpoint: int
    fence: int
    beat: bool = False
    """A heartbeat is due."""
    due: bool = True
    """Events are due, not only a heartbeat."""
    probing: bool = False
    """Something has failed at the endpoint since it last answered."""
    next_at: datetime | None = None
    """Since when something was due."""

    @property
    def type(self) -> str:
        """The type of R4 criteria."""
        return self.types[0]


Change = tuple[int, int, int]
"""(rid, version, method) of what a Subscription is to be told of."""


async def put(
    tenant: Tenant,
    rid: int,
    version: int,
    agent: int,
    status: Status,
    terms: Terms = NO_TERMS,
    error: str | None = None,
) -> None:
    """Note what was decided about a version of a Subscription; what waits for it is due at once."""
    await tenant.pool.execute(
        tenant.sql(_PUT), rid, version, agent, status, R4.type_id(terms.type), terms.endpoint, terms.ends_at, error,
        terms.topic, *terms.topic_at, [R4.type_id(type_) for type_ in terms.types], terms.channel, terms.heartbeat,
    )  # fmt: skip


async def topic_of(tenant: Tenant, rid: int) -> str | None:
    """Return the topic by which a Subscription is counted now, if it is."""
    text = "SELECT t.topic FROM {s}.subscription_state t WHERE t.rid = $1 AND " + _COUNTED
    topic: str | None = await tenant.pool.fetchval(tenant.sql(text), rid)
    return topic


async def served_for(tenant: Tenant, person: str, but: int) -> int:
    """Return how many Subscriptions that a person wrote are served or counted, one left out."""
    text = f"""SELECT count(*) FROM {{s}}.subscription_state t JOIN {{s}}.agent a ON a.id = t.agent
      WHERE a.person = $1 AND t.rid <> $2 AND {_COUNTED}"""
    return int(await tenant.pool.fetchval(tenant.sql(text), person, but))


@dataclass(frozen=True, slots=True)
class Judged:
    """Which version of a Subscription was judged, in whose name, by which version of which topic."""

    version: int
    agent: int
    topic_at: tuple[int, int]


async def judged(tenant: Tenant, rid: int) -> Judged | None:
    """Return what a Subscription was judged by; None when it never was."""
    text = "SELECT version, agent, topic_rid, topic_version FROM {s}.subscription_state WHERE rid = $1"
    row = await tenant.pool.fetchrow(tenant.sql(text), rid)
    return Judged(row["version"], row["agent"], (row["topic_rid"], row["topic_version"])) if row else None


async def of_topic(connection: asyncpg.Connection, tenant: Tenant, rids: Sequence[int]) -> list[int]:
    """Return the Subscriptions that were judged by the topics which these Basic hold."""
    text = "SELECT rid FROM {s}.subscription_state WHERE topic_rid = ANY($1::bigint[]) ORDER BY rid"
    return [row["rid"] for row in await connection.fetch(tenant.sql(text), list(rids))]


async def stop(tenant: Tenant, rid: int, status: Status, reason: str, fence: int | None = None) -> bool:
    """Serve it no longer; False when it was not served, or the claim was lost."""
    return await tenant.pool.fetchval(tenant.sql(_STOP), rid, status, reason, fence) is not None


async def break_off(tenant: Tenant, watch: Watch, reason: str) -> bool:
    """Serve and count it no longer; False when another version of it is counted by now, or none."""
    return await tenant.pool.fetchval(tenant.sql(_BREAK), watch.rid, watch.version, reason) is not None


async def revision(tenant: Tenant) -> int:
    """Return the number that is raised whenever who is told of what may be another."""
    return int(await tenant.pool.fetchval(tenant.sql(_REVISION)))


async def watches(tenant: Tenant) -> tuple[int, list[Watch]]:
    """Return the Subscriptions that are counted, and the revision that they are of."""
    rows = await tenant.pool.fetch(tenant.sql(_WATCHES))
    found = [
        Watch(
            r["rid"], r["version"], r["agent"], tuple(map(R4.type_name, r["types"] or (r["criteria_type"],))), r["ends_at"],
            r["topic"], (r["topic_rid"], r["topic_version"]),
        )
        for r in rows if r["rid"] is not None
    ]  # fmt: skip
    return rows[0]["revision"], found


async def number(connection: asyncpg.Connection, tenant: Tenant, found: Mapping[int, Sequence[Change]]) -> None:
    """Give each change its number in its Subscription, dense and ascending, and let it wait; in the caller's transaction."""
    wanted = [(rid, *change) for rid, changes in found.items() for change in changes]
    if wanted:
        columns = [list(column) for column in zip(*wanted, strict=True)]
        await connection.execute(tenant.sql(_NUMBER), *columns)


async def claim(
    tenant: Tenant, limit: int, per_endpoint: int, under_way: Mapping[int, int], lease: timedelta
) -> list[Claim]:
    """Take up to `limit` Subscriptions that something waits for, with no more than `per_endpoint` at one endpoint."""
    free = [max(0, per_endpoint - count) for count in under_way.values()]
    rows = await tenant.pool.fetch(tenant.sql(_CLAIM), limit, per_endpoint, list(under_way), free, lease)
    return [
        Claim(
            r["rid"], r["version"], r["agent"], tuple(map(R4.type_name, r["types"] or (r["criteria_type"],))), r["endpoint"],
            r["fence"], r["beat"], r["due"], r["probing"], r["next_at"],
        )
        for r in rows
    ]  # fmt: skip


async def ended(tenant: Tenant) -> list[int]:
    """Return the active Subscriptions whose `end` has come."""
    return [row["rid"] for row in await tenant.pool.fetch(tenant.sql(_ENDED))]


async def abandoned(tenant: Tenant, after: timedelta, limit: int = 100) -> list[int]:
    """Return the Subscriptions that have been in error for longer than `after`, or off with something waiting for them."""
    return [row["rid"] for row in await tenant.pool.fetch(tenant.sql(_ABANDONED), after, limit)]


async def forget(tenant: Tenant, after: timedelta) -> int:
    """Delete what is known of Subscriptions that were deleted longer ago than `after`; return how many."""
    done: str = await tenant.pool.execute(tenant.sql(_FORGET), after)
    return int(done.rsplit(" ", 1)[1])
