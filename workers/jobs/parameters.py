"""A SearchParameter that somebody wrote becomes a parameter of the tenant's own, another one, or none any more."""

from __future__ import annotations

from fhir_server.errors import Unprocessable
from fhir_server.kit import json, logs
from fhir_server.search import own as asked
from fhir_server.settings import Settings
from fhir_server.storage import own, reads
from fhir_server.storage.jobs import Job
from fhir_server.storage.tenants import Tenant

KIND = "own-parameter"
_LOG = logs.logger("clarity.search")


async def run(tenant: Tenant, job: Job, settings: Settings) -> None:  # noqa: ARG001
    """Look at the resource as it stands now and act on it; looking twice changes nothing."""
    rid = int(job.key)
    found = await reads.fetch(tenant, [rid])
    await own.load(tenant)
    wanted = []
    if found:
        resource = json.decode_trusted(found[0].body)
        try:
            asked.check(tenant.own, rid, resource)  # it was when it was written; another may have come first
            wanted = asked.wanted(resource)
        except Unprocessable as error:
            _LOG.warning("search parameter not served", tenant=tenant.name, reason=error.id)
    try:
        await own.settle(tenant, rid, wanted)
    except own.Clash:
        _LOG.warning("search parameter not served", tenant=tenant.name, reason="clash")
        await own.settle(tenant, rid, [])
