"""read: the current version of one resource (R4 `http.html#read`), with conditional read."""

from __future__ import annotations

from fhir_server.audit.record import audit_row
from fhir_server.auth import policy
from fhir_server.context import RequestContext
from fhir_server.errors import Gone
from fhir_server.interactions import audit_events
from fhir_server.interactions.call import Call, Result
from fhir_server.interactions.conditions import not_modified
from fhir_server.interactions.results import absent
from fhir_server.model import views
from fhir_server.storage import reads
from fhir_server.storage.reads import Stored


async def read(ctx: RequestContext, call: Call) -> Result:
    """Answer `GET Type/id`."""
    type_, id_ = call.address.type, call.address.id
    assert type_
    assert id_
    visibility = await policy.visibility(ctx, type_, "read")
    view = views.parse_view(call.params)
    if type_ == audit_events.TYPE:
        stored = await audit_events.read(ctx, id_, visibility)
    else:
        stored = await reads.read(ctx.tenant, type_, id_, visibility)
    return answer(ctx, call, stored, "read", view)


def answer(ctx: RequestContext, call: Call, stored: Stored | None, interaction: str, view: views.View | None) -> Result:
    """Turn what storage found into a Result: 200, 304, 404 or 410."""
    if stored is None:
        raise absent()
    if stored.deleted:
        raise Gone("The resource was deleted.", "deleted", headers={"ETag": f'W/"{stored.version}"'})
    unchanged = not_modified(call.conditions, stored)
    status = 304 if unchanged else 200
    row = audit_row(
        ctx, interaction, status, type=stored.type, rid=stored.rid, version=stored.version, patients=stored.patients
    )
    body = b"" if unchanged else views.apply(stored.body, view)
    return Result(status, body, stored.version, stored.last_updated, audit=[row], resource_type=stored.type)
