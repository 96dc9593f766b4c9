"""`Composition/{id}/$document`: a Composition and what it refers to as one document (R4 `composition-operation-document.html`).

The Composition comes first, then each resource of this server that it refers to (`relatesTo` aside) and that the caller may read,
in the order in which they are named. `persist` keeps the Bundle, with the labels of all that is in it: by POST only.
"""

from __future__ import annotations

from typing import Any

from fhir_server.audit.record import audit_row
from fhir_server.auth import policy
from fhir_server.context import RequestContext
from fhir_server.errors import BadRequest, Gone
from fhir_server.interactions import commands, results
from fhir_server.interactions.call import Call, Json, Result
from fhir_server.interactions.results import absent
from fhir_server.kit import clock, ids, json
from fhir_server.model.references import find_references
from fhir_server.operations.parameters import read_parameters
from fhir_server.storage import reads
from fhir_server.storage.commit import commit
from fhir_server.storage.reads import Stored
from profiles.registry import R4

DEFINITION: Json = {
    "resourceType": "OperationDefinition",
    "id": "Composition-document",
    "url": "http://hl7.org/fhir/OperationDefinition/Composition-document",
    "name": "Generate a Document",
    "status": "active",
    "kind": "operation",
    "affectsState": False,
    "code": "document",
    "resource": ["Composition"],
    "system": False,
    "type": False,
    "instance": True,
    "parameter": [
        {"name": "persist", "use": "in", "min": 0, "max": "1", "type": "boolean", "documentation": "Keep the Bundle; by POST."},
        {"name": "return", "use": "out", "min": 1, "max": "1", "type": "Bundle"},
    ],
}  # fmt: skip


async def handle(ctx: RequestContext, call: Call) -> Result:
    """Answer `GET` or `POST Composition/{id}/$document`."""
    given = read_parameters(DEFINITION, call)
    persist = given.get("persist") == [True]
    if persist and call.method != "POST":
        raise BadRequest("GET changes nothing: POST the operation to keep the document.", "document-persist")
    composition = await _composition(ctx, call)
    resource = json.decode_trusted(composition.body)
    parts = await _parts(ctx, resource)
    document = _document(ctx, [resource, *(json.decode_trusted(part.body) for part in parts)])
    patients = sorted({patient for each in (composition, *parts) for patient in each.patients})
    row = audit_row(ctx, "operation", 200, type="Composition", rid=composition.rid, patients=patients)
    if not persist:
        return Result(200, json.encode(document), audit=[row])
    return await _kept(ctx, call, document, row)


async def _composition(ctx: RequestContext, call: Call) -> Stored:
    assert call.address.id
    seen = await policy.visibility(ctx, "Composition", "read")
    stored = await reads.read(ctx.tenant, "Composition", call.address.id, seen)
    if stored is None:
        raise absent()
    if stored.deleted:
        raise Gone("The Composition was deleted.", "deleted")
    return stored


async def _parts(ctx: RequestContext, resource: Json) -> list[Stored]:
    """Return what the Composition refers to, in its order, as far as the caller may read it."""
    about = {name: value for name, value in resource.items() if name != "relatesTo"}
    names: dict[tuple[str, str], None] = {}
    for reference, _ in find_references(about):
        type_, _, rest = str(reference["reference"]).partition("/")
        if rest and R4.is_type(type_):
            names[type_, rest.partition("/")[0]] = None
    names.pop(("Composition", resource["id"]), None)
    if not names:
        return []
    seen = await policy.visibilities(ctx, "read", {type_ for type_, _ in names})
    there = await reads.read_many(ctx.tenant, [name for name in names if name[0] in seen], seen)
    return [there[name] for name in names if name in there and not there[name].deleted]


def _document(ctx: RequestContext, resources: list[Json]) -> Json:
    labels: dict[tuple[Any, Any], Json] = {
        (label.get("system"), label.get("code")): label
        for each in resources
        for label in each.get("meta", {}).get("security", ())
    }
    made: Json = {"resourceType": "Bundle", "id": ids.uuid_()}
    if labels:
        made["meta"] = {"security": list(labels.values())}
    entries = [{"fullUrl": f"{ctx.base}/{each['resourceType']}/{each['id']}", "resource": each} for each in resources]
    return made | {
        "identifier": {"system": "urn:ietf:rfc:3986", "value": f"urn:uuid:{ids.uuid_()}"},
        "type": "document",
        "timestamp": clock.instant(clock.now()),
        "entry": entries,
    }


async def _kept(ctx: RequestContext, call: Call, document: Json, row: Any) -> Result:
    """Write the Bundle, and answer with it and where it is."""
    await policy.visibility(ctx, "Bundle", "create")
    command = commands.build(ctx.tenant, document, ids.new_id(), fresh=True)
    await commands.authorise(ctx, command, "create")
    [done] = await commit(ctx.tenant, [command], [audit_row(ctx, "create", 201, type="Bundle")])
    result = results.written(ctx, call, done)
    result.audit.append(row)
    return result
