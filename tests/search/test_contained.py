"""What others contain: `_contained` answered by the naive reading of the same resources on their own; chains that lead inside."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_server.errors import BadSearch, Forbidden, Unprocessable
from fhir_server.search import join
from fhir_server.storage.index_keys import COMPARTMENT, pack
from fhir_server.storage.visibility import EVERYTHING, Grant
from tests.search import population as p
from tests.search import test_oracle as oracle
from tests.search.conftest import ids, load, page

Resource = dict[str, Any]


def held(resource: Resource) -> Resource:
    return {"resourceType": "Basic", "id": f"b-{resource['id']}", "code": {"text": "x"}, "contained": [resource]}


@pytest.fixture(scope="session")
async def drawers(open_tenant: Any) -> Any:
    """A tenant where every resource of the oracle's town lies inside another, with its terms beside."""
    tenant = await open_tenant("search_drawers")
    boxes: dict[str, Resource] = {}
    for resource in copy.deepcopy(oracle.RESOURCES):
        box = boxes.setdefault(f"b-{resource['resourceType']}-{resource['id']}", held(resource))
        box["id"] = f"b-{resource['resourceType']}-{resource['id']}"
    await load(tenant, [*boxes.values(), *p.TERMS])
    return tenant


DRAWN = st.lists(st.one_of(oracle.missing, *oracle.KINDS.values()), min_size=1, max_size=3)


@settings(oracle.oracle, max_examples=40)
@given(DRAWN)
async def test_it_is_found_inside_as_by_itself(drawers: Any, drawn: list[tuple[str, str]]) -> None:
    await agree(drawers, drawn)


@pytest.mark.slow
@settings(oracle.oracle, max_examples=1500)
@given(DRAWN)
async def test_it_is_found_inside_at_length(drawers: Any, drawn: list[tuple[str, str]]) -> None:
    await agree(drawers, drawn)


async def agree(drawers: Any, drawn: list[tuple[str, str]]) -> None:
    type_ = drawn[0][0]
    query = "&".join(clause for of, clause in drawn if of == type_)
    own = {r["id"] for r in oracle.RESOURCES if r["resourceType"] == type_}
    local = query.replace("/t/search_oracle/", "/t/search_drawers/")
    wanted = {
        f"b-{type_}-{id_}" for id_ in oracle.expected(type_, query, "http://clarity.test/t/search_oracle/fhir") & own
    }
    assert set(await ids(drawers, type_, f"{local}&_contained=true")) == wanted, query


# ---- chains ----

MED = {"resourceType": "Medication", "id": "m", "code": {"coding": [{"system": "urn:med", "code": "Sertraline"}]}}


def order(id_: str, *contained: Resource, **more: Any) -> Resource:
    found: Resource = {
        "resourceType": "MedicationRequest", "id": id_, "status": "active", "intent": "order",
        "subject": {"reference": "Patient/p1"}, "medicationReference": {"reference": "#m"}, **more,
    }  # fmt: skip
    return found | ({"contained": list(contained)} if contained else {})


def prescriber(id_: str, name: str) -> Resource:
    return {"resourceType": "Practitioner", "id": id_, "name": [{"family": name}]}


MAKER = {**MED, "manufacturer": {"reference": "Organization/acme"}}
INNER_MAKER = {**MED, "manufacturer": {"reference": "#o"}}
ORDERS = [
    order("inside", MED),
    order("beside", medicationReference={"reference": "Medication/row"}),
    order("other", {**MED, "code": {"coding": [{"system": "urn:med", "code": "lithium"}]}}),
    order("unused", MED, prescriber("d", "Doc"), medicationReference={"reference": "Medication/lithium"}),
    order("made", MAKER, subject={"reference": "Patient/p2"}),
    order("made-inside", INNER_MAKER, {"resourceType": "Organization", "id": "o", "name": "Inner House"}),
    order("by", MED, prescriber("d", "Doc"), requester={"reference": "#d"}),
    order("by-row", MED, requester={"reference": "Practitioner/row"}),
]
SEEN = {"resourceType": "Patient", "id": "p", "name": [{"family": "Inner"}], "gender": "male"}


def glucose(id_: str, status: str = "final", **more: Any) -> Resource:
    code = {"coding": [{"system": "http://loinc.org", "code": "2339-0"}]}
    return {"resourceType": "Observation", "id": id_, "status": status, "code": code, **more}


RESOURCES = [
    {"resourceType": "Patient", "id": "p1", "name": [{"family": "Outer"}]},
    {"resourceType": "Patient", "id": "p2", "name": [{"family": "Outer"}]},
    {"resourceType": "Medication", "id": "row", "code": {"coding": [{"system": "urn:med", "code": "sertraline"}]}},
    {"resourceType": "Medication", "id": "lithium", "code": {"coding": [{"system": "urn:med", "code": "lithium"}]}},
    {"resourceType": "Organization", "id": "acme", "name": "Acme"},
    prescriber("row", "Doc"),
    *ORDERS,
    glucose("o1", subject={"reference": "Patient/p1"}),
    glucose("o2", subject={"reference": "#p"}, contained=[SEEN]),
    glucose(
        "o3",
        hasMember=[{"reference": "#in"}],
        contained=[glucose("in", "amended", subject={"reference": "Patient/p1"})],
    ),
]


@pytest.fixture(scope="session")
async def orders(open_tenant: Any) -> Any:
    tenant = await open_tenant("search_orders")
    await load(tenant, RESOURCES)
    return tenant


@pytest.mark.parametrize(
    ("type_", "query", "wanted"),
    [
        ("MedicationRequest", "medication.code=sertraline", "inside beside made made-inside by by-row"),
        ("MedicationRequest", "medication.code=urn:med|sertraline&patient=p2", "made"),
        ("MedicationRequest", "medication.code=urn:other|sertraline", ""),
        ("MedicationRequest", "medication:Medication.code=lithium", "other unused"),
        ("MedicationRequest", "medication.code:not=sertraline", "other unused"),
        ("MedicationRequest", "medication.manufacturer.name=acme", "made"),
        ("MedicationRequest", "medication.manufacturer=Organization/acme", "made"),
        ("MedicationRequest", "medication.manufacturer.name=inner", "made-inside"),
        ("MedicationRequest", "requester:Practitioner.name=doc", "by by-row"),
        ("MedicationRequest", "medication.code=sertraline&requester.name=doc", "by by-row"),
        ("MedicationRequest", "_filter=not (medication.code eq sertraline)", "other unused"),
        ("MedicationRequest", "_filter=medication.code eq lithium or requester:Practitioner.name co oc", "other unused by by-row"),
        ("MedicationRequest", "medication._id=m", ""),
        ("Patient", "_has:MedicationRequest:patient:medication.code=sertraline", "p1 p2"),
        ("Patient", "_has:MedicationRequest:patient:medication.manufacturer.name=acme", "p2"),
        ("Observation", "patient.name=inner&code=2339-0", "o2"),
        ("Observation", "subject:Patient.name=inner,outer&code=2339-0&_sort=-date", "o1 o2"),
        ("Observation", "subject:Patient.gender:missing=true", "o1"),
        ("Observation", "has-member:Observation.status=amended", "o3"),
        ("Observation", "has-member:Observation.patient.name=outer", "o3"),
        ("Practitioner", "name=doc", "row"),
        ("Practitioner", "name=doc&_contained=true", "unused by"),
        ("Practitioner", "name=doc&_contained=both", "unused by row"),
        ("Practitioner", "name=doc&_contained=false", "row"),
        ("Medication", "code=sertraline&_contained=true", "inside unused made made-inside by by-row"),
        ("Medication", "_contained=true&manufacturer.name=acme,inner", "made made-inside"),
        ("Medication", "_contained=true&_id=m&code=lithium", "other"),
        ("Medication", "_contained=true&_lastUpdated=lt2020", ""),
        ("Observation", "_contained=both&code=2339-0", "o1 o2 o3"),
        ("Observation", "_contained=true&status:not=final", "o3"),
    ],
)  # fmt: skip
async def test_what_leads_inside(orders: Any, type_: str, query: str, wanted: str) -> None:
    assert sorted(await ids(orders, type_, query)) == sorted(wanted.split())
    assert (await page(orders, type_, f"{query}&_summary=count")).total == len(wanted.split())


async def test_a_container_that_is_not_seen_tells_nothing(orders: Any) -> None:
    of_p1 = (Grant((pack(COMPARTMENT, orders.rids[("Patient", "p1")]),)),)

    async def sees(types: Any) -> dict[str, Any]:
        return {name: of_p1 if name == "MedicationRequest" else EVERYTHING for name in types}

    found = await ids(orders, "Medication", "code=sertraline&_contained=true", sees=sees)
    assert sorted(found) == ["by", "by-row", "inside", "made-inside", "unused"]
    assert await ids(orders, "MedicationRequest", "medication.manufacturer.name=acme", of_p1) == []


async def test_types_that_may_not_be_searched_are_not_reached_inside(orders: Any) -> None:
    async def sees(types: Any) -> dict[str, Any]:
        return {name: EVERYTHING for name in types if name != "Medication"}

    with pytest.raises(Forbidden):
        await ids(orders, "MedicationRequest", "medication.code=sertraline", sees=sees)


async def test_what_is_inside_is_answered_by_itself_and_counted(orders: Any) -> None:
    first = await page(
        orders, "Practitioner", "name=doc&_contained=both&_containedType=contained&_count=2&_total=accurate"
    )
    assert first.total == 3
    assert [(row.id, first.inside.get(row.rid)) for row in first.rows if row.id == "by"] == [
        ("by", first.inside[orders.rids[("MedicationRequest", "by")]])
    ] * ("by" in [row.id for row in first.rows])
    met = (await page(orders, "Observation", "_contained=both&_containedType=contained&code=2339-0")).inside
    assert {rid: (found.ids, found.itself) for rid, found in met.items()} == {
        orders.rids[("Observation", "o3")]: (("in",), True)
    }
    counted = await page(orders, "Observation", "_contained=both&_containedType=contained&code=2339-0&_summary=count")
    assert counted.total == 4


@pytest.mark.parametrize(
    "query",
    ["_contained=true&_include=Medication:manufacturer", "_contained=true&_sort=code", "_contained=both&_has:List:item:_id=1"],
)  # fmt: skip
async def test_what_does_not_go_with_it_is_refused(orders: Any, query: str) -> None:
    with pytest.raises(BadSearch):
        await page(orders, "Medication", query)


async def test_there_is_a_bound(orders: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(join, "LOOKS", 2)
    with pytest.raises(Unprocessable):
        await page(orders, "MedicationRequest", "medication.manufacturer.name=acme")
    assert await ids(orders, "MedicationRequest", "medication.manufacturer.name=acme&patient=p2") == ["made"]
