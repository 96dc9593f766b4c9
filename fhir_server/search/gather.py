"""Bringing what a page includes: by rounds of two statements, whatever the number of matches (R4 search.html#include).

A round follows references forward (the index keys of the rows hold the rids they refer to) and backward (who holds a key that
refers to one of them). The next begins at what was brought, for `:iterate`. Every statement carries what the caller may see of
the types it looks for; what is left out for that is as if it were not there. An included resource stands on a page once, never
beside itself as a match, and counts for neither `total` nor `_count`.

Bounds: rounds, resources of a page, keys looked for. Who is cut off is told so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fhir_server.errors import Issue
from fhir_server.search import canonical, versioned
from fhir_server.search.compile import LIVE, sought
from fhir_server.search.include import Step, backward_steps, forward_steps, sources_of, targets_of
from fhir_server.search.query import Include
from fhir_server.search.seeing import Sees
from fhir_server.search.statement import fetch
from fhir_server.storage.index_keys import MOST_RID, PARAM_SHIFT, pack
from fhir_server.storage.layout import alternatives
from fhir_server.storage.reads import COLUMNS, Stored, readable
from fhir_server.storage.tenants import Tenant
from fhir_server.storage.visibility import Visibility, visible_types_sql
from profiles.registry import R4

ROUNDS = 10
"""How often `:iterate` is followed."""
MOST = 1000
"""Resources included in a page, when the caller says nothing else."""
PROBES = 20_000
"""Index keys that the reverse includes of one page look for."""
_CHUNK = 1000

# What each statement goes along: `at` is (rid or key). The subquery beside it is fenced by OFFSET 0, so that it is a probe of one
# index for each, whatever the planner thinks of the whole: one that walks through all rows instead takes minutes.
_FORWARD = f"""
WITH m AS (SELECT * FROM unnest($1::bigint[], $2::int[]) AS m(rid, version)),
held AS (
  SELECT f.keys FROM {{s}}.resource f JOIN m USING (rid, version)
  UNION ALL SELECT h.keys FROM {{s}}.history h JOIN m USING (rid, version)),
at AS MATERIALIZED (
  SELECT DISTINCT k & {MOST_RID} AS rid, p.target FROM held CROSS JOIN LATERAL unnest(held.keys) AS k
  JOIN unnest($3::bigint[], $4::smallint[]) AS p(param, target) ON p.param = k >> {PARAM_SHIFT} WHERE k >= 0)
"""
_TO_RID = "r.rid = at.rid AND (at.target IS NULL OR r.type = at.target)"
_BY_KEYS = "WITH at AS MATERIALIZED (SELECT * FROM unnest($1::bigint[], $2::bigint[]) AS at(key, sought))"
_WITH_KEY = f"{sought('r')} @> ARRAY[at.sought] AND r.keys @> ARRAY[at.key]"

# The types of which there is anything, from one look at the index for each.
_PRESENT = """
WITH RECURSIVE t AS (
  SELECT min(type) AS type FROM {s}.resource
  UNION ALL SELECT (SELECT min(type) FROM {s}.resource r WHERE r.type > t.type) FROM t WHERE t.type IS NOT NULL)
SELECT type FROM t WHERE type IS NOT NULL"""


@dataclass(slots=True)
class Gathered:
    """What a page includes, and what is to be said about it."""

    rows: list[Stored] = field(default_factory=list)
    issues: list[Issue] = field(default_factory=list)


@dataclass(slots=True)
class _Gathering:
    """The includes of one page while they are brought."""

    tenant: Tenant
    sees: Sees
    most: int
    known: set[int]
    rows: list[Stored] = field(default_factory=list)
    probes: int = 0
    cut: bool = False

    async def round(self, includes: Sequence[Include], start: Sequence[Stored]) -> list[Stored]:
        """Bring what the includes say of these rows; return what is new."""
        before = len(self.rows)
        by_type: dict[str, list[Stored]] = {}
        for row in start:
            by_type.setdefault(row.type, []).append(row)
        await self._forward([each for each in includes if not each.reverse], by_type)
        await self._backward([each for each in includes if each.reverse], by_type)
        return self.rows[before:]

    async def _forward(self, includes: Sequence[Include], by_type: Mapping[str, list[Stored]]) -> None:
        steps = {type_: [s for each in includes for s in forward_steps(each, type_)] for type_ in by_type}
        found: set[Step] = {step for each in steps.values() for step in each}
        seen = await self.sees(sorted(targets_of(found))) if found else {}
        if not any(seen.values()):
            return
        rows = [row for type_, each in by_type.items() if steps[type_] for row in each]
        pairs = {(source.id, R4.type_id(target) if target else None) for source, target in found}
        args: list[Any] = [[row.rid for row in rows], [row.version for row in rows]]
        args += [[param for param, _ in pairs], [target for _, target in pairs]]
        await self._take(_FORWARD, _TO_RID, args, seen)
        for type_, each in by_type.items():
            for keys, accepts in canonical.ahead(steps[type_], each, seen, self.tenant.key):
                await self._take(_BY_KEYS, _WITH_KEY, _probes(keys), seen, accepts)

    async def _backward(self, includes: Sequence[Include], by_type: Mapping[str, list[Stored]]) -> None:
        for include in includes:
            sources = sources_of(include) if include.type else await self._present(sources_of(include))
            seen = {type_: v for type_, v in (await self.sees(sources)).items() if v}
            steps = {type_: backward_steps(include, type_) for type_ in seen}
            await self._probe(_reference_keys(steps, by_type), seen)
            for keys, accepts in canonical.behind(steps, by_type, self.tenant.key):
                await self._take(_BY_KEYS, _WITH_KEY, _probes(keys), seen, accepts)

    async def _present(self, types: Sequence[str]) -> list[str]:
        """Return those of the types of which there is anything, so that a wildcard does not look for all others."""
        present = {record["type"] for record in await fetch(self.tenant, _PRESENT, [])}
        return [type_ for type_ in types if R4.type_id(type_) in present]

    async def _probe(self, keys: list[int], seen: Mapping[str, Visibility]) -> None:
        """Add who holds one of many keys, as far as looking goes."""
        for start in range(0, len(keys), _CHUNK):
            if self.probes >= PROBES or self.cut:
                self.cut = True
                return
            chunk = keys[start : start + _CHUNK]
            self.probes += len(chunk)
            await self._take(_BY_KEYS, _WITH_KEY, _probes(chunk), seen)

    async def _take(
        self,
        along: str,
        where: str,
        args: list[Any],
        seen: Mapping[str, Visibility],
        accepts: canonical.Accepts = bool,
    ) -> None:
        """Add what stands where a statement goes along, as far as it may be seen and there is room."""
        room = self.most - len(self.rows)
        found = f"{where} AND {LIVE.replace('{r}', 'r')} AND {visible_types_sql('r', seen, args)}"
        args += [sorted(self.known), room + 1]
        text = (
            f"{along} SELECT {COLUMNS}, r.fhir_id FROM {{s}}.resource r WHERE r.rid = ANY(ARRAY("
            f" SELECT DISTINCT f.rid FROM at CROSS JOIN LATERAL (SELECT r.rid FROM {{s}}.resource r WHERE {found}"
            f" AND r.rid <> ALL(${len(args) - 1}::bigint[]) OFFSET 0) f ORDER BY f.rid LIMIT ${len(args)})) ORDER BY r.rid"
        )
        records = await fetch(self.tenant, text, args)
        self.cut |= len(records) > room
        rows = [row for row in readable(self.tenant, records[:room]) if accepts(row.body)]
        self.known.update(row.rid for row in rows)
        self.rows += rows


def _probes(keys: Sequence[int]) -> list[Any]:
    """Return keys, and beside each what the index may hold it under."""
    pairs = [(key, at) for key in keys for at in alternatives(key)]
    return [[key for key, _ in pairs], [at for _, at in pairs]]


def _reference_keys(steps: Mapping[str, Sequence[Step]], by_type: Mapping[str, list[Stored]]) -> list[int]:
    """Return the keys by which resources refer to the rows."""
    ids = {
        type_: {source.id for each in steps.values() for source, to in each if to in (None, type_)} for type_ in by_type
    }
    return [pack(param, row.rid) for type_, rows in by_type.items() for row in rows for param in sorted(ids[type_])]


def _cut_off() -> Issue:
    text = (
        f"Not all that was asked for is included in this page: a page includes a limited number of resources, iterates {ROUNDS}"
        " times at most, and looks for a limited number of references. Ask for smaller pages, or follow fewer parameters."
    )
    return Issue("too-costly", "search-include-cut", text, "_include", "warning")


async def gather(
    tenant: Tenant, includes: Sequence[Include], matches: Sequence[Stored], sees: Sees, most: int = MOST
) -> Gathered:
    """Return what the includes bring to a page of matches."""
    work = _Gathering(tenant, sees, most, {row.rid for row in matches})
    start = list(matches)
    asked = list(includes)
    for _ in range(ROUNDS):
        if not start or not asked or work.cut:
            break
        start = await work.round(asked, start)
        asked = [each for each in asked if each.iterate]
    work.cut |= bool(start and asked)
    rows = await versioned.settle(tenant, includes, matches, work.rows, sees)
    return Gathered(rows, [_cut_off()] if work.cut else [])
