"""Conformance resources of our own (profiles, code systems, operations), written where they differ from what is stored."""

from __future__ import annotations

from collections.abc import Iterable

from fhir_server.audit.record import audit_row
from fhir_server.auth.principals import worker_principal
from fhir_server.context import RequestContext
from fhir_server.interactions import commands
from fhir_server.interactions.call import Json
from fhir_server.interactions.update import is_unchanged
from fhir_server.kit import ids
from fhir_server.storage import reads
from fhir_server.storage.commands import IMPORT, PUT
from fhir_server.storage.commit import commit
from fhir_server.storage.errors import VersionConflict
from fhir_server.storage.tenants import Tenant
from fhir_server.storage.visibility import EVERYTHING


async def publish(tenant: Tenant, resources: Iterable[Json]) -> int:
    """Make each resource, by type and id, what is given; return how many had to be written.

    Another process that does the same at the same moment wins, and has written the same.
    """
    wanted = {(each["resourceType"], each["id"]): each for each in resources}
    there = await reads.read_many(tenant, list(wanted), {type_: EVERYTHING for type_, _ in wanted})
    changes = [
        commands.build(tenant, each, name[1], current=there.get(name), http_method=PUT, origin=IMPORT)
        for name, each in wanted.items()
        if name not in there or not is_unchanged(each, there[name])
    ]
    if not changes:
        return 0
    ctx = RequestContext(tenant, await worker_principal(tenant), ids.request_id(), tenant.base)
    rows = [audit_row(ctx, "update", 200 if change.expected else 201, type=change.type) for change in changes]
    try:
        await commit(tenant, changes, rows)
    except VersionConflict:
        return 0
    return len(changes)
