"""search-smoke: the rows that another server's tests use, counted one by one; exceptions by name in `smoke_exceptions.json`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fhir_server.errors import BadSearch
from fhir_server.kit import json
from fhir_server.storage.index_keys import COMPARTMENT, pack
from fhir_server.storage.visibility import EVERYTHING, NOTHING, Grant
from tests.search.conftest import load, page
from tests.shared_data import shared

LATER = {"search-not-supported", "search-modifier-not-supported"}
LIBERAL = json.decode((Path(__file__).parent / "smoke_exceptions.json").read_bytes())


def suite() -> dict[str, Any]:
    return json.decode((shared("search-smoke") / "cases.json").read_bytes())


@pytest.fixture(scope="session")
async def smoke(open_tenant: Any) -> Any:
    tenant = await open_tenant("search_smoke")
    unique = {(r["resourceType"], r["id"]): r for r in suite()["resources"]}
    await load(tenant, unique.values())
    return tenant


def searches() -> list[tuple[str | None, str | None, str, int, int]]:
    """(who, type, query, matches, resources on the page) of the rows that are searches by parameters."""
    out: list[tuple[str | None, str | None, str, int, int]] = []
    for case in suite()["cases"]:
        method, args = case["method"], case["args"]
        if method in ("ObservationSearch", "PatientSearch"):
            out.append((args[0], method.removesuffix("Search"), args[1], args[2], args[-1]))
        elif method == "Search" and args[0].count("/") < 2:
            path, _, query = args[0].partition("?")
            out.append((None, path.strip("/") or None, query, args[1], args[1]))
    return out


def visibility(who: str | None, type_: str | None, tenant: Any) -> Any:
    """What the suite's callers may see."""
    if type_ is None:
        return {"Patient": EVERYTHING, "Observation": EVERYTHING}
    if who is None:
        return EVERYTHING
    if who == "PatientDoesNotExistFull" or (who == "PatientExamplePatientOnly" and type_ != "Patient"):
        return NOTHING
    return (Grant((pack(COMPARTMENT, tenant.rids[("Patient", "example")]),)),)


def seeing(who: str | None, tenant: Any) -> Any:
    """What the suite's callers may see of what is included."""

    async def sees(types: Any) -> Any:
        return {type_: visibility(who, type_, tenant) for type_ in types}

    return sees


async def test_searches(smoke: Any) -> None:
    passed, later, wrong = 0, 0, []
    for who, type_, query, matches, whole in searches():
        try:
            seen = visibility(who, type_, smoke)
            found = await page(smoke, type_, f"{query}&_total=accurate", seen, sees=seeing(who, smoke))
        except BadSearch as error:
            later += error.id in LATER
            wrong += [query] if error.id not in LATER and query not in LIBERAL else []
            continue
        asked_for = "include=" in query
        if found.total == matches and (not asked_for or len(found.rows) + len(found.included) == whole):
            passed += 1
        elif query not in LIBERAL:
            wrong.append((who, query, found.total, matches, len(found.included), whole))
    assert wrong == []
    assert (passed, later) == (146, 0)


async def test_compartments(smoke: Any) -> None:
    rows = [case["args"] for case in suite()["cases"] if case["method"] == "PatientCompartmentSearch"]
    for who, patient, type_, query, matches in rows:
        rid = smoke.rids.get(("Patient", patient))
        seen = visibility(who, "Observation", smoke)
        if rid is None or type_ is None:
            continue
        found = await page(smoke, type_, f"{query or ''}&_total=accurate", seen, within=(pack(COMPARTMENT, rid),))
        assert found.total == matches, (who, patient, type_, query)


@pytest.mark.parametrize(
    "sort", [f"_sort={sign}{name}" for name in ("date", "status", "_lastUpdated") for sign in ("", "-")]
)
async def test_observations_sort(smoke: Any, sort: str) -> None:
    found = [json.decode_trusted(row.body) for row in (await page(smoke, "Observation", sort)).rows]
    name, descending = sort.removeprefix("_sort=").lstrip("-"), "=-" in sort
    held = {
        "date": lambda r: r.get("effectiveDateTime", r.get("effectivePeriod", {}).get("start")),
        "status": lambda r: r["status"],
        "_lastUpdated": lambda r: r["meta"]["lastUpdated"],
    }[name]
    there = [value for value in map(held, found) if value is not None]
    assert there == sorted(there, reverse=descending)
    assert len(found) == 6
