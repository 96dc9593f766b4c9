"""delete: a tombstone becomes the current version (R4 `http.html#delete`); history and vread still tell what was."""

from __future__ import annotations

from fhir_server.audit.record import audit_row
from fhir_server.auth import policy
from fhir_server.context import RequestContext
from fhir_server.interactions import commands, contents, results
from fhir_server.interactions.address import refuse_stray
from fhir_server.interactions.call import Call, Result
from fhir_server.interactions.conditions import check_conditions, refuse_stray_condition, stale
from fhir_server.interactions.provenance import commit_explained
from fhir_server.interactions.results import absent
from fhir_server.interactions.retry import overtaken, tries
from fhir_server.kit import json
from fhir_server.storage import reads
from fhir_server.storage.blobs import keep
from fhir_server.storage.errors import VersionConflict
from fhir_server.storage.reads import Stored


async def delete(ctx: RequestContext, call: Call) -> Result:
    """Answer `DELETE Type/id`: 204, again 204 when it is deleted already, 404 when it never was or is hidden."""
    type_, id_ = call.address.type, call.address.id
    assert type_
    assert id_
    refuse_stray(call.params)
    refuse_stray_condition(call.conditions, call.method)
    visibility = await policy.visibility(ctx, type_, "delete")
    async for _ in tries():
        current = await reads.read(ctx.tenant, type_, id_, visibility)
        if current is None:
            raise absent()
        check_conditions(call.conditions, current)
        try:
            return await remove(ctx, call, current)
        except VersionConflict as error:
            if call.conditions.if_match is not None:
                raise stale() from error
    raise overtaken()


async def remove(ctx: RequestContext, call: Call, current: Stored) -> Result:
    """Delete `current`, once; what is deleted already stays as it is."""
    if current.deleted:
        row = audit_row(ctx, "delete", 204, type=current.type, rid=current.rid, version=current.version)
        result = results.deleted(call, current.version)
        result.audit.append(row)
        return result
    if current.type == keep.TYPE:
        await contents.check_held(ctx, json.decode_trusted(current.body))
    command = await commands.removal(ctx, current)
    [done] = await commit_explained(ctx, call, [command], [audit_row(ctx, "delete", 204, type=current.type)])
    return results.deleted(call, done.version)
