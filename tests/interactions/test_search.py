"""search through HTTP: what the answer looks like; what queries mean is tested in tests/search."""

from __future__ import annotations

from typing import Any

import httpx

from tests.http.client import Answer, Caller, caller, observation


def link(answer: Answer, relation: str) -> str | None:
    return next((each["url"] for each in answer.json["link"] if each["relation"] == relation), None)


def ids(answer: Answer) -> list[str]:
    return [each["resource"]["id"] for each in answer.json.get("entry", []) if each["search"]["mode"] == "match"]


async def some(system: Caller, unique: str, count: int) -> list[str]:
    bodies = [
        observation(identifier=[{"system": "urn:x", "value": unique}], note=[{"text": str(n)}]) for n in range(count)
    ]
    answer = await system.transaction(
        *({"resource": body, "request": {"method": "POST", "url": "Observation"}} for body in bodies), kind="batch"
    )
    return [each["response"]["location"].split("/")[1] for each in answer.json["entry"]]


async def test_a_searchset(system: Caller, unique: str) -> None:
    made = await some(system, unique, 1)
    answer = await system.get(f"Observation?identifier=urn:x|{unique}")
    assert (answer.status, answer.json["type"], answer.json["total"]) == (200, "searchset", 1)
    (entry,) = answer.json["entry"]
    assert entry["fullUrl"] == f"{system.tenant.base}/Observation/{made[0]}"
    assert entry["search"] == {"mode": "match"}
    assert entry["resource"] == (await system.get(f"Observation/{made[0]}")).json
    assert link(answer, "self") == f"{system.tenant.base}/Observation?identifier=urn%3Ax%7C{unique}"
    assert link(answer, "next") is None


async def test_pages_show_each_once(system: Caller, unique: str) -> None:
    made = await some(system, unique, 7)
    answer = await system.get(f"Observation?identifier=urn:x|{unique}&_count=3")
    seen = ids(answer)
    while following := link(answer, "next"):
        answer = await system.get(following)
        assert unique not in following
        seen += ids(answer)
    assert sorted(seen) == sorted(made)
    last = answer
    while before := link(answer, "previous"):
        answer = await system.get(before)
        assert unique not in before
    assert ids(answer) == seen[:3]
    assert ids(await system.get(link(last, "first") or "")) == seen[:3]
    assert link(answer, "previous") is None


async def test_post_search_is_the_union_of_url_and_form(system: Caller, unique: str) -> None:
    made = await some(system, unique, 2)
    form = "application/x-www-form-urlencoded"
    answer = await system.post(
        f"Observation/_search?identifier=urn:x|{unique}", f"_id={made[0]}".encode(), content_type=form
    )
    assert ids(answer) == [made[0]]
    empty = await system.post("Observation/_search", b"identifier=nothing", content_type=form)
    assert (empty.status, empty.json["total"], "entry" in empty.json) == (200, 0, False)
    assert (await system.post("Observation/_search", b"\xff", content_type=form)).status == 400
    assert (await system.post("Observation/_search", {})).status == 415


async def test_unknown_parameters(system: Caller) -> None:
    strict = await system.get("Observation?cod=1")
    assert (strict.status, strict.issue) == (400, "search-unknown-parameter")
    assert "code" in strict.text
    lenient = await system.get("Observation?cod=1&_count=1", prefer="handling=lenient")
    assert lenient.status == 200
    outcome = lenient.json["entry"][-1]
    assert (outcome["search"]["mode"], outcome["resource"]["issue"][0]["severity"]) == ("outcome", "warning")
    assert "cod=" not in (link(lenient, "self") or "")


async def test_views_of_what_is_found(system: Caller, unique: str) -> None:
    await some(system, unique, 1)
    path = f"Observation?identifier=urn:x|{unique}"
    (entry,) = (await system.get(f"{path}&_elements=note")).json["entry"]
    assert set(entry["resource"]) == {"resourceType", "id", "meta", "status", "code", "note"}
    assert "note" not in (await system.get(f"{path}&_summary=true")).json["entry"][0]["resource"]
    counted = (await system.get(f"{path}&_summary=count")).json
    assert (counted["total"], "entry" in counted) == (1, False)
    paged = await system.get(f"Observation?_elements=note&_count=1&identifier=urn:x|{unique}")
    assert "SUBSETTED" in paged.text


async def test_the_patient_compartment(system: Caller, http: httpx.AsyncClient) -> None:
    patients = [(await system.post("Patient", {"resourceType": "Patient"})).id for _ in range(2)]
    mine, other = [
        (await system.post("Observation", observation(subject={"reference": f"Patient/{patient}"}))).id
        for patient in patients
    ]
    path = f"Patient/{patients[0]}/Observation"
    answer = await system.get(path)
    assert ids(answer) == [mine]
    assert link(answer, "self") == f"{system.tenant.base}/{path}"
    assert ids(await system.get(f"{path}?_id={other}")) == []
    assert ids(await system.get("Patient/never-was/Observation")) == []
    person = await caller(http, system.tenant, "patient/*.rs", patients[1])
    assert ids(await person.get(path)) == []
    assert ids(await person.get(f"Patient/{patients[1]}/Observation")) == [other]


async def test_other_compartments_and_all_of_one(system: Caller, http: httpx.AsyncClient) -> None:
    patient = (await system.post("Patient", {"resourceType": "Patient"})).id
    subject = {"reference": f"Patient/{patient}"}
    visit = {"resourceType": "Encounter", "status": "finished", "class": {"code": "AMB"}, "subject": subject}
    encounter = (await system.post("Encounter", visit)).id
    seen = (await system.post("Observation", observation(encounter={"reference": f"Encounter/{encounter}"}))).id
    assert ids(await system.get(f"Encounter/{encounter}/Observation")) == [seen]
    assert sorted(ids(await system.get(f"Encounter/{encounter}/*"))) == sorted([seen, encounter])
    path = f"Patient/{patient}/*"
    answer = await system.get(path)
    assert sorted(ids(answer)) == sorted([patient, encounter])
    assert link(answer, "self") == f"{system.tenant.base}/{path}"
    assert ids(await system.get(f"{path}?_type=Encounter&_include=Encounter:subject")) == [encounter]
    form = "application/x-www-form-urlencoded"
    assert ids(await system.post(f"{path}/_search", b"_type=Patient", content_type=form)) == [patient]
    person = await caller(http, system.tenant, "patient/Patient.rs", patient)
    assert ids(await person.get(path)) == [patient]
    assert ids(await person.get(f"Patient/{seen}/*")) == []
    empty = await system.get(f"Encounter/{encounter}/Organization")
    assert [each["search"]["mode"] for each in empty.json["entry"]] == ["outcome"]
    unknown = await system.get("Organization/1/Observation")
    assert (unknown.status, unknown.issue) == (404, "compartment-unknown")


async def test_who_finds_nothing_by_code_is_told_of_combo_code(system: Caller, unique: str) -> None:
    part = {"code": {"coding": [{"system": "urn:x", "code": unique}]}, "valueInteger": 1}
    await system.post("Observation", observation(component=[part]))
    answer = await system.get(f"Observation?code={unique}")
    assert answer.json["total"] == 0
    (entry,) = answer.json["entry"]
    assert entry["search"] == {"mode": "outcome"}
    assert entry["resource"]["issue"][0]["severity"] == "information"
    assert "combo-code" in entry["resource"]["issue"][0]["diagnostics"]


async def test_search_over_all_types(system: Caller, http: httpx.AsyncClient) -> None:
    patient = (await system.post("Patient", {"resourceType": "Patient"})).id
    seen = (await system.post("Observation", observation(subject={"reference": f"Patient/{patient}"}))).id
    answer = await system.get(f"?_id={patient},{seen}")
    assert sorted(ids(answer)) == sorted([patient, seen])
    assert ids(await system.get(f"?_type=Patient&_id={patient},{seen}")) == [patient]
    person = await caller(http, system.tenant, "patient/Patient.rs", patient)
    assert ids(await person.get(f"?_id={patient},{seen}")) == [patient]


async def test_what_is_done_is_read_back_as_audit_events(system: Caller, http: httpx.AsyncClient) -> None:
    patient = (await system.post("Patient", {"resourceType": "Patient"})).id
    made = await system.post("Observation", observation(subject={"reference": f"Patient/{patient}"}))
    await system.get(f"Observation/{made.id}")
    stranger = await caller(http, system.tenant, "system/Device.rs")
    assert (await stranger.get(f"Observation/{made.id}")).status == 403
    answer = await system.get(f"AuditEvent?patient=Patient/{patient}&_count=2")
    events: list[Any] = []
    while True:
        events += [each["resource"] for each in answer.json.get("entry", [])]
        following = link(answer, "next")
        if following is None:
            break
        answer = await system.get(following)
    seen = [(event["subtype"][0]["code"], event["outcome"]) for event in events]
    assert seen == [("read", "4"), ("read", "0"), ("create", "0"), ("create", "0")]
    one = await system.get(f"AuditEvent/{events[0]['id']}")
    assert one.json == events[0]


async def test_posted_audit_events_are_found_too(system: Caller, unique: str) -> None:
    body = {
        "resourceType": "AuditEvent",
        "type": {"system": "http://dicom.nema.org/resources/ontology/DCM", "code": "110100"},
        "recorded": "2026-01-01T00:00:00Z",
        "agent": [{"requestor": True, "altId": unique}],
        "source": {"observer": {"display": "x"}},
    }
    made = await system.post("AuditEvent", body)
    assert made.status == 201
    assert (await system.get(f"AuditEvent/{made.id}")).json["agent"][0]["altId"] == unique
    assert (await system.put(f"AuditEvent/{made.id}", body | {"id": made.id})).status == 404
    answer = await system.get(f"AuditEvent?_id={made.id}")
    found = ids(answer)
    while following := link(answer, "next"):
        answer = await system.get(following)
        found += ids(answer)
    assert found == [made.id]


async def with_patient(system: Caller, unique: str) -> tuple[str, str]:
    patient = (await system.post("Patient", {"resourceType": "Patient", "active": True, "gender": "other"})).id
    seen = observation(
        subject={"reference": f"Patient/{patient}"},
        identifier=[{"system": "urn:x", "value": unique}],
        note=[{"text": "x"}],
    )
    return patient, (await system.post("Observation", seen)).id


def modes(answer: Answer) -> list[tuple[str, str | None]]:
    return [(each["search"]["mode"], each.get("fullUrl")) for each in answer.json.get("entry", [])]


async def test_what_is_included_stands_after_the_matches(system: Caller, unique: str) -> None:
    patient, seen = await with_patient(system, unique)
    base = system.tenant.base
    expected = [("match", f"{base}/Observation/{seen}"), ("include", f"{base}/Patient/{patient}")]
    query = f"identifier=urn:x|{unique}&_include=Observation:subject"
    answer = await system.get(f"Observation?{query}&_total=accurate")
    assert (answer.status, answer.json["total"], modes(answer)) == (200, 1, expected)
    assert answer.json["entry"][1]["resource"] == (await system.get(f"Patient/{patient}")).json
    assert "_include=Observation%3Asubject" in (link(answer, "self") or "")
    form = "application/x-www-form-urlencoded"
    posted = await system.post("Observation/_search", query.encode(), content_type=form)
    assert modes(posted) == expected
    assert modes(await system.get(f"Patient/{patient}/Observation?{query}")) == expected
    assert modes(await system.get(f"?_type=Observation&_id={seen}&_include=*")) == expected
    counted = (await system.get(f"Observation?{query}&_summary=count")).json
    assert (counted["total"], "entry" in counted) == (1, False)
    reverse = await system.get(f"Patient?_id={patient}&_revinclude=Observation:patient")
    assert modes(reverse) == [("match", expected[1][1]), ("include", expected[0][1])]


async def test_elements_are_of_the_matches_summaries_of_all(system: Caller, unique: str) -> None:
    await with_patient(system, unique)
    path = f"Observation?identifier=urn:x|{unique}&_include=Observation:subject"
    match, included = (each["resource"] for each in (await system.get(f"{path}&_elements=note")).json["entry"])
    assert set(match) == {"resourceType", "id", "meta", "status", "code", "note"}
    assert included["gender"] == "other"
    assert "tag" not in included["meta"]
    match, included = (each["resource"] for each in (await system.get(f"{path}&_summary=true")).json["entry"])
    assert "note" not in match
    assert match["meta"]["tag"] == included["meta"]["tag"]
    refused = await system.get(f"{path}&_summary=text")
    assert (refused.status, refused.issue) == (400, "search-include-summary")


async def test_what_could_not_be_included_is_told_apart(system: Caller, unique: str) -> None:
    await with_patient(system, unique)
    path = f"Observation?identifier=urn:x|{unique}"
    refused = await system.get(f"{path}&_include=Observation:subjekt")
    assert (refused.status, refused.issue, refused.expressions) == (400, "search-unknown-parameter", ["_include"])
    answer = await system.get(f"{path}&_include=Observation:subjekt", prefer="handling=lenient")
    assert [mode for mode, _ in modes(answer)] == ["match", "outcome"]
    assert "subjekt" not in (link(answer, "self") or "")


async def test_the_statement_names_the_includes(system: Caller) -> None:
    statement = (await system.get("metadata")).json
    of = {each["type"]: each for each in statement["rest"][0]["resource"]}
    assert {"*", "Observation:*", "Observation:subject"} <= set(of["Observation"]["searchInclude"])
    assert {"*", "Provenance:target", "Observation:subject"} <= set(of["Patient"]["searchRevInclude"])
    assert "Observation:encounter" not in of["Patient"]["searchRevInclude"]
    assert "searchInclude" not in of["AuditEvent"]
    assert "includes 1000 more" in statement["description"]


async def test_what_is_inside_is_answered_alone_or_with_its_container(system: Caller, unique: str) -> None:
    inside = {
        "resourceType": "Medication",
        "id": "m",
        "code": {"text": "x", "coding": [{"code": unique}]},
        "status": "active",
    }
    made = await system.post(
        "MedicationRequest",
        {
            "resourceType": "MedicationRequest", "status": "active", "intent": "order", "contained": [inside],
            "subject": {"reference": "Patient/x"}, "medicationReference": {"reference": "#m"},
        },
    )  # fmt: skip
    base, name = system.tenant.base, f"MedicationRequest/{made.json['id']}"
    path = f"Medication?code={unique}&_contained=true"
    (entry,) = (await system.get(path)).json["entry"]
    assert (entry["fullUrl"], entry["resource"]) == (f"{base}/{name}", (await system.get(name)).json)
    found = await system.get(f"{path}&_containedType=contained")
    assert (found.json["total"], found.json["entry"]) == (
        1,
        [{"fullUrl": f"{base}/{name}#m", "resource": inside, "search": {"mode": "match"}}],
    )
    assert link(found, "self") == f"{base}/Medication?code={unique}&_contained=true&_containedType=contained"
    (entry,) = (await system.get(f"{path}&_containedType=contained&_elements=status")).json["entry"]
    assert set(entry["resource"]) == {"resourceType", "id", "meta", "status"}
    assert (await system.get(f"Medication?code={unique}")).json["total"] == 0
    assert ids(await system.get(f"MedicationRequest?medication.code={unique}")) == [made.json["id"]]
    for refused in (f"?_contained=true&_tag={unique}", f"Patient/x/Medication?_contained=true&code={unique}"):
        assert (await system.get(refused)).status == 400
