"""vread: one version of a resource, judged by what that version held (R4 `http.html#vread`)."""

from __future__ import annotations

from fhir_server.auth import policy
from fhir_server.context import RequestContext
from fhir_server.interactions.call import Call, Result
from fhir_server.interactions.read import answer
from fhir_server.interactions.results import absent
from fhir_server.model import views
from fhir_server.storage import reads

_MAX_VERSION = 2**31 - 1


async def vread(ctx: RequestContext, call: Call) -> Result:
    """Answer `GET Type/id/_history/version`."""
    address = call.address
    assert address.type
    assert address.id
    assert address.version
    visibility = await policy.visibility(ctx, address.type, "read")
    view = views.parse_view(call.params)
    if not (address.version.isascii() and address.version.isdigit() and int(address.version) <= _MAX_VERSION):
        raise absent()
    stored = await reads.vread(ctx.tenant, address.type, address.id, int(address.version), visibility)
    return answer(ctx, call, stored, "vread", view)
