"""Writing index entries anew while others write: a new search parameter of the tenant's own for what is stored already.

Versions and bodies stay; a row says by its `index_version` by which generation its entries were made (`own.py`). Rows that somebody
is writing are passed over: the writer makes them by the newest generation. No caller is behind this, so it takes no Visibility and
returns content to nobody but the worker that extracts. A change of what is extracted altogether is `reindex.py`, at start-up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg

from fhir_server.kit import logs
from fhir_server.storage import codings, ident, layout, own, tally, traced
from fhir_server.storage.commands import IndexRows, index_version
from fhir_server.storage.errors import Erased
from fhir_server.storage.prepare import mentioned
from fhir_server.storage.reads import COLUMNS, Damaged, Stored, stored
from fhir_server.storage.statements import COPY_COLUMNS, array
from fhir_server.storage.tenants import Tenant
from profiles.registry import R4

_NARROW = {"dates": "ix_date", "numbers": "ix_number", "strings": "ix_string"}
_SEEN = "r.xmin::text::bigint AS seen"
"""Which write a row is of, whatever changed in it: its version, its body in place (`$meta-add`), its entries."""
_BEHIND = "r.type = ANY($1::smallint[]) AND r.version > 0 AND NOT r.deleted AND r.index_version <> $2"
_LOG = logs.logger("clarity.reindex")


@dataclass(frozen=True, slots=True)
class Row:
    """A row as it was read, and the write that it is of."""

    stored: Stored
    seen: int


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows whose entries are to be made anew, those that cannot be read (erased), and the last rid that was looked at."""

    rows: list[Row]
    unreadable: list[int]
    last: int


async def behind(tenant: Tenant, types: Sequence[str], after: int, limit: int) -> Batch | None:
    """Return the next rows whose entries were made by another generation than the newest; None when there are none."""
    text = f"SELECT {COLUMNS}, r.fhir_id, {_SEEN} FROM {{s}}.resource r WHERE {_BEHIND} AND r.rid > $3 ORDER BY r.rid LIMIT $4"
    args = ([R4.type_id(type_) for type_ in types], index_version(tenant.own.generation), after, limit)
    return _batch(tenant, await tenant.pool.fetch(tenant.sql(text), *args))


async def one(tenant: Tenant, rid: int) -> Batch | None:
    """Return one row, whatever made its entries."""
    text = f"SELECT {COLUMNS}, r.fhir_id, {_SEEN} FROM {{s}}.resource r WHERE r.rid = $1 AND r.version > 0 AND NOT r.deleted"
    return _batch(tenant, await tenant.pool.fetch(tenant.sql(text), rid))


def _batch(tenant: Tenant, records: Sequence[Any]) -> Batch | None:
    if not records:
        return None
    rows, unreadable = [], []
    for record in records:
        try:
            rows.append(Row(stored(tenant, record), record["seen"]))
        except Erased:
            unreadable.append(record["rid"])
        except Damaged:
            _LOG.error("damaged version passed over", tenant=tenant.name, exc_info=True)
            unreadable.append(record["rid"])
    return Batch(rows, unreadable, records[-1]["rid"])


async def count(tenant: Tenant, types: Sequence[str]) -> int:
    """Return how many rows are behind."""
    text = f"SELECT count(*) FROM {{s}}.resource r WHERE {_BEHIND}"
    args = ([R4.type_id(type_) for type_ in types], index_version(tenant.own.generation))
    found: int = await tenant.pool.fetchval(tenant.sql(text), *args)
    return found


async def put(tenant: Tenant, rows: Sequence[tuple[Row, IndexRows]], unreadable: Sequence[int] = ()) -> int:
    """Write the entries of rows that nobody has written meanwhile; return how many those were."""
    await codings.remember(tenant, [coding for _, index in rows for coding in index.codings])
    await layout.remember(tenant, [index for _, index in rows])
    rids = await ident.rids(tenant, {name for _, index in rows for name in mentioned(index)})
    beside = await traced.beside(tenant, {row.stored.rid: index for row, index in rows}, rids)
    version = index_version(tenant.own.generation)
    async with tenant.pool.acquire() as connection, connection.transaction():
        held = await _held(connection, tenant, [row.stored.rid for row, _ in rows])
        still = {row.stored.rid: index for row, index in rows if held.get(row.stored.rid) == row.seen}
        laid = [layout.laid_out(tenant, index, rids, beside.get(rid, ())) for rid, index in still.items()]
        text = (
            "UPDATE {s}.resource r SET keys = u.keys::bigint[], unsought = u.unsought, index_version = $4"
            " FROM unnest($1::bigint[], $2::text[], $3::int[]) u(rid, keys, unsought) WHERE r.rid = u.rid"
        )
        await tally.add(connection, tenant, list(still), -1)
        await connection.execute(tenant.sql(text), list(still), *_columns(laid), version)
        await tally.add(connection, tenant, list(still), +1)
        await _narrow(connection, tenant, still)
        mark = "UPDATE {s}.resource SET index_version = $2 WHERE rid = ANY($1::bigint[])"
        await connection.execute(tenant.sql(mark), list(unreadable), version)
    return len(still)


def _columns(laid: Sequence[layout.Laid]) -> tuple[list[str], list[int]]:
    return [array(each.keys) for each in laid], [each.unsought for each in laid]


async def _held(connection: asyncpg.Connection, tenant: Tenant, rids: Sequence[int]) -> dict[int, int]:
    """Lock the rows that nobody is writing."""
    text = (
        f"SELECT r.rid, {_SEEN} FROM {{s}}.resource r WHERE r.rid = ANY($1::bigint[])"
        " ORDER BY r.rid FOR UPDATE SKIP LOCKED"
    )
    return {row["rid"]: row["seen"] for row in await connection.fetch(tenant.sql(text), list(rids))}


async def _narrow(connection: asyncpg.Connection, tenant: Tenant, rows: dict[int, IndexRows]) -> None:
    """Replace the narrow rows of own parameters; R4's are as they were."""
    for kind, table in _NARROW.items():
        text = f"DELETE FROM {{s}}.{table} WHERE rid = ANY($1::bigint[]) AND param >= {own.FIRST}"
        await connection.execute(tenant.sql(text), list(rows))
        new = [
            (rid, *entry) for rid, index in rows.items() for entry in set(getattr(index, kind)) if entry[0] >= own.FIRST
        ]
        await connection.copy_records_to_table(
            table, schema_name=tenant.schema, records=new, columns=COPY_COLUMNS[table]
        )
