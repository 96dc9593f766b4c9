"""Following hops before a search runs: what a chain or a `_has` leads to becomes a condition on the row, exact and without doubt.

    chain    1. which rows there match: where they are many, (refers …) row by row
             2. which rows refer to them: named if they are few, else each row's keys are compared
             also: which rows contain one that matches and refer to it, looked at one by one (`inside.py`, `contained.py`)
    _has     1. which rows there match, and to what they refer: named if they are few, else (referred …) row by row,
                or (inseries …) for the Patients who have Observations of some codes

Every statement carries what the caller may see of the type it is about, so that a hop never crosses a hidden row, and what is
behind one neither counts nor keeps anything out. What the index cannot decide is decrypted and decided there and then (the
candidates of one search share LOOKS), for a hop in doubt could not be undone later; the same is done inside an OR or a NOT.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from fhir_server.errors import Unprocessable
from fhir_server.kit import json
from fhir_server.search import canonical, inside
from fhir_server.search.beyond import Seen, all_types_beyond, permitted
from fhir_server.search.compartment import told
from fhir_server.search.compile import LIVE, condition, place, refers_by, sought, there
from fhir_server.search.contained import Judge, chains, within
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
from fhir_server.search.query import And, ByType, Chain, Clause, Condition, Inside, Not, Or, Query, Reverse
from fhir_server.search.rewrite import Met, Scene, meaning
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
from fhir_server.storage.visibility import visible_types_sql
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

        `along`: what refers to Patients is found along their time series, and need not be named. `beside` is what every match must
        meet as well; `inside` becomes the ids of what rows contain and was asked for.
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
        self.inside: dict[int, Met] = {}
        self.beside: Predicate = EVERYTHING

    def scene(self, type_: str) -> Scene:
        """Return the scene of a type, with all that is known."""
        return Scene(type_, self._tenant.key, self._rids, self.joined, self.inside, self.led)

    async def follow(self, type_: str, asked: Condition) -> None:
        """Find out what `meaning` has to know about a condition on a type."""
        match asked:
            case Chain(param, inner):
                if (type_, asked) not in self.joined:
                    found = [await self._chain(asked, type_, param, target, part) for target, part in inner]
                    self.joined[(type_, asked)] = any_of([*found, await self._into(type_, asked)])
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
            case Inside():
                self.joined[(type_, asked)] = await self._containing(asked)

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
        beside, self.beside = self.beside, EVERYTHING
        exact = await self._exact(type_, part)
        self.beside = beside
        return Hop(type_, self._seen[type_], exact)

    # ---- statements ----

    async def _matching(self, hop: Hop) -> list[int] | None:
        """Return the rows of a hop; None when there are many."""
        args: list[Any] = []
        text = f"SELECT t.rid FROM {{s}}.resource t WHERE {there(hop, args, 't')} LIMIT {_most(hop) + 1}"
        found: list[int] = (await fetch(self._tenant, f"SELECT ARRAY({text})", args))[0][0]
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

    async def simple(self, query: Query) -> Predicate:
        """Return what every match of a search meets, by what asks of the row alone; some rows meet it that do not match."""
        scene = self.scene(query.base)
        return await self._named(all_of([meaning(c, scene).predicate for c in query.where if isinstance(c, Clause)]))

    async def _named(self, part: Predicate) -> Predicate:
        """Return a condition with the keys themselves, as the dictionaries have them."""
        return resolved(part, await self._dictionary.look_up(coded(part), facets(part)))

    async def _exact(self, type_: str, asked: Condition) -> Predicate:
        """Return the condition without doubt."""
        await self.follow(type_, asked)
        match = meaning(asked, self.scene(type_))
        match = Match(await self._named(match.predicate), match.doubt)
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
        text = f"SELECT {COLUMNS}, r.fhir_id FROM {{s}}.resource r WHERE {there(Hop(type_, seen, part), args, 'r')}"
        async for row in self._read(type_, text, args):
            yield row

    async def _read(self, type_: str, text: str, args: list[Any]) -> AsyncIterator[Stored]:
        """Yield the rows of a statement, decrypted."""
        records = await fetch(self._tenant, f"{text} LIMIT {place('{}', [self._left + 1], args)}", args)
        if len(records) > self._left:
            raise _too_many(type_)
        self._left -= len(records)
        for start in range(0, len(records), _AT_ONCE):
            for row in readable(self._tenant, records[start : start + _AT_ONCE]):
                yield row
            await asyncio.sleep(0)  # others have their turn

    # ---- into what a row contains ----

    async def _into(self, type_: str, asked: Chain) -> Predicate:
        """Return the condition that a chain leads to what the row itself contains."""
        wanted = [key for target, part in asked.inner for key in inside.candidates(target, part, self._tenant.key)]
        rows = [row async for row in self._bodies(type_, all_of([keys(wanted), self.beside]))]
        if not rows:
            return NOTHING
        self.led.pop((type_, asked), None)  # the series of these rows are not those of the Patients that it leads to
        led = await self._led_from([pair for target, part in asked.inner for pair in chains(target, part)])
        bodies = ((row, json.decode_trusted(row.body)) for row in rows)
        return among([row.rid for row, body in bodies if Judge(body, led).leads(asked, body)])

    async def _containing(self, asked: Inside) -> Predicate:
        """Return the condition that a row contains what is asked for; notes what that is."""
        type_, part = asked.type, asked.part
        args: list[Any] = []
        wanted = all_of([keys(inside.candidates(type_, part, self._tenant.key)), self.beside])
        seen = visible_types_sql("r", self._own, args, told=told)
        where = f"{LIVE.replace('{r}', 'r')} AND {seen} AND {condition(wanted, args, 'r')}"
        text = f"SELECT {COLUMNS}, r.fhir_id FROM {{s}}.resource r WHERE {where}"
        rows = [row async for row in self._read(f"what contains {type_}", text, args)]
        led = await self._led_from(list(chains(type_, part))) if rows else {}
        for row in rows:
            judge = Judge(json.decode_trusted(row.body), led, ids=True)
            found = [each for each in within(judge.container) if each["resourceType"] == type_]
            if met := [each.get("id", "") for each in found if judge.holds(part, each)]:
                itself = not asked.alone and row.type == type_ and judge.holds(part, judge.container)
                self.inside[row.rid] = Met(tuple(met), itself)
        return among(list(self.inside))

    async def _led_from(self, asked: Sequence[tuple[str, Chain]]) -> dict[tuple[str, Chain], set[reference.Name]]:
        """Return the rows that chains lead to from what is inside others; Unprocessable where they are many."""
        led: dict[tuple[str, Chain], set[reference.Name]] = {}
        for type_, chain in asked:
            found = led.setdefault((type_, chain), set())
            for target, part in chain.inner:
                args: list[Any] = []
                where = there(await self._hop(target, part), args, "t")
                text = f"SELECT t.fhir_id FROM {{s}}.resource t WHERE {where} LIMIT {PROBES + 1}"
                rows = await fetch(self._tenant, text, args)
                if len(rows) > PROBES:
                    raise _too_many(target)
                found.update((target, row["fhir_id"]) for row in rows)
        return led

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


def _too_many(type_: str) -> Unprocessable:
    return Unprocessable(
        f"More than {LOOKS} resources would have to be looked into to answer what is asked of {type_}: narrow it.",
        "search-looks-too-many",
    )


def _is_of_code(source: str, param: SearchParam, part: Condition) -> bool:
    """Tell whether a `_has` asks for Observations of a subject by their codes, which the time series have by patient."""
    if source != SERIES_TYPE or param.name not in ("subject", "patient") or not isinstance(part, Clause):
        return False
    plain = part.param.name == "code" and part.modifier is None
    return plain and all(isinstance(value, token.Token) and value.code for value in part.values)


def _most(hop: Hop) -> int:
    """Return how many rows of a hop are followed one by one: all those that are named already."""
    return ROWS if is_among(hop.part) else PROBES


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
    joins.beside = await joins.simple(query)
    for each in query.where:
        await joins.follow(query.base, each)
    return joins.scene(query.base), all(each == ALL for each in seen.values())
