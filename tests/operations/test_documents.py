"""`$docref` and `$document`: which documents there are, and one made of a Composition."""

from __future__ import annotations

from typing import Any

import pytest

from tests.http.client import caller

LOINC = "http://loinc.org"


async def made(system, type_: str, **content: Any) -> str:
    answer = await system.post(type_, {"resourceType": type_, **content})
    assert answer.status == 201, answer.text
    return answer.id


async def note(system, of: str, day: str, code: str = "34133-9", **more: Any) -> str:
    content = {
        "status": "current", "subject": {"reference": f"Patient/{of}"}, "date": f"{day}T10:00:00Z",
        "type": {"coding": [{"system": LOINC, "code": code}]}, "context": {"period": {"start": day, "end": day}},
        "content": [{"attachment": {"contentType": "text/plain", "data": "eA=="}}],
    }  # fmt: skip
    return await made(system, "DocumentReference", **(content | more))


def found(answer) -> list[str]:
    assert answer.status == 200, answer.text
    assert answer.json["type"] == "searchset"
    return [each["resource"]["id"] for each in answer.json.get("entry", ())]


async def test_docref_finds_the_newest_or_those_of_a_time(system):
    of, other = await made(system, "Patient"), await made(system, "Patient")
    old, new = await note(system, of, "2024-01-10"), await note(system, of, "2024-03-10", "11488-4")
    await note(system, of, "2024-02-01", status="superseded")
    await note(system, other, "2024-04-01")
    where = f"DocumentReference/$docref?patient={of}"
    newest = await system.get(where)
    assert found(newest) == [new]
    assert newest.json["total"] == 1
    assert [link["relation"] for link in newest.json["link"]] == ["self"]
    assert sorted(found(await system.get(f"{where}&start=2024-01-01"))) == sorted([old, new])
    assert found(await system.get(f"{where}&start=2024-01-01&end=2024-02-15")) == [old]
    assert found(await system.get(f"{where}&type={LOINC}|34133-9")) == [old]
    assert found(await system.get(f"{where}&on-demand=true")) == []
    body = {
        "resourceType": "Parameters",
        "parameter": [
            {"name": "patient", "valueId": of},
            {"name": "type", "valueCodeableConcept": {"coding": [{"system": LOINC, "code": "11488-4"}]}},
            {"name": "start", "valueDate": "2020-01-01"},
        ],
    }
    assert found(await system.post("DocumentReference/$docref", body)) == [new]


async def test_docref_is_checked(system, http, tenant):
    of = await made(system, "Patient")
    assert (await system.get("DocumentReference/$docref")).issue == "parameter-missing"
    assert (await system.get(f"DocumentReference/$docref?patient={of}&start=nonsense")).status == 400
    assert (await system.get(f"DocumentReference/$docref?patient={of}&nonsense=1")).issue == "parameter-unknown"
    assert (await system.get(f"DocumentReference/$docref?patient={of}&type=a&type=b")).issue == "parameter-repeated"
    for start, end, status in (
        ("2024-03-01", "2024-02-01", 400),
        ("2024-02-01T10:00:00Z", "2024-02-01", 200),
        ("2024", "2024-01", 200),
    ):
        answer = await system.get(f"DocumentReference/$docref?patient={of}&start={start}&end={end}")
        assert answer.status == status
        assert status == 200 or answer.issue == "docref-period"
    for path in ("", "&on-demand=true"):
        who = await caller(http, tenant, "patient/Observation.rs", patient=of)
        assert (await who.get(f"DocumentReference/$docref?patient={of}{path}")).status == 403
    await note(system, of, "2024-01-10")
    stranger = await caller(http, tenant, "patient/*.rs", patient=await made(system, "Patient"))
    assert found(await stranger.get(f"DocumentReference/$docref?patient={of}")) == []


@pytest.fixture
async def composition(system) -> dict[str, str]:
    of, other = await made(system, "Patient"), await made(system, "Patient")
    doctor = await made(system, "Practitioner", name=[{"family": "Kuroda"}])
    fact = await made(system, "Observation", status="final", code={"text": "x"}, subject={"reference": f"Patient/{of}"})
    foreign = await made(
        system, "Observation", status="final", code={"text": "y"}, subject={"reference": f"Patient/{other}"}
    )
    before = await made(system, "Practitioner")
    entries = [{"reference": f"Observation/{each}"} for each in (fact, foreign, "never-there")]
    id_ = await made(
        system, "Composition", status="final", type={"text": "note"}, date="2024-03-10", title="Note",
        subject={"reference": f"Patient/{of}"}, author=[{"reference": f"Practitioner/{doctor}"}],
        attester=[{"mode": "legal", "party": {"reference": f"Practitioner/{doctor}"}}],
        relatesTo=[{"code": "appends", "targetReference": {"reference": f"Composition/{before}"}}],
        section=[{"title": "S", "section": [{"title": "T", "entry": entries}]}],
    )  # fmt: skip
    return {"id": id_, "patient": of, "doctor": doctor, "fact": fact, "foreign": foreign}


async def test_a_document_is_the_composition_and_what_it_names(system, composition):
    answer = await system.get(f"Composition/{composition['id']}/$document")
    assert answer.status == 200, answer.text
    document = answer.json
    assert document["type"] == "document"
    assert document["identifier"]["value"].startswith("urn:uuid:")
    assert document["timestamp"]
    names = [f"{each['resource']['resourceType']}/{each['resource']['id']}" for each in document["entry"]]
    assert names == [
        f"Composition/{composition['id']}", f"Patient/{composition['patient']}", f"Practitioner/{composition['doctor']}",
        f"Observation/{composition['fact']}", f"Observation/{composition['foreign']}",
    ]  # fmt: skip
    assert all(each["fullUrl"].endswith(f"/fhir/{name}") for each, name in zip(document["entry"], names, strict=True))
    checked = await system.post("Bundle/$validate", document)
    assert not [issue for issue in checked.json["issue"] if issue["severity"] in ("error", "fatal")]


async def test_a_document_shows_nothing_that_a_read_would_not(system, http, tenant, composition):
    who = await caller(http, tenant, "patient/*.rs", patient=composition["patient"])
    document = (await who.get(f"Composition/{composition['id']}/$document")).json
    kinds = [each["resource"]["resourceType"] for each in document["entry"]]
    assert kinds == ["Composition", "Patient", "Observation"]
    assert composition["foreign"] not in [each["resource"]["id"] for each in document["entry"]]
    other = await caller(http, tenant, "patient/*.rs", patient=await made(system, "Patient"))
    assert (await other.get(f"Composition/{composition['id']}/$document")).status == 404
    assert (await system.get("Composition/never-there/$document")).status == 404


async def test_a_document_is_kept_when_that_is_asked_for(system, http, tenant, composition):
    where = f"Composition/{composition['id']}/$document"
    assert (await system.get(f"{where}?persist=true")).issue == "document-persist"
    kept = await system.post(
        where, {"resourceType": "Parameters", "parameter": [{"name": "persist", "valueBoolean": True}]}
    )
    assert kept.status == 201, kept.text
    assert kept.headers["location"].split("/_history")[0].endswith(f"Bundle/{kept.id}")
    read = await system.get(f"Bundle/{kept.id}")
    assert read.json["type"] == "document"
    assert read.json["entry"][0]["resource"]["id"] == composition["id"]
    reader = await caller(http, tenant, "system/*.rs")
    body = {"resourceType": "Parameters", "parameter": [{"name": "persist", "valueBoolean": True}]}
    assert (await reader.post(where, body)).status == 403


async def test_a_kept_document_has_the_labels_of_what_is_in_it(system, http, tenant):
    custodian = await caller(http, tenant, "system/*.cruds __see/all")
    of = await made(system, "Patient")
    label = {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "SUD"}
    fact = await made(
        custodian, "Observation", status="final", code={"text": "x"}, subject={"reference": f"Patient/{of}"},
        meta={"security": [label]},
    )  # fmt: skip
    id_ = await made(
        system, "Composition", status="final", type={"text": "note"}, date="2024-03-10", title="Note",
        subject={"reference": f"Patient/{of}"},
        author=[{"reference": f"Patient/{of}"}], section=[{"entry": [{"reference": f"Observation/{fact}"}]}],
    )  # fmt: skip
    assert len((await system.get(f"Composition/{id_}/$document")).json["entry"]) == 2
    body = {"resourceType": "Parameters", "parameter": [{"name": "persist", "valueBoolean": True}]}
    kept = await custodian.post(f"Composition/{id_}/$document", body)
    assert kept.json["meta"]["security"] == [label]
    assert (await system.get(f"Bundle/{kept.id}")).status == 404
