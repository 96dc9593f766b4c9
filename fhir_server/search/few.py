"""What few rows meet is found out before the search runs: ranges, which then name their rows, and what stands beside a hop.

How values are spread is known for each column, not for each code, so a plan made for "many" goes through the table for the handful
of pressures above 170. Up to FEW rows are cheaper to fetch and sort than to meet by chance; more are met soon.

Where a hop is followed row by row (`join.py`) and the page goes by rid, sorting comes after the hop: all that meets the rest of the
search would be followed for a page of twenty. If they are few they are put in order first, and followed until the page is full.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from fhir_server.search import select
from fhir_server.search.compile import narrow
from fhir_server.search.predicates import (
    All,
    InSeries,
    Keys,
    Predicate,
    Referred,
    Refers,
    Rows,
    all_of,
    among,
)
from fhir_server.search.select import Selection
from fhir_server.search.statement import fetch
from fhir_server.storage.tenants import Tenant

FEW = 1000
BESIDE_HOP = 4000
"""Up to so many rows are put in order before a hop is followed from them, one by one."""


def ranges(part: Predicate) -> list[Rows]:
    """Return the conditions on narrow rows that every match meets."""
    return [each for each in (part.parts if isinstance(part, All) else (part,)) if isinstance(each, Rows)]


async def look_up(tenant: Tenant, part: Predicate) -> dict[Rows, Predicate]:
    """Return those of the ranges that few rows meet, each with the condition that names the rows."""
    found: dict[Rows, Predicate] = {}
    for rows in ranges(part):
        args: list[Any] = []
        text = f"{narrow(rows, args)} LIMIT {FEW + 1}"
        rids = [record["rid"] for record in await fetch(tenant, text, args)]
        if len(rids) <= FEW:
            found[rows] = among(sorted(set(rids)))
    return found


def named(part: Predicate, few: Mapping[Rows, Predicate]) -> Predicate:
    """Return the condition with those ranges as the rows that they name."""
    parts = part.parts if isinstance(part, All) else (part,)
    return all_of([few.get(each, each) if isinstance(each, Rows) else each for each in parts]) if few else part


async def beside_hop(tenant: Tenant, selection: Selection) -> Selection:
    """Return a selection whose hop is followed last, from rows in their order, if few meet what stands beside it."""
    parts = selection.match.predicate.parts if isinstance(selection.match.predicate, All) else ()
    hops: list[Predicate] = [part for part in parts if isinstance(part, Refers | Referred | InSeries)]
    rest = [part for part in parts if part not in hops]
    if not hops or not any(isinstance(part, Keys) for part in rest) or selection.keys or selection.series:
        return selection
    alone = replace(selection, match=replace(selection.match, predicate=all_of(rest)))
    args: list[Any] = []
    text = f"SELECT count(*) FROM ({select.rids(alone, args)} LIMIT {BESIDE_HOP + 1}) found"
    [(found,)] = await fetch(tenant, text, args)
    return replace(alone, late=all_of(hops)) if found <= BESIDE_HOP else selection
