"""`PlanDefinition/$simulate` over everybody: with what the caller may see at this moment, audited before anybody can fetch it."""

from __future__ import annotations

from fhir_server.audit.record import write_audit
from fhir_server.auth import principals
from fhir_server.context import RequestContext
from fhir_server.interactions.call import Limits, Result
from fhir_server.kit import ids
from fhir_server.operations.alerting import simulate
from fhir_server.settings import Settings
from fhir_server.storage import async_jobs
from fhir_server.storage.async_jobs import AsyncJob
from fhir_server.storage.tenants import Tenant

KIND = simulate.KIND


async def run(tenant: Tenant, asked: AsyncJob, settings: Settings) -> Result:
    """Answer a simulation that was asked for."""
    ctx = RequestContext(tenant, await principals.of_agent(tenant, asked.agent), ids.request_id(), tenant.base)
    call = simulate.asked_for(asked.request)
    call.limits = Limits(canonical_base=settings.canonical_base)
    await async_jobs.advance(tenant, asked.id, done=0, total=None, place={})
    result = await simulate.answer(ctx, call)
    await write_audit(tenant, result.audit)
    return result
