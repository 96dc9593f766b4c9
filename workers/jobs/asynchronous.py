"""Requests that are answered later: performed in the name of who asked, with what that client may do at this moment.

A kind of its own is a line in `_KINDS`; everything else is a request like any other. What is refused then is an answer too; what
nobody foresaw is tried again, and told as a failure when that is over.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from fhir_server.audit.record import write_audit
from fhir_server.auth import principals
from fhir_server.context import RequestContext
from fhir_server.errors import FhirError, NotSupported
from fhir_server.interactions import asynchronous, search
from fhir_server.interactions.call import Limits, Result
from fhir_server.interactions.failures import audit_failure
from fhir_server.kit import ids, json
from fhir_server.operations import draft_note, invoke
from fhir_server.settings import Settings
from fhir_server.storage import async_jobs, jobs
from fhir_server.storage.async_jobs import AsyncJob
from fhir_server.storage.jobs import Job
from fhir_server.storage.tenants import Tenant
from workers.jobs import note, reindex, simulate

_PERFORMED = {"operation": invoke.invoke, "type": search.search, "system": search.search, "compartment": search.search,
              "search-type": search.search, "search-system": search.search, "search-compartment": search.search}  # fmt: skip


async def run(tenant: Tenant, job: Job, settings: Settings) -> None:
    """Work on one request until it is answered; again from where it was when a worker was killed meanwhile."""
    asked = await async_jobs.find(tenant, job.key)
    if asked is None or asked.state in ("done", "cancelled"):
        return
    try:
        result = await _KINDS.get(asked.kind, _request)(tenant, asked, settings)
    except FhirError as error:
        result = Result(error.status, json.encode(error.outcome()))
    except Exception:
        if job.attempts >= jobs.MAX_ATTEMPTS:
            failed = FhirError("The server failed at this request, again and again.", "unexpected")
            await async_jobs.finish(tenant, asked.id, 500, json.encode(failed.outcome()))
        raise
    if result is not None:
        patients = sorted({patient for row in result.audit for patient in row.patients or ()})
        await async_jobs.finish(tenant, asked.id, result.status, result.body, patients)


async def _request(tenant: Tenant, asked: AsyncJob, settings: Settings) -> Result:
    """Perform a request; what it discloses is audited before anybody can fetch it."""
    principal = await principals.of_agent(tenant, asked.agent)
    ctx = RequestContext(tenant, principal, ids.request_id(), tenant.base, lenient=asked.request["lenient"])
    limits = Limits(settings.max_body_bytes, settings.max_bundle_entries, settings.page_default, settings.page_max)
    call = asynchronous.unpacked(asked.request, limits)
    await async_jobs.advance(tenant, asked.id, done=0, total=None, place={})
    handler = _PERFORMED.get(call.address.kind)
    if handler is None:
        raise NotSupported("This interaction is not answered later.", "respond-async")
    try:
        result = await handler(ctx, call)
    except FhirError as error:
        await audit_failure(ctx, call, error.status)
        raise
    if result.audit and not result.audited:
        await write_audit(tenant, result.audit)
    return result


_KINDS: Final[dict[str, Callable[[Tenant, AsyncJob, Settings], Awaitable[Result | None]]]] = {
    draft_note.KIND: note.run,
    reindex.KIND: reindex.run,
    simulate.KIND: simulate.run,
}
