"""`Observation/$lastn`: the newest Observations of each code of a subject (R4 `observation-operation-lastn.html`).

It takes the search parameters of Observation, of which one says whose they are. `search/lastn.py` says what is one code.
"""

from __future__ import annotations

from urllib.parse import urlencode

from fhir_server.audit.record import audit_row
from fhir_server.auth import policy
from fhir_server.context import RequestContext
from fhir_server.errors import BadRequest, BadSearch
from fhir_server.interactions.address import Params
from fhir_server.interactions.call import Call, Json, Result
from fhir_server.kit import clock, ids
from fhir_server.model import bundles, views
from fhir_server.operations.parameters import as_query
from fhir_server.search import lastn, run
from fhir_server.search.kinds.reference import Name, Reference
from fhir_server.search.parse import parse_query
from fhir_server.search.query import Clause, Query
from fhir_server.storage.reads import Stored

TYPE = "Observation"
MOST = 10_000
"""Observations of one answer."""

DEFINITION: Json = {
    "resourceType": "OperationDefinition",
    "id": "Observation-lastn",
    "url": "http://hl7.org/fhir/OperationDefinition/Observation-lastn",
    "name": "Lastn",
    "status": "active",
    "kind": "operation",
    "affectsState": False,
    "code": "lastn",
    "comment": "Takes every search parameter of Observation too; subject or patient is required.",
    "resource": [TYPE],
    "system": False,
    "type": True,
    "instance": False,
    "parameter": [
        {"name": "max", "use": "in", "min": 0, "max": "1", "type": "positiveInt", "documentation": "Of each code, else 1."},
        {"name": "subject", "use": "in", "min": 0, "max": "1", "type": "string", "searchType": "reference"},
        {"name": "patient", "use": "in", "min": 0, "max": "1", "type": "string", "searchType": "reference"},
        {"name": "category", "use": "in", "min": 0, "max": "*", "type": "string", "searchType": "token"},
        {"name": "code", "use": "in", "min": 0, "max": "*", "type": "string", "searchType": "token"},
        {"name": "date", "use": "in", "min": 0, "max": "*", "type": "string", "searchType": "date"},
        {"name": "return", "use": "out", "min": 1, "max": "1", "type": "Bundle"},
    ],
}  # fmt: skip

_FIXED = frozenset({"_count", "_sort", "_total"})


async def handle(ctx: RequestContext, call: Call) -> Result:
    """Answer `GET` or `POST Observation/$lastn`: a searchset, group by group, each from the newest on."""
    visibility = await policy.visibility(ctx, TYPE, "search-type")
    params = as_query(call)
    most = _most([text for name, text in params if name == "max"])
    criteria = [pair for pair in params if pair[0] != "max"]
    fixed = next((name for name, _ in criteria if name in _FIXED), None)
    if fixed is not None:
        raise BadSearch(f"$lastn has an order and a size of its own: leave out {fixed}.", "lastn-parameter", fixed)
    query = parse_query(TYPE, criteria, lenient=ctx.lenient, base=ctx.tenant.base)
    wanted = _subject(query)
    ready = await run.prepare(ctx.tenant, query, visibility, policy.sees(ctx))
    known = {name: ctx.tenant.rids[name] for name in wanted if name in ctx.tenant.rids}
    groups = await lastn.last(ready, known, most, MOST) if known else []
    rows = [row for group in groups for row in group]
    applied = [("max", str(most)), *query.applied]
    row = audit_row(
        ctx, "operation", 200, type=TYPE, patients=sorted({patient for row in rows for patient in row.patients}),
        query=f"{TYPE}/$lastn?{urlencode(applied)}",
    )  # fmt: skip
    return Result(200, _bundle(ctx, query, rows, applied), audit=[row])


def _most(given: list[str]) -> int:
    if len(given) > 1 or not all(text.isascii() and text.isdigit() and 0 < int(text[:9]) <= MOST for text in given):
        raise BadRequest(f"max is given once and is a whole number from 1 to {MOST}.", "parameter-value", "max")
    return int(given[0]) if given else 1


def _subject(query: Query) -> tuple[Name, ...]:
    """Return the resources that the one subject can mean."""
    clauses = [
        clause
        for clause in query.where
        if isinstance(clause, Clause) and clause.param.name in ("subject", "patient") and clause.missing is None
    ]
    values = [value for clause in clauses for value in clause.values]
    if len(values) != 1 or not isinstance(values[0], Reference) or values[0].identifier is not None:
        text = "Say whose Observations, once: patient=123, or subject=Device/123."
        raise BadSearch(text, "lastn-subject", "subject", code="required")
    return values[0].names


def _bundle(ctx: RequestContext, query: Query, rows: list[Stored], applied: Params) -> bytes:
    view = views.parse_view(query.applied)
    entries = [] if query.counts_only else [
        bundles.search_entry(ctx.base, row.type, row.id, views.apply(row.body, view)) for row in rows
    ]  # fmt: skip
    if query.issues:
        entries.append(bundles.outcome_entry(query.issues))
    url = f"{ctx.base}/{TYPE}/$lastn?{urlencode(applied)}"
    return bundles.bundle(
        "searchset", entries, id_=ids.new_id(), moment=clock.now(), total=len(rows), links=[("self", url)]
    )
