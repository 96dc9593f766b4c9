"""`$explain`: how a search is understood and run, for who may see everything, without a value of anything that is stored."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from fhir_server.search.explain import hidden
from fhir_server.storage.tenants import Tenant
from tests.http.client import Answer, Caller, caller, observation
from tests.operations.test_lastn import patient


def told(answer: Answer, name: str) -> list[Any]:
    assert answer.status == 200, answer.text
    return [
        value
        for each in answer.json["parameter"]
        if each["name"] == name
        for key, value in each.items()
        if key != "name"
    ]


def clauses(answer: Answer) -> dict[str, dict[str, list[Any]]]:
    out: dict[str, dict[str, list[Any]]] = {}
    for parts in told(answer, "clause"):
        of: dict[str, list[Any]] = {}
        for part in parts:
            of.setdefault(part["name"], []).append(next(value for key, value in part.items() if key != "name"))
        out[of["name"][0]] = of
    return out


@pytest.fixture
async def system(http: httpx.AsyncClient, tenant: Tenant) -> Caller:
    """An administrator who is cleared for everything: nobody else is told PostgreSQL's numbers."""
    return await caller(http, tenant, "system/*.cruds __see/all")


async def test_numbers_are_for_who_sees_everything(http: httpx.AsyncClient, tenant: Tenant) -> None:
    ordinary = await caller(http, tenant, "system/*.rs")
    answer = await ordinary.get("Observation/$explain?code=1-8")
    assert answer.status == 200
    assert not {"estimate", "plan", "hint"} & {each["name"] for each in answer.json["parameter"]}


async def test_what_a_search_means_and_how_it_runs(system: Caller) -> None:
    who = await patient(system)
    await system.post("Observation", observation(subject={"reference": who}, effectiveDateTime="2026-01-01"))
    answer = await system.get(
        f"Observation/$explain?patient={who}&code=http://loinc.org|8867-4,1-8&status:not=final&_sort=-date&_count=7&nothing=1"
    )
    clauses_ = f"(or patient {who}) (or code http://loinc.org|8867-4 1-8) (not (or status final))"
    assert told(answer, "query") == [f"(query Observation (and {clauses_}) (sort -date) (count 7))"]
    assert told(answer, "applied")[-1] == "_count=7"
    [ignored] = told(answer, "ignored")
    assert "nothing" in ignored
    found = clauses(answer)
    assert found["patient"]["index"] == ["resource_keys"]
    assert found["code"]["index"] == ["resource_keys", "coding_*"]  # for 1-8, in any system
    assert "none" in found["status"]["index"][0]
    assert told(answer, "decrypts") == ["none"]
    assert told(answer, "order") == ["-date"]
    assert "$1" in told(answer, "statement")[0]
    assert told(answer, "estimate")[0] >= 0
    assert any("Scan" in line for line in told(answer, "plan"))


async def test_what_must_be_decrypted_is_said(system: Caller) -> None:
    long = await system.get("Patient/$explain?name=christopherus")
    assert told(long, "decrypts") == ["all"]
    assert any("decrypted" in hint for hint in told(long, "hint"))
    sorted_by_name = await system.get("Patient/$explain?gender=female&_sort=name")
    assert any("sort" in hint for hint in told(sorted_by_name, "hint"))
    series = await system.get("Observation/$explain?patient=never&code=http://loinc.org|1-8&_sort=-date")
    assert told(series, "query")
    everything = await system.get("Observation/$explain")
    assert any("Nothing narrows" in hint for hint in told(everything, "hint"))


async def test_ranges_dates_composites_and_posted_parameters(system: Caller) -> None:
    query = (
        "date=ge2026-01-01&component-code-value-quantity=8480-6$gt140&value-quantity=5||kg&_id=a,b&_lastUpdated=gt2020"
    )
    answer = await system.get(f"Observation/$explain?{query}")
    found = clauses(answer)
    assert found["date"]["index"] == ["ix_date_*"]
    assert found["_id"]["index"] == ["resource_identity"]
    assert found["_lastUpdated"]["index"] == ["resource_updated"]
    assert "ix_number" in found["component-code-value-quantity"]["predicate"][0]
    body = {"resourceType": "Parameters", "parameter": [{"name": "date", "valueString": "ge2026"}]}
    assert told(await system.post("Observation/$explain", body), "query") == [
        "(query Observation (and (or date ge2026)))"
    ]


async def test_values_stand_in_the_query_only(system: Caller) -> None:
    """Constants would be in PostgreSQL's plan; keys and rids say who is meant."""
    who = await patient(system)
    query = f"subject={who}&value-quantity=gt123.75&date=lt2019-03-05&_id=secretid7"
    answer = await system.get(f"Observation/$explain?{query}")
    text = " ".join(
        [*told(answer, "statement"), *told(answer, "plan"), *(str(each) for each in clauses(answer).values())]
    )
    for word in ("123.75", "2019", "secretid7", who.split("/")[1]):
        assert word not in text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("(keys @> '{1,-2}'::bigint[])", "(keys @> '?'::bigint[])"),
        ("((param = 12) AND (lo >= 99.5) AND (hi < -3e5))", "((param = 12) AND (lo >= ?) AND (hi < ?))"),
        ("(type = 96) AND (fhir_id = 'it''s'::text)", "(type = 96) AND (fhir_id = '?'::text)"),
        ("r_1.rid = $2 AND version > 0", "r_1.rid = $2 AND version > ?"),
    ],
)
def test_values_of_a_plan_are_hidden(text: str, shown: str) -> None:
    assert hidden(text) == shown


@pytest.mark.parametrize(
    "scope",
    [
        "system/Observation.rs",
        "system/*.r",
        "system/*.s",
        "system/*.rs?_tag=a|b",
        "patient/*.cruds",
        "system/Patient.cruds",
    ],
)
async def test_only_who_may_see_everything(system: Caller, http: httpx.AsyncClient, scope: str) -> None:
    """Estimates tell of what is hidden: an existing code and none are refused alike."""
    who = await patient(system)
    client = await caller(http, system.tenant, scope, who.split("/")[1] if scope.startswith("patient") else None)
    answers = [await client.get(f"Observation/$explain?code={code}") for code in ("8867-4", "never")]
    assert {(answer.status, answer.issue) for answer in answers} == {(403, "explain-administrators")}
    assert answers[0].text == answers[1].text
    whole = await caller(http, system.tenant, "system/*.rs")
    assert (await whole.get("Observation/$explain?code=1")).status == 200


async def test_values_that_are_none_are_refused_as_in_a_search(system: Caller) -> None:
    assert (await system.get("Observation/$explain?date=yesterday")).issue == "search-value"
    assert (await system.get("$explain?code=1")).status == 404
