"""What the values of `:in`, `:not-in`, `:above` and `:below` mean here and now, looked up before a search runs.

    (in code ValueSet/v)              -> (code system|a system|b ...)       ValueSet and CodeSystem resources, else R4's own tables
    (below code system|a)             -> (code system|a and what is below)  CodeSystem resources, else R4's own tables
    (below location Location/1)       -> (location Location/1 and its parts, and theirs)

Each statement carries what the caller may see of the type it is about; of R4's own value sets everybody sees all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from fhir_server.errors import BadSearch, Forbidden, Unprocessable
from fhir_server.search.compile import sought
from fhir_server.search.kinds import coded, related
from fhir_server.search.modifier_table import parent_param
from fhir_server.search.parameters import table
from fhir_server.search.query import (
    And,
    ByType,
    Chain,
    Clause,
    Condition,
    Inside,
    Narrowed,
    Not,
    Or,
    Reverse,
    Value,
    leaves,
    shown,
    shown_url,
)
from fhir_server.search.seeing import Sees
from fhir_server.search.shelf import Shelf
from fhir_server.search.statement import fetch
from fhir_server.storage import ident
from fhir_server.storage.index_keys import MOST_RID, pack
from fhir_server.storage.tenants import Tenant
from fhir_server.storage.visibility import Visibility, visible_sql
from profiles.registry import R4
from terminology.code_system import CodeSystem
from terminology.value_set import MOST, Library, expand, needs, not_loaded

MAX_SETS = 200
"""Value sets that one is made of, and code systems."""
MAX_PARTS = 5_000
"""Resources that are part of one, together."""

_TREE = """
WITH RECURSIVE tree(rid) AS (
  SELECT unnest($1::bigint[]) UNION
  SELECT n.rid FROM tree t CROSS JOIN LATERAL (
    SELECT r.rid FROM {{s}}.resource r
    WHERE {sought} @> ARRAY[{first}::bigint + t.rid] AND {seen} OFFSET 0) n)
SELECT rid FROM tree LIMIT {most}
"""
_UP = """
WITH RECURSIVE tree(rid) AS (
  SELECT unnest($1::bigint[]) UNION
  SELECT k & {rids} FROM tree t JOIN {{s}}.resource r ON r.rid = t.rid AND {seen}, unnest(r.keys) k
  WHERE k >= {first} AND k <= {first} + {rids})
SELECT rid FROM tree LIMIT {most}
"""

_Needing = coded.InSet | coded.Subsumed | related.Related


def _in_need(asked: Condition) -> bool:
    return any(isinstance(value, _Needing) for clause in leaves(asked) for value in clause.values)


async def resolved(tenant: Tenant, type_: str, where: Sequence[Condition], sees: Sees) -> list[Condition]:
    """Return conditions on a type with what had to be looked up; Unprocessable when it is not here."""
    if not any(_in_need(asked) for asked in where):
        return list(where)
    lookup = _Lookup(tenant, sees)
    return [await lookup.condition(type_, asked) for asked in where]


class _Lookup:
    """Looks values up for one search, everything once."""

    def __init__(self, tenant: Tenant, sees: Sees) -> None:
        self._tenant = tenant
        self._sees = sees
        self._shelf = Shelf(tenant)
        self._library = Library()
        self._seen: dict[str, Visibility | None] = {}

    async def condition(self, type_: str, asked: Condition) -> Condition:
        """Return a condition on a type with nothing left to look up."""
        if not _in_need(asked):
            return asked
        match asked:
            case Clause():
                return await self._clause(type_, asked)
            case And(parts):
                return And(tuple([await self.condition(type_, part) for part in parts]))
            case Or(parts):
                return Or(tuple([await self.condition(type_, part) for part in parts]))
            case Not(part):
                return Not(await self.condition(type_, part))
            case Chain(param, inner):
                return Chain(param, tuple([(name, await self.condition(name, part)) for name, part in inner]))
            case ByType(inner):
                return ByType(tuple([(name, await self.condition(name, part)) for name, part in inner]))
            case Reverse(source, param, part):
                return Reverse(source, param, await self.condition(source, part))
            case Inside(inside, part, alone):
                return Inside(inside, await self.condition(inside, part), alone)
            case Narrowed(clause, how):
                return Narrowed(await self._clause(type_, clause), how)

    async def _clause(self, type_: str, clause: Clause) -> Clause:
        values: list[Value] = []
        codes: set[tuple[str, str]] = set()
        systems: set[str] = set()
        for value in clause.values:
            match value:
                case coded.InSet(canonical):
                    found = await self._members(clause, canonical)
                    codes |= found.codes
                    systems |= found.systems
                case coded.Subsumed():
                    codes |= await self._subsumed(type_, clause, value)
                case related.Related():
                    values.append(await self._related(value))
                case _:
                    values.append(value)
        if len(codes) > MOST:
            text = f"{shown(clause.param.name)} means more than {MOST} codes: search by fewer."
            raise Unprocessable(text, "terminology-too-costly", shown(clause.param.name), code="too-costly")
        if any(isinstance(value, coded.InSet | coded.Subsumed) for value in clause.values):
            values.append(coded.Codes(tuple(sorted(codes)), tuple(sorted(systems))))
        return replace(clause, values=tuple(values))

    # ---- what may be seen ----

    async def _visible(self, type_: str) -> Visibility | None:
        """Return what may be seen of a type; None when the token does not allow searching it."""
        if type_ not in self._seen:
            self._seen[type_] = (await self._sees([type_])).get(type_)
        return self._seen[type_]

    # ---- value sets and code systems ----

    async def _value_set(self, canonical: str) -> Mapping[str, Any] | None:
        if canonical not in self._library.value_sets:
            if len(self._library.value_sets) >= MAX_SETS:
                text = f"The value set is made of more than {MAX_SETS} others."
                raise Unprocessable(text, "terminology-too-costly", code="too-costly")
            seen = await self._visible("ValueSet")
            found = await self._shelf.value_set(canonical, seen) if seen else None
            self._library.value_sets[canonical] = found or _of_r4(canonical)
        return self._library.value_sets[canonical]

    async def _system(self, url: str) -> CodeSystem | None:
        if url not in self._library.systems:
            seen = await self._visible("CodeSystem")
            self._library.systems[url] = await self._shelf.code_system(url, seen)
        return self._library.systems[url]

    async def _members(self, clause: Clause, canonical: str) -> Any:
        value_set = await self._value_set(canonical)
        if value_set is None:
            await self._refuse_unseen("ValueSet")
            text = (
                f"The value set that {shown(clause.param.name)} names is not here: store it as a ValueSet resource with its"
                " url, or name one of R4."
            )
            raise Unprocessable(text, "terminology-not-loaded", shown(clause.param.name), code="not-found")
        todo, done = [value_set], set[str]()
        while todo:
            sets, systems = needs(todo.pop())
            for url in sorted(systems):
                await self._system(url)
            for url in sorted(sets - done):
                done.add(url)
                inner = await self._value_set(url)
                todo += [inner] if inner is not None else []
        return expand(value_set, self._library)

    async def _refuse_unseen(self, type_: str) -> None:
        if await self._visible(type_) is None:
            text = f"What this search names may be a {type_}, which the token does not allow searching."
            raise Forbidden(text, "insufficient-scope")

    async def _subsumed(self, type_: str, clause: Clause, value: coded.Subsumed) -> set[tuple[str, str]]:
        code = value.token.code or ""
        urls = [value.token.system] if value.token.system else _systems(type_, clause)
        if not urls:
            name = shown(clause.param.name)
            text = (
                f"{name}:{value.relation} needs the system of the code, as in {name}:{value.relation}=[system]|[code]."
            )
            raise BadSearch(text, "search-value", name)
        found: set[tuple[str, str]] = set()
        for url in urls:
            system = await self._system(url)
            if system is None:
                await self._refuse_unseen("CodeSystem")
                raise not_loaded("CodeSystem", shown_url(url) if url == value.token.system else url)
            spelt = system.spelt(code) or code
            near = system.below(spelt) if value.relation == "below" else system.above(spelt)
            found |= {(url, each) for each in near}
        return found

    # ---- what is part of what ----

    async def _related(self, value: related.Related) -> related.Related:
        await ident.look_up(self._tenant, [name for name in value.names if name not in self._tenant.rids])
        rids: set[int] = set()
        for name in value.names:
            start = self._tenant.rids.get(name)
            if start is not None:
                rids |= await self._tree(name[0], start, value)
        return replace(value, rids=tuple(sorted(rids)))

    async def _tree(self, type_: str, start: int, value: related.Related) -> set[int]:
        param = parent_param(type_)
        seen = await self._visible(type_)
        if seen is None:
            raise Forbidden(
                f"The token does not allow searching {type_}, whose parts this search asks for.", "insufficient-scope"
            )
        assert param is not None
        args: list[Any] = [[start]]
        where = f"r.type = {R4.type_id(type_)} AND r.version > 0 AND NOT r.deleted AND {visible_sql('r', seen, args)}"
        (source,) = table(type_).sources[param.name]
        text = (_TREE if value.relation == "below" else _UP).format(
            sought=sought("r"), first=pack(source.id, 0), seen=where, rids=MOST_RID, most=MAX_PARTS + 1
        )
        found = {row["rid"] for row in await fetch(self._tenant, text, args)}
        if len(found) > MAX_PARTS:
            text = f"More than {MAX_PARTS} resources are part of this {type_}: ask for one of its parts."
            raise Unprocessable(text, "search-too-many-parts", code="too-costly")
        return found


def _of_r4(canonical: str) -> Mapping[str, Any] | None:
    url, _, version = canonical.partition("|")
    found = R4.value_set(url)
    return found if found is not None and version in ("", found["version"]) else None


def _systems(type_: str, clause: Clause) -> list[str]:
    """Return the systems that the values of `code` elements are from, which name none."""
    found: set[str] = set()
    for source in table(type_).sources.get(clause.param.name, ()):
        for term in source.terms:
            for valueset in term.bindings:
                found |= (R4.expansion(valueset) or {}).keys()
    return sorted(found)
