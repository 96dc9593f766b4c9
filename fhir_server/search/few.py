"""Ranges that few rows meet are looked up before the search runs, and then name their rows.

How values are spread is known for each column, not for each code, so a plan made for "many" goes through the table for the handful
of pressures above 170. Up to FEW rows are cheaper to fetch and sort than to meet by chance; more are met soon.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fhir_server.search.compile import narrow
from fhir_server.search.predicates import All, Predicate, Rows, all_of, among
from fhir_server.search.statement import fetch
from fhir_server.storage.tenants import Tenant

FEW = 1000


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
