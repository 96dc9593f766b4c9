"""What is remembered of the dictionaries: gone by while nothing has come, found out in the statement itself when something has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import asyncpg
import pytest

from fhir_server.storage import layout
from fhir_server.storage.dictionary import Dictionary, Outdated
from fhir_server.storage.layout import Known
from fhir_server.storage.tenants import Tenant, open_tenants
from profiles.registry import R4
from tests.conftest import ORIGIN
from tests.search.conftest import everything, ids, load, page

VITAL = "vital-signs"


def observation(id_: str, system: str, code: str, category: str = VITAL, **more: Any) -> dict[str, Any]:
    return {
        "resourceType": "Observation",
        "id": id_,
        "status": "final",
        "category": [{"coding": [{"system": "urn:category", "code": category}]}],
        "code": {"coding": [{"system": system, "code": code}]},
        "subject": {"reference": "Patient/p"},
        **more,
    }


@pytest.fixture(scope="module")
async def house(open_tenant: Any) -> Tenant:
    tenant: Tenant = await open_tenant("dictionary")
    people = [{"resourceType": "Patient", "id": id_, "gender": "female"} for id_ in ("p", "q")]
    await load(tenant, [*people, observation("a", "urn:a", "x"), observation("z", "urn:a", "z")])
    return tenant


@pytest.fixture
def elsewhere(house: Tenant, pool: asyncpg.Pool, keys_dir: Path) -> Tenant:
    """The same tenant as another process has it: it remembers for itself."""
    return open_tenants((house.name,), pool, keys_dir, ORIGIN)[house.name]


def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Count how often the dictionaries are read."""
    reads: list[int] = []
    look_up = layout.look_up

    async def counting(*args: Any) -> Known:
        reads.append(1)
        return await look_up(*args)

    monkeypatch.setattr(layout, "look_up", counting)
    return reads


@pytest.mark.parametrize(
    "query",
    ["code=x", "patient=p&code=x&_sort=-date", "category=vital-signs&code=x", "code=urn:a|x&status=final"],
)
async def test_what_is_remembered_is_not_read_again(house: Tenant, query: str, monkeypatch: pytest.MonkeyPatch) -> None:
    first = await ids(house, "Observation", query)
    reads = counted(monkeypatch)
    assert first == await ids(house, "Observation", query)
    assert first
    assert not reads


@pytest.mark.parametrize(
    ("query", "more"),
    [
        ("code={0}", ""),
        ("patient=p&code={0}", ""),
        ("patient=p&code={0}&_sort=-date", ""),
        ("patient.gender=female&code={0}", ""),
        ("code={0}&_sort=status", ""),
        ("code={0}&_sort=date&_total=accurate", ""),
        ("category={0}", ""),
        ("category={0}&code=urn:new|", ""),
        ("_has:Observation:patient:code={0}", "Patient"),
        ("_has:Observation:patient:category={0}", "Patient"),
    ],
)
async def test_what_another_process_adds_is_found_at_once(
    house: Tenant, elsewhere: Tenant, unique: str, query: str, more: str
) -> None:
    asked, type_ = query.format(unique), more or "Observation"
    await load(house, [observation(f"{unique}0", "urn:a", unique, unique, subject={"reference": "Patient/q"})])
    for _ in range(2):
        before = await ids(house, type_, asked, sees=everything)
    await load(elsewhere, [observation(f"{unique}1", "urn:new", unique, f"{unique}")])
    await load(elsewhere, [observation(f"{unique}2", "urn:newer", unique, "other", component=[])])
    after = await ids(house, type_, asked, sees=everything)
    assert after == await ids(elsewhere, type_, asked, sees=everything)
    assert len(after) >= len(before)
    if not more and "category" not in query:
        found = {f"{unique}{number}" for number in range(3)}
        assert set(after) == found - ({f"{unique}0"} if "patient=p" in query else set())


@pytest.mark.parametrize("query", ["code:not={0}", "category:not={0}"])
async def test_nothing_slips_through_a_negation(house: Tenant, elsewhere: Tenant, unique: str, query: str) -> None:
    asked = query.format(unique) + "&_count=1000"
    await load(house, [observation(f"{unique}0", "urn:a", unique, unique)])
    before = await ids(house, "Observation", asked)
    await load(elsewhere, [observation(f"{unique}1", "urn:new", unique, unique, status="amended")])
    assert set(await ids(house, "Observation", asked)) == set(before)


async def test_a_page_that_is_empty_is_verified(house: Tenant, elsewhere: Tenant, unique: str) -> None:
    assert (await page(house, "Observation", f"code={unique}")).rows == []
    assert (await page(house, "Observation", f"code={unique}")).total == 0
    await load(elsewhere, [observation(unique, "urn:a", unique)])
    assert (await page(house, "Observation", f"code={unique}&_summary=count")).total == 1
    assert (await page(house, "Observation", f"code={unique}")).total == 1


async def test_only_what_has_grown_is_outdated(house: Tenant, elsewhere: Tenant, unique: str) -> None:
    await load(house, [observation(unique, "urn:a", unique)])
    [asked] = await _codes_of(house, unique)
    first = await Dictionary(house).look_up({asked}, set())
    trusting = Dictionary(house, trusting=True)
    assert await trusting.look_up({asked}, set()) == first
    assert trusting.supposes
    await load(elsewhere, [observation(f"{unique}o", "urn:a", f"other{unique}")])
    await trusting.verify()
    await load(elsewhere, [observation(f"{unique}n", "urn:new", unique)])
    with pytest.raises(Outdated):
        await trusting.verify()
    again = await Dictionary(house).look_up({asked}, set())
    assert len(again.codings[asked]) == len(first.codings[asked]) + 1


async def test_what_has_too_many_is_not_counted(house: Tenant, unique: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout, "MOST", 1)
    made = [observation(f"{unique}{number}", f"urn:{number}", unique) for number in range(2)]
    await load(house, made)
    [asked] = await _codes_of(house, unique)
    assert asked not in (await Dictionary(house).look_up({asked}, set())).codings
    trusting = Dictionary(house, trusting=True)
    assert asked not in (await trusting.look_up({asked}, set())).codings
    assert not trusting.supposes


async def _codes_of(tenant: Tenant, code: str) -> list[int]:
    """Return the key of a code of Observation.code."""
    text = tenant.sql("SELECT DISTINCT by_code FROM {s}.coding c WHERE code = $1 AND param = $2")
    return [row["by_code"] for row in await tenant.pool.fetch(text, code, R4.params("Observation")["code"].id)]
