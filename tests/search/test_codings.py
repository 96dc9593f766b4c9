"""Codes in any system, and all codes of a system: through the dictionary of codings, whoever wrote into it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import asyncpg
import pytest

from fhir_server.storage import codings
from fhir_server.storage.tenants import Tenant, open_tenants
from tests.conftest import ORIGIN
from tests.search.conftest import Resource, ids, load


def observation(id_: str, *said: tuple[str | None, str | None], **more: Any) -> Resource:
    """An Observation with these (system, code)."""
    coded = [
        {name: value for name, value in (("system", system), ("code", code)) if value is not None}
        for system, code in said
    ]
    return {"resourceType": "Observation", "id": id_, "status": "final", "code": {"coding": coded}, **more}


@pytest.fixture(scope="module", params=("codings_one", "codings_two"))
async def house(open_tenant: Any, request: pytest.FixtureRequest) -> Tenant:
    tenant: Tenant = await open_tenant(request.param)
    made = [
        observation("a", ("urn:a", "x")),
        observation("b", ("urn:b", "X")),
        observation("none", (None, "x")),
        observation("both", ("urn:a", "y"), ("urn:b", "x")),
        observation("system", ("urn:a", None)),
        observation("unit", ("http://unitsofmeasure.org", "Mg")),
        observation("other", ("urn:c", "z")),
    ]
    await load(tenant, made)
    return tenant


QUERIES = [
    ("code=x", "a b none both"),
    ("code=urn:a|x", "a"),
    ("code=|x", "none"),
    ("code=urn:a|", "a both system"),
    ("code=urn:b|,z", "b both other"),
    ("code=x&code=y", "both"),
    ("code=nothing", ""),
    ("code=urn:nothing|", ""),
    ("code:not=x", "system unit other"),
    ("code:not=urn:a|", "b none unit other"),
    ("code=mg", "unit"),
    ("code=http://unitsofmeasure.org|mg", ""),
    ("code=http://unitsofmeasure.org|Mg", "unit"),
    ("combo-code=x", "a b none both"),
]


@pytest.mark.parametrize(("query", "wanted"), QUERIES, ids=[query for query, _ in QUERIES])
async def test_codes_and_systems(house: Tenant, query: str, wanted: str) -> None:
    assert sorted(await ids(house, "Observation", query)) == sorted(wanted.split())


async def test_a_system_with_more_codings_than_a_search_names(open_tenant: Any) -> None:
    tenant = await open_tenant("codings_many")
    await load(tenant, [observation(f"o{n}", ("urn:many", f"c{n}")) for n in range(codings.MOST + 1)])
    await load(tenant, [observation(f"s{n}", (f"urn:s{n}", "same")) for n in range(codings.MOST + 1)])
    await load(tenant, [observation("out", ("urn:few", "c1"))])
    assert len(await ids(tenant, "Observation", "code=urn:many|&_count=1000")) == codings.MOST + 1
    assert len(await ids(tenant, "Observation", "code=same&_count=1000")) == codings.MOST + 1
    assert await ids(tenant, "Observation", "code:not=urn:many|&code:not=same") == ["out"]


async def test_what_another_process_writes_is_found(house: Tenant, pool: asyncpg.Pool, keys_dir: Path) -> None:
    other = open_tenants((house.name,), pool, keys_dir, ORIGIN)[house.name]
    assert await ids(house, "Observation", "code=late") == []
    for number, system in enumerate(("urn:late:1", "urn:late:2")):
        await load(other, [observation(f"late{number}", (system, "late"))])
        assert len(await ids(house, "Observation", "code=late")) == number + 1


async def test_a_series_is_found_by_a_code_alone(house: Tenant) -> None:
    dated = {"subject": {"reference": "Patient/p"}, "effectiveDateTime": "2026-01-01"}
    await load(house, [observation("d1", ("urn:a", "s"), **dated), observation("d2", ("urn:a", "s"), **dated)])
    query = "patient=p&code=s&_sort=-date"
    assert sorted(await ids(house, "Observation", query)) == ["d1", "d2"]
    await load(house, [observation("d3", ("urn:b", "s"), ("urn:a", "s"), **dated)])
    assert sorted(await ids(house, "Observation", query)) == ["d1", "d2", "d3"]
