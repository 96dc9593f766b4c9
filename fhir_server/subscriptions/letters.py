"""Dead letters: events that were given up after the last try, for an administrator to see and to have sent after all."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from fhir_server.storage import ident
from fhir_server.storage.tenants import Tenant

MOST = 1000
_DEAD = """
SELECT subscription, event, rid, attempts, last_status, done_at FROM {s}.delivery WHERE state = 'dead'
ORDER BY subscription, event LIMIT $1
"""
_REPLAY = """
WITH again AS (
  UPDATE {s}.delivery SET state = 'waiting', attempts = 0, done_at = NULL
  WHERE subscription = $1 AND state = 'dead' AND event >= $2 AND ($3::bigint IS NULL OR event <= $3) RETURNING event),
due AS (UPDATE {s}.subscription_state SET next_at = now() WHERE rid = $1 AND EXISTS (SELECT FROM again))
SELECT count(*) FROM again
"""


@dataclass(frozen=True, slots=True)
class Letter:
    """One event that was given up: of which Subscription, about what, after how many attempts."""

    subscription: str
    event: int
    focus: str
    attempts: int
    last_status: int | None
    given_up: datetime


async def dead(tenant: Tenant, most: int = MOST) -> list[Letter]:
    """Return what was given up, in the order of Subscriptions and numbers."""
    rows = await tenant.pool.fetch(tenant.sql(_DEAD), most)
    known = await ident.names(tenant, {rid for row in rows for rid in (row["subscription"], row["rid"])})
    return [
        Letter(
            known[row["subscription"]][1], row["event"], "/".join(known[row["rid"]]), row["attempts"], row["last_status"],
            row["done_at"],
        )
        for row in rows
    ]  # fmt: skip


async def names(tenant: Tenant, rids: Iterable[int]) -> dict[int, str]:
    """Return the ids of Subscriptions."""
    return {rid: id_ for rid, (_, id_) in (await ident.names(tenant, rids)).items()}


async def replay(tenant: Tenant, rid: int, since: int | None = None, until: int | None = None) -> int:
    """Let what was given up wait again; return how many."""
    return int(await tenant.pool.fetchval(tenant.sql(_REPLAY), rid, since or 0, until))
