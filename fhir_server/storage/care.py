"""Whose record somebody has to do with: patients by the resources that name a caregiver. Numbers only, for `auth/care.py`.

No Visibility narrows these statements, for what they find is what a Visibility is made of; nobody else may ask them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from fhir_server.storage.index_keys import MOST_RID, pack
from fhir_server.storage.tenants import Tenant
from profiles.registry import R4

_RELATED = """
SELECT r.rid AS patient FROM {s}.resource r
WHERE r.type = $5 AND r.version > 0 AND NOT r.deleted AND r.keys[r.unsought + 1:] && $1::bigint[] AND NOT r.keys && $3::bigint[]
UNION
SELECT unnest(r.patients) FROM {s}.resource r
WHERE r.version > 0 AND NOT r.deleted AND r.keys[r.unsought + 1:] && $2::bigint[] AND NOT r.keys && $3::bigint[]
  AND NOT EXISTS (
    SELECT FROM {s}.ix_date d JOIN unnest($6::smallint[], $7::timestamptz[]) AS past(param, since) ON d.param = past.param
    WHERE d.rid = r.rid AND d.hi < past.since)
LIMIT $4
"""
_REFERRING = """
SELECT r.rid FROM {s}.resource r
WHERE r.version > 0 AND NOT r.deleted AND r.keys[r.unsought + 1:] && $1::bigint[] AND NOT r.keys && $2::bigint[] LIMIT 1000
"""
_REFERRED = """
SELECT DISTINCT k.key & $3::bigint AS rid FROM {s}.resource r, unnest(r.keys) k(key)
WHERE r.rid = ANY($1::bigint[]) AND r.version > 0 AND NOT r.deleted AND k.key - (k.key & $3::bigint) = ANY($2::bigint[])
"""
_OWN = """
SELECT r.rid, r.patients FROM {s}.resource r
WHERE r.type = $1 AND r.fhir_id = $2 AND r.version > 0 AND NOT r.deleted AND NOT r.keys && $3::bigint[]
"""


async def related(
    tenant: Tenant,
    own: Sequence[int],
    others: Sequence[int],
    ended: Sequence[int],
    past: Mapping[int, datetime],
    limit: int,
) -> list[int]:
    """Return the rids of Patients that hold a key of `own`, and of those whom resources with a key of `others` are about.

    A resource with a key of `ended` does not count, nor one of `others` whose date, by a parameter of `past`, ended before
    the moment given there. `limit` is the most that is returned.
    """
    args = (
        list(own), list(others), list(ended), limit, R4.type_id("Patient"), list(past.keys()), list(past.values())
    )  # fmt: skip
    return [row["patient"] for row in await tenant.pool.fetch(tenant.sql(_RELATED), *args)]


async def referring(tenant: Tenant, keys: Sequence[int], ended: Sequence[int]) -> list[int]:
    """Return the rids of what holds one of the keys and is not ended."""
    return [row["rid"] for row in await tenant.pool.fetch(tenant.sql(_REFERRING), list(keys), list(ended))]


async def own_patients(tenant: Tenant, type_: str, id_: str, ended: Sequence[int]) -> tuple[int | None, list[int]]:
    """Return the rid of a resource that is there, and the patients whom it is about."""
    row = await tenant.pool.fetchrow(tenant.sql(_OWN), R4.type_id(type_), id_, list(ended))
    return (row["rid"], list(row["patients"] or ())) if row else (None, [])


async def referred(tenant: Tenant, rids: Sequence[int], params: Sequence[int]) -> list[int]:
    """Return the rids of what some resources that are there refer to by these parameters."""
    args = (list(rids), [pack(param, 0) for param in params], MOST_RID)
    return [row["rid"] for row in await tenant.pool.fetch(tenant.sql(_REFERRED), *args)]
