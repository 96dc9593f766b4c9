"""patch: part of a resource changed (R4 `http.html#patch`), by JSON Patch or FHIRPath Patch; in all else an update.

The patch is read before the resource is looked for, and applied to what the caller may see only: a `test` tells nothing of what
is hidden. A patch that was overtaken is applied again to what is there then. In a Bundle a JSON Patch is the content of a Binary.
"""

from __future__ import annotations

from base64 import b64decode
from dataclasses import replace as changed

from fhir_server.auth import policy
from fhir_server.context import RequestContext
from fhir_server.errors import BadRequest, FhirError, Gone, MethodNotAllowed, Unprocessable, UnsupportedMedia
from fhir_server.interactions.address import refuse_stray
from fhir_server.interactions.call import JSON_PATCH, PATCH_FORMATS, Call, Json, Result
from fhir_server.interactions.conditions import check_conditions, refuse_stray_condition, stale
from fhir_server.interactions.results import absent
from fhir_server.interactions.retry import overtaken, tries
from fhir_server.interactions.update import replace
from fhir_server.kit import json
from fhir_server.model.patch.document import Patch, fhirpath_patch_of, json_patch_of
from fhir_server.storage import reads
from fhir_server.storage.errors import VersionConflict
from fhir_server.storage.reads import Stored
from fhir_server.validation.validate import parse_resource

UNPATCHED = frozenset({"Binary"})
"""Types that are not made of elements that a patch could name (R4 `binary.html#patch`)."""


async def patch(ctx: RequestContext, call: Call) -> Result:
    """Answer `PATCH Type/id`."""
    type_, id_ = call.address.type, call.address.id
    assert type_
    assert id_
    refuse_stray(call.params)
    refuse_stray_condition(call.conditions, call.method)
    refuse_unpatched(type_)
    visibility = await policy.visibility(ctx, type_, "patch")
    change = read_patch(call)
    async for _ in tries():
        current = await reads.read(ctx.tenant, type_, id_, visibility)
        try:
            return await patch_current(ctx, call, change, current)
        except VersionConflict as error:
            if call.conditions.if_match is not None:
                raise stale() from error
    raise overtaken()


def refuse_unpatched(type_: str) -> None:
    """Raise MethodNotAllowed for a type of which no resource can be patched."""
    if type_ in UNPATCHED:
        text = f"A {type_} is not patched but replaced: use PUT."
        raise MethodNotAllowed(text, "method", headers={"Allow": "DELETE, GET, HEAD, PUT"})


def read_patch(call: Call) -> Patch:
    """Return the patch of a call; raises when it cannot be understood."""
    if call.media == JSON_PATCH:
        return json_patch_of(json.decode(call.body))
    if not call.nested and call.body.lstrip()[:1] == b"[":
        text = f"This looks like a JSON Patch: send it as {JSON_PATCH}."
        raise UnsupportedMedia(text, "content-type", headers={"Accept-Patch": ", ".join(PATCH_FORMATS)})
    resource = parse_resource(call.body)
    if resource["resourceType"] == "Parameters":
        return fhirpath_patch_of(resource)
    if call.nested and resource["resourceType"] == "Binary":
        return json_patch_of(_content(resource))
    inside = f", or a Binary that holds {JSON_PATCH}" if call.nested else f"; a JSON Patch is sent as {JSON_PATCH}"
    raise BadRequest(f"A patch is a Parameters resource (FHIRPath Patch){inside}.", "patch-expected")


def _content(binary: Json) -> object:
    """Return the JSON Patch that a Binary holds."""
    if binary["contentType"].partition(";")[0].strip().lower() != JSON_PATCH:
        raise UnsupportedMedia(
            f"A Binary that patches has the contentType {JSON_PATCH}.", "content-type", "Binary.contentType"
        )
    try:
        return json.decode(b64decode(binary.get("data", "")))
    except (BadRequest, ValueError) as error:
        text = error.text if isinstance(error, FhirError) else "it is not base64"
        raise BadRequest(
            f"The content of the Binary is no JSON Patch: {text}", "patch-malformed", "Binary.data"
        ) from error


async def patch_current(ctx: RequestContext, call: Call, change: Patch, current: Stored | None) -> Result:
    """Apply a patch to what is there, once."""
    there = patchable(current)
    check_conditions(call.conditions, there)
    return await replace(ctx, call, patched(change, there), there.id, there, right="patch")


def patchable(current: Stored | None) -> Stored:
    """Return what a patch can be applied to; NotFound or Gone when there is nothing."""
    if current is None:
        raise absent()
    if current.deleted:
        raise Gone("The resource was deleted; a patch needs something to change.", "deleted")
    return current


def patched(change: Patch, current: Stored) -> Json:
    """Return what a patch makes of a version; Unprocessable when that is no valid resource, with where and why."""
    after = change.apply(current.body)
    try:
        return parse_resource(json.encode(after), expect=current.type)
    except FhirError as error:
        issues = [changed(issue, text=f"After the patch: {issue.text}") for issue in error.issues]
        raise Unprocessable(issues[0].text, error.id, issues=issues) from error
