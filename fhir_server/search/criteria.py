"""Criteria: the matches of a conditional interaction, and whether one resource matches.

Always read strictly, for what is left out would match more than is meant.
"""

from __future__ import annotations

from fhir_server.context import RequestContext
from fhir_server.errors import BadSearch
from fhir_server.search import select
from fhir_server.search.beyond import all_types_beyond
from fhir_server.search.parse import PARTIAL, parse_query
from fhir_server.search.query import Params, Query
from fhir_server.search.run import collect, prepare
from fhir_server.search.seeing import Sees, nothing
from fhir_server.search.select import START
from fhir_server.search.statement import fetch
from fhir_server.storage.reads import Stored, readable
from fhir_server.storage.tenants import Tenant
from fhir_server.storage.visibility import Visibility


def _criteria(tenant: Tenant, type_: str, params: Params) -> Query:
    query = parse_query(type_, params, lenient=False, base=tenant.base)
    if query.includes:
        raise BadSearch("Criteria find resources, they include none.", "criteria-include", "_include")
    partial = next((issue for issue in query.issues if issue.id == PARTIAL), None)
    if partial is not None:
        raise BadSearch(f"{partial.text} Criteria must find all that meets them.", PARTIAL, partial.expression)
    if not query.where:
        raise BadSearch("These criteria name no search parameter: they would match everything.", "criteria-empty")
    return query


def types_beyond(tenant: Tenant, type_: str, params: Params) -> set[str]:
    """Return the types that criteria come by beside their own."""
    return all_types_beyond(_criteria(tenant, type_, params).where)


async def match(
    ctx: RequestContext,
    type_: str,
    params: Params,
    visibility: Visibility,
    limit: int = 2,
    *,
    sees: Sees = nothing,
) -> list[Stored]:
    """Return up to `limit` resources of a type that meet the criteria of a conditional interaction."""
    query = _criteria(ctx.tenant, type_, params)
    query.sort = []
    found, _ = await collect(await prepare(ctx.tenant, query, visibility, sees), START, limit)
    return [row for row, _ in found]


async def matches(
    tenant: Tenant, type_: str, params: Params, rid: int, visibility: Visibility, *, sees: Sees = nothing
) -> bool:
    """Tell whether the resource `rid` meets criteria, as it stands now and as far as it may be seen."""
    ready = await prepare(tenant, _criteria(tenant, type_, params), visibility, sees)
    text, args = select.one(ready.selection, rid)
    records = await fetch(tenant, text, args)
    return any(not records[0]["doubt"] or ready.decide(row.body) for row in readable(tenant, records))
