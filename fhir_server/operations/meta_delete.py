"""`$meta-delete`: profiles, tags and labels taken from a resource or a version (R4 `resource-operation-meta-delete.html`)."""

from __future__ import annotations

from fhir_server.context import RequestContext
from fhir_server.interactions.call import Call, Json, Result
from fhir_server.model import meta
from fhir_server.operations.meta_change import change_meta

DEFINITION: Json = {
    "resourceType": "OperationDefinition",
    "id": "Resource-meta-delete",
    "url": "http://hl7.org/fhir/OperationDefinition/Resource-meta-delete",
    "name": "MetaDelete",
    "status": "active",
    "kind": "operation",
    "affectsState": True,
    "code": "meta-delete",
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
    """Answer `POST Type/id/$meta-delete` and `POST Type/id/_history/version/$meta-delete`."""
    return await change_meta(ctx, call, DEFINITION, meta.remove)
