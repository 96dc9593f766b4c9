"""Running a search: one page with its total, the matches of a condition, or whether one resource matches.

Rows in doubt are decrypted and looked into until the page is full. A page looks into 10,000 of them at most: it may then be short,
and its link goes on from there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import asyncpg

from fhir_server.context import RequestContext
from fhir_server.errors import BadSearch, Issue, Unavailable, Unprocessable
from fhir_server.kit import json
from fhir_server.search import join, lookup, memory, seeing, select
from fhir_server.search.order import keys_of
from fhir_server.search.page import Place, restore, seal
from fhir_server.search.parse import parse_query
from fhir_server.search.predicates import EVERYTHING as ALWAYS
from fhir_server.search.predicates import NOTHING, Keys, Match, Predicate, all_of
from fhir_server.search.query import Clause, Params, Query
from fhir_server.search.rewrite import Scene, names, whole
from fhir_server.search.seeing import Sees
from fhir_server.search.select import START, Position, Seen, Selection
from fhir_server.search.series import recognise
from fhir_server.search.verify import checker
from fhir_server.storage import ident
from fhir_server.storage.reads import Stored, readable
from fhir_server.storage.tenants import Tenant
from fhir_server.storage.visibility import EVERYTHING, Visibility, visible_sql, visible_types_sql
from profiles.registry import R4

LOOKS = 10_000
"""How many rows in doubt one request looks into among its own matches."""
_BATCH = 100

Seeing: TypeAlias = Visibility | Mapping[str, Visibility]
Placed: TypeAlias = tuple[Stored, Position]


@dataclass(slots=True)
class Page:
    """One page: what is shown, how many match in all (None: not asked for, or not known), the cursor of the next page.

    `applied` is what was really searched by, for the `self` link.
    """

    rows: list[Stored]
    total: int | None
    next: str | None
    issues: list[Issue]
    applied: list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Ready:
    """A query that can run: what to select and how to decide about rows in doubt."""

    tenant: Tenant
    query: Query
    selection: Selection
    decide: Callable[[bytes], bool]
    in_memory: bool = False
    hops_unrestricted: bool = True
    """Whether all is seen of the types that its hops go through."""


# ---- making ready ----


async def _rids(tenant: Tenant, query: Query) -> dict[tuple[str, str], int]:
    """Return the rids of what the query refers to, as far as it was ever mentioned."""
    wanted = names(query)
    found = {name: tenant.rids[name] for name in wanted if name in tenant.rids}
    missing = wanted - found.keys()
    if missing:
        await ident.look_up(tenant, missing)
        found |= {name: tenant.rids[name] for name in missing if name in tenant.rids}
    return found


def _seen(query: Query, visibility: Seeing) -> Seen:
    """Return the writer of the condition on what the caller may see."""
    if isinstance(visibility, Mapping):
        by_type = {name: v for name, v in visibility.items() if not query.types or name in query.types}
        return lambda args: visible_types_sql("r", by_type, args)
    if query.type is None:
        raise TypeError("a search over several types needs a Visibility for each")
    number = R4.type_id(query.type)
    return lambda args: f"r.type = {number} AND {visible_sql('r', visibility, args)}"


async def _followed(
    tenant: Tenant, query: Query, visibility: Seeing, sees: Sees
) -> tuple[Scene, Mapping[str, Visibility]]:
    """Return the scene in which the query has a meaning, its hops followed, and what is seen of the types they go through."""
    query.where = await lookup.resolved(tenant, query.base, query.where, sees)
    rids = await _rids(tenant, query)
    if all(isinstance(each, Clause) for each in query.where):
        return Scene(query.base, tenant.key, rids), {}
    beyond = join.all_types_beyond(query.where)
    seen = await sees(sorted(beyond)) if beyond else {}
    query.where = [join.permitted(each, seen) for each in query.where]
    own = visibility if isinstance(visibility, Mapping) else {query.base: visibility}
    joins = join.Joins(tenant, rids, seen, own)
    for each in query.where:
        await joins.follow(query.base, each)
    return joins.scene(query.base), seen


async def prepare(
    tenant: Tenant, query: Query, visibility: Seeing, sees: Sees = seeing.nothing, within: Sequence[int] = ()
) -> Ready:
    """Return the query ready to run; `within` are index keys that every match must hold, as of a compartment."""
    scene, beyond = await _followed(tenant, query, visibility, sees)
    inside: list[Predicate] = [Keys((key,)) for key in within]
    match, keys = _inside(whole(query, scene), inside), keys_of(query)
    series = recognise(query, scene, keys)
    if series is not None:
        series = replace(series, match=_inside(series.match, inside))
    selection = Selection(_seen(query, visibility), match, tuple(keys or ()), series)
    whole_view = all(each == EVERYTHING for each in beyond.values())
    return Ready(tenant, query, selection, checker(query, scene), in_memory=keys is None, hops_unrestricted=whole_view)


def _inside(match: Match, inside: list[Predicate]) -> Match:
    return Match(all_of([*inside, match.predicate]), match.doubt) if inside else match


# ---- statements ----


async def _fetch(tenant: Tenant, text: str, args: list[Any]) -> list[Any]:
    try:
        return list(await tenant.pool.fetch(tenant.sql(text), *args))
    except asyncpg.QueryCanceledError:
        raise Unavailable(
            "The search took too long; narrow it.", "search-timeout", headers={"Retry-After": "5"}
        ) from None


async def _collect(ready: Ready, position: Position, need: int) -> tuple[list[Placed], Position | None]:
    """Return up to `need` matches after a position, and where the looking stopped when it had to stop before the end."""
    found: list[Placed] = []
    looked = 0
    while True:
        always = ready.selection.matched(position.phase).doubt == ALWAYS
        limit = max(need - len(found), _BATCH if always else 1)
        text, args, width = select.page(ready.selection, position, limit)
        records = await _fetch(ready.tenant, text, args)
        for record in records:
            position = Position(position.phase, tuple(record[f"s{number}"] for number in range(width)))
            looked += record["doubt"]
            rows = readable(ready.tenant, [record])  # none when it was erased
            found += [(row, position) for row in rows if not record["doubt"] or ready.decide(row.body)]
            if len(found) == need:
                return found, None
        if len(records) < limit:
            if position.phase + 1 == ready.selection.phases:
                return found, None
            position = Position(position.phase + 1)
        elif looked >= LOOKS:
            return found, position


async def _sorted_in_memory(ready: Ready, position: Position, need: int) -> list[Placed]:
    """Return up to `need` matches after a position, in an order that only the resources know."""
    found, stopped = await _collect(ready, START, memory.MOST + 1)
    if stopped or len(found) > memory.MOST:
        raise memory.too_many(ready.query)
    placed = memory.ordered(ready.query, [row for row, _ in found])
    return memory.beyond(ready.query, placed, position)[:need]


# ---- totals ----


async def _count(ready: Ready) -> int:
    """Return how many match, exactly."""
    text, args = select.count(ready.selection)
    total: int = (await _fetch(ready.tenant, text, args))[0][0]
    if ready.selection.matched().doubt == NOTHING:
        return total
    text, args = select.in_doubt(ready.selection, LOOKS + 1)
    records = await _fetch(ready.tenant, text, args)
    if len(records) > LOOKS:
        raise Unprocessable(
            f"More than {LOOKS} resources would have to be looked into to count these matches: narrow the search.",
            "search-count-too-many",
            "_total",
        )
    return total + sum(ready.decide(row.body) for row in readable(ready.tenant, records))


async def _estimate(ready: Ready) -> int:
    """Return the planner's guess at how many match."""
    text, args = select.estimate(ready.selection)
    plan = json.decode_trusted((await _fetch(ready.tenant, text, args))[0][0].encode())
    return int(plan[0]["Plan"]["Plan Rows"])


async def _total(ready: Ready, visibility: Seeing, shown: int, *, all_shown: bool) -> int | None:
    """Return the total that the query asks for; a first page that shows all knows it for nothing."""
    wanted = ready.query.total
    if wanted == "none":
        return None
    if all_shown:
        return shown
    if wanted == "accurate":
        return await _count(ready)
    if wanted == "estimate":
        # The planner's guess tells of rows that the caller may not see: only who sees everything gets it.
        unrestricted = (
            visibility == EVERYTHING and ready.hops_unrestricted and ready.selection.matched().doubt == NOTHING
        )
        return max(await _estimate(ready), shown + 1) if unrestricted else await _count(ready)
    return None


# ---- doors ----


async def search(
    ctx: RequestContext,
    type_: str | None,
    params: Params,
    *,
    visibility: Seeing,
    sees: Sees = seeing.nothing,
    within: Sequence[int] = (),
    default: int = 50,
    most: int = 1000,
) -> Page:
    """Return a page of a search of one type, or with None of several (`visibility` then names them).

    `sees` answers for the types that chains and `_has` go through; without it they are refused.
    `params` are those of the request, `_cursor` among them when it follows a page's `next`; `default` and `most` are the entries
    of a page when `_count` says nothing, and whatever it says.
    """
    place = restore(ctx, type_, list(params))
    query = parse_query(type_, place.params, lenient=ctx.lenient, base=ctx.tenant.base, most=most)
    ready = await prepare(ctx.tenant, query, visibility, sees, within)
    if query.counts_only:
        return Page([], await _count(ready), None, query.issues, query.applied)
    count = query.count or min(default, most)
    stopped = None
    if ready.in_memory:
        found = await _sorted_in_memory(ready, place.position, count + 1)
    else:
        found, stopped = await _collect(ready, place.position, count + 1)
    goes_on = found[count - 1][1] if len(found) > count else stopped
    rows = [row for row, _ in found[:count]]
    total = place.total
    if place.position == START:
        total = await _total(ready, visibility, len(rows), all_shown=goes_on is None)
    following = seal(ctx, type_, Place(query.applied, goes_on, total)) if goes_on else None
    return Page(rows, total, following, query.issues, query.applied)


def _criteria(tenant: Tenant, type_: str, params: Params) -> Query:
    """Read criteria: always strictly, for what is left out would match more than is meant."""
    query = parse_query(type_, params, lenient=False, base=tenant.base)
    if not query.where:
        raise BadSearch("These criteria name no search parameter: they would match everything.", "criteria-empty")
    return query


async def match(
    ctx: RequestContext,
    type_: str,
    params: Params,
    visibility: Visibility,
    limit: int = 2,
    *,
    sees: Sees = seeing.nothing,
) -> list[Stored]:
    """Return up to `limit` resources of a type that meet the criteria of a conditional interaction."""
    query = _criteria(ctx.tenant, type_, params)
    query.sort = []
    found, _ = await _collect(await prepare(ctx.tenant, query, visibility, sees), START, limit)
    return [row for row, _ in found]


async def matches(
    tenant: Tenant, type_: str, params: Params, rid: int, visibility: Visibility, *, sees: Sees = seeing.nothing
) -> bool:
    """Tell whether the resource `rid` meets criteria, as it stands now and as far as it may be seen."""
    ready = await prepare(tenant, _criteria(tenant, type_, params), visibility, sees)
    text, args = select.one(ready.selection, rid)
    records = await _fetch(tenant, text, args)
    return any(not records[0]["doubt"] or ready.decide(row.body) for row in readable(tenant, records))
