"""Attacks 15 to 20, 27 and 28 of reference/security.md §2.3: chains and `_has` as ways to what is hidden."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from fhir_server.kit import ids
from tests.auth.test_attacks import CANARY, Ward, clean, lab, made, no_canary, person, ward
from tests.http.client import Answer, Caller, caller

__all__ = ["person", "ward"]


def found(answer: Answer) -> set[str]:
    assert answer.status == 200, answer.text
    no_canary(answer)
    return {
        each["resource"]["id"]
        for each in answer.json.get("entry", [])
        if each["resource"]["resourceType"] != "OperationOutcome"
    }


# ---- 15: no right to search the other type ----

THROUGH_PATIENT = [
    "patient.birthdate=1961-02-03", "patient.birthdate=ge1900", "subject:Patient.name=canary7", "subject.birthdate:missing=true",
    "subject:Patient.gender:not=male", "subject:Patient._has:Condition:subject:code=x", "patient.link.name=x",
]  # fmt: skip


@pytest.mark.parametrize("query", THROUGH_PATIENT)
async def test_15_a_chain_needs_the_right_to_search_where_it_goes(
    ward: Ward, http: httpx.AsyncClient, query: str
) -> None:
    for scope in ("patient/Observation.rs", "patient/Observation.rs patient/Patient.r"):
        limited = await caller(http, ward.system.tenant, scope, ward.a)
        answer = await limited.get(f"Observation?{query}")
        no_canary(answer)
        assert (answer.status, answer.issue) == (403, "insufficient-scope")
        assert "Patient" in answer.headers["www-authenticate"]
        posted = await limited.send(
            "POST", "Observation/_search", query.encode(), content_type="application/x-www-form-urlencoded"
        )
        assert posted.status == 403


async def test_15_an_untyped_chain_finds_nothing_where_it_may_not_go(ward: Ward, http: httpx.AsyncClient) -> None:
    place = await made(ward.system, {"resourceType": "Location", "name": f"{CANARY} ward"})
    mine = await made(ward.system, lab(ward.a))
    at_place = await made(
        ward.system,
        {
            **lab(ward.a),
            "subject": {"reference": f"Location/{place}"},
            "performer": [{"reference": f"Patient/{ward.a}"}],
        },
    )
    who = await caller(http, ward.system.tenant, "patient/Observation.rs patient/Patient.rs", ward.a)
    assert at_place in found(await who.get("Observation"))
    assert found(await who.get("Observation?subject.name=canary7")) == set()
    assert mine in found(await who.get("Observation?subject.name=plain"))


# ---- 16: through one's own to what is another's ----

PAST_ENCOUNTER = [
    "encounter.class=AMB", "encounter:Encounter.class=AMB", "encounter.class:not=IMP", "encounter.class:missing=true",
    "encounter.status=finished", "encounter.subject:Patient.birthdate=1961-02-03", "encounter.subject.birthdate=ge1900",
    "encounter.patient.name=canary7", "encounter.patient.gender:missing=true", "encounter.patient._id=ID",
    "encounter.patient._has:Observation:patient:code=718-7", "encounter._lastUpdated=ge2020", "encounter._id:not=x",
]  # fmt: skip


@pytest.mark.parametrize("query", PAST_ENCOUNTER)
async def test_16_hidden_rows_on_the_way_are_absent(ward: Ward, person: Caller, query: str) -> None:
    linked = await made(ward.system, lab(ward.a, encounter={"reference": f"Encounter/{ward.hidden['Encounter']}"}))
    empty = await made(ward.system, lab(ward.a, encounter={"reference": f"Encounter/{ids.new_id()}"}))
    answer = await person.get(f"Observation?{query.replace('ID', ward.b)}&_total=accurate")
    assert not {linked, empty} & found(answer)
    assert answer.json["total"] == 0
    assert found(await ward.system.get("Observation?encounter.class=AMB&_count=1000")) >= {linked}


async def test_16_three_levels_and_back_to_oneself(ward: Ward, person: Caller) -> None:
    """From A's Observation over B's Encounter to a Condition of B's that names A: every step but the middle is A's own."""
    visit = await made(ward.system, {
        "resourceType": "Encounter", "status": "finished", "class": {"code": "AMB"}, "subject": {"reference": f"Patient/{ward.b}"},
        "partOf": {"reference": f"Encounter/{ward.hidden['Encounter']}"},
    })  # fmt: skip
    mine = await made(ward.system, lab(ward.a, encounter={"reference": f"Encounter/{visit}"}))
    for query in (
        "encounter.part-of.subject:Patient.name=canary",
        "encounter.part-of.status=finished",
        "encounter._has:Observation:encounter:code=718-7",
    ):
        assert mine not in found(await person.get(f"Observation?{query}"))
        assert mine in found(await ward.system.get(f"Observation?{query}&_count=1000"))


# ---- 17, 18: what refers here ----


async def test_17_what_refers_to_mine_but_is_hidden_tells_nothing(ward: Ward, person: Caller) -> None:
    """B's Observation has A as its focus: by its value A must not be found, however one halves the range."""
    await made(ward.system, lab(ward.b, focus=[{"reference": f"Patient/{ward.a}"}], valueQuantity={"value": 42}))
    for query in (
        "code=718-7",
        "value-quantity=gt40",
        "value-quantity=lt40",
        "code:not=x",
        "value-string=canary",
        "date:missing=true",
        "_id:not=x",
    ):
        answer = await person.get(f"Patient?_has:Observation:focus:{query}&_total=accurate")
        assert (found(answer), answer.json["total"]) == (set(), 0), query
    assert found(await ward.system.get(f"Patient?_has:Observation:focus:value-quantity=gt40&_id={ward.a}")) == {ward.a}
    assert found(await person.get("Patient?_has:Observation:patient:code=718-7")) == {ward.a}
    assert found(await person.get(f"Patient?_has:Observation:patient:code=718-7&_id={ward.b}")) == set()


async def test_18_nested(ward: Ward, person: Caller) -> None:
    hidden = await made(ward.system, lab(ward.b, focus=[{"reference": f"Patient/{ward.a}"}]))
    report = {
        "resourceType": "DiagnosticReport",
        "status": "final",
        "code": {"text": "x"},
        "result": [{"reference": f"Observation/{hidden}"}],
    }
    mine = await made(ward.system, report | {"subject": {"reference": f"Patient/{ward.a}"}})
    query = "_has:Observation:focus:_has:DiagnosticReport:result:status=final"
    assert found(await person.get(f"Patient?{query}")) == set()
    assert ward.a in found(await ward.system.get(f"Patient?{query}&_count=1000"))
    assert found(await person.get("DiagnosticReport?result.focus:Patient.name=plain")) == set()
    assert mine in found(await ward.system.get("DiagnosticReport?result.focus:Patient.name=plain&_count=1000"))


# ---- 19, 20 ----


EMPTY = [
    "Observation?patient.birthdate=1800", "Observation?patient.name=nobody-at-all", "Patient?_has:Observation:patient:code=none",
    "Observation?patient._has:Condition:subject:code=none", "Observation?encounter.class=none",
    "Observation?encounter.patient.birthdate=1800",
]  # fmt: skip


@pytest.mark.parametrize("query", EMPTY)
async def test_19_a_hop_without_hits_finds_nothing(person: Caller, query: str) -> None:
    answer = await person.get(f"{query}&_total=accurate")
    assert (found(answer), answer.json["total"]) == (set(), 0)


@pytest.mark.parametrize("sort", ["subject.birthdate", "-subject:Patient.name", "_has:Observation:focus:date"])
async def test_20_nothing_is_sorted_by_what_a_chain_leads_to(person: Caller, sort: str) -> None:
    answer = await person.get(f"Observation?_sort={sort}")
    assert answer.status == 400
    assert answer.issue in ("search-chain", "search-has", "search-unknown-parameter")


# ---- 27: by filters and words ----

FILTERS = [
    "Patient?_filter=family sw canary", "Patient?_filter=family ne nothing", "Patient?_filter=not (family sw plain)",
    "Observation?_filter=encounter.subject:Patient[family sw canary].birthdate ge 1900",
    "Observation?_filter=value-string eq canary7d1f",
    "Patient?_filter=_has:Observation:focus:code eq 718-7", "Observation?_filter=not (patient.family sw plain)",
    "Group?_filter=member:Patient.birthdate eq 1961-02-03", "Patient?_filter=birthdate eq 1961-02-03 or family eq canary7d1f",
]  # fmt: skip


@pytest.mark.parametrize("query", FILTERS)
async def test_27_a_filter_does_not_reach_what_is_hidden(ward: Ward, person: Caller, query: str) -> None:
    await made(ward.system, lab(ward.a, encounter={"reference": f"Encounter/{ward.hidden['Encounter']}"}))
    answer = await person.get(f"{query}&_summary=count")
    assert (answer.status, answer.json["total"]) == (200, 1 if query == FILTERS[1] else 0), answer.text
    seen = await ward.system.get(f"{query}&_summary=count")
    assert seen.json["total"] > 0 or "value-string" in query


async def test_27_named_queries_and_filters_on_other_types_are_refused(ward: Ward, http: httpx.AsyncClient) -> None:
    limited = await caller(http, ward.system.tenant, "patient/Observation.rs", ward.a)
    for query in (
        "patient.birthdate eq 1961-02-03",
        "code eq x or subject:Patient.name sw canary",
        "not (patient.gender pr true)",
    ):
        answer = await limited.get(f"Observation?_filter={query}")
        assert (answer.status, answer.issue) == (403, "insufficient-scope")
    assert (await limited.get("Observation?_query=x")).status == 400
    assert (await limited.get("Observation?_list=x")).status == 403


# ---- 28: lists and groups that both are in ----


async def test_28_a_list_shows_of_its_members_what_is_seen(ward: Ward, person: Caller) -> None:
    entries = [{"item": {"reference": f"Patient/{each}"}} for each in (ward.a, ward.b)]
    both = {"resourceType": "List", "status": "current", "mode": "working", "entry": entries}
    shared = await made(ward.system, both | {"subject": {"reference": f"Patient/{ward.a}"}})
    hidden = await made(ward.system, both | {"subject": {"reference": f"Patient/{ward.b}"}})
    assert found(await person.get(f"Patient?_list={shared}")) == {ward.a}
    assert found(await person.get(f"Patient?_list={hidden}")) == set()
    assert found(await person.get(f"Patient?_list={ids.new_id()}")) == set()
    assert (await ward.system.get(f"Patient?_list={hidden}&_summary=count")).json["total"] == 2


async def test_28_membership_shows_what_is_seen_only(ward: Ward, person: Caller) -> None:
    group = ward.own["Group"]
    assert found(await person.get(f"Patient?_has:Group:member:_id={group}")) == {ward.a}
    assert found(await person.get("Group?member:Patient.birthdate=1961-02-03")) == set()
    assert found(await person.get("Group?member:Patient.name=canary7")) == set()
    assert found(await person.get("Group?member:Patient.name=plain")) == {group}
    assert found(await ward.system.get(f"Group?member:Patient.name=canary7&_id={group}")) == {group}


# ---- conditional interactions see what the caller sees ----


async def test_47_criteria_do_not_go_through_what_is_hidden(ward: Ward, person: Caller) -> None:
    mine = await made(ward.system, lab(ward.a, encounter={"reference": f"Encounter/{ward.hidden['Encounter']}"}))
    criteria = "encounter.patient.birthdate=1961-02-03&encounter.class=AMB"
    created = await person.post("Observation", lab(ward.a), if_none_exist=criteria)
    assert created.status == 201
    assert (await person.delete(f"Observation?{criteria}&_id={mine}")).status == 204
    assert (await person.get(f"Observation/{mine}")).status == 200
    gone = await ward.system.delete(f"Observation?{criteria}&_id={mine}")
    assert gone.status in (200, 204)
    assert (await person.get(f"Observation/{mine}")).status == 410


async def test_47_a_claim_is_of_those_who_see_the_same(ward: Ward, http: httpx.AsyncClient) -> None:
    """Two who may do different things with Patients: a create of the one is no answer to the other."""
    criteria = f"subject:Patient.name=plain&identifier={ids.new_id()}"
    narrow = await caller(http, ward.system.tenant, "patient/Observation.crs patient/Patient.rs", ward.a)
    first = await narrow.post("Observation", lab(ward.a), if_none_exist=criteria)
    second = await ward.system.post("Observation", lab(ward.a), if_none_exist=criteria)
    assert (first.status, second.status) == (201, 201)


async def test_a_hop_is_refused_before_anything_is_written(ward: Ward, http: httpx.AsyncClient) -> None:
    only: Any = await caller(http, ward.system.tenant, "patient/Observation.crud", ward.a)
    for method, path in (
        ("PUT", "Observation?subject:Patient.name=plain"),
        ("DELETE", "Observation?subject:Patient.name=plain"),
    ):
        answer = await only.send(method, path, lab(ward.a) if method == "PUT" else None)
        assert (answer.status, answer.issue) == (403, "insufficient-scope")
    assert clean(await only.get(f"Observation/{ward.own['Observation']}"))[0] == 200
