"""Includes along versioned references: "the specified version SHOULD be provided" (R4 search.html#versions).

The index knows whom a reference means, not which version, so this looks into the bodies, and only where one of them can hold such
a reference. The version is given in place of the current one where nothing on the page refers to that, beside it where something
does; where it is not there, or may not be seen as it was then, the current one stays.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from fhir_server.kit import json
from fhir_server.model.references import Local, parse_reference
from fhir_server.search.include import forward_steps
from fhir_server.search.query import Include
from fhir_server.search.seeing import Sees
from fhir_server.search.statement import fetch
from fhir_server.search.verify import pairs_of
from fhir_server.storage.reads import COLUMNS, Stored, readable
from fhir_server.storage.tenants import Tenant
from fhir_server.storage.visibility import Visibility, visible_types_sql
from profiles.registry import R4

_MARK = b"/_history/"
_MOST_VERSION = 2**31 - 1

_PAST = f"""
SELECT {COLUMNS.replace("r.", "h.")}, r.fhir_id
FROM unnest($1::smallint[], $2::text[], $3::int[]) AS w(type, fhir_id, version)
JOIN {{s}}.resource r ON r.type = w.type AND r.fhir_id = w.fhir_id
JOIN {{s}}.history h ON h.rid = r.rid AND h.version = w.version
WHERE NOT h.deleted AND """

Name = tuple[str, str]


def _references(includes: Iterable[Include], row: Stored) -> Iterable[Local]:
    """Yield the references of a row to resources of ours that the includes follow."""
    steps = {step for each in includes for step in forward_steps(each, row.type)}
    resource = json.decode_trusted(row.body) if steps else {}
    for source, target in steps:
        for _, value in pairs_of(source, resource):
            found = parse_reference(value["reference"]) if isinstance(value, dict) and "reference" in value else None
            if isinstance(found, Local) and target in (None, found.type):
                yield found


def _number(text: str) -> int | None:
    """Return the number of a version of ours; None for what can be none."""
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 11 else 0
    return number if 0 < number <= _MOST_VERSION else None


async def settle(
    tenant: Tenant, includes: Sequence[Include], matches: Sequence[Stored], included: list[Stored], sees: Sees
) -> list[Stored]:
    """Return what is included, with the versions that are meant."""
    page = [*matches, *included]
    if not any(_MARK in row.body for row in page):
        return included
    wanted: dict[tuple[str, str, int], None] = {}
    current: set[Name] = set()
    for row in page:
        asked = includes if row.rid in {match.rid for match in matches} else [i for i in includes if i.iterate]
        for found in _references(asked, row):
            number = _number(found.version) if found.version else None
            if number is None:
                current.add((found.type, found.id))
            else:
                wanted[(found.type, found.id, number)] = None
    there = {(row.type, row.id, row.version) for row in page}
    missing = [each for each in wanted if each not in there]
    past = await _past(tenant, missing, await sees(sorted({type_ for type_, _, _ in missing})))
    replaced = {(row.type, row.id) for row in past} - current - {(t, i) for t, i, v in wanted if (t, i, v) in there}
    return [row for row in included if (row.type, row.id) not in replaced] + past


async def _past(tenant: Tenant, wanted: Sequence[tuple[str, str, int]], seen: Mapping[str, Visibility]) -> list[Stored]:
    """Return superseded versions, each judged by what it held itself."""
    if not wanted:
        return []
    args: list[Any] = [[R4.type_id(type_) for type_, _, _ in wanted], [id_ for _, id_, _ in wanted]]
    args.append([version for _, _, version in wanted])
    text = f"{_PAST}{visible_types_sql('h', seen, args, current='r')} ORDER BY h.rid, h.version"
    return readable(tenant, await fetch(tenant, text, args))
