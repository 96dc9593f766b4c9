"""What keeping costs: bytes on disk a resource without audit, and index entries of a plain Observation."""

from __future__ import annotations

import asyncpg

from tests.bench.rig import Rig

_SIZES = """
    SELECT c.relname, pg_total_relation_size(c.oid) AS size
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = 't_default' AND c.relkind IN ('r', 'm') ORDER BY size DESC
"""
_ENTRIES = """
    SELECT cardinality(r.keys) - r.unsought AS keys,
        (SELECT sum(2 + (hi - lo > interval '1 day')::int) FROM t_default.ix_date i WHERE i.rid = r.rid) AS dates,
        (SELECT sum(2 + (cunit <> 0)::int + (hi > lo)::int) FROM t_default.ix_number i WHERE i.rid = r.rid) AS numbers,
        (SELECT 2 * count(*) FROM t_default.ix_string i WHERE i.rid = r.rid) AS strings,
        (SELECT 3 * count(*) FROM t_default.series i WHERE i.rid = r.rid) AS series
    FROM t_default.resource r WHERE r.fhir_id = $1
"""
_MEAN = """
    SELECT (SELECT sum(cardinality(keys) - unsought) FROM t_default.resource WHERE version > 0 AND NOT deleted)
      + (SELECT sum(2 + (hi - lo > interval '1 day')::int) FROM t_default.ix_date)
      + (SELECT sum(2 + (cunit <> 0)::int + (hi > lo)::int) FROM t_default.ix_number)
      + (SELECT 2 * count(*) FROM t_default.ix_string) + (SELECT 3 * count(*) FROM t_default.series)
"""


async def bytes_a_resource(rig: Rig) -> dict[str, object]:
    """Return bytes a current resource, over all tables of the tenant but audit, right after a vacuum."""
    connection = await asyncpg.connect(rig.dsn)
    try:
        await connection.execute("VACUUM ANALYZE")
        sizes = {row["relname"]: row["size"] for row in await connection.fetch(_SIZES)}
        entries = await connection.fetchval(_MEAN)
        count = await connection.fetchval("SELECT count(*) FROM t_default.resource WHERE version > 0 AND NOT deleted")
    finally:
        await connection.close()
    kept = {name: size for name, size in sizes.items() if not name.startswith("audit")}
    audit = sum(sizes.values()) - sum(kept.values())
    largest = {name: round(size / count, 1) for name, size in list(kept.items())[:8]}
    return {
        "bytes": round(sum(kept.values()) / count),
        "resources": count,
        "index_entries_mean": round(float(entries) / count, 2),
        "tables": largest,
        "audit": round(audit / count),
    }


async def index_entries(rig: Rig, observation: str) -> dict[str, int]:
    """Return how many index entries one Observation has: those of its keys that are in the index (`storage/layout.py`), and one in
    each index of the narrow tables that holds its rows.
    """
    connection = await asyncpg.connect(rig.dsn)
    try:
        row = await connection.fetchrow(_ENTRIES, observation)
    finally:
        await connection.close()
    assert row is not None
    return {name: int(value or 0) for name, value in row.items()}
