"""`Patient/$aggregate`: figures over everybody's features, groups of fewer than 11 suppressed (`workers/twin/population.py`).

For tokens that may search all Patients and Observations anyway, and for people with the role `researcher`, who see no record.
Whoever's Consents keep measurements from research, those of scope `research` too, is not among them. Whole calendar months only,
one grouping at a time: windows that differ by a day, or crossed tables, would tell of single people. Long ones are asked with
`Prefer: respond-async`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import date, timedelta
from typing import Final

from fhir_server.audit.record import audit_row
from fhir_server.auth import policy
from fhir_server.auth.consent.known import whole_for_research
from fhir_server.auth.people.roles import AGGREGATE
from fhir_server.context import RequestContext
from fhir_server.errors import BadRequest, Forbidden
from fhir_server.interactions.call import Call, Json, Result
from fhir_server.kit import json
from fhir_server.operations.parameters import Given, read_parameters
from fhir_server.operations.points import part
from fhir_server.storage import daybook, reads
from workers.twin.codes import UCUM
from workers.twin.daybook import decode
from workers.twin.features import BY_CODE, Feature
from workers.twin.population import COUNTED, Cell, age_group, cells, of_person

DEFINITION: Json = {
    "resourceType": "OperationDefinition",
    "id": "Patient-aggregate",
    "url": "https://fhir.clarity.example/OperationDefinition/Patient-aggregate",
    "name": "Aggregate",
    "status": "active",
    "kind": "operation",
    "affectsState": False,
    "code": "aggregate",
    "comment": "Groups of fewer than 11 people are hidden, and others where they tell of these. Takes Prefer: respond-async.",
    "resource": ["Patient"],
    "system": False,
    "type": True,
    "instance": False,
    "parameter": [
        {"name": "feature", "use": "in", "min": 1, "max": "5", "type": "code", "documentation": "Features of the twin."},
        {"name": "start", "use": "in", "min": 1, "max": "1", "type": "date", "documentation": "First month, as YYYY-MM."},
        {"name": "end", "use": "in", "min": 1, "max": "1", "type": "date", "documentation": "Last month, as YYYY-MM."},
        {"name": "by", "use": "in", "min": 0, "max": "1", "type": "code", "documentation": "gender or age (in decades)."},
        {"name": "return", "use": "out", "min": 1, "max": "1", "type": "Parameters"},
    ],
}  # fmt: skip

BATCH: Final = 50
LONGEST: Final = 24
"""Months."""


async def handle(ctx: RequestContext, call: Call) -> Result:
    """Answer `GET` or `POST Patient/$aggregate`."""
    await _check(ctx)
    given = read_parameters(DEFINITION, call)
    features = [_feature(str(code)) for code in given["feature"]]
    first, last = _month(given, "start")[0], _month(given, "end")[1]
    if not first < last or (last.year - first.year) * 12 + last.month - first.month >= LONGEST:
        raise BadRequest(f"start is not after end; {LONGEST} months at most.", "parameter-value", "start")
    by = given.get("by", [None])[0]
    if by not in (None, "gender", "age"):
        raise BadRequest("by is gender or age.", "parameter-value", "by")
    found = await _gather(ctx, features, first, last, by)
    parts = [part("window", part("start", valueDate=first.isoformat()), part("end", valueDate=last.isoformat()))]
    parts += [_figures(feature, by, found[feature.code]) for feature in features]
    row = audit_row(ctx, "operation", 200, type="Patient")
    return Result(200, json.encode({"resourceType": "Parameters", "parameter": parts}), audit=[row])


async def _check(ctx: RequestContext) -> None:
    """Raise Forbidden unless the caller sees everybody anyway, or is a researcher whose token may search measures."""
    researcher = AGGREGATE in ctx.principal.unlimited and await policy.allowed(ctx, "Measure", "search-type")
    everything = [await policy.unrestricted(ctx, type_, "search-type") for type_ in ("Patient", "Observation")]
    if not researcher and not all(everything):
        text = "$aggregate is for the role researcher and for scopes such as system/Patient.s system/Observation.s, unfiltered."
        raise Forbidden(text, "aggregate-researchers")


def _feature(code: str) -> Feature:
    if code not in COUNTED:
        raise BadRequest(f"feature is of {', '.join(COUNTED)}.", "parameter-value", "feature")
    return BY_CODE[code]


def _month(given: Given, name: str) -> tuple[date, date]:
    """Return the first and the last day of a month."""
    text = str(given[name][0])
    try:
        first = date.fromisoformat(f"{text}-01")
        following = date(first.year + first.month // 12, first.month % 12 + 1, 1)
    except ValueError:
        raise BadRequest(f"{name} is a month: YYYY-MM. Days are not taken.", "parameter-value", name) from None
    return first, following - timedelta(days=1)


async def _gather(
    ctx: RequestContext, features: list[Feature], first: date, last: date, by: str | None
) -> dict[str, dict[str, list[float]]]:
    """Return one number for each person by feature and group; a batch of people at a time."""
    tenant, takes_part = ctx.tenant, await whole_for_research(ctx, "Observation")
    out: dict[str, dict[str, list[float]]] = {feature.code: {} for feature in features}
    after = 0
    while some := await daybook.patients(tenant, after, BATCH):
        after = some[-1]
        for stored in await reads.fetch(tenant, [rid for rid in some if takes_part(rid)]):
            kept = await daybook.read(tenant, stored.rid, first, last)
            if not kept:
                continue
            group = _group(json.decode_trusted(stored.body), by, last)
            numbers = await asyncio.to_thread(_numbers, kept, features)
            for code, number in numbers.items():
                out[code].setdefault(group, []).append(number)
    return out


def _numbers(kept: Mapping[date, daybook.Kept], features: list[Feature]) -> dict[str, float]:
    pages = [decode(each.page) for each in kept.values() if each.state is not None]
    found = {feature.code: of_person(pages, feature) for feature in features}
    return {code: number for code, number in found.items() if number is not None}


def _group(patient: Json, by: str | None, on: date) -> str:
    if by == "gender":
        return str(patient.get("gender", "unknown"))
    if by == "age":
        born = str(patient.get("birthDate", ""))
        return age_group(date.fromisoformat(f"{born}-01-01"[:10]) if len(born) in (4, 10) else None, on)
    return "all"


def _figures(feature: Feature, by: str | None, by_group: Mapping[str, list[float]]) -> Json:
    everybody, groups = cells(feature, by_group)
    shown = [everybody, *(groups if by else [])]
    return part("figures", part("feature", valueCode=feature.code), *(_cell(feature, by or "", each) for each in shown))


def _cell(feature: Feature, by: str, cell: Cell) -> Json:
    made = [] if cell.group == "all" else [part(by, valueString=cell.group)]
    if cell.people is None:
        return part("cell", *made, part("suppressed", valueBoolean=True))
    made.append(part("people", valueInteger=cell.people))
    for name, number in (("median", cell.median), ("lowerQuartile", cell.lower), ("upperQuartile", cell.upper)):
        if number is not None:
            made.append(part(name, valueQuantity={"value": number, "system": UCUM, "code": feature.unit}))
    return part("cell", *made)
