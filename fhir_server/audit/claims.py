"""What a refused request was about: the one look at resources that no policy narrows, and that no caller ever sees.

"Denied access must be audited with the claimed patient, if known" (BALP): so the patients of a hidden resource go into the
audit row of the refusal, and nowhere else. The same statement runs for a resource that does not exist.
"""

from __future__ import annotations

from fhir_server.storage.tenants import Tenant
from profiles.registry import R4

_CLAIMED = "SELECT rid, patients FROM {s}.resource WHERE type = $1 AND fhir_id = $2 AND version > 0"


async def claimed(tenant: Tenant, type_: str, id_: str) -> tuple[int | None, tuple[int, ...]]:
    """Return the rid and patients of what a request named; (None, ()) when there is no such resource."""
    row = await tenant.pool.fetchrow(tenant.sql(_CLAIMED), R4.type_id(type_), id_)
    return (row["rid"], tuple(row["patients"] or ())) if row else (None, ())
