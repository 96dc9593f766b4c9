"""The 120 Synthea patients load through transactions without an error, and searches find what a naive reading finds."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.conformance.naive import SEARCHES, Reading, bundles, resources
from tests.conformance.naive_hops import HOPS, Net
from tests.conformance.naive_includes import INCLUDES
from tests.http.client import Caller
from tests.shared_data import shared

RESOURCES = 92_114


@pytest.fixture(scope="module")
def net() -> Net:
    """Who refers to whom in what was posted; filled by `loaded`."""
    return Net()


@pytest.fixture(scope="module")
async def loaded(fresh: Caller, net: Net) -> Reading:
    """The naive reading of what was posted; every bundle was taken and made what it should."""
    reading = Reading()
    for bundle in bundles(shared("synthea-120")):
        before = sum(reading.types.values())
        for resource, criteria in resources(bundle):
            if reading.add(resource, criteria):
                net.add(resource)
        answer = await fresh.post("", bundle)
        assert answer.status == 200, answer.text[:2000]
        made = sum(each["response"]["status"].startswith("201") for each in answer.json["entry"])
        assert made == sum(reading.types.values()) - before
    return reading


async def test_counts_by_type(fresh: Caller, loaded: Reading) -> None:
    counted = {type_: (await fresh.get(f"{type_}?_summary=count")).json["total"] for type_ in loaded.types}
    assert counted == dict(loaded.types)
    assert sum(counted.values()) == RESOURCES


@pytest.mark.parametrize("query", SEARCHES)
async def test_counts_by_search(fresh: Caller, loaded: Reading, query: str) -> None:
    answer = await fresh.get(f"{query}&_summary=count")
    assert answer.status == 200, answer.text
    assert answer.json["total"] == loaded.searches[query]
    assert answer.json["total"] > 0


@pytest.mark.parametrize("query", INCLUDES)
async def test_what_is_included(fresh: Caller, loaded: Reading, query: str) -> None:
    answer = await fresh.get(f"{query}&_count=1000&_elements=id")
    assert answer.status == 200, answer.text
    assert "next" not in [link["relation"] for link in answer.json["link"]]
    found = [(each["search"]["mode"], each["resource"]["resourceType"]) for each in answer.json["entry"]]
    assert sum(mode == "match" for mode, _ in found) == len(loaded.graph.matches[query]) > 0
    assert Counter(type_ for mode, type_ in found if mode == "include") == loaded.graph.included(query)
    assert any(mode == "include" for mode, _ in found)


async def test_a_flood_of_includes_is_cut_and_said(fresh: Caller, loaded: Reading) -> None:
    most = max(Counter(source for source, _ in loaded.graph.pairs("Provenance:target")).values())
    assert most == 3418
    answer = await fresh.get("Provenance?_count=1000&_include=Provenance:target&_elements=id")
    modes = Counter(each["search"]["mode"] for each in answer.json["entry"])
    assert modes == {"match": loaded.types["Provenance"], "include": 1000, "outcome": 1}


@pytest.mark.parametrize("query", HOPS)
async def test_counts_over_hops(fresh: Caller, loaded: Reading, net: Net, query: str) -> None:
    answer = await fresh.get(f"{query}&_summary=count")
    assert answer.status == 200, answer.text
    assert answer.json["total"] == len(set(HOPS[query](net)))
    assert answer.json["total"] > 0


async def test_references_lead_where_they_should(fresh: Caller, loaded: Reading) -> None:
    page = (await fresh.get("Encounter?_count=200")).json
    for each in page["entry"][::20]:
        encounter = each["resource"]
        assert (await fresh.get(encounter["subject"]["reference"])).status == 200
        assert (await fresh.get(encounter["serviceProvider"]["reference"])).json["resourceType"] == "Organization"
        for participant in encounter.get("participant", []):
            assert (await fresh.get(participant["individual"]["reference"])).json["resourceType"] == "Practitioner"
