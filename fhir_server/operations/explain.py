"""`[type]/$explain?...`: how a search of the type is understood and run, for administrators.

What it tells (PostgreSQL's estimates) is about the whole database, so it is for who may search and read all of it: a token with
`system/*.rs` or more, without filters. Nothing that is found is returned; values are in the echoed query only.
"""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlencode

from fhir_server.audit.record import audit_row
from fhir_server.auth import policy
from fhir_server.context import RequestContext
from fhir_server.errors import Forbidden
from fhir_server.interactions.call import Call, Json, Result
from fhir_server.kit import json
from fhir_server.operations.parameters import as_query
from fhir_server.search import explain, run
from fhir_server.search.explain import Explanation, Part
from fhir_server.search.parse import parse_query
from fhir_server.search.query import Query
from fhir_server.storage.visibility import EVERYTHING
from profiles.registry import R4

DEFINITION: Json = {
    "resourceType": "OperationDefinition",
    "id": "Resource-explain",
    "url": "https://fhir.clarity.example/OperationDefinition/Resource-explain",
    "name": "Explain",
    "status": "active",
    "kind": "operation",
    "affectsState": False,
    "code": "explain",
    "comment": "Takes the parameters of a search of the type. For tokens that may search and read every type without filters.",
    "resource": ["Resource"],
    "system": False,
    "type": True,
    "instance": False,
    "parameter": [
        {"name": "query", "use": "out", "min": 1, "max": "1", "type": "string"},
        {"name": "applied", "use": "out", "min": 0, "max": "*", "type": "string"},
        {"name": "ignored", "use": "out", "min": 0, "max": "*", "type": "string"},
        {"name": "clause", "use": "out", "min": 0, "max": "*", "part": [
            {"name": "name", "use": "out", "min": 1, "max": "1", "type": "string"},
            {"name": "predicate", "use": "out", "min": 1, "max": "1", "type": "string"},
            {"name": "index", "use": "out", "min": 0, "max": "*", "type": "string"},
            {"name": "decrypts", "use": "out", "min": 1, "max": "1", "type": "code"},
        ]},
        {"name": "decrypts", "use": "out", "min": 1, "max": "1", "type": "code"},
        {"name": "order", "use": "out", "min": 1, "max": "1", "type": "string"},
        {"name": "statement", "use": "out", "min": 0, "max": "1", "type": "string"},
        {"name": "estimate", "use": "out", "min": 0, "max": "1", "type": "integer"},
        {"name": "plan", "use": "out", "min": 0, "max": "*", "type": "string"},
        {"name": "hint", "use": "out", "min": 0, "max": "*", "type": "string"},
    ],
}  # fmt: skip


async def handle(ctx: RequestContext, call: Call) -> Result:
    """Answer `GET` or `POST [type]/$explain`: Parameters that say how the search would run."""
    type_ = call.address.type
    assert type_
    await _administrator(ctx)
    params = as_query(call)
    query = parse_query(type_, params, lenient=True, base=ctx.tenant.base, most=call.limits.page_max)
    visibility = await policy.visibility(ctx, type_, "search-type")
    ready = await run.prepare(ctx.tenant, query, visibility, policy.sees(ctx))
    found = await explain.explain(ready, run.meanings(ready))
    row = audit_row(ctx, "operation", 200, type=type_, query=f"{type_}/$explain?{urlencode(params)}")
    body = {"resourceType": "Parameters", "parameter": list(_parameters(query, found, whole=visibility == EVERYTHING))}
    return Result(200, json.encode(body), audit=[row])


async def _administrator(ctx: RequestContext) -> None:
    """Raise Forbidden unless the caller reaches all of every type: a plan may go through any of them."""
    for interaction in ("search-type", "read"):
        for type_ in R4.types:
            if not await policy.unrestricted(ctx, type_, interaction):
                text = "$explain tells of the whole database: it needs a scope such as system/*.rs, without filters."
                raise Forbidden(text, "explain-administrators")


def _parameters(query: Query, found: Explanation, *, whole: bool) -> Iterator[Json]:
    """Yield what is told; the statement holds, and PostgreSQL's numbers count, what labels and Consents hide from others.

    So only who sees everything is told of these.
    """
    yield _string("query", found.query)
    yield from (_string("applied", f"{name}={text}") for name, text in query.applied)
    yield from (_string("ignored", issue.text) for issue in query.issues)
    yield from (_clause(part) for part in found.parts)
    yield {"name": "decrypts", "valueCode": found.doubt}
    yield _string("order", found.order)
    if whole:
        yield _string("statement", found.statement)
        yield {"name": "estimate", "valueInteger": found.estimate}
        yield from (_string("plan", line) for line in found.plan)
        yield from (_string("hint", hint) for hint in found.hints)


def _clause(part: Part) -> Json:
    parts = [
        _string("name", part.name),
        _string("predicate", part.predicate),
        *(_string("index", index) for index in part.indexes),
        {"name": "decrypts", "valueCode": part.doubt},
    ]
    return {"name": "clause", "part": parts}


def _string(name: str, text: str) -> Json:
    return {"name": name, "valueString": text}
