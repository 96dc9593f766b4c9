"""`$meta`: profiles, tags and security labels of a resource, version, type or the server (R4 `resource-operation-meta.html`).

For a type or the server they are gathered from everything that the caller may find. Their values stand in the encrypted bodies
only, so that is possible up to a number of resources, and refused beyond it.
"""

from __future__ import annotations

from collections.abc import Mapping

from fhir_server.audit.record import audit_row
from fhir_server.auth import policy
from fhir_server.context import RequestContext
from fhir_server.errors import Unprocessable
from fhir_server.interactions import read, vread
from fhir_server.interactions.call import Call, Json, Result
from fhir_server.interactions.pace import Pace
from fhir_server.kit import json
from fhir_server.model import meta
from fhir_server.operations.parameters import read_parameters
from fhir_server.storage import reads
from fhir_server.storage.visibility import Visibility

DEFINITION: Json = {
    "resourceType": "OperationDefinition",
    "id": "Resource-meta",
    "url": "http://hl7.org/fhir/OperationDefinition/Resource-meta",
    "name": "Meta",
    "status": "active",
    "kind": "operation",
    "affectsState": False,
    "code": "meta",
    "resource": ["Resource"],
    "system": True,
    "type": True,
    "instance": True,
    "parameter": [{"name": "return", "use": "out", "min": 1, "max": "1", "type": "Meta"}],
}

MOST = 10_000
"""Resources that are looked into for a type or the server."""
_PAGE = 500


async def handle(ctx: RequestContext, call: Call) -> Result:
    """Answer `$meta` at any level: 200 and a Parameters with the Meta."""
    read_parameters(DEFINITION, call)
    address = call.address
    if address.id:
        found = await (vread.vread if address.version else read.read)(ctx, call)
        if found.status != 200:
            return found
        return Result(
            200,
            answer(json.decode_trusted(found.body).get("meta", {})),
            found.version,
            found.last_modified,
            audit=found.audit,
        )
    if address.type:
        seen = {address.type: await policy.visibility(ctx, address.type, "search-type")}
    else:
        seen = await policy.visibilities(ctx, "search-system")
    body = answer(await _gathered(ctx, seen))
    return Result(200, body, audit=[audit_row(ctx, "operation", 200, type=address.type)])


def answer(found: Json) -> bytes:
    """Return the Parameters that hold a Meta."""
    value = {"valueMeta": found} if found else {}
    return json.encode({"resourceType": "Parameters", "parameter": [{"name": "return", **value}]})


async def _gathered(ctx: RequestContext, seen: Mapping[str, Visibility]) -> Json:
    pace = Pace()
    metas: Json = {}
    count = 0
    async for rows in reads.each(ctx.tenant, seen, _PAGE):
        count += len(rows)
        if count > MOST:
            text = f"There are more than {MOST} resources to look into; ask for a type, or search by _tag, _profile or _security."
            raise Unprocessable(text, "meta-too-costly", code="too-costly")
        for row in rows:
            metas = meta.add(metas, json.decode_trusted(row.body).get("meta", {}))
            await pace.step()
    return meta.summary([metas])
