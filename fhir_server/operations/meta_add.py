"""`$meta-add`: profiles, tags and labels added to a resource or a version (R4 `resource-operation-meta-add.html`)."""

from __future__ import annotations

from fhir_server.context import RequestContext
from fhir_server.interactions.call import Call, Json, Result
from fhir_server.model import meta
from fhir_server.operations.meta_change import change_meta

DEFINITION: Json = {
    "resourceType": "OperationDefinition",
    "id": "Resource-meta-add",
    "url": "http://hl7.org/fhir/OperationDefinition/Resource-meta-add",
    "name": "MetaAdd",
    "status": "active",
    "kind": "operation",
    "affectsState": True,
    "code": "meta-add",
    "resource": ["Resource"],
    "system": False,
    "type": False,
    "instance": True,
    "parameter": [
        {"name": "meta", "use": "in", "min": 1, "max": "1", "type": "Meta"},
        {"name": "return", "use": "out", "min": 1, "max": "1", "type": "Meta"},
    ],
}


async def handle(ctx: RequestContext, call: Call) -> Result:
    """Answer `POST Type/id/$meta-add` and `POST Type/id/_history/version/$meta-add`."""
    return await change_meta(ctx, call, DEFINITION, meta.add)
