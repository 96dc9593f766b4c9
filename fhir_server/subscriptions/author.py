"""In whose name a Subscription acts: who wrote the version that holds, with what that client may do at this moment."""

from __future__ import annotations

from fhir_server.audit.codes import BY_NAME
from fhir_server.auth import care, policy, principals
from fhir_server.context import RequestContext
from fhir_server.errors import Forbidden, Unauthenticated
from fhir_server.kit import clock
from fhir_server.storage.tenants import Tenant
from fhir_server.storage.visibility import NOTHING, Visibility

INTERACTION = "search-type"
"""What a notification amounts to: its criteria are a search, and a search answers with the resources."""

_WRITES = [BY_NAME[name].number for name in ("create", "update", "patch")]
_WROTE = """
SELECT agent FROM {s}.audit WHERE rid = $1 AND version = $2 AND interaction = ANY($3::smallint[]) AND status < 300
ORDER BY recorded, id LIMIT 1
"""


async def who_wrote(tenant: Tenant, rid: int, version: int) -> int | None:
    """Return the agent of the audit row that was committed with a version; None when there is none."""
    agent: int | None = await tenant.pool.fetchval(tenant.sql(_WROTE), rid, version, _WRITES)
    return agent or None


async def context(tenant: Tenant, agent: int, request_id: str) -> RequestContext:
    """Return a request in the name of the agent, cut to what its client may do now; Unauthenticated when that is nothing."""
    principal = await principals.of_agent(tenant, agent)
    return RequestContext(tenant, principal, request_id, tenant.base)


async def sees(tenant: Tenant, agent: int, type_: str, since: float | None = None) -> Visibility:
    """Return what of the type the agent may be told of at this moment; NOTHING when its rights are gone.

    Whom a person cares for is looked up anew, at most once `since` (monotonic seconds; None: now): what requests remember of it
    for some seconds would lose the first alert about somebody who was admitted a moment ago.
    """
    try:
        ctx = await context(tenant, agent, "")
        care.renew(tenant, ctx.principal.user, clock.monotonic() if since is None else since)
        return await policy.visibility(ctx, type_, INTERACTION)
    except (Unauthenticated, Forbidden):
        return NOTHING


async def server(tenant: Tenant, request_id: str) -> RequestContext:
    """Return a request of this server's own workers."""
    return RequestContext(tenant, await principals.worker_principal(tenant), request_id, tenant.base)
