"""From (type, id) to the number that stands for it everywhere: `rid`, allotted when an id is first mentioned."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from fhir_server.storage.tenants import Tenant
from profiles.registry import R4

Name = tuple[str, str]

_BLOCK = 64

_ALLOT = """
WITH want AS MATERIALIZED (SELECT * FROM unnest($1::smallint[], $2::text[]) AS w(type, fhir_id)),
made AS (
  INSERT INTO {s}.resource (rid, type, fhir_id, version, last_updated, method, key_id, index_version, deleted)
  SELECT nextval('{s}.rid'), type, fhir_id, 0, '-infinity', 0, 0, 0, false FROM want
  WHERE NOT EXISTS (SELECT FROM {s}.resource r WHERE r.type = want.type AND r.fhir_id = want.fhir_id)
  ORDER BY type, fhir_id
  ON CONFLICT (type, fhir_id) DO NOTHING RETURNING rid, type, fhir_id)
SELECT rid, type, fhir_id FROM made
UNION ALL SELECT r.rid, r.type, r.fhir_id FROM {s}.resource r JOIN want USING (type, fhir_id)
"""

_KNOWN = """
SELECT rid, type, fhir_id FROM {s}.resource r
JOIN unnest($1::smallint[], $2::text[]) AS w(type, fhir_id) USING (type, fhir_id)
"""


async def new_rid(tenant: Tenant) -> int:
    """Return a rid that nothing has: from a block of 64 that this process took from the sequence."""
    if not tenant.spare_rids:
        first = await tenant.pool.fetchval(tenant.sql("SELECT nextval('{s}.rid')"))
        tenant.spare_rids.extend(range(first + _BLOCK - 1, first - 1, -1))
    return tenant.spare_rids.pop()


async def _ask(tenant: Tenant, statement: str, names: list[Name]) -> None:
    types = [R4.type_id(type_) for type_, _ in names]
    rows = await tenant.pool.fetch(tenant.sql(statement), types, [id_ for _, id_ in names])
    tenant.remember(((R4.type_name(row["type"]), row["fhir_id"]), row["rid"]) for row in rows)


async def rids(tenant: Tenant, names: Iterable[Name]) -> dict[Name, int]:
    """Return the rid of every (type, id), allotting those that are not known yet."""
    wanted = set(names)
    found = {name: tenant.rids[name] for name in wanted if name in tenant.rids}
    while len(found) < len(wanted):
        # A row that another transaction is just inserting is seen by neither half of the statement: ask again.
        missing = sorted(wanted - found.keys())
        await _ask(tenant, _ALLOT, missing)
        found.update({name: tenant.rids[name] for name in missing if name in tenant.rids})
    return found


async def look_up(tenant: Tenant, wanted: Iterable[Name]) -> None:
    """Bring the rids of those of `wanted` that were ever mentioned into `tenant.rids`; allots nothing."""
    await _ask(tenant, _KNOWN, list(wanted))


async def known_rid(tenant: Tenant, type_: str, id_: str) -> int | None:
    """Return the rid of (type, id) if it was ever mentioned; allots nothing."""
    if (type_, id_) not in tenant.rids:
        await look_up(tenant, [(type_, id_)])
    return tenant.rids.get((type_, id_))


async def names(tenant: Tenant, wanted: Iterable[int]) -> dict[int, Name]:
    """Return (type, id) of rids, for rendering what is stored as numbers (audit, outbox)."""
    rows: list[Any] = await tenant.pool.fetch(
        tenant.sql("SELECT rid, type, fhir_id FROM {s}.resource WHERE rid = ANY($1::bigint[])"), list(wanted)
    )
    return {row["rid"]: (R4.type_name(row["type"]), row["fhir_id"]) for row in rows}
