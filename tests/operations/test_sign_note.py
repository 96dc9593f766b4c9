"""`DocumentReference/{id}/$sign`: who signs what, what is measured, and what plain writes may not do to a note."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from fhir_server.settings import Settings
from fhir_server.storage.tenants import Tenant
from tests.http.client import Caller, caller
from tests.operations.note_fixtures import DAYS, doctor, drafted, patient, text, work
from workers.notes.checker import CHANGED
from workers.notes.document import parts_of, sections_of


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(environment="test", data=tmp_path)  # type: ignore[call-arg]


@pytest.fixture
async def doc(system: Caller, http: httpx.AsyncClient, tenant: Tenant, unique: str) -> Caller:
    await patient(system, unique, f"{unique}-dr", f"{unique}-other")
    return await doctor(http, tenant, f"{unique}-dr")


def sections(**texts: str) -> Any:
    parts = [
        {"name": "section", "part": [{"name": "code", "valueCode": code}, {"name": "text", "valueString": said}]}
        for code, said in texts.items()
    ]
    return {"resourceType": "Parameters", "parameter": parts}


def lines(note: Any, code: str) -> list[str]:
    return [each.text for s in sections_of(note) if s.code == code for each in s.statements]


def extension(resource: Any, name: str) -> Any:
    return next(parts_of(e) for e in resource["extension"] if e["url"].endswith(f"/{name}"))


async def test_a_draft_is_edited_and_signed(system: Caller, doc: Caller, settings: Settings, unique: str) -> None:
    _, note = await drafted(doc, settings, unique, DAYS)
    own = "Seen today; sleeps better since the dose was raised."
    course = "\n".join([*lines(note, "course")[:-1], own])
    answer = await doc.post(f"DocumentReference/{note['id']}/$sign", sections(course=course))
    assert answer.status == 200, answer.text
    signed = answer.json
    who = {"reference": f"Practitioner/{unique}-dr"}
    assert (signed["docStatus"], signed["authenticator"], signed["meta"]["versionId"]) == ("final", who, "2")
    inner = signed["contained"][0]
    assert (inner["status"], inner["attester"][0]["party"], inner["attester"][0]["mode"]) == ("final", who, "legal")
    assert who in signed["author"]
    assert own in text(signed)
    kept = next(s for s in sections_of(signed) if s.code == "course").statements[:-1]
    [mine] = [each for s in sections_of(signed) for each in s.statements if each.form == "clinician"]
    assert all(each.citations for each in kept if each.form != "method")
    assert (mine.text, mine.citations) == (own, ())
    measured = extension(signed, "note-signed")
    assert 0 < measured["changed"] < 0.5
    section = next(s for s in inner["section"] if s["code"]["coding"][0]["code"] == "course")
    edit = extension(section, "note-edit")
    assert edit["distance"] == measured["distance"] > 0
    untouched = next(s for s in inner["section"] if s["code"]["coding"][0]["code"] == "medication")
    assert extension(untouched, "note-edit")["distance"] == 0
    old = await doc.get(f"DocumentReference/{note['id']}/_history/1")
    assert old.json["docStatus"] == "preliminary"
    found = (await system.get(f"Provenance?target=DocumentReference/{note['id']}")).json["entry"]
    assert {e["resource"]["agent"][0]["type"]["coding"][0]["code"] for e in found} == {"assembler", "attester"}
    assert (await doc.post("DocumentReference/$validate", signed)).json["issue"][0]["severity"] == "information"


async def test_a_signed_note_is_amended_and_the_next_begins_where_it_ended(
    doc: Caller, settings: Settings, unique: str
) -> None:
    _, note = await drafted(doc, settings, unique, DAYS)
    assert (await doc.post(f"DocumentReference/{note['id']}/$sign", None)).json["docStatus"] == "final"
    again = await doc.post(f"DocumentReference/{note['id']}/$sign", sections(course="Corrected."))
    assert (again.status, again.json["docStatus"], again.json["meta"]["versionId"]) == (200, "amended", "3")
    assert [each["mode"] for each in again.json["contained"][0]["attester"]] == ["legal", "legal"]
    _, following = await drafted(doc, settings, unique, "")
    assert following["context"]["period"]["start"] == again.json["date"][:10]


async def test_who_does_not_sign(
    system: Caller, doc: Caller, http: httpx.AsyncClient, tenant: Tenant, settings: Settings, unique: str
) -> None:
    _, note = await drafted(doc, settings, unique, DAYS)
    where = f"DocumentReference/{note['id']}/$sign"
    refused = await system.post(where, None)
    assert (refused.status, refused.issue) == (403, "sign-person")
    other = await doctor(http, tenant, f"{unique}-other")
    refused = await other.post(where, None)
    assert (refused.status, refused.issue) == (403, "sign-others")
    stranger = await doctor(http, tenant, f"{unique}-stranger")
    assert (await stranger.post(where, None)).status == 404
    reader = await doctor(http, tenant, f"{unique}-dr", "user/*.rs")
    assert (await reader.post(where, None)).status == 403
    own = await caller(http, tenant, "patient/*.cruds", unique)
    assert (await own.post(where, None)).status == 403
    assert (await doc.get(f"DocumentReference/{note['id']}")).json["meta"]["versionId"] == "1"


async def test_what_is_not_signed(doc: Caller, settings: Settings, unique: str) -> None:
    plain = {
        "resourceType": "DocumentReference", "status": "current", "subject": {"reference": f"Patient/{unique}"},
        "content": [{"attachment": {"contentType": "text/plain", "data": "bm90ZQ=="}}],
    }  # fmt: skip
    made = await doc.post("DocumentReference", plain)
    assert made.status == 201
    answer = await doc.post(f"DocumentReference/{made.id}/$sign", None)
    assert (answer.status, answer.issue) == (422, "sign-kind")
    _, note = await drafted(doc, settings, unique, DAYS)
    where = f"DocumentReference/{note['id']}/$sign"
    for wrong in (sections(nowhere="x"), sections(course="x" * 20_001)):
        answer = await doc.post(where, wrong)
        assert (answer.status, answer.issue) == (400, "sign-sections")
    assert (await doc.post(where, None, if_match='W/"7"')).status == 412


async def test_unsupported_sentences_are_signed_only_on_purpose(
    system: Caller, doc: Caller, settings: Settings, unique: str
) -> None:
    _, note = await drafted(doc, settings, unique, DAYS)
    score = (await system.get(f"Observation/{unique}-19")).json  # corrected after the draft
    assert (await system.put(f"Observation/{unique}-19", score | {"valueQuantity": {"value": 13}})).status == 200
    where = f"DocumentReference/{note['id']}/$sign"
    refused = await doc.post(where, None)
    assert (refused.status, refused.issue, refused.expressions) == (422, "sign-unsupported", ["section(course)"])
    for text_ in ("false", "true"):
        said = {"name": "accept-unsupported", "valueString": text_}
        refused = await doc.post(where, {"resourceType": "Parameters", "parameter": [said]})
        assert (refused.status, refused.issue) == (400, "parameter-type")
        assert refused.expressions == ["Parameters.parameter(accept-unsupported)"]
    accepted = {"name": "accept-unsupported", "valueBoolean": True}
    answer = await doc.post(where, {"resourceType": "Parameters", "parameter": [accepted]})
    assert answer.json["docStatus"] == "final"
    assert "(not supported)" in text(answer.json)


async def test_what_a_search_finds_is_looked_for_again(
    system: Caller, doc: Caller, settings: Settings, unique: str
) -> None:
    """A median, a count and an absence: the state behind them is corrected, an encounter and an allergy are written."""
    subject = {"reference": f"Patient/{unique}"}
    sleep = {"code": {"coding": [{"code": "sleep-duration"}]}}
    state = {
        "resourceType": "Observation", "id": f"{unique}-state", "status": "final", "subject": subject,
        "code": {"coding": [{"system": "http://twin.example", "code": "digital-twin-state"}]},
        "effectiveDateTime": "2026-06-10", "component": [sleep | {"valueQuantity": {"value": 400, "code": "min"}}],
    }  # fmt: skip
    assert (await system.put(f"Observation/{state['id']}", state)).status == 201
    _, note = await drafted(doc, settings, unique, f"type=intake&{DAYS}")
    assert {"median 6 h 40 min" in text(note), "Wearable data: 1 of 30 days" in text(note)} == {True}
    where = f"DocumentReference/{note['id']}/$sign"
    visit = {"resourceType": "Encounter", "status": "finished", "subject": subject, "class": {"code": "AMB"}}
    allergy = {"resourceType": "AllergyIntolerance", "patient": subject, "code": {"text": "penicillin"}}
    moved = state | {"component": [sleep | {"valueQuantity": {"value": 300, "code": "min"}}]}
    for method, path, body, sections_ in (
        ("PUT", f"Observation/{state['id']}", moved, ["section(findings)"]),
        ("POST", "AllergyIntolerance", allergy, ["section(medication)", "section(findings)"]),
        ("PUT", f"Observation/{state['id']}", state, ["section(medication)"]),
        ("POST", "Encounter", visit | {"period": {"start": "2026-07-20"}}, ["section(medication)"]),
        (
            "POST",
            "Encounter",
            visit | {"period": {"start": "2026-06-20"}},
            ["section(medication)", "section(findings)"],
        ),
    ):
        assert (await system.send(method, path, body)).status in (200, 201)
        refused = await doc.post(where, None)
        assert (refused.status, refused.issue, refused.expressions) == (422, "sign-unsupported", sections_)
        assert "since the draft" in refused.json["issue"][0]["details"]["text"]
    own = sections(medication="Penicillin: a rash as a child.", findings="See the chart.")
    answer = await doc.post(where, own)
    assert answer.status == 200, answer.text
    signed = answer.json
    assert signed["docStatus"] == "final"
    item9 = {"coding": [{"system": "http://loinc.org", "code": "44260-8"}]}
    answered = {"code": item9, "effectiveDateTime": "2026-06-21", "valueInteger": 1}
    answered |= {"resourceType": "Observation", "status": "final", "subject": subject}
    assert (await system.post("Observation", answered)).status == 201  # "not answered" was so when it was signed
    amended = await doc.post(where, sections(findings="Nothing new."))
    assert (amended.status, amended.json["docStatus"]) == (200, "amended")


async def test_a_sentence_that_changed_since_is_marked_so_when_signed(
    system: Caller, doc: Caller, settings: Settings, unique: str
) -> None:
    _, note = await drafted(doc, settings, unique, DAYS)
    assert (await system.delete(f"Observation/{unique}-19")).status == 204
    accepted = {"resourceType": "Parameters", "parameter": [{"name": "accept-unsupported", "valueBoolean": True}]}
    signed = (await doc.post(f"DocumentReference/{note['id']}/$sign", accepted)).json
    marked = [each for s in sections_of(signed) for each in s.statements if each.problems]
    assert {CHANGED in each.problems for each in marked} == {True}
    assert any("14 of 27" in each.text for each in marked)


async def test_what_a_plain_write_put_into_a_draft_is_the_clinicians_own(
    doc: Caller, settings: Settings, unique: str
) -> None:
    _, note = await drafted(doc, settings, unique, DAYS)
    changed = json.loads(
        json.dumps(note).replace("14 of 27 on 19 June 2026 (moderate)", "2 of 27 on 19 June 2026 (minimal)")
    )
    assert changed != note
    changed["content"] = [{"attachment": {"contentType": "text/plain", "data": "bGllcw=="}}]
    changed["text"] = {"status": "generated", "div": '<div xmlns="http://www.w3.org/1999/xhtml">PHQ-9 was 2</div>'}
    changed["extension"] = json.loads(json.dumps(changed["extension"]).replace(f"{unique}-dr", f"{unique}-other"))
    assert (await doc.put(f"DocumentReference/{note['id']}", changed)).status == 200
    signed = (await doc.post(f"DocumentReference/{note['id']}/$sign", None)).json
    [mine] = [each for s in sections_of(signed) for each in s.statements if "2 of 27 on 19" in each.text]
    assert (mine.form, mine.citations) == ("clinician", ())
    assert "text" not in signed
    assert "2 of 27 on 19 June 2026" in text(signed)
    assert extension(signed, "note-draft")["askedBy"]["reference"] == f"Practitioner/{unique}-dr"
    copy = {k: v for k, v in note.items() if k not in ("id", "meta")}
    assert (await doc.post("DocumentReference", copy)).issue == "note-unsigned"


async def test_a_double_click_amends_nothing(doc: Caller, settings: Settings, unique: str) -> None:
    _, note = await drafted(doc, settings, unique, DAYS)
    where = f"DocumentReference/{note['id']}"
    own = sections(course="Seen today.")
    answers = await asyncio.gather(*(doc.post(f"{where}/$sign", own) for _ in range(4)))
    assert {each.status for each in answers} <= {200, 409}
    assert 200 in {each.status for each in answers}
    assert {each.json["docStatus"] for each in answers if each.status == 200} == {"final"}
    assert (await doc.post(f"{where}/$sign", own)).json["meta"]["versionId"] == "2"
    signed = (await doc.get(where)).json
    narrative = {"status": "additional", "div": '<div xmlns="http://www.w3.org/1999/xhtml">cured</div>'}
    answer = await doc.put(where, signed | {"text": narrative})
    assert (answer.status, answer.issue) == (409, "note-signed")


async def test_plain_writes_sign_nothing_and_change_nothing_signed(
    doc: Caller, settings: Settings, unique: str
) -> None:
    _, note = await drafted(doc, settings, unique, DAYS)
    where = f"DocumentReference/{note['id']}"
    final = note | {"docStatus": "final"}
    for bad in (
        final,
        {k: v for k, v in final.items() if k != "extension"},
        {k: v for k, v in note.items() if k != "extension"},
    ):
        answer = await doc.put(where, bad)
        assert (answer.status, answer.issue) == (422, "note-unsigned")
    copied = await doc.post("DocumentReference", {k: v for k, v in final.items() if k not in ("id", "meta")})
    assert copied.status == 422
    patched = [{"op": "replace", "path": "/docStatus", "value": "final"}]
    assert (await doc.send("PATCH", where, patched, content_type="application/json-patch+json")).status == 422
    edited = note | {"description": "a draft of mine"}
    assert (await doc.put(where, edited)).status == 200
    signed = (await doc.post(f"{where}/$sign", None)).json
    for changes in ({"description": "other"}, {"docStatus": "preliminary"}, {"authenticator": {"display": "nobody"}}):
        answer = await doc.put(where, signed | changes)
        assert (answer.status, answer.issue) == (409, "note-signed"), answer.text
    removed = {"request": {"method": "DELETE", "url": where}}
    for answer in (await doc.delete(where), await doc.transaction(removed)):
        assert (answer.status, answer.issue) == (409, "note-signed"), answer.text
    assert (await doc.put(where, signed | {"status": "superseded"})).status == 200


async def test_work_is_needed_for_a_draft(doc: Caller, settings: Settings, unique: str) -> None:
    kicked = await doc.post(f"Patient/{unique}/$draft-note?{DAYS}", None)
    assert (await doc.get(kicked.headers["content-location"])).status == 202
    await work(doc.tenant, settings)
    assert (await doc.get(kicked.headers["content-location"])).status == 200
