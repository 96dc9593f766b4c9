"""Whatever path a search takes (series, counts, few rows named), it finds the same; the oracle decides what."""

from __future__ import annotations

from typing import Any

import pytest

from fhir_server.search import few
from fhir_server.storage import tally
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
