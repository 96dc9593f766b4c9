"""Whatever path a search takes (series, counts, few rows named), it finds the same; the oracle decides what."""

from __future__ import annotations

from typing import Any

import pytest

from fhir_server.search import few
from fhir_server.storage import layout, tally
from fhir_server.storage.index_keys import COMPARTMENT, pack
from fhir_server.storage.tenants import Tenant
from fhir_server.storage.visibility import EVERYTHING, Grant
from tests.search.conftest import Resource, ids, load, page

CODES = ("a", "b")
SUBJECTS = ("Patient/p1", "Patient/p2", "Group/g", None)
WHEN: tuple[Resource, ...] = (
    {"effectiveDateTime": "2024-01-01"},
    {"effectiveDateTime": "2025-06-01T10:00:00Z"},
    {"effectivePeriod": {"start": "2023-01-01"}},
    {"effectivePeriod": {"start": "2023-02-01", "end": "2023-03-01"}},
    {},
)


def observations() -> list[Resource]:
    """Every code with every subject and time."""
    made = []
    for code in CODES:
        for subject in SUBJECTS:
            for number, when in enumerate(WHEN):
                made.append(
                    {
                        "resourceType": "Observation",
                        "id": f"{code}-{(subject or 'nobody').replace('/', '-')}-{number}",
                        "status": "final" if number % 2 else "amended",
                        "code": {"coding": [{"system": "urn:layout", "code": code}]},
                        "valueQuantity": {"value": number * 10, "unit": "kg"},
                        **({"subject": {"reference": subject}} if subject else {}),
                        **when,
                    }
                )
    return made


RESOURCES = observations()


@pytest.fixture(scope="module", params=("layout_one", "layout_two"))
async def house(open_tenant: Any, request: pytest.FixtureRequest) -> Tenant:
    tenant: Tenant = await open_tenant(request.param)
    await load(tenant, RESOURCES)
    return tenant


def wanted(code: str, numbers: str) -> set[str]:
    """Return the ids of a code with the numbers of WHEN."""
    return {r["id"] for r in RESOURCES if r["id"].startswith(f"{code}-") and r["id"][-1] in numbers}


QUERIES = [
    ("code=a", "01234"),
    ("code=urn:layout|a", "01234"),
    ("code=a&_sort=date", "01234"),
    ("code=a&_sort=-_lastUpdated", "01234"),
    ("code=a&date=ge2025", "12"),
    ("code=a&date=ge2025&_sort=date", "12"),
    ("code=a&date=gt2024&date=lt2025&_sort=-date", "2"),
    ("code=a&date=lt2024&_sort=date", "23"),
    ("code=a&date:missing=true", "4"),
    ("code-value-quantity=a$gt10", "234"),
    ("code-value-quantity=urn:layout|a$le10&_sort=-date", "01"),
    ("code=a&value-quantity=gt15&status=amended", "24"),
]


@pytest.mark.parametrize(("query", "numbers"), QUERIES, ids=[query for query, _ in QUERIES])
@pytest.mark.parametrize("most", [0, few.FEW])
async def test_one_code_of_everybody(house: Tenant, monkeypatch: Any, query: str, numbers: str, most: int) -> None:
    monkeypatch.setattr(few, "FEW", most)
    found = await ids(house, "Observation", f"{query}&_count=3")
    assert len(found) == len(set(found))
    assert set(found) == wanted("a", numbers)
    assert (await page(house, "Observation", f"{query}&_summary=count")).total == len(found)


async def test_a_code_is_shown_the_newest_first(house: Tenant) -> None:
    found = await ids(house, "Observation", "code=a&_count=3")
    assert [id_[-1] for id_ in found] == [number for number in "10324" for _ in SUBJECTS]
    assert found == await ids(house, "Observation", "code=a&_sort=-date")


@pytest.mark.parametrize("query", ["code=a", "status=final", "", "code=urn:layout|b", "code:not=a"])
async def test_who_sees_less_counts_less(house: Tenant, query: str) -> None:
    all_of = await page(house, "Observation", f"{query}&_summary=count")
    assert all_of.total == len(await ids(house, "Observation", query))
    own = (Grant((pack(COMPARTMENT, house.rids[("Patient", "p1")]),)),)
    part = await page(house, "Observation", f"{query}&_summary=count", own)
    assert part.total == len(await ids(house, "Observation", query, own))
    assert 0 < (part.total or 0) < (all_of.total or 0)


async def test_what_is_counted_answers_a_count(house: Tenant, monkeypatch: Any) -> None:
    async def known(_tenant: Tenant, type_: str, key: int, _kept: tuple[int, ...]) -> int:
        return 4711 if (type_, key) == ("Observation", tally.ALL) else 12

    monkeypatch.setattr(tally, "count", known)
    assert (await page(house, "Observation", "_summary=count", EVERYTHING)).total == 4711
    assert (await page(house, "Observation", "code=a&_count=1&_total=accurate", EVERYTHING)).total == 12
    assert (await page(house, "Observation", "code=a,b&_count=0", EVERYTHING)).total == len(RESOURCES)


# ---- facets and long lists (`storage/layout.py`) ----

PARTS = [f"{code}-nobody-{number}" for code in CODES for number in range(5)]
LISTS: tuple[Resource, ...] = (
    *(
        {
            "resourceType": "Provenance",
            "id": f"of-{len(part)}",
            "target": [{"reference": f"Observation/{each}"} for each in part],
            "recorded": "2026-01-01T00:00:00Z",
            "agent": [{"who": {"reference": "Device/d"}}],
        }
        for part in (PARTS[:2], PARTS[:5], PARTS)
    ),
    *(
        {
            "resourceType": "Encounter",
            "id": f"e-{status}-{code}",
            "status": status,
            "class": {"system": "urn:class", "code": code},
            "subject": {"reference": f"Patient/{'p1' if code == 'AMB' else 'p2'}"},
            "identifier": [{"system": f"urn:ids:{code}", "value": status}],
        }
        for status in ("planned", "finished", "cancelled")
        for code in ("AMB", "IMP")
    ),
    {"resourceType": "Patient", "id": "p1", "gender": "female"},
    {"resourceType": "Patient", "id": "p2", "gender": "male"},
)
ASKED = [
    ("Provenance", "target=Observation/a-nobody-0", "of-2 of-5 of-10"),
    ("Provenance", "target=Observation/b-nobody-4", "of-10"),
    ("Provenance", "target=Observation/a-Group-g-0", ""),
    ("Provenance", "target=Observation/a-nobody-4,Observation/b-nobody-0", "of-5 of-10"),
    ("Provenance", "target:Observation.code=b", "of-10"),
    ("Provenance", "target=Observation/a-nobody-4&target=Observation/b-nobody-0", "of-10"),
    ("Observation", "_has:Provenance:target:_id=of-5", "a-nobody-0 a-nobody-1 a-nobody-2 a-nobody-3 a-nobody-4"),
    ("Encounter", "status=planned", "e-planned-AMB e-planned-IMP"),
    ("Encounter", "class=IMP&status=planned,finished", "e-planned-IMP e-finished-IMP"),
    (
        "Encounter",
        "class=urn:class|",
        "e-planned-AMB e-finished-AMB e-cancelled-AMB e-planned-IMP e-finished-IMP e-cancelled-IMP",
    ),
    ("Encounter", "class=urn:other|IMP", ""),
    ("Encounter", "status:not=planned&class=urn:class|AMB", "e-finished-AMB e-cancelled-AMB"),
    ("Encounter", "identifier=urn:ids:AMB|", "e-planned-AMB e-finished-AMB e-cancelled-AMB"),
    ("Encounter", "identifier=urn:ids:AMB|planned", "e-planned-AMB"),
    ("Encounter", "status:missing=true", ""),
    ("Encounter", "class:missing=false&status=cancelled", "e-cancelled-AMB e-cancelled-IMP"),
    ("Encounter", "patient.gender=female&status=finished", "e-finished-AMB"),
    ("Patient", "_has:Encounter:patient:class=IMP", "p2"),
]


@pytest.fixture(scope="module")
async def lists(house: Tenant) -> Tenant:
    await load(house, LISTS)
    return house


@pytest.mark.parametrize("most", [0, layout.MOST])
async def test_facets_and_long_lists(lists: Tenant, monkeypatch: Any, most: int) -> None:
    monkeypatch.setattr(layout, "MOST", most)
    for type_, query, named in ASKED:
        assert sorted(await ids(lists, type_, query)) == sorted(named.split()), query
        total = (await page(lists, type_, f"{query}&_summary=count")).total
        assert total == len(named.split()), query


async def test_long_lists_are_included(lists: Tenant) -> None:
    found = await page(lists, "Observation", "_id=a-nobody-4&_revinclude=Provenance:target")
    assert sorted(row.id for row in found.included) == ["of-10", "of-5"]


@pytest.mark.parametrize(("patient", "code"), [("p1", "AMB"), ("p2", "IMP")])
async def test_a_compartment_is_found_by_what_puts_rows_there(lists: Tenant, patient: str, code: str) -> None:
    rid = pack(COMPARTMENT, lists.rids[("Patient", patient)])
    for seen in ((Grant((rid,)),), (Grant(any_of=((rid,),)),), (Grant((rid,)), Grant(rids=(1 << 40,)))):
        found = await ids(lists, "Encounter", "class=urn:class|", seen)
        assert sorted(found) == sorted(f"e-{status}-{code}" for status in ("planned", "finished", "cancelled"))
        several = dict.fromkeys(("Encounter", "Patient", "Observation", "Provenance"), seen)
        own = {*found, patient, *(r["id"] for r in RESOURCES if f"Patient-{patient}" in r["id"])}
        assert set(await ids(lists, None, "_type=Encounter,Patient,Observation", several)) == own
    assert sorted(await ids(lists, "Encounter", "", within=(rid,))) == sorted(found)
