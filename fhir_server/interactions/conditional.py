"""Conditional create, update, patch and delete (R4 `http.html#ccreate`, `#cond-update`, `#3.1.0.7.1`).

The match runs under what the caller may see; a claim under a unique key decides between racing creates. The claim's key holds
the caller's visibility too, also of the types that chains go through: who sees less searches less, and must not learn from a claim
what the search hides.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from fhir_server.audit.record import audit_row
from fhir_server.auth import policy
from fhir_server.context import RequestContext
from fhir_server.errors import BadRequest, PreconditionFailed
from fhir_server.interactions import results
from fhir_server.interactions.address import Params, parse_criteria
from fhir_server.interactions.call import Call, Json, Result
from fhir_server.interactions.conditions import check_conditions, refuse_stray_condition, stale
from fhir_server.interactions.delete import remove
from fhir_server.interactions.patch import patch_current, read_patch, refuse_unpatched
from fhir_server.interactions.plan import normalised
from fhir_server.interactions.races import Claims
from fhir_server.interactions.retry import overtaken, tries
from fhir_server.interactions.update import check_visible, is_unchanged, replace
from fhir_server.kit.ids import new_id
from fhir_server.search.criteria import match, types_beyond
from fhir_server.storage import reads
from fhir_server.storage.errors import ClaimTaken, VersionConflict
from fhir_server.storage.reads import Stored
from fhir_server.storage.visibility import Visibility
from fhir_server.validation.validate import parse_resource

Make = Callable[[RequestContext, Call, Json, tuple[bytes, ...]], Awaitable[Result]]


async def claim_key(ctx: RequestContext, type_: str, criteria: Params, visibility: Visibility) -> bytes:
    """Return the key under which only one create with these criteria can succeed."""
    sight: list[object] = [visibility]
    if any("." in name or name.startswith("_") for name, _ in criteria) and (
        beyond := types_beyond(ctx.tenant, type_, criteria)
    ):
        sight.append(sorted((await policy.sees(ctx)(beyond)).items()))
    key: bytes = ctx.tenant.claim_key(type_, normalised(criteria), *map(repr, sight))
    return key


async def find(
    ctx: RequestContext,
    type_: str,
    criteria: Params,
    visibility: Visibility,
    *,
    without: frozenset[tuple[str, str]] = frozenset(),
) -> Stored | None:
    """Return the one match, None without one; PreconditionFailed when there are several.

    `without` are resources that the same transaction deletes.
    """
    if not criteria:
        raise BadRequest("Conditional criteria must not be empty: they would match everything.", "criteria-empty")
    found = await match(ctx, type_, criteria, visibility, limit=2 + len(without), sees=policy.sees(ctx))
    left = [stored for stored in found if (stored.type, stored.id) not in without]
    if len(left) > 1:
        text = "The criteria match several resources; make them more exact."
        raise PreconditionFailed(text, "multiple-matches", code="multiple-matches")
    return left[0] if left else None


async def permitted(ctx: RequestContext, type_: str, *interactions: str) -> Visibility:
    """Return the visibility of the first interaction that the caller's scopes allow; Forbidden when none is."""
    for interaction in interactions[:-1]:
        if await policy.allowed(ctx, type_, interaction):
            return await policy.visibility(ctx, type_, interaction)
    return await policy.visibility(ctx, type_, interactions[-1])


async def create(ctx: RequestContext, call: Call, resource: Json, make: Make) -> Result:
    """Answer `POST Type` with `If-None-Exist`: 201, or 200 and the one that is there."""
    type_ = call.address.type
    assert type_
    criteria = parse_criteria(call.conditions.if_none_exist or "", type_)
    visibility = await policy.visibility(ctx, type_, "create")
    key = await claim_key(ctx, type_, criteria, visibility)
    taken = Claims(ctx)
    async for _ in tries():
        found = await find(ctx, type_, criteria, visibility)
        if found is not None:
            return await existing(ctx, call, found)
        await taken.unmatched(key)
        try:
            return await make(ctx, call, resource, (key,))
        except ClaimTaken:
            await taken.met(key)
    raise overtaken()


async def existing(ctx: RequestContext, call: Call, found: Stored) -> Result:
    """Answer with what is there already; its body only to who may read it."""
    readable = None
    if call.returns in (None, "representation") and await policy.allowed(ctx, found.type, "read"):
        seen = await policy.visibility(ctx, found.type, "read")
        readable = await reads.read(ctx.tenant, found.type, found.id, seen)
    result = results.unchanged(ctx, call, found, body=readable.body if readable else b"")
    row = audit_row(ctx, "create", 200, type=found.type, rid=found.rid, version=found.version, patients=found.patients)
    result.audit.append(row)
    return result


async def update(ctx: RequestContext, call: Call) -> Result:
    """Answer `PUT Type?criteria`: the one match is updated, without a match one is created, several are 412."""
    type_ = call.address.type
    assert type_
    refuse_stray_condition(call.conditions, call.method)
    visibility = await permitted(ctx, type_, "update", "create")
    resource = parse_resource(call.body, expect=type_)
    key = await claim_key(ctx, type_, call.params, visibility)
    taken = Claims(ctx)
    async for _ in tries():
        found = await find(ctx, type_, call.params, visibility)
        check_conditions(call.conditions, found)
        try:
            if found is not None:
                return await _update_match(ctx, call, resource, found)
            await taken.unmatched(key)
            return await _update_new(ctx, call, resource, key, visibility)
        except VersionConflict as error:
            if call.conditions.if_match is not None:
                raise stale() from error
        except ClaimTaken:
            await taken.met(key)
    raise overtaken()


async def _update_match(ctx: RequestContext, call: Call, resource: Json, found: Stored) -> Result:
    if resource.get("id", found.id) != found.id:
        text = "The criteria match a resource with another id than the one that is sent."
        raise BadRequest(text, "id-mismatch", f"{found.type}.id")
    if not is_unchanged(resource, found):
        await policy.visibility(ctx, found.type, "update")  # who may only create may repeat itself, not change anything
    return await replace(ctx, call, resource, found.id, found)


async def _update_new(ctx: RequestContext, call: Call, resource: Json, key: bytes, visibility: Visibility) -> Result:
    """Create what the criteria do not find: under the client's id where one is given, as PUT Type/id would."""
    id_ = resource.get("id")
    current = None
    if id_ is not None:
        current = await reads.read(ctx.tenant, resource["resourceType"], id_, visibility)
        await check_visible(ctx, resource["resourceType"], current)
        if current is not None and not current.deleted:
            text = "The id that is sent belongs to a resource that does not meet the criteria."
            raise PreconditionFailed(text, "id-mismatch", f"{current.type}.id")
    right = "update" if await policy.allowed(ctx, resource["resourceType"], "update") else "create"
    return await replace(ctx, call, resource, id_ or new_id(), current, (key,), right)


async def patch(ctx: RequestContext, call: Call) -> Result:
    """Answer `PATCH Type?criteria`: the one match is patched, no match is 404, several are 412."""
    type_ = call.address.type
    assert type_
    refuse_stray_condition(call.conditions, call.method)
    refuse_unpatched(type_)
    visibility = await policy.visibility(ctx, type_, "patch")
    change = read_patch(call)
    async for _ in tries():
        found = await find(ctx, type_, call.params, visibility)
        try:
            return await patch_current(ctx, call, change, found)
        except VersionConflict as error:
            if call.conditions.if_match is not None:
                raise stale() from error
    raise overtaken()


async def delete(ctx: RequestContext, call: Call) -> Result:
    """Answer `DELETE Type?criteria`: deletes the one match; no match is 204 too, several are 412."""
    type_ = call.address.type
    assert type_
    refuse_stray_condition(call.conditions, call.method)
    visibility = await policy.visibility(ctx, type_, "delete")
    async for _ in tries():
        found = await find(ctx, type_, call.params, visibility)
        if found is None:
            return Result(204, audit=[audit_row(ctx, "delete", 204, type=type_)])
        check_conditions(call.conditions, found)
        try:
            return await remove(ctx, call, found)
        except VersionConflict:
            continue
    raise overtaken()
