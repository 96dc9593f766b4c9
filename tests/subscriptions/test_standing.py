"""Versions are judged as a search judges them (the oracle: `search.criteria.matches`), and each by what it said itself."""

from __future__ import annotations

from typing import Any

import pytest

from fhir_server.search import criteria
from fhir_server.search.parse import parse_query
from fhir_server.search.query import Query
from fhir_server.storage import ident, reads
from fhir_server.storage.reads import Kept
from fhir_server.storage.tenants import Tenant
from fhir_server.storage.visibility import EVERYTHING
from fhir_server.subscriptions import standing
from tests.subscriptions import subscribing as given

QUERIES = """
code=8867-4 code=http://loinc.org|8867-4 code=http://loinc.org| code=other code:not=8867-4 code=x,8867-4
status=final status=final&code=8867-4 status:not=final value-quantity=gt75 value-quantity=le75|http://unitsofmeasure.org|/min
value-quantity=72 value-quantity=ap70 value-quantity=gt1|http://unitsofmeasure.org|/s code-value-quantity=8867-4$gt75
code-value-quantity=http://loinc.org|8867-4$lt75 date=2026 date=ge2026-01-02&date=lt2026-01-03 date=sa2026-01-02T11:00:00Z
date=ne2026-01-02
_lastUpdated=gt2020 _lastUpdated=lt2020 category=vital-signs category:missing=true category:missing=false date:missing=false
value-quantity:missing=true value-string=calm value-string:exact=Calm component-code-value-quantity=8480-6$gt100
performer:missing=true subject=Patient/{p} patient={p} patient=nobody subject:Patient={p} subject=Group/1 _id=nothing
identifier=urn:x|1 identifier=1 focus:identifier=urn:y|2 combo-code=8480-6 combo-code-value-quantity=8480-6$120 method=a,b _tag=t
code=8867-4&value-quantity=gt75&date=ge2025&patient={p}
"""


NOBODY = """
code=other code:not=8867-4 code:not=8867-4,x date=sa2026-01-02T11:00:00Z _lastUpdated=lt2020 value-string:exact=Calm
patient=nobody subject=Group/1 _id=nothing method=a,b
"""
"""What none of the versions meets."""


def resources(patient: str) -> list[dict[str, Any]]:
    category = {
        "coding": [{"system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": "vital-signs"}]
    }
    pressure = {
        "code": {"coding": [{"system": "http://loinc.org", "code": "8480-6"}]},
        "valueQuantity": {"value": 120, "unit": "mmHg", "system": "http://unitsofmeasure.org", "code": "mm[Hg]"},
    }
    plain = given.observation(patient)
    said = {name: value for name, value in plain.items() if name != "valueQuantity"}
    return [
        plain,
        given.observation(patient, 90, category=[category]),
        given.observation(patient, 60, status="amended", effectiveDateTime="2026-01"),
        given.observation("someone-else", 76, identifier=[{"system": "urn:x", "value": "1"}]),
        said | {"valueString": "Calm and rested"},
        said | {"component": [pressure], "meta": {"tag": [{"code": "t"}]}},
        said
        | {"effectivePeriod": {"start": "2025-12-31"}, "focus": [{"identifier": {"system": "urn:y", "value": "2"}}]},
    ]


async def meeting(tenant: Tenant, query: Query, versions: list[Kept]) -> list[Kept]:
    search = standing.Standing(query)
    await standing.look_up(tenant, [search])
    return await standing.meeting(tenant, search, versions)


@pytest.fixture(scope="module")
async def written(tenants: dict[str, Tenant]) -> dict[str, tuple[str, list[Kept]]]:
    """By tenant: a patient, and versions of which some are about it."""
    found = {}
    for tenant in tenants.values():
        patient, who = given.word(), await given.client(tenant, "system/*.cruds")
        done = [await given.write(tenant, resource, who) for resource in resources(patient)]
        kept = await reads.exact(tenant, [(each.rid, each.version) for each in done])
        found[tenant.name] = patient, [kept[(each.rid, each.version)] for each in done]
    return found


@pytest.mark.parametrize("text", QUERIES.split())
async def test_it_agrees_with_the_search(tenant: Tenant, written: dict[str, tuple[str, list[Kept]]], text: str) -> None:
    patient, versions = written[tenant.name]
    params = [tuple(part.split("=", 1)) for part in text.replace("{p}", patient).split("&")]
    query = parse_query("Observation", params, lenient=False, base=tenant.base)
    met = [version.stored.rid for version in await meeting(tenant, query, versions)]
    wanted = [
        version.stored.rid
        for version in versions
        if await criteria.matches(tenant, "Observation", params, version.stored.rid, EVERYTHING)
    ]
    assert met == wanted
    assert bool(met) != (text in NOBODY.split())


async def test_strings_of_people_and_of_others(tenant: Tenant, unique: str) -> None:
    who = await given.client(tenant, "system/*.cruds")
    for type_ in ("Patient", "Practitioner"):
        long = f"{unique}-long-name"
        made = await given.write(
            tenant, {"resourceType": type_, "name": [{"family": long.upper(), "given": ["Ann"]}]}, who
        )
        kept = list((await reads.exact(tenant, [(made.rid, 1)])).values())
        for params in ([("family", long[:10])], [("family", long[:3])], [("name", "ann")], [("given:exact", "ann")]):
            query = parse_query(type_, params, lenient=False, base=tenant.base)
            met = bool(await meeting(tenant, query, kept))
            assert met == await criteria.matches(tenant, type_, params, made.rid, EVERYTHING), (type_, params)


async def test_a_version_that_was_replaced_is_judged_by_what_it_said(tenant: Tenant, unique: str) -> None:
    who = await given.client(tenant, "system/*.cruds")
    first = await given.write(tenant, given.observation(unique, 140), who)
    await given.write(tenant, given.observation(unique, 60), who, id_=first.id)
    found = await reads.exact(tenant, [(first.rid, 1), (first.rid, 2), (first.rid, 3)])
    assert sorted(found) == [(first.rid, 1), (first.rid, 2)]
    for text, wanted in (
        (("value-quantity", "gt100"), [1]),
        (("value-quantity", "lt100"), [2]),
        (("status", "final"), [1, 2]),
    ):
        query = parse_query("Observation", [text], lenient=False, base=tenant.base)
        met = await meeting(tenant, query, [found[at] for at in sorted(found)])
        assert [version.stored.version for version in met] == wanted


async def test_what_was_deleted_is_no_version_to_judge(tenant: Tenant, unique: str) -> None:
    who = await given.client(tenant, "system/*.cruds")
    made = await given.write(tenant, given.observation(unique), who)
    await given.remove(tenant, "Observation", made.id, who)
    assert sorted(await reads.exact(tenant, [(made.rid, 1), (made.rid, 2)])) == [(made.rid, 1)]
    assert await ident.known_rid(tenant, "Observation", made.id) == made.rid


async def test_what_is_mentioned_later_is_known_from_then_on(tenant: Tenant, unique: str) -> None:
    who = await given.client(tenant, "system/*.cruds")
    search = standing.Standing(parse_query("Observation", [("patient", unique)], lenient=False, base=tenant.base))
    await standing.look_up(tenant, [search])
    assert await standing.meeting(tenant, search, []) == []
    made = await given.write(tenant, given.observation(unique), who)
    kept = list((await reads.exact(tenant, [(made.rid, 1)])).values())
    tenant.rids.clear()
    await standing.look_up(tenant, [search])
    assert await standing.meeting(tenant, search, kept) == kept
