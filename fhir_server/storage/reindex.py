"""Index entries made anew for what stands there: after a change of what is extracted, before the first request is served.

Batches follow each other in the order of rid. How far they came stands in `index_state` and moves in the transaction of the
batch: what was killed goes on where it stopped, and of two processes that start together one waits for the other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import asyncpg

from fhir_server.kit import logs
from fhir_server.storage import codings, ident, layout, tally, traced
from fhir_server.storage.commands import FORMS, INDEX_VERSION, IndexRows, index_version
from fhir_server.storage.errors import Erased
from fhir_server.storage.prepare import NOBODY, mentioned, series_rows
from fhir_server.storage.reads import COLUMNS, Damaged, stored
from fhir_server.storage.statements import COPY_COLUMNS, NARROW, array, delete_all
from fhir_server.storage.tenants import Tenant

BATCH = 500

Indexer = Callable[[bytes], IndexRows]
"""From a body to its index entries."""

_LOG = logs.logger(__name__)
_STATE = "SELECT version, done FROM {s}.index_state FOR UPDATE"
_NEXT = f"""
SELECT {COLUMNS}, r.fhir_id FROM {{s}}.resource r
WHERE r.rid > $1 AND r.index_version % {FORMS} < $2 AND r.version > 0 AND NOT r.deleted ORDER BY r.rid LIMIT $3 FOR UPDATE
"""
_KEYS = """
UPDATE {s}.resource r SET patients = u.patients::bigint[], keys = u.keys::bigint[], unsought = u.unsought,
  index_version = u.version
FROM unnest($1::bigint[], $2::text[], $3::text[], $4::int[], $5::smallint[]) u(rid, patients, keys, unsought, version)
WHERE r.rid = u.rid
"""


async def reindex(tenant: Tenant, index_of: Indexer, *, batch: int = BATCH) -> int:
    """Bring all current resources to the newest form of extraction; return how many this call has changed."""
    changed = 0
    while True:
        async with tenant.pool.acquire() as connection, connection.transaction():
            state = await connection.fetchrow(tenant.sql(_STATE))
            if state["version"] >= INDEX_VERSION:
                return changed
            rows = await connection.fetch(tenant.sql(_NEXT), state["done"], INDEX_VERSION, batch, timeout=600)
            if not rows:
                await tally.fill(connection, tenant)
                await connection.execute(tenant.sql("UPDATE {s}.index_state SET version = $1, done = 0"), INDEX_VERSION)
                return changed
            changed += await _replace(connection, tenant, rows, _indexed(tenant, rows, index_of))
            await connection.execute(tenant.sql("UPDATE {s}.index_state SET done = $1"), rows[-1]["rid"])


_SERIES = "DELETE FROM {s}.series WHERE patient = ANY($2::bigint[]) AND rid = ANY($1::bigint[])"


def _indexed(tenant: Tenant, rows: Sequence[Any], index_of: Indexer) -> dict[int, IndexRows]:
    """Return the entries of each row that can be read: what was erased or damaged keeps those that it has."""
    found = {}
    for row in rows:
        try:
            found[row["rid"]] = index_of(stored(tenant, row).body)
        except Erased:
            continue
        except Damaged:
            _LOG.error("damaged version left out", tenant=tenant.name, exc_info=True)
    return found


async def _replace(
    connection: asyncpg.Connection, tenant: Tenant, rows: Sequence[Any], indexes: dict[int, IndexRows]
) -> int:
    """Put these entries in the place of those that the rows have."""
    if not indexes:
        return 0
    await codings.remember(tenant, [coding for index in indexes.values() for coding in index.codings])
    names = {name for index in indexes.values() for name in mentioned(index)}
    rids = await ident.rids(tenant, names)
    await layout.remember(tenant, indexes.values())
    beside = await traced.beside(tenant, indexes, rids)
    arrays: list[list[Any]] = [[], [], [], []]
    for rid, index in indexes.items():
        laid = layout.laid_out(tenant, index, rids, beside.get(rid, ()))
        patients = array(laid.patients) if laid.patients else None
        for column, value in zip(arrays, (rid, patients, array(laid.keys), laid.unsought), strict=True):
            column.append(value)
    versions = [index_version(index.generation) for index in indexes.values()]
    await connection.execute(tenant.sql(_KEYS), *arrays, versions)
    owners = {NOBODY, *(patient for row in rows for patient in row["patients"] or ())}
    moments = {row["rid"]: row["last_updated"] for row in rows}
    for kind, (table, _) in NARROW.items():
        if kind == "series":  # no index leads to a rid there
            await connection.execute(tenant.sql(_SERIES), list(indexes), list(owners))
        else:
            await connection.execute(tenant.sql(delete_all(kind)), list(indexes))
        records = [
            (rid, *row)
            for rid, index in indexes.items()
            for row in set(series_rows(index, rids, moments[rid]) if kind == "series" else getattr(index, kind))
        ]
        if records:
            await connection.copy_records_to_table(
                table, schema_name=tenant.schema, records=records, columns=COPY_COLUMNS[table]
            )
    return len(indexes)
