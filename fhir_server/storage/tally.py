"""How many current resources of a type there are, and how many hold each coding: exact in every snapshot, and nobody waits.

A commit adds rows of differences to `tally_new` (its own, so writers never meet); now and then they are folded into `tally`. What
is counted is the sum of both in one statement. Key 0 stands for the whole type; the others are those of the dictionary of codings.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from weakref import WeakKeyDictionary

import asyncpg

from fhir_server.kit import logs
from fhir_server.storage.commands import IndexRows
from fhir_server.storage.prepare import Prepared
from fhir_server.storage.statements import COUNTED
from fhir_server.storage.tenants import Tenant
from profiles.registry import R4

ALL = 0
"""The key of a whole type."""
_FOLD_AFTER = 500
"""Commands of one process after which it folds."""
_LOG = logs.logger(__name__)
_EMPTY = IndexRows()

_ADD = f"""
INSERT INTO {{s}}.tally_new (type, key, n)
SELECT o.type, k.key, $2::int * count(*) FROM {{s}}.resource o, {COUNTED.format("o.keys")}
WHERE o.rid = ANY($1::bigint[]) AND o.version > 0 AND NOT o.deleted GROUP BY o.type, k.key
"""
_FOLD = """
WITH gone AS (DELETE FROM {s}.tally_new RETURNING type, key, n),
summed AS (SELECT type, key, sum(n) AS n FROM gone GROUP BY type, key ORDER BY type, key)
INSERT INTO {s}.tally AS t (type, key, n) SELECT type, key, n FROM summed
ON CONFLICT (type, key) DO UPDATE SET n = t.n + excluded.n
"""
_COUNT = """
SELECT coalesce((SELECT n FROM {s}.tally WHERE type = $1 AND key = $2), 0)
  + coalesce((SELECT sum(n) FROM {s}.tally_new WHERE type = $1 AND key = $2), 0)
WHERE ($2 = 0 OR EXISTS (SELECT FROM {s}.coding WHERE key = $2))
  AND coalesce((SELECT sum(n) FROM {s}.tally WHERE type = $1 AND key = ANY($3::bigint[])), 0)
    + coalesce((SELECT sum(n) FROM {s}.tally_new WHERE type = $1 AND key = ANY($3::bigint[])), 0) = 0
"""
_FILL = f"""
INSERT INTO {{s}}.tally (type, key, n)
SELECT o.type, k.key, count(*) FROM {{s}}.resource o, {COUNTED.format("o.keys")}
WHERE o.version > 0 AND NOT o.deleted GROUP BY o.type, k.key
"""


def of_new(rows: Sequence[Prepared]) -> list[tuple[int, int, int]]:
    """Return the differences that new resources make."""
    found: Counter[tuple[int, int]] = Counter()
    for row in rows:
        type_ = R4.type_id(row.command.type)
        if row.command.method != "delete":
            found[type_, ALL] += 1
            found.update((type_, key) for key in (row.command.index or _EMPTY).counted)
    return [(type_, key, n) for (type_, key), n in sorted(found.items())]


async def add(connection: asyncpg.Connection, tenant: Tenant, rids: Sequence[int], sign: int) -> None:
    """Add, or with -1 take away, what the current versions of some resources count."""
    if rids:
        await connection.execute(tenant.sql(_ADD), rids, sign)


def countable(kept: Sequence[int] | None) -> bool:
    """Tell whether all of a type is seen but for what holds one of these keys, and those are keys that are counted."""
    return kept is not None and all(key < 0 for key in kept)


async def count(tenant: Tenant, type_: str, key: int, kept: Sequence[int] = ()) -> int | None:
    """Return how many current resources of a type hold a key; None when that key is not counted.

    This is the number for who may see all of the type but what holds one of the codings `kept`; None when there is any.
    """
    found = await tenant.pool.fetchval(tenant.sql(_COUNT), R4.type_id(type_), key, list(kept))
    return None if found is None else int(found)


async def fold(tenant: Tenant) -> None:
    """Put the differences together."""
    await tenant.pool.execute(tenant.sql(_FOLD))


async def fill(connection: asyncpg.Connection, tenant: Tenant) -> None:
    """Count everything anew, in the transaction of the caller; writers wait."""
    await connection.execute(tenant.sql("LOCK TABLE {s}.resource IN SHARE MODE"))
    await connection.execute(tenant.sql("TRUNCATE {s}.tally, {s}.tally_new"))
    await connection.execute(tenant.sql(_FILL), timeout=3600)


# ---- folding now and then ----


class _Folding:
    """How many commands a process has committed since it folded last, and the folding under way."""

    def __init__(self) -> None:
        self.since = 0
        self.task: asyncio.Task[None] | None = None


_folding: WeakKeyDictionary[Tenant, _Folding] = WeakKeyDictionary()


def written(tenant: Tenant, commands: int) -> None:
    """Note what was committed; fold in the background when it is time."""
    state = _folding.setdefault(tenant, _Folding())
    state.since += commands
    if state.since >= _FOLD_AFTER and state.task is None:
        state.since = 0
        state.task = asyncio.create_task(_fold_quietly(tenant, state), name=f"tally {tenant.name}")


async def _fold_quietly(tenant: Tenant, state: _Folding) -> None:
    try:
        await fold(tenant)
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
        _LOG.warning("counts are not folded", tenant=tenant.name, exc_info=True)
    finally:
        state.task = None
