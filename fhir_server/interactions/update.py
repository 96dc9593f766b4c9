"""update: the next version of a resource, or its first under the client's id (R4 `http.html#update`, `#upsert`).

Without `If-Match` an update that was overtaken reads again and tries again, so that racing updates lose none: each becomes a
version. With it, the one that comes second is refused (412).
"""

from __future__ import annotations

from fhir_server.audit.record import audit_row
from fhir_server.auth import policy
from fhir_server.context import RequestContext
from fhir_server.errors import BadRequest
from fhir_server.interactions import commands, results
from fhir_server.interactions.address import refuse_stray
from fhir_server.interactions.call import Call, Json, Result
from fhir_server.interactions.conditions import check_conditions, refuse_stray_condition, stale
from fhir_server.interactions.content import same_content
from fhir_server.interactions.provenance import commit_explained
from fhir_server.interactions.results import absent
from fhir_server.interactions.retry import overtaken, tries
from fhir_server.kit import json
from fhir_server.storage import reads
from fhir_server.storage.commands import PATCH, PUT
from fhir_server.storage.errors import VersionConflict
from fhir_server.storage.reads import Stored
from fhir_server.validation.validate import parse_resource


async def update(ctx: RequestContext, call: Call) -> Result:
    """Answer `PUT Type/id`."""
    type_, id_ = call.address.type, call.address.id
    assert type_
    assert id_
    refuse_stray(call.params)
    refuse_stray_condition(call.conditions, call.method)
    visibility = await policy.visibility(ctx, type_, "update")
    resource = parse_resource(call.body, expect=type_)
    if resource.get("id") != id_:
        text = "The resource needs the same id as the address."
        raise BadRequest(text, "id-mismatch", f"{type_}.id")
    async for _ in tries():
        current = await reads.read(ctx.tenant, type_, id_, visibility)
        await check_visible(ctx, type_, current)
        check_conditions(call.conditions, current)
        try:
            return await replace(ctx, call, resource, id_, current)
        except VersionConflict as error:
            if call.conditions.if_match is not None:
                raise stale() from error
            if current is None and await reads.read(ctx.tenant, type_, id_, visibility) is None:
                raise absent() from error  # the id is taken by what labels or a Consent keep from the caller
    raise overtaken()


async def check_visible(ctx: RequestContext, type_: str, current: Stored | None) -> None:
    """Raise NotFound unless it is there, or the scopes reach all of the type: then it may be created by PUT.

    Who reaches some of a type only would learn by it which ids are taken. What labels or a Consent keep from a caller is told
    apart when the id turns out to be taken.
    """
    if current is None:
        right = "update" if await policy.allowed(ctx, type_, "update") else "create"
        if not await policy.unrestricted(ctx, type_, right):
            raise absent()


async def replace(
    ctx: RequestContext,
    call: Call,
    resource: Json,
    id_: str,
    current: Stored | None,
    claims: tuple[bytes, ...] = (),
    right: str = "update",
) -> Result:
    """Write `resource` over `current` (None: as new), once; content that is the same already makes no version.

    `right` is the interaction by which the caller may do it; with `patch` the body of the call is not the resource.
    """
    patching = right == "patch"
    interaction = "patch" if patching else "update"
    commands.check_references(resource, ctx.base, None if patching else call.body)
    if current is not None and is_unchanged(resource, current):
        result = results.unchanged(ctx, call, current)
        row = audit_row(
            ctx,
            interaction,
            200,
            type=current.type,
            rid=current.rid,
            version=current.version,
            patients=current.patients,
        )
        result.audit.append(row)
        return result
    method = PATCH if patching else PUT
    command = commands.build(
        ctx.tenant, resource, id_, current=current, claims=claims, http_method=method, settled=True
    )
    await commands.authorise(ctx, command, right, current)
    status = 201 if command.method == "create" else 200
    row = audit_row(ctx, interaction, status, type=command.type)
    [done] = await commit_explained(ctx, call, [command], [row])
    return results.written(ctx, call, done)


def is_unchanged(resource: Json, current: Stored) -> bool:
    """Tell whether `current` already says what `resource` says."""
    return not current.deleted and same_content(resource | {"id": current.id}, json.decode_trusted(current.body))
