"""Running a search: one page with its total, or all matches.

Rows in doubt are decrypted and looked into until the page is full. A page looks into 10,000 of them at most: it may then be short,
and its link goes on from there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from fhir_server.context import RequestContext
from fhir_server.errors import Issue, Unprocessable
from fhir_server.kit import json
from fhir_server.search import contained, few, hint, join, lookup, memory, select
from fhir_server.search.compartment import Compartment, held, inside, telling, told
from fhir_server.search.gather import MOST, Gathered, gather
from fhir_server.search.order import Key, assured, keys_of
from fhir_server.search.page import Place, neighbours, restore, seal
from fhir_server.search.parse import parse_query
from fhir_server.search.predicates import EVERYTHING as ALWAYS
from fhir_server.search.predicates import NOTHING, Faceted, Keys, Match, Predicate, all_of, coded, facets, resolved
from fhir_server.search.query import Params, Query, title
from fhir_server.search.rewrite import Met, Scene, meaning, names, whole
from fhir_server.search.seeing import Sees, nothing
from fhir_server.search.select import START, Position, Seen, Selection
from fhir_server.search.series import asked as series_asks
from fhir_server.search.series import broad, by_default, leads, of_patients, recognise
from fhir_server.search.statement import fetch
from fhir_server.search.verify import checker
from fhir_server.storage import ident, tally
from fhir_server.storage.dictionary import Dictionary, Outdated
from fhir_server.storage.layout import Known
from fhir_server.storage.reads import Ring, Stored, readable
from fhir_server.storage.tenants import Tenant
from fhir_server.storage.visibility import EVERYTHING, Visibility, kept_from, visible_sql, visible_types_sql
from profiles.registry import R4

LOOKS = 10_000
"""How many rows in doubt one request looks into among its own matches."""
_BATCH = 100

Seeing: TypeAlias = Visibility | Mapping[str, Visibility]
Placed: TypeAlias = tuple[Stored, Position]


@dataclass(slots=True)
class Page:
    """One page: what is shown, how many match in all (None: not asked for, or not known), the cursors of other pages.

    `applied` is what was really searched by, for the `self` link.
    """

    rows: list[Stored]
    total: int | None
    next: str | None
    issues: list[Issue]
    applied: list[tuple[str, str]]
    included: list[Stored] = field(default_factory=list)
    previous: str | None = None
    first: str | None = None
    inside: Mapping[int, Met] = field(default_factory=dict)
    """By rid the matches that a row contains, where those are answered by themselves."""


@dataclass(frozen=True, slots=True)
class Ready:
    """A query that can run: what to select and how to decide about rows in doubt."""

    tenant: Tenant
    query: Query
    selection: Selection
    decide: Callable[[bytes], bool]
    scene: Scene
    hops_unrestricted: bool
    """Whether all is seen of the types that its chains and `_has` go through."""
    dictionary: Dictionary
    """What was taken of the dictionaries; where it was remembered, nothing found has to be verified."""
    in_memory: bool = False
    tallied: int | None = None
    """The one key that decides alone and whose holders are counted already, where the caller may see all of the type."""
    kept: tuple[int, ...] = ()
    """Labels that are kept from who sees all else of the type: while nothing holds one, what is counted is what is seen."""

    @property
    def joins(self) -> bool:
        """Whether it has chains or `_has`."""
        return bool(self.scene.joined)

    @property
    def more(self) -> int:
        """How many more entries than rows it finds, where what rows contain is answered by itself."""
        return contained.beyond(self.query, self.scene.inside)


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
        return lambda args: visible_types_sql("r", by_type, args, told=told)
    if query.type is None:
        raise TypeError("a search over several types needs a Visibility for each")
    base, number = query.type, R4.type_id(query.type)
    return lambda args: f"r.type = {number} AND {visible_sql('r', visibility, args, told=telling(base))}"


async def prepare(
    tenant: Tenant,
    query: Query,
    visibility: Seeing,
    sees: Sees = nothing,
    within: Sequence[int] = (),
    compartment: Compartment | None = None,
    dictionary: Dictionary | None = None,
) -> Ready:
    """Return the query ready to run; `within` are index keys that every match must hold.

    With a `dictionary` that trusts what is remembered, who runs it verifies that when nothing is found (`collect` does).
    """
    dictionary = dictionary or Dictionary(tenant)
    own = visibility if isinstance(visibility, Mapping) else {query.base: visibility}
    query.where = await lookup.resolved(tenant, query.base, query.where, sees)
    keys, rids = keys_of(query), await _rids(tenant, query)
    if keys == []:
        keys = [*by_default(query)]
    along = await _leads(tenant, query, keys, rids, dictionary)
    scene, whole_view = await join.follow(tenant, query, rids, own, sees, dictionary, along=along)
    also: list[Predicate] = [held(key) for key in within]
    if compartment is not None:
        types = (query.type,) if query.type else query.types or R4.types
        also.append(await inside(tenant, compartment, types))
    match = whole(query, scene)
    known = await dictionary.look_up(coded(match.predicate) | series_asks(query, scene), facets(match.predicate))
    single = _also(match, Known(known.codings), also)
    match = _also(match, known, also)
    rare = await few.look_up(tenant, match.predicate) if broad(query) and not also else {}
    match = replace(match, predicate=few.named(match.predicate, rare))
    # A few rows are sorted at once; by dates a series goes itself.
    fetched = any(rows.table == "ix_number" for rows in rare)
    series = None if fetched else recognise(query, scene, keys, known.codings)
    if series is not None:
        beside = _also(series.match, known, also)
        series = replace(series, match=replace(beside, predicate=few.named(beside.predicate, rare)))
    order = tuple(keys or ()), series, assured(query, keys or ())
    still = dictionary.holds if dictionary.supposes else None
    selection = Selection(_seen(query, visibility), match, *order, still=still)
    if scene.joined:
        selection = await few.beside_hop(tenant, selection)
    kept = None if isinstance(visibility, Mapping) else kept_from(visibility)
    tallied = _tallied(single) if query.type and tally.countable(kept) else None
    found = tenant, query, selection, checker(query, scene), scene, whole_view, dictionary
    return Ready(*found, keys is None, tallied, kept or ())


async def _leads(
    tenant: Tenant, query: Query, keys: list[Key] | None, rids: Mapping[ident.Name, int], dictionary: Dictionary
) -> bool:
    """Tell whether a chain of the query leads to Patients whose series it will go along."""
    if not any(map(of_patients, query.where)):
        return False
    scene = Scene(query.base, tenant.key, rids)
    return leads(query, keys, scene, (await dictionary.look_up(series_asks(query, scene), frozenset())).codings)


def _also(match: Match, known: Known, also: list[Predicate]) -> Match:
    predicate = resolved(match.predicate, known)
    return Match(all_of([*also, predicate]) if also else predicate, match.doubt)


def _tallied(match: Match) -> int | None:
    """Return the one key that decides alone, or that of the whole type."""
    if match == Match(ALWAYS):
        return tally.ALL
    part = match.predicate.part if isinstance(match.predicate, Faceted) else match.predicate
    return part.any_of[0] if match.doubt == NOTHING and isinstance(part, Keys) and len(part.any_of) == 1 else None


# ---- statements ----


async def collect(ready: Ready, position: Position, need: int) -> tuple[list[Placed], Position | None]:
    """Return up to `need` matches after a position, and where the looking stopped when it had to stop before the end."""
    found: list[Placed] = []
    looked = 0
    ring: Ring = {}
    while True:
        always = ready.selection.matched(position.phase).doubt == ALWAYS
        limit = max(need - len(found), _BATCH if always else 1)
        text, args, width = select.page(ready.selection, position, limit)
        records = await fetch(ready.tenant, text, args, anew=ready.joins)
        if not records:
            await ready.dictionary.verify()
        for record in records:
            values = tuple(record[f"s{number}"] for number in range(width))
            position = Position(position.phase, values, position.backwards)
            looked += record["doubt"]
            rows = readable(ready.tenant, [record], ring)  # none when it was erased
            found += [(row, position) for row in rows if not record["doubt"] or ready.decide(row.body)]
            if len(found) == need:
                return found, None
        if len(records) < limit:
            phase = position.phase + (-1 if position.backwards else 1)
            if not 0 <= phase < ready.selection.phases:
                return found, None
            position = Position(phase, (), position.backwards)
        elif looked >= LOOKS:
            return found, position


async def _sorted_in_memory(ready: Ready, position: Position, need: int) -> list[Placed]:
    """Return up to `need` matches after a position, in an order that only the resources know."""
    found, stopped = await collect(ready, START, memory.MOST + 1)
    if stopped or len(found) > memory.MOST:
        raise memory.too_many(ready.query)
    placed = memory.ordered(ready.query, [row for row, _ in found])
    return memory.beyond(ready.query, placed, position)[:need]


# ---- totals ----


async def _count(ready: Ready) -> int:
    """Return how many match, exactly."""
    if ready.tallied is not None and ready.query.type:
        counted = await tally.count(ready.tenant, ready.query.type, ready.tallied, ready.kept)
        if counted is not None:
            return counted
    text, args = select.count(ready.selection)
    total: int = (await fetch(ready.tenant, text, args, anew=ready.joins))[0][0]
    if not total:
        await ready.dictionary.verify()
    if ready.selection.matched().doubt == NOTHING:
        return total
    text, args = select.in_doubt(ready.selection, LOOKS + 1)
    records = await fetch(ready.tenant, text, args)
    if not records:
        await ready.dictionary.verify()
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
    plan = json.decode_trusted((await fetch(ready.tenant, text, args))[0][0].encode())
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
    within: Sequence[int] = (),
    compartment: Compartment | None = None,
    default: int = 50,
    most: int = 1000,
    sees: Sees = nothing,
    most_included: int = MOST,
) -> Page:
    """Return a page of a search of one type, or with None of several (`visibility` then names them).

    `params` are those of the request, `_cursor` among them when it follows a page's `next`; `default` and `most` are the entries
    of a page when `_count` says nothing, and whatever it says. `sees` tells what may be seen of the types that are included,
    and that chains and `_has` go through: without it those are refused.
    """
    place = restore(ctx, type_, list(params))
    query = parse_query(type_, place.params, lenient=ctx.lenient, base=ctx.tenant.base, most=most, inside=True)
    outside = compartment.outside(type_) if compartment else None
    query.issues += [outside] if outside else []
    if query.contained:
        contained.widen(query, compartment)
        visibility = await sees(R4.types)

    async def ready(*, trusting: bool) -> Ready:
        dictionary = Dictionary(ctx.tenant, trusting=trusting)
        return await prepare(ctx.tenant, query, visibility, sees, within, compartment, dictionary)

    if query.counts_only:
        counted = await ready(trusting=False)
        return Page([], await _count(counted) + counted.more, None, query.issues, query.applied)
    count = query.count or min(default, most)
    try:
        found = await _found(await ready(trusting=True), place, count, visibility)
    except Outdated:
        found = await _found(await ready(trusting=False), place, count, visibility)
    rows = [row for row, _ in found.placed]
    if not rows and place.position == START:
        query.issues += await _hint(ctx.tenant, query, visibility, sees, within, compartment)
    beside = Gathered()
    if query.includes:
        beside = await gather(ctx.tenant, query.includes, rows, sees, most_included)
    page = Page(rows, found.total, None, query.issues + beside.issues, query.applied, beside.rows)
    page.inside = found.inside

    def link(position: Position | None) -> str | None:
        return None if position is None else seal(ctx, type_, Place(query.applied, position, found.total))

    around = neighbours(place.position, [at for _, at in found.placed], found.goes_on)
    page.next, page.previous, page.first = map(link, around)
    return page


@dataclass(frozen=True, slots=True)
class _Found:
    """What a page shows, in its order, the total, and where it goes on in the direction of looking."""

    placed: list[Placed]
    total: int | None
    goes_on: Position | None
    inside: Mapping[int, Met]
    """What is answered of the resources that rows contain."""


async def _found(ready: Ready, place: Place, count: int, visibility: Seeing) -> _Found:
    """Return a page of `count`; Outdated when the query has to be made ready anew."""
    stopped = None
    if ready.in_memory:
        found = await _sorted_in_memory(ready, place.position, count + 1)
    else:
        found, stopped = await collect(ready, place.position, count + 1)
    goes_on = found[count - 1][1] if len(found) > count else stopped
    shown = found[:count]
    if place.position.backwards:
        shown.reverse()
    total = place.total
    if place.position == START:
        total = await _total(ready, visibility, len(shown), all_shown=goes_on is None)
        total = None if total is None else total + ready.more
    return _Found(shown, total, goes_on, ready.scene.inside if ready.query.opened else {})


async def _hint(
    tenant: Tenant,
    query: Query,
    visibility: Seeing,
    sees: Sees,
    within: Sequence[int],
    compartment: Compartment | None,
) -> list[Issue]:
    """Look whether a neighbouring parameter would find something: one match is enough."""
    other = hint.widened(query)
    if other is None:
        return []
    found, _ = await collect(await prepare(tenant, other, visibility, sees, within, compartment), START, 1)
    return [hint.advice(query, other)] if found else []


async def every(ready: Ready, most: int) -> list[Stored] | None:
    """Return all matches, in no order that matters; None when there are more than `most` or too many to look into."""
    unsorted = replace(ready, selection=replace(ready.selection, keys=(), series=None))
    found, stopped = await collect(unsorted, START, most + 1)
    return None if stopped or len(found) > most else [row for row, _ in found]


def meanings(ready: Ready) -> list[tuple[str, Match]]:
    """Return the name of each parameter of a query with its condition, for who wants to know how it runs."""
    return [(title(each), meaning(each, ready.scene)) for each in ready.query.where]
