"""Following hops before a search runs: what a chain or a `_has` leads to becomes a condition on the row, exact and without doubt.

    chain    1. which rows there match: where they are many, (refers …) row by row
             2. which rows refer to them: named if they are few, else each row's keys are compared
    _has     1. which rows there match, and to what they refer: named if they are few, else (referred …) row by row,
                or (inseries …) for the Patients who have Observations of some codes

Every statement carries what the caller may see of the type it is about, so that a hop never crosses a hidden row, and what is
behind one neither counts nor keeps anything out. What the index cannot decide is decrypted and decided there and then (the
candidates of one search share LOOKS), for a hop in doubt could not be undone later; the same is done inside an OR or a NOT.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from fhir_server.errors import Forbidden, Unprocessable
from fhir_server.search import canonical
from fhir_server.search.compile import place, refers_by, sought, there
from fhir_server.search.extract import SERIES_TYPE
from fhir_server.search.kinds import reference, token
from fhir_server.search.parameters import Source, table
from fhir_server.search.predicates import (
    EVERYTHING,
    NOTHING,
    Hop,
    InSeries,
    Keys,
    Match,
    Predicate,
    Referred,
    Refers,
    Without,
    all_of,
    among,
    any_of,
    coded,
    facets,
    holding,
    is_among,
    keys,
    resolved,
)
from fhir_server.search.query import And, ByType, Chain, Clause, Condition, Narrowed, Not, Or, Query, Reverse
from fhir_server.search.rewrite import Scene, meaning
from fhir_server.search.seeing import Sees
from fhir_server.search.series import of_patients
from fhir_server.search.statement import fetch
from fhir_server.search.verify import judge
from fhir_server.storage import layout
from fhir_server.storage.dictionary import Dictionary
from fhir_server.storage.index_keys import MOST_RID, pack
from fhir_server.storage.reads import COLUMNS, Stored, readable
from fhir_server.storage.tenants import Tenant
from fhir_server.storage.visibility import EVERYTHING as ALL
from fhir_server.storage.visibility import Visibility
from profiles.registry import SearchParam

LOOKS = 10_000
"""How many rows in doubt one request looks into on its way."""
KEYS = 4
"""Up to so many targets are asked for as a list of values would be."""
PROBES = 1000
"""Up to so many rows at the other end of a hop are followed one by one."""
ROWS = 4000
"""Up to so many rows are named; where more refer to what matches, going through them finds a page sooner."""
_AT_ONCE = 500

Seen = Mapping[str, Visibility]


# ---- what the caller may do ----


def types_beyond(asked: Condition) -> set[str]:
    """Return the types that a condition comes by, beside the one it is about."""
    match asked:
        case Chain(inner=inner):
            return {name for type_, part in inner for name in (type_, *types_beyond(part))}
        case Reverse(type=type_, inner=part):
            return {type_} | types_beyond(part)
        case And(parts) | Or(parts):
            return {name for part in parts for name in types_beyond(part)}
        case ByType(inner=inner):
            return {name for _, part in inner for name in types_beyond(part)}
        case Not(part):
            return types_beyond(part)
        case Clause() | Narrowed():
            return set()


def permitted(asked: Condition, seen: Seen) -> Condition:
    """Return the condition without what leads through types that the caller may not search; Forbidden when that is all of it."""
    match asked:
        case Chain(param, inner):
            return Chain(param, _permitted(inner, seen))
        case Reverse(type_, param, part):
            _check(type_, seen)
            return Reverse(type_, param, permitted(part, seen))
        case And(parts):
            return And(tuple(permitted(part, seen) for part in parts))
        case Or(parts):
            return Or(tuple(permitted(part, seen) for part in parts))
        case ByType(inner):
            return ByType(tuple((type_, permitted(part, seen)) for type_, part in inner))
        case Not(part):
            return Not(permitted(part, seen))
        case Clause() | Narrowed():
            return asked


def _permitted(inner: tuple[tuple[str, Condition], ...], seen: Seen) -> tuple[tuple[str, Condition], ...]:
    """Return the types of a chain that may be gone through: one that names no type means those, as it means what may be seen."""
    found: list[tuple[str, Condition]] = []
    refused: list[Forbidden] = []
    for type_, part in inner:
        try:
            _check(type_, seen)
            found.append((type_, permitted(part, seen)))
        except Forbidden as error:
            refused.append(error)
    if not found:
        raise refused[0]
    return tuple(found)


def _check(type_: str, seen: Seen) -> None:
    if type_ not in seen:
        raise Forbidden(
            f"The token does not allow searching {type_}, through which this search goes; it would need a scope such as"
            f" system/{type_}.s.",
            "insufficient-scope",
            headers={"WWW-Authenticate": f'Bearer error="insufficient_scope", scope="system/{type_}.s"'},
        )


# ---- following ----


class Joins:
    """Follows the hops of one search; `joined` is what it finds out, for `rewrite.meaning`."""

    def __init__(
        self,
        tenant: Tenant,
        rids: Mapping[reference.Name, int],
        seen: Seen,
        own: Seen,
        dictionary: Dictionary,
        *,
        along: bool = False,
    ) -> None:
        """`seen` is what may be seen through hops, `own` what the search itself sees of its types.

        `along`: what refers to Patients is found along their time series, and need not be named.
        """
        self._tenant = tenant
        self._seen = seen
        self._own = own
        self._dictionary = dictionary
        self._rids = rids
        self._left = LOOKS
        self._along = along
        self.joined: dict[tuple[str, Condition], Predicate] = {}
        self.led: dict[tuple[str, Condition], list[int]] = {}

    def scene(self, type_: str) -> Scene:
        """Return the scene of a type, with all that is known."""
        return Scene(type_, self._tenant.key, self._rids, self.joined, self.led)

    async def follow(self, type_: str, asked: Condition) -> None:
        """Find out what `meaning` has to know about a condition on a type."""
        match asked:
            case Chain(param, inner):
                if (type_, asked) not in self.joined:
                    found = [await self._chain(asked, type_, param, target, part) for target, part in inner]
                    self.joined[(type_, asked)] = any_of(found)
            case Reverse(source, param, part):
                if (type_, asked) not in self.joined:
                    self.joined[(type_, asked)] = await self._reverse(type_, source, param, part)
            case And(parts):
                for part in parts:
                    await self.follow(type_, part)
            case Or(parts):
                for part in parts:
                    await self._exact(type_, part)
            case Not(part):
                await self._exact(type_, part)
            case ByType(inner):
                for each, part in inner:
                    await self.follow(each, part)

    async def _chain(self, asked: Chain, type_: str, param: SearchParam, target: str, part: Condition) -> Predicate:
        hop = await self._hop(target, part)
        if hop.part == NOTHING or not hop.seen:
            return NOTHING
        sources = [source for source in table(type_).sources[param.name] if source.only in (None, target)]
        cited = await self._citing(type_, [source for source in sources if canonical.cites(source)], hop)
        numbers = tuple(source.id for source in sources if reference.literal(source))
        return any_of([cited, await self._leading(asked, type_, numbers, hop)]) if numbers else cited

    async def _leading(self, asked: Chain, type_: str, numbers: tuple[int, ...], hop: Hop) -> Predicate:
        """Return the condition that a row refers, by parameters of these numbers, to a row of a hop."""
        rids = await self._matching(hop)
        if rids is None:
            return Refers(numbers, hop)
        serial = type_ == SERIES_TYPE and of_patients(asked)
        if serial:
            self.led[(type_, asked)] = rids
        wanted = [pack(number, rid) for number in numbers for rid in rids]
        if len(wanted) <= KEYS:
            return keys(wanted)
        if serial and self._along:
            return holding(wanted, refers_by(numbers))
        referring = await self._referring(wanted) if len(wanted) <= PROBES else None
        return holding(wanted, refers_by(numbers)) if referring is None else among(referring)

    async def _reverse(self, type_: str, source: str, param: SearchParam, part: Condition) -> Predicate:
        hop = await self._hop(source, part)
        if hop.part == NOTHING or not hop.seen:
            return NOTHING
        sources = table(source).sources[param.name]
        cited = await self._cited(type_, [each for each in sources if canonical.cites(each)], hop)
        numbers = tuple(each.id for each in sources if reference.literal(each))
        return any_of([cited, await self._led_to(type_, numbers, hop, param, part)]) if numbers else cited

    async def _led_to(
        self, type_: str, numbers: tuple[int, ...], hop: Hop, param: SearchParam, part: Condition
    ) -> Predicate:
        """Return the condition that a row of a hop refers to a row, by parameters of these numbers."""
        codes = hop.part.any_of if isinstance(hop.part, Keys) and _is_of_code(hop.type, param, part) else ()
        serial = InSeries(codes, replace(hop, part=EVERYTHING)) if type_ == "Patient" and codes else None
        if serial and await self._crowded(codes):
            return serial
        referred = await self._referred(hop, numbers)
        return among(referred) if referred is not None else serial or Referred(numbers, hop)

    async def _hop(self, type_: str, part: Condition) -> Hop:
        return Hop(type_, self._seen[type_], await self._exact(type_, part))

    # ---- statements ----

    async def _matching(self, hop: Hop) -> list[int] | None:
        """Return the rows of a hop; None when there are many."""
        args: list[Any] = []
        text = f"SELECT t.rid FROM {{s}}.resource t WHERE {there(hop, args, 't')} LIMIT {_most(hop) + 1}"
        found = [row["rid"] for row in await fetch(self._tenant, text, args)]
        return found if len(found) <= _most(hop) else None

    async def _crowded(self, codes: tuple[int, ...]) -> bool:
        """Tell whether the series of some codes are longer than what is followed one by one: their index alone is asked."""
        text = f"SELECT FROM {{s}}.series WHERE code = ANY($1::bigint[]) LIMIT {PROBES + 1}"
        return len(await fetch(self._tenant, text, [list(codes)])) > PROBES

    async def _referring(self, wanted: list[int]) -> list[int] | None:
        """Return the rows that hold one of the keys; None when there are many.

        Each key is sought by itself: for a list the planner may choose to go through everything, and compare it row by row.
        """
        text = (
            "SELECT x.rid FROM unnest($1::bigint[], $2::bigint[]) k(key, at) CROSS JOIN LATERAL"
            f" (SELECT x.rid FROM {{s}}.resource x WHERE {sought('x')} @> ARRAY[k.at] AND x.keys @> ARRAY[k.key] OFFSET 0) x"
            f" LIMIT {ROWS + 1}"
        )
        pairs = [(key, at) for key in wanted for at in layout.alternatives(key)]
        found = [
            row["rid"] for row in await fetch(self._tenant, text, [list(each) for each in zip(*pairs, strict=True)])
        ]
        return list(dict.fromkeys(found)) if len(found) <= ROWS else None

    async def _referred(self, hop: Hop, numbers: tuple[int, ...]) -> list[int] | None:
        """Return the rows to which those of a hop refer; None when there are many of these."""
        args: list[Any] = []
        held = f"ARRAY(SELECT k & {MOST_RID} FROM unnest(t.keys) k WHERE {refers_by(numbers)})"
        text = f"SELECT {held} AS rids FROM {{s}}.resource t WHERE {there(hop, args, 't')} LIMIT {_most(hop) + 1}"
        found = await fetch(self._tenant, text, args)
        return list(dict.fromkeys(rid for row in found for rid in row["rids"])) if len(found) <= _most(hop) else None

    # ---- what the index cannot decide ----

    async def _exact(self, type_: str, asked: Condition) -> Predicate:
        """Return the condition without doubt."""
        await self.follow(type_, asked)
        match = meaning(asked, self.scene(type_))
        known = await self._dictionary.look_up(coded(match.predicate), facets(match.predicate))
        match = Match(resolved(match.predicate, known), match.doubt)
        if match.doubt == NOTHING or match.predicate == NOTHING:
            return match.predicate
        certain = NOTHING if match.doubt == EVERYTHING else all_of([match.predicate, Without(match.doubt)])
        found = any_of([certain, among(await self._looked_into(type_, asked, match))])
        self.joined[(type_, asked)] = found
        return found

    async def _looked_into(self, type_: str, asked: Condition, match: Match) -> list[int]:
        """Return the rows in doubt that do match."""
        return await self._deciding(type_, all_of([match.predicate, match.doubt]), judge([asked], self.scene(type_)))

    async def _deciding(self, type_: str, part: Predicate, decide: Callable[[bytes], bool]) -> list[int]:
        """Return the rows that meet a condition and whose bodies are found to be right."""
        return [row.rid async for row in self._bodies(type_, part) if decide(row.body)]

    async def _bodies(self, type_: str, part: Predicate) -> AsyncIterator[Stored]:
        """Yield the rows that meet a condition, decrypted; Unprocessable when that would be too many."""
        seen = (*self._own.get(type_, ()), *self._seen.get(type_, ()))
        args: list[Any] = []
        where = there(Hop(type_, seen, part), args, "r")
        text = f"SELECT {COLUMNS}, r.fhir_id FROM {{s}}.resource r WHERE {where} LIMIT {place('{}', [self._left + 1], args)}"
        records = await fetch(self._tenant, text, args)
        if len(records) > self._left:
            raise Unprocessable(
                f"More than {LOOKS} resources would have to be looked into to answer what is asked of {type_}: narrow it.",
                "search-looks-too-many",
            )
        self._left -= len(records)
        for start in range(0, len(records), _AT_ONCE):
            for row in readable(self._tenant, records[start : start + _AT_ONCE]):
                yield row
            await asyncio.sleep(0)  # others have their turn

    # ---- along canonical URLs, which only the bodies tell ----

    async def _citing(self, type_: str, sources: Sequence[Source], hop: Hop) -> Predicate:
        """Return the condition that a row cites a row of a hop by its canonical URL."""
        if not sources:
            return NOTHING
        rows = [row async for row in self._bodies(hop.type, hop.part)]
        steps = {type_: [(source, hop.type) for source in sources]}
        found: list[int] = []
        for wanted, accepts in canonical.behind(steps, {hop.type: rows}, self._tenant.key):
            found += await self._deciding(type_, keys(wanted), accepts)
        return among(found)

    async def _cited(self, type_: str, sources: Sequence[Source], hop: Hop) -> Predicate:
        """Return the condition that a row is cited by a row of a hop."""
        if not sources:
            return NOTHING
        rows = [row async for row in self._bodies(hop.type, hop.part)]
        found: list[int] = []
        for wanted, accepts in canonical.ahead([(s, type_) for s in sources], rows, [type_], self._tenant.key):
            found += await self._deciding(type_, keys(wanted), accepts)
        return among(found)


def _is_of_code(source: str, param: SearchParam, part: Condition) -> bool:
    """Tell whether a `_has` asks for Observations of a subject by their codes, which the time series have by patient."""
    if source != SERIES_TYPE or param.name not in ("subject", "patient") or not isinstance(part, Clause):
        return False
    plain = part.param.name == "code" and part.modifier is None
    return plain and all(isinstance(value, token.Token) and value.code for value in part.values)


def _most(hop: Hop) -> int:
    """Return how many rows of a hop are followed one by one: all those that are named already."""
    return ROWS if is_among(hop.part) else PROBES


def all_types_beyond(asked: Iterable[Condition]) -> set[str]:
    """Return the types that several conditions come by."""
    return {name for each in asked for name in types_beyond(each)}


async def follow(
    tenant: Tenant,
    query: Query,
    rids: Mapping[reference.Name, int],
    own: Seen,
    sees: Sees,
    dictionary: Dictionary,
    *,
    along: bool = False,
) -> tuple[Scene, bool]:
    """Return the scene in which a query has a meaning, and whether all is seen of the types that its hops go through.

    `along` says that a chain to Patients need not name what refers to them: the search goes along their series.
    """
    if all(isinstance(each, Clause) for each in query.where):
        return Scene(query.base, tenant.key, rids), True
    beyond = all_types_beyond(query.where)
    seen = await sees(sorted(beyond)) if beyond else {}
    query.where = [permitted(each, seen) for each in query.where]
    joins = Joins(tenant, rids, seen, own, dictionary, along=along)
    for each in query.where:
        await joins.follow(query.base, each)
    return joins.scene(query.base), all(each == ALL for each in seen.values())
