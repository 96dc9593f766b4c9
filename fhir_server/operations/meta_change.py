"""What `$meta-add` and `$meta-delete` share: the change is made in place and makes no version.

R4 says so of both: meta does not change what a resource says, and labels must hold for versions that exist. `meta.lastUpdated` and
the ETag stay, subscriptions are not told. Everything else is as for an update: rights, new content inside the scope, audit.
"""

from __future__ import annotations

from collections.abc import Callable

from fhir_server.audit.record import audit_row
from fhir_server.auth import labels, policy
from fhir_server.context import RequestContext
from fhir_server.errors import BadRequest, Gone
from fhir_server.interactions import commands
from fhir_server.interactions.call import Call, Json, Result
from fhir_server.interactions.conditions import check_conditions
from fhir_server.interactions.results import absent
from fhir_server.interactions.retry import overtaken, tries
from fhir_server.kit import json
from fhir_server.model.meta import SETS
from fhir_server.operations.meta import answer
from fhir_server.operations.parameters import read_parameters
from fhir_server.search.extract import extract
from fhir_server.storage.amend import Amendable, amend, look
from fhir_server.storage.commands import Command

_STAMPED = ("versionId", "lastUpdated")
_MAX_VERSION = 2**31 - 1


async def change_meta(
    ctx: RequestContext, call: Call, definition: Json, change: Callable[[Json, Json], Json]
) -> Result:
    """Answer a call that changes the Meta of one version by `change(meta, given)`: 200 and what it is then."""
    type_ = call.address.type
    assert type_
    visibility = await policy.visibility(ctx, type_, "update")
    given = _given(definition, call)
    async for _ in tries():
        found = await look(ctx.tenant, type_, call.address.id or "", _version(call), visibility)
        there = _there(found)
        check_conditions(call.conditions, there.stored)
        before = json.decode_trusted(there.stored.body)
        after = change(before["meta"], given)
        row = audit_row(ctx, "operation", 200, type=type_, rid=there.stored.rid, version=there.stored.version)
        row.patients = list(there.stored.patients) or None
        result = Result(200, answer(after), there.stored.version, there.stored.last_updated)
        if after == before["meta"]:
            result.audit.append(row)
            return result
        resource = before | {"meta": after}
        index = extract(ctx.tenant, resource)
        await policy.check_write(ctx, type_, "update", index, there.stored.id)
        labels.check_kept(ctx, there.keys, index.keys)
        await commands.ask(ctx, Command("update", type_, there.stored.id, resource, index, there.stored.version))
        if await amend(ctx.tenant, there, resource, extract(ctx.tenant, before), index, row):
            result.audited = True
            return result
    raise overtaken()


def _given(definition: Json, call: Call) -> Json:
    """Return the Meta that is given; BadRequest for what is in it beside the three sets."""
    [given] = read_parameters(definition, call)["meta"]
    if not isinstance(given, dict):
        raise BadRequest("The parameter meta is given as valueMeta.", "parameter-type", "Parameters.parameter[0]")
    if other := sorted(given.keys() - {*SETS, *_STAMPED}):
        text = f"${definition['code']} takes {', '.join(SETS)}; {', '.join(other)} cannot be changed by it."
        raise BadRequest(text, "meta-element", "Parameters.parameter[0].value")
    return given


def _version(call: Call) -> int | None:
    text = call.address.version
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and int(text) <= _MAX_VERSION):
        raise absent()
    return int(text)


def _there(found: Amendable | None) -> Amendable:
    if found is None:
        raise absent()
    if found.stored.deleted:
        raise Gone("The resource was deleted.", "deleted")
    return found
