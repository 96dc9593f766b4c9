"""Compartments of R4 as a filter, against the published definitions read naively; and what is said when nothing is found."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

from fhir_server.errors import BadSearch
from fhir_server.kit import json
from fhir_server.search.compartment import Compartment
from fhir_server.search.run import search
from fhir_server.storage.index_keys import COMPARTMENT, pack
from fhir_server.storage.visibility import EVERYTHING, NOTHING, Grant
from tests.r4_examples import all_files
from tests.search import naive_include
from tests.search.conftest import context, load, page, parsed
from tests.search.naive_include import Resource, called, web

RESOURCES = web(31, 12)
KINDS = ("Patient", "Encounter", "Practitioner", "Device", "RelatedPerson")


@pytest.fixture(scope="session")
async def wards(open_tenant: Any) -> Any:
    tenant = await open_tenant("search_compartment")
    await load(tenant, RESOURCES)
    return tenant


@cache
def definition(kind: str) -> dict[str, list[str]]:
    """What the published definition says: type -> parameters."""
    name = f"CompartmentDefinition-{kind[0].lower()}{kind[1:]}.json"
    (text,) = [text for file, text in all_files() if file == name]
    return {each["code"]: each.get("param", []) for each in json.decode_trusted(text)["resource"]}


def told(resource: Resource) -> list[Resource]:
    """Return what a Provenance tells of: it is in the compartments of that, beyond what R4's definition says (decision 108)."""
    if resource["resourceType"] != "Provenance":
        return []
    names = set(called(resource, "target", ""))
    return [each for each in RESOURCES if f"{each['resourceType']}/{each['id']}" in names]


def inside(resource: Resource, kind: str, id_: str) -> bool:
    if (resource["resourceType"], resource["id"]) == (kind, id_):
        return True
    if kind == "Patient" and any(inside(each, kind, id_) for each in told(resource)):
        return True
    params = [name for name in definition(kind).get(resource["resourceType"], []) if name != "{def}"]
    return any(f"{kind}/{id_}" in called(resource, name, "") for name in params)


@pytest.mark.parametrize("kind", KINDS)
async def test_what_is_in_a_compartment_is_what_the_definition_says(wards: Any, kind: str) -> None:
    everything = dict.fromkeys(naive_include.TYPES, EVERYTHING)
    found_any = set()
    for number in ("1", "2", "7", "none"):
        expected = {(r["resourceType"], r["id"]) for r in RESOURCES if inside(r, kind, number)}
        whole = await page(wards, None, "_count=1000", everything, compartment=Compartment(kind, number))
        assert {(row.type, row.id) for row in whole.rows} == expected
        for type_ in naive_include.TYPES:
            query = "_count=1000&_total=accurate"
            found = await page(wards, type_, query, compartment=Compartment(kind, number))
            assert {(row.type, row.id) for row in found.rows} == {name for name in expected if name[0] == type_}
            assert found.total == len(found.rows)
            member = type_ == kind or bool(definition(kind).get(type_))
            assert [issue.id for issue in found.issues] == ([] if member else ["compartment-empty"])
        found_any |= {name[0] for name in expected}
    assert len(found_any) > 1 or kind == "RelatedPerson"


async def test_a_compartment_is_only_a_filter(wards: Any) -> None:
    practice = Compartment("Practitioner", "1")
    mine = (Grant((pack(COMPARTMENT, wards.rids[("Patient", "1")]),)),)
    everyone = {row.id for row in (await page(wards, "Observation", "", compartment=practice)).rows}
    seen = {row.id for row in (await page(wards, "Observation", "", mine)).rows}
    both = await page(wards, "Observation", "", mine, compartment=practice)
    assert {row.id for row in both.rows} == everyone & seen
    assert (await page(wards, "Observation", "", NOTHING, compartment=practice)).rows == []
    some = await page(
        wards, None, "_type=Observation", {"Observation": mine, "Encounter": EVERYTHING}, compartment=practice
    )
    assert {row.type for row in some.rows} <= {"Observation"}


# ---- hints ----

PARTS = {
    "resourceType": "Observation", "id": "bp", "status": "final", "code": {"coding": [{"code": "panel"}]},
    "subject": {"reference": "Patient/1"},
    "component": [{"code": {"coding": [{"code": "systolic"}]}, "valueQuantity": {"value": 120, "unit": "mmHg"}}],
}  # fmt: skip


@pytest.fixture(scope="session")
async def cuff(open_tenant: Any) -> Any:
    tenant = await open_tenant("search_hint")
    await load(tenant, [{"resourceType": "Patient", "id": "1"}, {"resourceType": "Patient", "id": "2"}, PARTS])
    return tenant


@pytest.mark.parametrize(
    ("query", "hint"),
    [
        ("code=systolic", "combo-code"), ("code=systolic&status=final", "combo-code"), ("code=systolic&_sort=date", "combo-code"),
        ("value-quantity=120", "combo-value-quantity"), ("code-value-quantity=systolic$120", "combo-code-value-quantity"),
        ("code=panel", None), ("code=diastolic", None), ("code=systolic&status=amended", None), ("status=amended", None),
        ("code:not=panel", None), ("combo-code=none", None), ("code=systolic&_summary=count", None),
    ],
)  # fmt: skip
async def test_who_finds_nothing_is_told_what_would(cuff: Any, query: str, hint: str | None) -> None:
    found = await page(cuff, "Observation", query)
    assert [(issue.id, issue.severity) for issue in found.issues] == (
        [("search-hint-combo", "information")] if hint else []
    )
    assert not hint or f"{hint} in place of" in found.issues[0].text


async def test_no_hint_at_what_is_hidden(cuff: Any) -> None:
    own, other = ((Grant((pack(COMPARTMENT, cuff.rids[("Patient", n)]),)),) for n in "12")
    assert (await page(cuff, "Observation", "code=systolic", own)).issues
    assert (await page(cuff, "Observation", "code=systolic", other)).issues == []
    assert (await page(cuff, "Observation", "code=systolic", NOTHING)).issues == []
    elsewhere = Compartment("Patient", "2")
    assert (await page(cuff, "Observation", "code=systolic", compartment=elsewhere)).issues == []


# ---- what shapes the answer ----


@pytest.mark.parametrize(
    "query",
    ["_elements=status,code", "_elements=Observation.status", "_elements=value", "_elements=value[x]", "_elements=valueQuantity",
     "_contained=false", "_containedType=container", "_contained=false&_containedType=contained"],
)  # fmt: skip
async def test_what_shapes_the_answer_is_taken(cuff: Any, query: str) -> None:
    assert (await page(cuff, "Observation", query)).applied == parsed(query)


@pytest.mark.parametrize(
    ("type_", "query", "issue"),
    [
        ("Observation", "_elements=statuz", "search-element"), ("Observation", "_elements=Patient.name", "search-element"),
        ("Observation", "_elements=component.code", "search-element"), ("Observation", "_elements=", "search-value"),
        ("Observation", "_elements=status,,code", "search-value"), (None, "_elements=Patient.status", "search-element"),
        (None, "_elements=nonsense", "search-element"), ("Observation", "_contained=yes", "search-value"),
        ("Observation", "_containedType=all", "search-value"),
    ],
)  # fmt: skip
async def test_what_shapes_the_answer_wrongly_is_refused(cuff: Any, type_: str | None, query: str, issue: str) -> None:
    seen = EVERYTHING if type_ else {"Observation": EVERYTHING}
    with pytest.raises(BadSearch) as refused:
        await page(cuff, type_, query, seen)
    assert (refused.value.id, refused.value.issues[0].expression) == (issue, query.partition("=")[0])
    if issue != "search-value":
        lenient = await search(context(cuff, lenient=True), type_, parsed(query), visibility=seen)
        assert ([each.id for each in lenient.issues], lenient.applied) == ([issue], [])


async def test_elements_over_several_types(cuff: Any) -> None:
    query = "_elements=Patient.name,status,Observation.code"
    assert (await page(cuff, None, query, {"Observation": EVERYTHING})).applied == parsed(query)


@pytest.mark.parametrize(
    "query",
    [
        "_tag=http://t|x",
        "_profile=http://p",
        "_security=http://s|y",
        "_source=http://src",
        "_id=marked",
        "_lastUpdated=ge2020",
    ],
)
async def test_parameters_of_every_resource_on_every_level(cuff: Any, query: str) -> None:
    marked = {"resourceType": "Device", "id": "marked", "patient": {"reference": "Patient/1"}, "meta": {
        "tag": [{"system": "http://t", "code": "x"}], "profile": ["http://p"], "security": [{"system": "http://s", "code": "y"}],
        "source": "http://src"}}  # fmt: skip
    if not (await page(cuff, "Device", "_id=marked")).rows:
        await load(cuff, [marked])
    everything = {"Device": EVERYTHING, "Observation": EVERYTHING}
    for type_, more, seen in [("Device", "", EVERYTHING), (None, "", everything), (None, "&_type=Device", everything)]:
        found = await page(cuff, type_, query + more, seen)
        assert "marked" in [row.id for row in found.rows]
    assert not (await page(cuff, None, f"{query}&_type=Observation&_id=marked", everything)).rows
