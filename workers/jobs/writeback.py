"""What a job computed, written back: what differs from what is stored, in one commit, by an origin that never wakes that job."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from fhir_server.audit.record import audit_row
from fhir_server.auth.principals import worker_principal
from fhir_server.context import RequestContext
from fhir_server.interactions import commands
from fhir_server.interactions.content import same_content
from fhir_server.kit import ids, json
from fhir_server.storage import jobs, reads
from fhir_server.storage.commands import PREDICTION, PUT, TWIN, Command
from fhir_server.storage.commit import commit
from fhir_server.storage.jobs import Job
from fhir_server.storage.reads import Stored
from fhir_server.storage.tenants import Tenant
from fhir_server.storage.visibility import EVERYTHING
from workers.twin.resources import Resource

TYPES: Final = ("Device", "Library", "Observation", "Provenance", "RiskAssessment")
"""What twins and models write."""

Existing = Mapping[tuple[str, str], Stored]


class Overtaken(Exception):
    """Another worker has this job by now; it will do what is left."""


async def existing(tenant: Tenant, names: Iterable[tuple[str, str]]) -> dict[tuple[str, str], Stored]:
    """Return what is stored under these names, with the version each has."""
    return await reads.read_many(tenant, list(names), dict.fromkeys(TYPES, EVERYTHING))


async def write(tenant: Tenant, job: Job, wanted: Iterable[Resource], known: Existing, origin: int = TWIN) -> None:
    """Write what differs from what is stored, in one commit; `known` is part of that, the rest is read.

    A RiskAssessment is a prediction whoever writes it. Raises Overtaken when the job is somebody else's by now, VersionConflict
    when another writer was there first.
    """
    wanted = list(wanted)
    names = [(resource["resourceType"], resource["id"]) for resource in wanted]
    there = {**known, **await existing(tenant, [name for name in names if name not in known])}
    changes = [change for resource in wanted if (change := _change(tenant, resource, there, origin)) is not None]
    if not changes:
        return
    async with tenant.pool.acquire() as connection:
        if not await jobs.hold(connection, tenant, job):
            raise Overtaken
    ctx = RequestContext(tenant, await worker_principal(tenant), ids.request_id(), tenant.base)
    rows = [audit_row(ctx, change.method, 200 if change.expected else 201, type=change.type) for change in changes]
    await commit(tenant, changes, rows)


def _change(tenant: Tenant, resource: Resource, there: Existing, origin: int) -> Command | None:
    """Return the command that makes the resource what it should be, None when it is that already."""
    type_, id_ = resource["resourceType"], resource["id"]
    current = there.get((type_, id_))
    if current is not None and not current.deleted and same_content(resource, json.decode_trusted(current.body)):
        return None
    made = json.decode_trusted(json.encode(resource))  # numbers as they are when they come from outside
    origin = PREDICTION if type_ == "RiskAssessment" else origin
    return commands.build(tenant, made, id_, current=current, http_method=PUT, origin=origin)
