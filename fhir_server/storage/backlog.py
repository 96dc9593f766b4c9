"""How far workers are behind: what a door asks before it takes more than they can do."""

from __future__ import annotations

from fhir_server.kit import clock
from fhir_server.storage import outbox
from fhir_server.storage.tenants import Tenant

_LOOK = 1.0
_seen: dict[str, tuple[float, float]] = {}


async def age(tenant: Tenant) -> float:
    """Return for how many seconds the oldest event or due job waits; looked at once a second and process."""
    at, found = _seen.get(tenant.schema, (float("-inf"), 0.0))
    if clock.monotonic() - at > _LOOK:
        due = "SELECT extract(epoch FROM now() - min(run_at)) FROM {s}.job WHERE state = 'ready' AND kind = 'twin'"
        waits = float(await tenant.pool.fetchval(tenant.sql(due)) or 0.0)
        found = max(waits, await outbox.age(tenant, "dispatch"))
        _seen[tenant.schema] = (clock.monotonic(), found)
    return found
