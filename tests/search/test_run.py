"""Searching: totals, visibility, deleted and merely mentioned resources, conditions, several types, the patient's series."""

from __future__ import annotations

from typing import Any

import asyncpg
import pytest

from fhir_server.errors import BadSearch, Unavailable
from fhir_server.kit import json
from fhir_server.search import run
from fhir_server.search.criteria import match, matches
from fhir_server.search.extract import extract
from fhir_server.storage import reads
from fhir_server.storage.commands import Command
from fhir_server.storage.commit import commit
from fhir_server.storage.index_keys import COMPARTMENT, pack
from fhir_server.storage.visibility import EVERYTHING, NOTHING, Grant
from tests.search import population as p
from tests.search.conftest import context, ids, load, page

RESOURCES = p.population(23, 40)
OBSERVATIONS = [r for r in RESOURCES if r["resourceType"] == "Observation"]


@pytest.fixture(scope="session")
async def house(open_tenant: Any) -> Any:
    tenant = await open_tenant("search_run")
    await load(tenant, RESOURCES)
    return tenant


def of_patient(tenant: Any, id_: str) -> Any:
    return (Grant((pack(COMPARTMENT, tenant.rids[("Patient", id_)]),)),)


# ---- totals ----


async def test_totals(house: Any) -> None:
    finals = sum(r["status"] == "final" for r in OBSERVATIONS)
    assert (await page(house, "Observation", "status=final&_count=2")).total is None
    assert (await page(house, "Observation", "status=final&_count=2&_total=none")).total is None
    assert (await page(house, "Observation", "status=final&_count=2&_total=accurate")).total == finals
    assert (await page(house, "Observation", "status=final&_count=0")).total == finals
    assert (await page(house, "Observation", "status=final&_summary=count")).rows == []
    whole = await page(house, "Observation", "status=final")
    assert (whole.total, whole.next, len(whole.rows)) == (finals, None, finals)
    guess = await page(house, "Observation", "status=final&_count=2&_total=estimate")
    assert guess.total
    assert guess.total >= 3


async def test_a_total_goes_with_the_pages(house: Any) -> None:
    first = await page(house, "Observation", "_count=3&_total=accurate")
    second = await page(house, "Observation", f"_cursor={first.next}")
    assert first.total == second.total == len(OBSERVATIONS)


async def test_who_sees_less_gets_no_estimate_from_what_is_hidden(house: Any) -> None:
    seen = of_patient(house, "p1")
    exact = await page(house, "Observation", "_count=1&_total=accurate", seen)
    assert (await page(house, "Observation", "_count=1&_total=estimate", seen)).total == exact.total


# ---- what may be seen ----


@pytest.mark.parametrize(
    "query",
    [
        "",
        "_sort=date",
        "_sort=code",
        "_sort=-_lastUpdated",
        "code:missing=false",
        "value-quantity=||lbs",
        "_sort=-value-quantity,date",
    ],
)
async def test_only_what_may_be_seen_is_found_and_counted(house: Any, query: str) -> None:
    if query.startswith("value"):
        query = "value-quantity=gt-100||lbs"
    seen = of_patient(house, "p1")
    everything, mine = await ids(house, "Observation", query), await ids(house, "Observation", query, seen)
    inside = {r["id"] for r in OBSERVATIONS if r["subject"].get("reference", "").split("/_")[0] == "Patient/p1"}
    assert set(mine) == set(everything) & inside
    assert (await page(house, "Observation", f"{query}&_summary=count", seen)).total == len(mine)
    assert await ids(house, "Observation", query, NOTHING) == []
    assert (await page(house, "Observation", f"{query}&_summary=count", NOTHING)).total == 0


async def test_a_grant_may_exclude(house: Any) -> None:
    hidden = (Grant((), of_patient(house, "p1")[0].all_of),)
    assert set(await ids(house, "Observation", "", hidden)) == set(await ids(house, "Observation", "")) - set(
        await ids(house, "Observation", "", of_patient(house, "p1"))
    )


async def test_several_types_each_with_its_own_visibility(house: Any) -> None:
    seen = {"Patient": EVERYTHING, "Observation": of_patient(house, "p1"), "Organization": NOTHING}
    found = await page(house, None, "_count=1000", seen)
    by_type = {type_: sum(row.type == type_ for row in found.rows) for type_ in seen}
    assert by_type == {
        "Patient": 40,
        "Observation": len(await ids(house, "Observation", "", of_patient(house, "p1"))),
        "Organization": 0,
    }
    only = await page(house, None, "_type=Patient,Organization&_sort=-_id&_count=1000&_tag=red", seen)
    assert {row.type for row in only.rows} == {"Patient"}
    assert only.rows
    with pytest.raises(TypeError):
        await page(house, None, "", EVERYTHING)


# ---- what is there ----


async def test_deleted_and_merely_mentioned_resources_never_match(house: Any) -> None:
    gone = {
        "resourceType": "Device",
        "id": "gone",
        "status": "active",
        "patient": {"reference": "Patient/only-mentioned"},
    }
    await load(house, [gone])
    assert await ids(house, "Device", "status=active") == ["gone"]
    old = await reads.read(house, "Device", "gone", EVERYTHING)
    await commit(
        house, [Command("delete", "Device", "gone", expected=1, previous=extract(house, json.decode_trusted(old.body)))]
    )
    for query in (
        "",
        "status=active",
        "_id=gone",
        "patient=only-mentioned",
        "_sort=status",
        "status:not=inactive",
        "type:missing=true",
    ):
        assert await ids(house, "Device", query) == []
    assert await ids(house, "Patient", "_id=only-mentioned") == []


async def test_an_update_is_found_by_what_it_says_now(house: Any) -> None:
    first = {
        "resourceType": "Device",
        "id": "moving",
        "status": "active",
        "manufactureDate": "2020-01-01",
        "manufacturer": "Acme",
    }
    await load(house, [first])
    second = first | {"status": "inactive", "manufacturer": "Zenith"}
    await commit(
        house,
        [
            Command(
                "update", "Device", "moving", second, extract(house, second), expected=1, previous=extract(house, first)
            )
        ],
    )
    assert await ids(house, "Device", "status=active") == []
    assert await ids(house, "Device", "status=inactive&manufacturer=zen") == ["moving"]
    assert await ids(house, "Device", "manufacturer=acme") == []


async def test_last_updated_is_a_moment(house: Any) -> None:
    some = (await page(house, "Patient", "_count=1")).rows[0]
    moment = some.last_updated.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    day = moment[:10]
    assert some.id in await ids(house, "Patient", f"_lastUpdated={moment}")
    assert some.id in await ids(house, "Patient", f"_lastUpdated=ge{moment}&_lastUpdated=le{moment}")
    for query in (f"gt{moment}", f"lt{moment}", f"sa{day}", f"eb{day}", f"ne{day}", "lt2020", "2019,2018"):
        assert some.id not in await ids(house, "Patient", f"_lastUpdated={query}")
    for query in (day, f"ge{day}", f"le{day}", f"ap{day}", f"2019,{day}"):
        assert some.id in await ids(house, "Patient", f"_lastUpdated={query}")


async def test_ids(house: Any) -> None:
    assert await ids(house, "Patient", "_id=p1,p3,none") == ["p1", "p3"]
    assert len(await ids(house, "Patient", "_id:not=p1")) == 39
    assert await ids(house, "Patient", "_id:missing=true") == []
    assert len(await ids(house, "Patient", "_id:missing=false")) == 40


async def test_a_composite_is_missing_where_a_component_is(house: Any) -> None:
    values = {"valueQuantity", "valueSampledData"}
    having = [r["id"] for r in OBSERVATIONS if "code" in r and values & r.keys()]
    lacking = [r["id"] for r in OBSERVATIONS if r["id"] not in having]
    assert having
    assert lacking
    assert sorted(await ids(house, "Observation", "code-value-quantity:missing=false&_count=1000")) == sorted(having)
    assert sorted(await ids(house, "Observation", "code-value-quantity:missing=true&_count=1000")) == sorted(lacking)
    below = [
        r["id"]
        for r in OBSERVATIONS
        if any({"code", "valueQuantity"} <= part.keys() for part in r.get("component", ()))
    ]
    found = await ids(house, "Observation", "component-code-value-quantity:missing=false&_count=1000")
    assert sorted(found) == sorted(below)


# ---- the patient's series ----

SERIES = [
    "date=ge2021", "date=lt2021-03-05&date=ge2020", "_sort=-date", "_sort=date", "date=2021-03-04,ge2024&_sort=-date",
    "date=ap2021&_sort=date", "date=ne2021-03-04", "date=sa2020&status=final", "date=gt2021-03-04T10:00:00Z",
    "date=eb2023&_sort=date&value-quantity=gt4||kg", "date=le2021-03-04", "date:missing=false&_sort=-date",
]  # fmt: skip


@pytest.mark.parametrize("more", SERIES)
async def test_a_series_finds_what_the_index_finds(house: Any, more: str, monkeypatch: pytest.MonkeyPatch) -> None:
    taken = []
    recognise = run.recognise
    monkeypatch.setattr(run, "recognise", lambda *args: taken.append(recognise(*args)) or taken[-1])
    for subject in ("patient=Patient/p1", "subject=p1", "subject:Patient=p1"):
        query = f"{subject}&code=http://loinc.org|8867-4&{more}"
        along = await ids(house, "Observation", f"{query}&_count=2")
        total = (await page(house, "Observation", f"{query}&_summary=count")).total
        with monkeypatch.context() as without:
            without.setattr(run, "recognise", lambda *_: None)
            usual = await ids(house, "Observation", query)
        assert (along, total) == (usual, len(usual)), query
    assert any(taken)


# ---- conditions ----


async def test_match_finds_a_few_and_is_strict(house: Any) -> None:
    ctx = context(house, lenient=True)
    assert [row.id for row in await match(ctx, "Patient", [("_id", "p1")], EVERYTHING)] == ["p1"]
    assert len(await match(ctx, "Observation", [("status", "final")], EVERYTHING, limit=3)) == 3
    assert await match(ctx, "Patient", [("_id", "p1")], NOTHING) == []
    for criteria in ([("nonsense", "1")], [], [("_count", "1")], [("_sort", "_id")]):
        with pytest.raises(BadSearch):
            await match(ctx, "Patient", criteria, EVERYTHING)


async def test_matches_tells_of_one_resource(house: Any) -> None:
    rid = house.rids[("Patient", "p1")]
    family = next(r for r in RESOURCES if r["id"] == "p1" and r["resourceType"] == "Patient")["name"][0]["family"]
    assert await matches(house, "Patient", [("family", family)], rid, EVERYTHING)
    assert not await matches(house, "Patient", [("family", family + "x" * 9)], rid, EVERYTHING)
    assert not await matches(house, "Patient", [("family", family)], rid, NOTHING)
    assert not await matches(house, "Observation", [("status", "final")], rid, EVERYTHING)


async def test_a_search_that_takes_too_long_is_503(house: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class Cancelled:
        async def fetch(self, *_: Any) -> Any:
            raise asyncpg.QueryCanceledError("canceling statement due to statement timeout")

    monkeypatch.setattr(house, "pool", Cancelled())
    with pytest.raises(Unavailable) as refused:
        await page(house, "Patient", "_id=p1")
    assert refused.value.headers["Retry-After"]
