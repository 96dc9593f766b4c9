"""`Patient/{id}/$draft-note` end to end, without a model: what is written, for whom, with what rights."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import httpx
import pytest

from fhir_server.settings import Settings
from fhir_server.storage import async_jobs, ident, jobs
from fhir_server.storage.tenants import Tenant
from tests.http.client import Caller, caller
from tests.operations import twin_fixtures
from tests.operations.note_fixtures import DAYS, drafted, patient, psychiatrist, text, work
from tests.operations.twin_fixtures import END, demo, put
from workers.jobs import asynchronous
from workers.jobs.runner import LEASE
from workers.notes.document import draft_of, parts_of, sections_of

UNTIL = f"until={END}"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(environment="test", data=tmp_path, twin_refresh_seconds=0)  # type: ignore[call-arg]


@pytest.fixture
async def somebody(tenant: Tenant, settings: Settings) -> str:
    """The same patient for all tests that only read."""
    name = f"note-{tenant.name}"
    if await ident.known_rid(tenant, "Patient", name) is None:
        await put(tenant, demo(1, name))
        await twin_fixtures.work(tenant, settings)
    return name


async def test_a_draft_is_a_document_with_citations_and_its_provenance(
    system: Caller, settings: Settings, somebody: str
) -> None:
    status, note = await drafted(system, settings, somebody, UNTIL)
    assert status == "200", note
    assert (note["docStatus"], note["status"], note["subject"]["reference"]) == (
        "preliminary",
        "current",
        f"Patient/{somebody}",
    )
    about = draft_of(note)
    assert about is not None
    assert (about["method"], about["kind"]) == ("rules", "progress")
    assert about["supported"] == about["statements"] > 20
    assert "drafted by rules, without a language model" in text(note)
    assert {s.code for s in sections_of(note)} >= {
        "risk",
        "course",
        "findings",
        "medication",
        "diagnoses",
        "ask",
        "method",
    }
    stored = (await system.get(f"DocumentReference/{note['id']}")).json
    assert stored == note
    assert (await system.post("DocumentReference/$validate", note)).json["issue"][0]["severity"] == "information"
    entries = {e["reference"] for s in note["contained"][0]["section"] for e in s.get("entry", ())}
    for reference in entries:
        assert (await system.get(reference)).status == 200
    found = (await system.get(f"Provenance?target=DocumentReference/{note['id']}")).json["entry"]
    [told] = [each["resource"] for each in found]
    assert told["agent"][0]["who"]["reference"] == f"Device/{note['author'][0]['reference'].partition('/')[2]}"
    sources = {e["what"].get("reference") for e in told["entity"] if e["role"] == "source"}
    assert entries <= sources
    template = next(e for e in told["entity"] if e["role"] == "derivation")
    assert template["what"]["identifier"]["value"] == "rules-3"
    assert (await system.get(note["author"][0]["reference"])).json["type"]["coding"][0]["code"] == "706687001"


@pytest.mark.parametrize(("kind", "language", "word"), [("soap", "de", "Subjektiv"), ("intake", "en", "Medication and allergies"),
                                                        ("discharge", "de", "Entlassnotiz")])  # fmt: skip
async def test_kinds_and_languages(
    system: Caller, settings: Settings, somebody: str, kind: str, language: str, word: str
) -> None:
    _, note = await drafted(system, settings, somebody, f"{UNTIL}&type={kind}&language={language}")
    assert word in text(note)
    about = draft_of(note)
    assert about is not None
    assert about["supported"] == about["statements"]


async def test_who_sees_less_gets_a_note_of_what_they_see(
    http: httpx.AsyncClient, tenant: Tenant, settings: Settings, somebody: str
) -> None:
    scope = "system/Patient.rs system/MedicationRequest.rs system/DocumentReference.cruds"
    client = await caller(http, tenant, scope)
    _, note = await drafted(client, settings, somebody, UNTIL)
    said = text(note)
    assert "escitalopram 10 mg once a day: ordered" in said
    assert "Not looked at" in said
    assert "PHQ-9" not in said
    assert "taken as stated" not in said
    assert {e["reference"].partition("/")[0] for s in note["contained"][0]["section"] for e in s.get("entry", ())} == {
        "MedicationRequest"
    }


@pytest.mark.parametrize(
    ("scope", "status"),
    [("system/Patient.rs system/Observation.rs", 403), ("system/Observation.rs system/DocumentReference.c", 403)],
)
async def test_who_may_not(http: httpx.AsyncClient, tenant: Tenant, somebody: str, scope: str, status: int) -> None:
    client = await caller(http, tenant, scope)
    assert (await client.post(f"Patient/{somebody}/$draft-note", None)).status == status
    assert (await (await caller(http, tenant)).post("Patient/nobody-here/$draft-note", None)).status == 404


@pytest.mark.parametrize(
    "query",
    [
        "type=novel",
        "language=fr",
        "since=yesterday",
        "since=2026-07-01&until=2026-06-01",
        "since=2020-01-01&until=2026-01-01",
        "since=2020-01-01",
        "since=2199-01-01",
    ],
)
async def test_bad_parameters(system: Caller, somebody: str, query: str) -> None:
    answer = await system.post(f"Patient/{somebody}/$draft-note?{query}", None)
    assert (answer.status, answer.issue) == (400, "parameter-value")
    assert (await system.get(f"Patient/{somebody}/$draft-note")).status in (400, 405)


async def test_a_worker_that_is_killed_leaves_one_note(
    system: Caller, settings: Settings, somebody: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kicked = await system.post(f"Patient/{somebody}/$draft-note?{UNTIL}", None)
    where = kicked.headers["content-location"]
    [job] = await jobs.claim(system.tenant, [async_jobs.QUEUE], LEASE)
    finish = async_jobs.finish

    async def killed(*_: Any, **__: Any) -> None:
        raise ConnectionError("killed")

    monkeypatch.setattr(async_jobs, "finish", killed)
    with pytest.raises(ConnectionError):
        await asynchronous.run(system.tenant, job, settings)
    monkeypatch.setattr(async_jobs, "finish", finish)
    await asynchronous.run(system.tenant, job, settings)
    await jobs.finish(system.tenant.pool, system.tenant, job)
    [entry] = (await system.get(where)).json["entry"]
    note = entry["resource"]
    assert note["id"] == f"note-{job.key}"
    assert note["meta"]["versionId"] == "1"


async def test_a_cancelled_request_writes_nothing(system: Caller, settings: Settings, somebody: str) -> None:
    kicked = await system.post(f"Patient/{somebody}/$draft-note?{UNTIL}", None)
    where = kicked.headers["content-location"]
    assert (await system.delete(where)).status == 202
    await work(system.tenant, settings)
    id_ = f"note-{where.rpartition('/')[2]}"
    assert (await system.get(f"DocumentReference/{id_}")).status == 404


async def test_labels_of_what_is_cited_go_with_the_note(
    system: Caller, http: httpx.AsyncClient, tenant: Tenant, settings: Settings, unique: str
) -> None:
    label = {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "SUD"}
    await patient(system, unique, f"{unique}-dr")
    client = await psychiatrist(http, tenant, f"{unique}-dr")
    condition = {
        "resourceType": "Condition",
        "meta": {"security": [label]},
        "subject": {"reference": f"Patient/{unique}"},
        "code": {"text": "Opioid dependence"},
    }
    plain = await caller(http, tenant)
    assert (await plain.post("Condition", condition)).status == 201
    _, hidden = await drafted(plain, settings, unique, DAYS)
    assert "Opioid" not in text(hidden)
    assert [c["code"] for c in hidden["meta"]["security"]] == ["R"]
    assert parts_of(hidden["extension"][0])["method"] == "rules"
    _, shown = await drafted(client, settings, unique, DAYS)
    assert "Opioid dependence" in text(shown)
    assert [c["code"] for c in shown["meta"]["security"]] == ["R", "SUD"]
    assert (await client.get(f"DocumentReference/{shown['id']}")).status == 200
    assert (await plain.get(f"DocumentReference/{shown['id']}")).status == 404
    told = await client.get(f"Provenance?target=DocumentReference/{shown['id']}")
    assert [c["code"] for c in told.json["entry"][0]["resource"]["meta"]["security"]] == ["R", "SUD"]
    assert (await plain.get(f"Provenance?target=DocumentReference/{shown['id']}&_summary=count")).json["total"] == 0


async def test_a_twin_that_is_behind_is_said_to_be(system: Caller, settings: Settings, unique: str) -> None:
    """A score that the twin does not hold yet: the note says so; when the twin has caught up, it does not."""
    await patient(system, unique)
    _, note = await drafted(system, settings, unique, DAYS)
    assert "Newer data waited for the twin" in text(note)
    await twin_fixtures.work(system.tenant, settings)
    _, note = await drafted(system, settings, unique, DAYS)
    assert "Newer data waited for the twin" not in text(note)


async def test_whatever_was_written_about_death_stands_in_the_note(
    system: Caller, settings: Settings, unique: str
) -> None:
    await patient(system, unique)
    who = {"reference": f"Patient/{unique}"}
    said = base64.b64encode(b"Suicidal ideation with a plan.").decode()
    secret = {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "PSYTHPN"}
    content = [{"attachment": {"contentType": "text/plain", "data": said}}]
    document: dict[str, Any] = {
        "resourceType": "DocumentReference",
        "status": "current",
        "subject": who,
        "date": "2026-06-10T10:00:00Z",
    }
    binary = await system.post(
        "Binary", {"resourceType": "Binary", "contentType": "text/plain", "data": "U2F5cyBzaGUgd2lzaGVzIHRvIGRpZS4="}
    )
    linked = [{"attachment": {"contentType": "text/plain", "url": f"Binary/{binary.id}"}}]
    notes = [{"attachment": {"contentType": "text/plain", "data": base64.b64encode(b"Suicide in a dream.").decode()}}]
    other = (await system.post("Patient", {"resourceType": "Patient"})).id
    theirs = await system.post(
        "Binary",
        {"resourceType": "Binary", "contentType": "text/plain", "securityContext": {"reference": f"Patient/{other}"},
         "data": base64.b64encode(b"Somebody else wants to die.").decode()},
    )  # fmt: skip
    foreign = [{"attachment": {"contentType": "text/plain", "url": f"Binary/{theirs.id}"}}]
    written: list[dict[str, Any]] = [
        document | {"content": foreign},
        {"resourceType": "Condition", "subject": who, "code": {"text": "Suicidal thoughts"}},
        {"resourceType": "Communication", "status": "completed", "subject": who, "sent": "2026-06-11T20:00:00Z",
         "payload": [{"contentString": "I want to kill myself tonight"}]},
        document | {"content": content},
        document | {"content": linked},
        document | {"content": notes, "securityLabel": [{"coding": [secret]}]},
        {"resourceType": "Observation", "status": "final", "subject": who, "effectiveDateTime": "2026-06-12",
         "code": {"text": "Statement about risk"}, "valueString": "Reports a death wish."},
    ]  # fmt: skip
    for resource in written:
        answer = await system.post(resource["resourceType"], resource)
        assert answer.status == 201, answer.text
    _, note = await drafted(system, settings, unique, DAYS)
    first = next(s for s in sections_of(note) if s.code == "risk")
    words = " ".join(each.text for each in first.statements)
    for each in ("Suicidal thoughts", "kill myself tonight", "ideation with a plan", "wishes to die", "death wish"):
        assert each in words
    assert "dream" not in text(note)
    assert "Somebody else" not in text(note)
    assert "Text that could not be read, or not whole (1)" in text(note)
    assert all(each.supported for each in first.statements)
