"""Claims that outlived what they stood for: a resource that was changed and no longer meets the criteria it was created under."""

from __future__ import annotations

from fhir_server.storage.tenants import Tenant

Holder = tuple[int, int]
"""(rid, version) of the resource that holds a claim."""


async def holder(tenant: Tenant, key: bytes) -> Holder | None:
    """Return who holds the claim now; ask before searching again, so that `release` knows what the search has seen."""
    text = "SELECT rid, version FROM {s}.claim JOIN {s}.resource USING (rid) WHERE key = $1"
    row = await tenant.pool.fetchrow(tenant.sql(text), key)
    return (row["rid"], row["version"]) if row else None


async def release(tenant: Tenant, key: bytes, held_by: Holder) -> None:
    """Drop the claim if its holder is still at the version that a search has shown not to meet the criteria."""
    text = (
        "DELETE FROM {s}.claim c USING {s}.resource r WHERE c.key = $1 AND c.rid = $2 AND r.rid = $2 AND r.version = $3"
    )
    await tenant.pool.execute(tenant.sql(text), key, *held_by)
