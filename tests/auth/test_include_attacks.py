"""Attacks 32 and 34 to 42 of reference/security.md §2.3: includes lead to nothing that its own type's policy hides.

B's resources hold canaries in every field; A's refer to them, which the index knows, and nothing of them may leave.
"""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from fhir_server.interactions import search
from fhir_server.search.gather import ROUNDS
from tests.auth.test_attacks import CANARY, Ward, clean, coded, lab, made, no_canary, person, ward
from tests.http.client import Answer, Caller, caller, observation

__all__ = ["person", "ward"]


def names(answer: Answer, mode: str = "include") -> set[str]:
    """What an answer holds in a mode, as Type/id."""
    assert answer.status == 200, answer.text
    no_canary(answer)
    found = [e["resource"] for e in answer.json.get("entry", []) if e["search"]["mode"] == mode]
    return {f"{each['resourceType']}/{each.get('id')}" for each in found}


@pytest.fixture
async def bridges(ward: Ward) -> dict[str, str]:
    """What is A's (or shared) and refers to what is B's."""
    system = ward.system
    theirs = ward.hidden
    device = await made(system, {"resourceType": "Device", "patient": {"reference": f"Patient/{ward.b}"},
                                 "deviceName": [{"name": CANARY, "type": "user-friendly-name"}]})  # fmt: skip
    ward.hidden["Device"] = device
    out = {
        "encounter": lab(ward.a, encounter={"reference": f"Encounter/{theirs['Encounter']}"}),
        "device": lab(ward.a, device={"reference": f"Device/{device}"}),
        "absolute": lab(ward.a, hasMember=[{"reference": f"{system.tenant.base}/Observation/{theirs['Observation']}"}]),
        "versioned": lab(ward.a, hasMember=[{"reference": f"Observation/{theirs['Observation']}/_history/1"}]),
        "focus": lab(ward.a, focus=[{"reference": f"Patient/{ward.b}"}]),
        "contained": lab(ward.a, contained=[{"resourceType": "Patient", "id": "p"}], performer=[{"reference": "#p"}]),
        "logical": lab(ward.a, focus=[{"type": "Patient", "identifier": {"system": "http://ids.example", "value": "x"}}]),
    }  # fmt: skip
    return {name: await made(system, resource) for name, resource in out.items()}


async def test_34_a_shared_group_includes_its_own_member_only(ward: Ward, person: Caller) -> None:
    for query in ("Group?_include=Group:member", "Group?_include=*", "Group?_include:iterate=*&_revinclude:iterate=*"):
        answer = await person.get(query)
        assert answer.status == 200
        assert CANARY not in answer.text
        found = names(answer)
        assert f"Patient/{ward.a}" in found
        assert not {f"{kind}/{id_}" for kind, id_ in ward.hidden.items()} & found


WILD = [
    "Patient?_revinclude=*", "Patient?_revinclude=Observation:*", "Observation?_include=*&_revinclude=*",
    "Observation?_include=Observation:*", "Patient?_revinclude:iterate=*&_include:iterate=*",
    "?_type=Patient,Observation&_include=*", "Patient/A/Observation?_include:iterate=*",
]  # fmt: skip


@pytest.mark.parametrize("query", WILD)
async def test_36_wildcards_stay_inside(ward: Ward, bridges: dict[str, str], person: Caller, query: str) -> None:
    answer = await person.get(query.replace("/A/", f"/{ward.a}/"))
    found = names(answer) | names(answer, "match")
    assert found
    hidden = {*ward.hidden.values(), ward.b}
    assert not {name.partition("/")[2] for name in found} & hidden
    whole = {e["resource"]["id"] for e in (await person.get("_history?_count=1000")).json["entry"]}
    assert {name.partition("/")[2] for name in found - names(answer, "match")} <= whole


@pytest.mark.parametrize(
    ("bridge", "include"),
    [
        ("encounter", "_include=Observation:encounter"),
        ("encounter", "_include:iterate=Observation:encounter&_include:iterate=Encounter:subject"),
        ("device", "_include=Observation:device&_include:iterate=Device:patient"),
        ("absolute", "_include=Observation:has-member"), ("versioned", "_include=Observation:has-member"),
        ("focus", "_include=Observation:focus"), ("focus", "_include=Observation:focus:Patient"),
        ("contained", "_include=Observation:performer"), ("logical", "_include=Observation:focus"),
    ],
)  # fmt: skip
async def test_35_37_40_41_a_reference_of_ones_own_to_what_is_hidden(
    ward: Ward, bridges: dict[str, str], person: Caller, bridge: str, include: str
) -> None:
    answer = await person.get(f"Observation?_id={bridges[bridge]}&{include}")
    assert names(answer) == set()
    assert names(answer, "match") == {f"Observation/{bridges[bridge]}"}
    assert names(answer, "outcome") == set()
    everything = await ward.system.get(f"Observation?_id={bridges[bridge]}&{include}")
    assert bool([e for e in everything.json["entry"] if e["search"]["mode"] == "include"]) is (
        bridge not in ("contained", "logical")
    )


async def test_35_focus_on_a_does_not_bring_it_to_a(ward: Ward, person: Caller) -> None:
    for query in ("_revinclude=Observation:focus", "_revinclude=Observation:*"):
        answer = await person.get(f"Patient?_id={ward.a}&{query}")
        assert f"Observation/{ward.hidden['focus']}" not in names(answer)


async def test_37_circles_end(ward: Ward, person: Caller) -> None:
    ids = [await made(ward.system, lab(ward.a)) for _ in range(3)]
    for id_, other in zip(ids, [*ids[1:], ids[0]], strict=True):
        member = [{"reference": f"Observation/{other}"}, {"reference": f"Observation/{ward.hidden['Observation']}"}]
        assert (await ward.system.put(f"Observation/{id_}", lab(ward.a, id=id_, hasMember=member))).status == 200
    answer = await person.get(f"Observation?_id={ids[0]}" + "&_include:iterate=Observation:has-member" * 50)
    assert names(answer) == {f"Observation/{id_}" for id_ in ids[1:]}
    assert names(answer, "outcome") == set()
    whole = await person.get(f"Observation?_id={ids[0]}&_include:iterate=*&_revinclude:iterate=*")
    assert len(names(whole)) == len([e for e in whole.json["entry"] if e["search"]["mode"] == "include"])


async def test_38_a_page_link_shows_what_its_bearer_may_see(
    ward: Ward, person: Caller, http: httpx.AsyncClient
) -> None:
    for _ in range(2):
        await made(ward.system, lab(ward.a))
        await made(ward.system, lab(ward.b, valueString=CANARY))
    mine = await ward.system.get("Observation?_count=1&_include=Observation:subject")
    following = next(link["url"] for link in mine.json["link"] if link["relation"] == "next")
    other = await caller(http, ward.system.tenant, "patient/*.cruds", ward.b)
    for who in (person, other):
        refused = await who.get(following)
        assert (refused.status, refused.issue) == (400, "search-cursor")
    page = await person.get("Observation?_count=1&_include=Observation:subject")
    walked = 0
    while links := [link["url"] for link in page.json["link"] if link["relation"] == "next"]:
        assert names(page) <= {f"Patient/{ward.a}"}
        page = await person.get(links[0])
        walked += 1
    assert walked >= 3


async def test_39_a_type_without_a_scope_is_left_out_in_silence(ward: Ward, http: httpx.AsyncClient) -> None:
    narrow = await caller(http, ward.system.tenant, "patient/Observation.rs", ward.a)
    only_read = await caller(http, ward.system.tenant, "patient/Observation.rs patient/Patient.r", ward.a)
    both = await caller(http, ward.system.tenant, "patient/Observation.rs patient/Patient.rs", ward.a)
    query = f"Observation?_id={ward.own['Observation']}&_include=Observation:subject"
    for who in (narrow, only_read):
        assert names(await who.get(query)) == set()
        assert names(await who.get(query), "outcome") == set()
    assert names(await both.get(query)) == {f"Patient/{ward.a}"}


async def test_32_a_filtered_scope_filters_what_is_included(ward: Ward, http: httpx.AsyncClient) -> None:
    vital = await made(ward.system, lab(ward.a, category="vital-signs"))
    scope = "patient/Patient.rs patient/Observation.rs?category=laboratory"
    filtered = await caller(http, ward.system.tenant, scope, ward.a)
    for query in ("_revinclude=Observation:patient", "_revinclude=*"):
        found = names(await filtered.get(f"Patient?{query}"))
        assert f"Observation/{ward.own['Observation']}" in found
        assert f"Observation/{vital}" not in found


async def test_what_is_hidden_does_not_change_a_byte(ward: Ward, person: Caller) -> None:
    """Attack 117 in small: the same searches before and after B got more that refers to A's and is referred to."""
    queries = ["Patient?_revinclude=*", "Observation?_include=*&_revinclude=*", "Group?_include:iterate=*"]
    before = [clean(await person.get(query)) for query in queries]
    subject = {"reference": f"Patient/{ward.b}"}
    cites = [{"reference": f"Observation/{ward.own['Observation']}"}]
    await made(
        ward.system, lab(ward.b, derivedFrom=cites, focus=[{"reference": f"Patient/{ward.a}"}], valueString=CANARY)
    )
    await made(ward.system, {"resourceType": "Basic", "code": coded(CANARY), "subject": subject})
    assert [clean(await person.get(query)) for query in queries] == before


async def test_42_a_flood_is_bounded_and_said(ward: Ward, person: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    entries = [{"resource": lab(ward.a), "request": {"method": "POST", "url": "Observation"}} for _ in range(30)]
    assert (await ward.system.transaction(*entries, kind="batch")).status == 200
    answer = await person.get("Patient?_count=1&_sort=-_lastUpdated&_revinclude=*")
    assert len(names(answer)) >= 30
    gather = search.run.gather

    async def small(*args: Any) -> Any:
        return await gather(*args[:-1], 10)

    monkeypatch.setattr(search.run, "gather", small)
    cut = await person.get("Patient?_count=1&_revinclude=*")
    assert len(names(cut)) == 10
    (outcome,) = [e["resource"] for e in cut.json["entry"] if e["search"]["mode"] == "outcome"]
    assert outcome["issue"][0]["details"]["coding"][0]["code"] == "search-include-cut"
    assert str(ROUNDS) in outcome["issue"][0]["diagnostics"]


async def test_whose_data_is_included_is_in_the_audit_trail(system: Caller) -> None:
    patient = (await system.post("Patient", {"resourceType": "Patient"})).id
    seen = await made(system, observation(subject={"reference": f"Patient/{patient}"}))
    device = await made(system, {"resourceType": "Organization", "name": "x"})
    await system.get(f"Organization?_id={device}")
    await system.get(f"Patient?_id={patient}&_revinclude=Observation:subject")
    await system.get(f"Observation?_id={seen}&_include=Observation:subject&_elements=id")
    events = await system.get(f"AuditEvent?patient=Patient/{patient}&subtype=search-type&_count=10")
    assert len(events.json["entry"]) == 2
