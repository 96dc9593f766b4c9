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
from fhir_server.search import canonical
from fhir_server.search.compile import LIVE
from fhir_server.search.include import Step, backward_steps, forward_steps, sources_of, targets_of
from fhir_server.search.query import Include
from fhir_server.search.seeing import Sees
from fhir_server.search.statement import fetch
from fhir_server.storage.index_keys import MOST_RID, PARAM_SHIFT, pack
from fhir_server.storage.reads import COLUMNS, Stored, readable
from fhir_server.storage.tenants import Tenant
from fhir_server.storage.visibility import Visibility, visible_types_sql
from profiles.registry import R4

ROUNDS = 10
"""How often `:iterate` is followed."""
MOST = 1000
"""Resources included in a page, when the caller says nothing else."""
PROBES = 50_000
"""Index keys that the reverse includes of one page look for."""
_CHUNK = 10_000

_FORWARD = f"""
WITH m AS (SELECT * FROM unnest($1::bigint[], $2::int[]) AS m(rid, version)),
held AS (
  SELECT f.keys FROM {{s}}.resource f JOIN m USING (rid, version)
  UNION ALL SELECT h.keys FROM {{s}}.history h JOIN m USING (rid, version)),
w AS MATERIALIZED (
  SELECT DISTINCT k & {MOST_RID} AS rid, p.target FROM held CROSS JOIN LATERAL unnest(held.keys) AS k
  JOIN unnest($3::bigint[], $4::smallint[]) AS p(param, target) ON p.param = k >> {PARAM_SHIFT} WHERE k >= 0)
SELECT DISTINCT ON (r.rid) {COLUMNS}, r.fhir_id FROM w JOIN {{s}}.resource r ON r.rid = w.rid
WHERE (w.target IS NULL OR w.target = r.type)"""

# The index of keys must lead: `r.rid + 0` keeps the planner from walking through all rows in the order that is asked for.
_BY_KEYS = f"SELECT {COLUMNS}, r.fhir_id FROM {{s}}.resource r WHERE r.keys && $1::bigint[]"


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
        await self._take(_FORWARD, args, seen, "r.rid")
        for type_, each in by_type.items():
            for keys, accepts in canonical.ahead(steps[type_], each, seen, self.tenant.key):
                await self._take(_BY_KEYS, [keys], seen, "r.rid + 0", accepts)

    async def _backward(self, includes: Sequence[Include], by_type: Mapping[str, list[Stored]]) -> None:
        for include in includes:
            seen = {type_: v for type_, v in (await self.sees(sources_of(include))).items() if v}
            steps = {type_: backward_steps(include, type_) for type_ in seen}
            await self._probe(_reference_keys(steps, by_type), seen)
            for keys, accepts in canonical.behind(steps, by_type, self.tenant.key):
                await self._take(_BY_KEYS, [keys], seen, "r.rid + 0", accepts)

    async def _probe(self, keys: list[int], seen: Mapping[str, Visibility]) -> None:
        """Add who holds one of many keys, as far as looking goes."""
        for start in range(0, len(keys), _CHUNK):
            if self.probes >= PROBES or self.cut:
                self.cut = True
                return
            chunk = keys[start : start + _CHUNK]
            self.probes += len(chunk)
            await self._take(_BY_KEYS, [chunk], seen, "r.rid + 0")

    async def _take(
        self, text: str, args: list[Any], seen: Mapping[str, Visibility], order: str, accepts: canonical.Accepts = bool
    ) -> None:
        """Add what a statement finds, as far as it may be seen and there is room."""
        room = self.most - len(self.rows)
        where = f" AND {LIVE.replace('{r}', 'r')} AND {visible_types_sql('r', seen, args)}"
        args.append(sorted(self.known))
        where += f" AND r.rid <> ALL(${len(args)}::bigint[])"
        args.append(room + 1)
        records = await fetch(self.tenant, f"{text}{where} ORDER BY {order} LIMIT ${len(args)}", args)
        self.cut |= len(records) > room
        rows = [row for row in readable(self.tenant, records[:room]) if accepts(row.body)]
        self.known.update(row.rid for row in rows)
        self.rows += rows


def _reference_keys(steps: Mapping[str, Sequence[Step]], by_type: Mapping[str, list[Stored]]) -> list[int]:
    """Return the keys by which resources refer to the rows."""
    return [
        pack(source.id, row.rid)
        for each in steps.values()
        for source, target in each
        for type_, rows in by_type.items()
        if target in (None, type_)
        for row in rows
    ]


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
    return Gathered(work.rows, [_cut_off()] if work.cut else [])
