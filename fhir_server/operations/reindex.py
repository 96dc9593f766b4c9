"""`$reindex`: makes what is stored already found by the search parameters that there are now (`workers/jobs/reindex.py`).

    POST [base]/$reindex          every type
    POST [base]/[type]/$reindex   one type
    POST [base]/[type]/[id]/$reindex   one resource, at once

The first two are answered later: 202 and where to look. Searches by a new parameter say so until it is done for the type.
"""

from __future__ import annotations

from fhir_server.audit.record import audit_row
from fhir_server.auth import policy
from fhir_server.context import RequestContext
from fhir_server.errors import Conflict, Forbidden, Issue, outcome
from fhir_server.interactions import asynchronous
from fhir_server.interactions.call import Call, Json, Result
from fhir_server.interactions.results import absent
from fhir_server.kit import json
from fhir_server.operations.parameters import read_parameters
from fhir_server.search.extract import extract
from fhir_server.storage import own, own_index, reads
from profiles.registry import R4

KIND = "reindex"

DEFINITION: Json = {
    "resourceType": "OperationDefinition",
    "id": "Resource-reindex",
    "url": "https://fhir.clarity.example/OperationDefinition/Resource-reindex",
    "name": "Reindex",
    "status": "active",
    "kind": "operation",
    "affectsState": True,
    "code": "reindex",
    "comment": "For tokens that may update every resource of the types without filters; one resource: who may update it.",
    "resource": ["Resource"],
    "system": True,
    "type": True,
    "instance": True,
    "parameter": [{"name": "return", "use": "out", "min": 1, "max": "1", "type": "OperationOutcome"}],
}


async def handle(ctx: RequestContext, call: Call) -> Result:
    """Answer `POST [type/[id]/]$reindex`: 202, or 200 for one resource."""
    read_parameters(DEFINITION, call)
    address = call.address
    if address.id is not None:
        return await _one(ctx, address.type or "", address.id)
    types = [address.type] if address.type else list(R4.types)
    for type_ in types:
        if not await policy.unrestricted(ctx, type_, "update") and type_ not in policy.APPEND_ONLY:
            text = f"$reindex needs a scope such as system/{address.type or '*'}.u, without filters."
            raise Forbidden(text, "reindex-administrators")
    return await asynchronous.accepted(ctx, KIND, {"types": types}, address.type)


async def _one(ctx: RequestContext, type_: str, id_: str) -> Result:
    found = await reads.read(ctx.tenant, type_, id_, await policy.visibility(ctx, type_, "update"))
    if found is None or found.deleted:
        raise absent()
    await own.load(ctx.tenant)
    batch = await own_index.one(ctx.tenant, found.rid)
    rows = batch.rows if batch is not None else []
    made = [(row, extract(ctx.tenant, json.decode_trusted(row.stored.body))) for row in rows]
    if not await own_index.put(ctx.tenant, made):
        raise Conflict("Somebody is just writing this resource; its next version is indexed anyway.", "reindex-written")
    issue = Issue("informational", "reindexed", "The resource was indexed anew.", severity="information")
    row = audit_row(ctx, "operation", 200, type=type_, rid=found.rid, patients=found.patients)
    return Result(200, json.encode(outcome([issue])), audit=[row])
