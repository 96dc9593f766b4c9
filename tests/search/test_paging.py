"""Pages: full, each match once, in order, for every sort; while others write; under cursors that cannot be moved."""

from __future__ import annotations

import asyncio
import base64
import zlib
from typing import Any

import pytest

from fhir_server.errors import BadSearch, Unprocessable
from fhir_server.kit import clock, json
from fhir_server.search import memory, run
from fhir_server.search.extract import extract
from fhir_server.search.page import PARAMETER
from fhir_server.search.run import search
from fhir_server.storage import reads
from fhir_server.storage.commands import Command
from fhir_server.storage.commit import commit
from fhir_server.storage.index_keys import COMPARTMENT, pack
from fhir_server.storage.visibility import EVERYTHING, NOTHING, Grant
from tests.search import population as p
from tests.search.conftest import back, body, context, ids, last_page, load, page, parsed

SORTS = {
    "Observation": [
        "", "date", "-date", "_lastUpdated", "-_lastUpdated", "_id", "-_id", "code", "-status,date", "date,-_id", "value-quantity",
        "-value-quantity,date", "subject", "-combo-value-quantity", "value-string", "_lastUpdated,-date,code",
    ],
    "Patient": ["", "birthdate", "-birthdate", "family", "-name,birthdate", "gender,family,-birthdate"],
    "Organization": ["name", "-name", "address-city,-name", "name,_lastUpdated"],
    "RiskAssessment": ["probability", "-probability"],
}  # fmt: skip
CASES = [(type_, sort) for type_, sorts in SORTS.items() for sort in sorts]
RESOURCES = p.population(11, 40)


@pytest.fixture(scope="session")
async def shelf(open_tenant: Any) -> Any:
    tenant = await open_tenant("search_paging")
    for start in range(0, len(RESOURCES), 37):  # several moments, for _lastUpdated
        await load(tenant, RESOURCES[start : start + 37])
    return tenant


@pytest.mark.parametrize(("type_", "sort"), CASES)
async def test_pages_are_the_whole_in_order(shelf: Any, type_: str, sort: str) -> None:
    query = f"_sort={sort}&" if sort else ""
    whole = [row.id for row in (await page(shelf, type_, f"{query}_count=1000")).rows]
    assert sorted(whole) == sorted(r["id"] for r in RESOURCES if r["resourceType"] == type_)
    for count in (1, 7):
        assert await ids(shelf, type_, f"{query}_count={count}") == whole


@pytest.mark.parametrize(("type_", "sort"), CASES)
async def test_pages_lead_back_in_the_same_order(shelf: Any, type_: str, sort: str) -> None:
    query = f"_sort={sort}&" if sort else ""
    whole = [row.id for row in (await page(shelf, type_, f"{query}_count=1000")).rows]
    last = await last_page(shelf, type_, f"{query}_count=7")
    shown = [row.id for row in last.rows]
    assert await back(shelf, type_, last) + shown == whole


async def test_links_between_pages(shelf: Any) -> None:
    first = await page(shelf, "Observation", "_count=5&_sort=-date")
    assert (first.previous, first.first) == (None, None)
    second = await page(shelf, "Observation", f"{PARAMETER}={first.next}")
    for way in (second.previous, second.first):
        again = await page(shelf, "Observation", f"{PARAMETER}={way}")
        assert again.rows == first.rows
        assert again.previous is None
        assert (await page(shelf, "Observation", f"{PARAMETER}={again.next}")).rows == second.rows
    whole = await page(shelf, "Observation", "_count=1000")
    assert (whole.next, whole.previous, whole.first) == (None, None, None)


async def test_pages_in_doubt_lead_back(shelf: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = await ids(shelf, "Observation", "code:missing=true")
    last = await last_page(shelf, "Observation", "code:missing=true&_count=3")
    monkeypatch.setattr(run, "LOOKS", 5)
    monkeypatch.setattr(run, "_BATCH", 5)
    assert await back(shelf, "Observation", last) + [row.id for row in last.rows] == whole


async def test_a_series_leads_back(shelf: Any) -> None:
    for sort in ("date", "-date"):
        query = f"patient=Patient/p1&code=http://loinc.org|8867-4&_sort={sort}"
        whole = await ids(shelf, "Observation", query)
        last = await last_page(shelf, "Observation", f"{query}&_count=1")
        assert len(whole) > 1
        assert await back(shelf, "Observation", last) + [row.id for row in last.rows] == whole


async def test_what_comes_to_stand_before_is_met_on_the_way_back(shelf: Any, unique: str) -> None:
    first = await page(shelf, "Organization", "_sort=name&_count=5")
    second = await page(shelf, "Organization", f"{PARAMETER}={first.next}")
    await load(shelf, [{"resourceType": "Organization", "id": unique, "name": "A"}])
    whole = await ids(shelf, "Organization", "_sort=name")
    before = whole[: whole.index(second.rows[0].id)]
    assert unique in before
    assert await back(shelf, "Organization", second) == before
    made = await reads.read(shelf, "Organization", unique, EVERYTHING)
    previous = extract(shelf, json.decode_trusted(made.body))
    await commit(shelf, [Command("delete", "Organization", unique, expected=1, previous=previous)])


async def test_cursors_of_before_there_was_a_way_back_still_open(shelf: Any) -> None:
    cursor = (await page(shelf, "Observation", "_count=2")).next
    assert cursor
    sealed = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
    state = json.decode_trusted(zlib.decompress(shelf.keystore.open(sealed, b"search cursor")))
    old = shelf.keystore.seal(zlib.compress(json.encode(state[:7])), b"search cursor")
    text = base64.urlsafe_b64encode(old).rstrip(b"=").decode()
    assert (await page(shelf, "Observation", f"{PARAMETER}={text}")).rows == (
        await page(shelf, "Observation", f"{PARAMETER}={cursor}")
    ).rows


def start_of(resource: dict[str, Any]) -> str | None:
    return resource.get("birthDate")


async def test_missing_values_come_last_either_way(shelf: Any) -> None:
    for sort, descending in (("birthdate", False), ("-birthdate", True)):
        held = [start_of(body(row)) for row in (await page(shelf, "Patient", f"_sort={sort}&_count=1000")).rows]
        there = [value for value in held if value is not None]
        assert held[len(there) :] == [None] * (len(held) - len(there))
        firsts = [value.ljust(10, "0")[:4] for value in there]
        assert firsts == sorted(firsts, reverse=descending)


async def test_names_sort_by_their_normal_form(shelf: Any) -> None:
    rows = (await page(shelf, "Patient", "_sort=family&_count=1000")).rows
    found = [body(row)["name"][0]["family"] for row in rows]
    order = [
        "Åström",
        "Li",
        "Mueller",
        "Müller",
        "muller-schmidt",
        "O'Neill",
        "Schwarzenegger-Kennedy",
        "van der Berg",
        "Vandenberg",
    ]
    assert [found.index(name) for name in order] == sorted(found.index(name) for name in order)


async def test_pages_in_doubt_are_full(shelf: Any) -> None:
    everyone = [
        r["id"] for r in RESOURCES if r["resourceType"] == "Patient" and r["name"][0]["family"].startswith("Schwarz")
    ]
    first = await page(shelf, "Patient", "family=schwarzenegger&_count=2")
    assert len(first.rows) == 2
    assert first.next
    assert sorted(await ids(shelf, "Patient", "family=schwarzenegger&_count=2")) == sorted(everyone)
    assert (await page(shelf, "Patient", "family=schwarzenegger&_summary=count")).total == len(everyone)


async def test_looking_is_bounded_and_goes_on_where_it_stopped(shelf: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = await ids(shelf, "Observation", "code:missing=true")
    monkeypatch.setattr(run, "LOOKS", 5)
    monkeypatch.setattr(run, "_BATCH", 5)
    assert await ids(shelf, "Observation", "code:missing=true&_count=3") == whole
    with pytest.raises(Unprocessable, match="narrow"):
        await page(shelf, "Observation", "code:missing=true&_total=accurate&_count=1")


async def test_sorting_in_memory_has_a_limit_with_its_reason(shelf: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "MOST", 39)
    with pytest.raises(Unprocessable) as refused:
        await page(shelf, "Patient", "_sort=family")
    assert refused.value.id == "search-sort-too-many"
    assert len((await page(shelf, "Patient", "_sort=family&gender=male")).rows) > 1


# ---- cursors ----


async def test_a_cursor_holds_for_one_grant_type_and_search_only(shelf: Any) -> None:
    cursor = (await page(shelf, "Observation", "status=final&_count=2")).next
    assert cursor
    for who, type_, query in [
        ("stranger", "Observation", ""),
        ("tester", "Patient", ""),
        ("tester", "Observation", "status=amended&_count=2&"),
    ]:
        with pytest.raises(BadSearch) as refused:
            await search(context(shelf, who), type_, parsed(f"{query}{PARAMETER}={cursor}"), visibility=EVERYTHING)
        assert refused.value.id == "search-cursor"
    same = await page(shelf, "Observation", f"status=final&_count=2&_format=json&{PARAMETER}={cursor}")
    assert same.rows == (await page(shelf, "Observation", f"{PARAMETER}={cursor}")).rows


@pytest.mark.parametrize(
    "change",
    [
        lambda c: c[:-2] + ("AA" if c[-2:] != "AA" else "BB"),
        lambda c: "",
        lambda c: "é",
        lambda c: c[:20],
        lambda c: "A" * 90,
    ],
)
async def test_a_cursor_that_was_changed_is_refused(shelf: Any, change: Any) -> None:
    cursor = (await page(shelf, "Observation", "_count=2")).next
    with pytest.raises(BadSearch) as refused:
        await page(shelf, "Observation", f"{PARAMETER}={change(cursor)}")
    assert refused.value.id == "search-cursor"


async def test_a_cursor_of_another_tenant_is_refused(shelf: Any, tenant: Any) -> None:
    cursor = (await page(shelf, "Observation", "_count=2")).next
    with pytest.raises(BadSearch):
        await page(tenant, "Observation", f"{PARAMETER}={cursor}")


async def test_a_cursor_expires(shelf: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    cursor = (await page(shelf, "Observation", "_count=2")).next
    now = clock.seconds()
    monkeypatch.setattr(clock, "seconds", lambda: now + 3601)
    with pytest.raises(BadSearch) as refused:
        await page(shelf, "Observation", f"{PARAMETER}={cursor}")
    assert refused.value.id == "search-cursor-expired"


async def test_a_cursor_says_nothing_readable(shelf: Any) -> None:
    cursor = (await page(shelf, "Patient", "family=v&_sort=family&_count=1")).next
    assert cursor
    assert "family" not in cursor
    assert "van" not in cursor.lower() or len(cursor) > 100


async def test_what_may_be_seen_is_asked_anew_on_every_page(shelf: Any) -> None:
    one = (Grant((pack(COMPARTMENT, shelf.rids[("Patient", "p1")]),)),)
    first = await page(shelf, "Observation", "_count=3")
    after = await page(shelf, "Observation", f"{PARAMETER}={first.next}", one)
    assert after.rows
    assert all(shelf.rids[("Patient", "p1")] in row.patients for row in after.rows)
    assert (await page(shelf, "Observation", f"{PARAMETER}={first.next}", NOTHING)).rows == []


# ---- while others write ----


async def change(tenant: Any, stop: asyncio.Event, stem: str) -> int:
    """Create, update and delete Observations that the search matches too, until told to stop."""
    rounds = 0
    while not stop.is_set():
        made = {
            "resourceType": "Observation",
            "id": f"{stem}{rounds}",
            "status": "final",
            "code": {"coding": [{"code": "w"}]},
        }
        made["effectiveDateTime"] = p.DATES[rounds % len(p.DATES)]
        await commit(tenant, [Command("create", "Observation", made["id"], made, extract(tenant, made), fresh=True)])
        if rounds > 3:
            old = await reads.read(tenant, "Observation", f"{stem}{rounds - 3}", EVERYTHING)
            previous = extract(tenant, json.decode_trusted(old.body))
            method = "delete" if rounds % 2 else "update"
            new = (
                None if method == "delete" else made | {"id": old.id, "status": "amended", "effectiveDateTime": "1999"}
            )
            index = extract(tenant, new) if new else None
            await commit(
                tenant, [Command(method, "Observation", old.id, new, index, expected=old.version, previous=previous)]
            )
        rounds += 1
        await asyncio.sleep(0)
    return rounds


@pytest.mark.parametrize("sort", ["", "date", "-date", "-_lastUpdated", "_id", "code", "status,-date"])
async def test_what_does_not_change_appears_exactly_once_while_others_write(shelf: Any, sort: str, unique: str) -> None:
    steady = {r["id"] for r in RESOURCES if r["resourceType"] == "Observation"}
    stop = asyncio.Event()
    writer = asyncio.create_task(change(shelf, stop, unique))
    query = f"_count=5{f'&_sort={sort}' if sort else ''}"
    try:
        found = await ids(shelf, "Observation", query)
        last = await last_page(shelf, "Observation", query)
        backwards = await back(shelf, "Observation", last) + [row.id for row in last.rows]
    finally:
        stop.set()
        rounds = await writer
        await sweep(shelf, rounds, unique)
    for way in (found, backwards):
        held = [id_ for id_ in way if id_ in steady]
        assert len(held) == len(set(held))
        assert set(held) == steady


async def sweep(tenant: Any, rounds: int, stem: str) -> None:
    """Delete what the writer left, so that the next sort starts with the same population."""
    for number in range(rounds):
        old = await reads.read(tenant, "Observation", f"{stem}{number}", EVERYTHING)
        if old and not old.deleted:
            previous = extract(tenant, json.decode_trusted(old.body))
            await commit(tenant, [Command("delete", "Observation", old.id, expected=old.version, previous=previous)])
