"""`$extract` and `$accept`: what is proposed from a text, what never is, and what a person makes of it."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import httpx
import pytest

from fhir_server.auth import care
from fhir_server.auth.tokens import mint
from fhir_server.interactions import commands
from fhir_server.storage.commands import IMPORT
from fhir_server.storage.commit import commit
from fhir_server.storage.tenants import Tenant
from tests.http.client import Caller, caller
from tests.operations.note_fixtures import doctor, patient
from tests.operations.twin_fixtures import parts, value

TEXT = (
    "Depressed mood; denies hallucinations. Takes lithium 900 mg twice daily. PHQ-9 was 14. He wants to die."
    " His father drank alcohol."
)
SURE = "http://terminology.hl7.org/CodeSystem/condition-ver-status"
UNTAG = [{"op": "remove", "path": "/meta/tag"}]
ACT = "http://terminology.hl7.org/CodeSystem/v3-ActCode"


def document(who: str, text: str = TEXT, **more: Any) -> Any:
    data = base64.b64encode(text.encode()).decode()
    return {
        "resourceType": "DocumentReference", "status": "current", "subject": {"reference": f"Patient/{who}"},
        "date": "2026-06-20T10:00:00Z", "content": [{"attachment": {"contentType": "text/plain", "data": data}}], **more,
    }  # fmt: skip


@pytest.fixture
async def doc(system: Caller, http: httpx.AsyncClient, tenant: Tenant, unique: str) -> Caller:
    await patient(system, unique, f"{unique}-dr")
    return await doctor(http, tenant, f"{unique}-dr")


async def extracted(client: Caller, *args: Any, **more: Any) -> tuple[str, list[Any]]:
    made = await client.post("DocumentReference", document(*args, **more))
    assert made.status == 201, made.text
    answer = await client.post(f"DocumentReference/{made.id}/$extract", None)
    assert answer.status == 200, answer.text
    return made.id, parts(answer.json, "finding")


async def test_findings_and_proposals(doc: Caller, system: Caller, unique: str) -> None:
    id_, found = await extracted(doc, unique)
    told = {value(each, "concept"): each for each in found}
    assert set(told) == {"depressed-mood", "hallucinations", "lithium", "phq-9", "suicidality", "alcohol"}
    assert {name for name, each in told.items() if value(each, "proposed") is None} == {"hallucinations", "alcohol"}
    assert value(told["hallucinations"], "negated") is True
    assert value(told["alcohol"], "experiencer") == "other"
    start, end = value(told["lithium"], "start"), value(told["lithium"], "end")
    assert TEXT[start:end] == value(told["lithium"], "text") == "lithium"
    made = {
        name: (await doc.get(value(each, "proposed")["reference"])).json
        for name, each in told.items()
        if value(each, "proposed")
    }
    assert made["depressed-mood"]["verificationStatus"]["coding"][0]["code"] == "unconfirmed"
    assert made["lithium"]["status"] == "unknown"
    assert made["lithium"]["dosage"][0]["timing"]["repeat"]["frequency"] == 2
    assert (made["phq-9"]["status"], made["phq-9"]["valueQuantity"]["value"]) == ("preliminary", 14)
    assert made["suicidality"]["valueString"] == "He wants to die."
    told_by = (await system.get(f"Provenance?target=Condition/{made['depressed-mood']['id']}")).json["entry"][0][
        "resource"
    ]
    assert told_by["entity"][0]["what"]["reference"] == f"DocumentReference/{id_}"
    again = await doc.post(f"DocumentReference/{id_}/$extract", None)
    assert parts(again.json, "finding") == found
    assert (await doc.get(value(told["phq-9"], "proposed")["reference"])).json["meta"]["versionId"] == "1"


async def test_accepted_and_rejected(doc: Caller, system: Caller, unique: str) -> None:
    id_, found = await extracted(doc, unique)
    where = {value(each, "concept"): value(each, "proposed")["reference"] for each in found if value(each, "proposed")}
    who = {"reference": f"Practitioner/{unique}-dr"}
    mood = (await doc.post(f"{where['depressed-mood']}/$accept", None)).json
    assert (mood["verificationStatus"]["coding"][0]["code"], mood["asserter"]) == ("confirmed", who)
    assert "tag" not in mood["meta"]
    phq9 = (await doc.post(f"{where['phq-9']}/$accept", None)).json
    assert (phq9["status"], phq9["performer"]) == ("final", [who])
    drug = (await doc.post(f"{where['lithium']}/$accept?reject=true", None)).json
    assert drug["status"] == "entered-in-error"
    for name in ("depressed-mood", "lithium"):
        twice = await doc.post(f"{where[name]}/$accept", None)
        assert (twice.status, twice.issue) == (422, "accept-kind")
    refused = await system.post(f"{where['suicidality']}/$accept", None)
    assert (refused.status, refused.issue) == (403, "accept-person")
    await doc.post(f"DocumentReference/{id_}/$extract", None)
    assert (await doc.get(where["lithium"])).json["status"] == "entered-in-error"
    found_by = (await system.get(f"Provenance?target={where['phq-9']}")).json["entry"]
    assert {e["resource"]["agent"][0]["type"]["coding"][0]["code"] for e in found_by} == {"assembler", "verifier"}


async def test_only_accept_settles_a_proposal(doc: Caller, system: Caller, unique: str) -> None:
    _, found = await extracted(doc, unique)
    where = {value(each, "concept"): value(each, "proposed")["reference"] for each in found if value(each, "proposed")}
    other = (await system.post("Patient", {"resourceType": "Patient"})).id
    for name, change in (
        ("phq-9", {"status": "final"}),
        ("lithium", {"status": "active"}),
        ("depressed-mood", {"verificationStatus": {"coding": [{"system": SURE, "code": "confirmed"}]}}),
        ("depressed-mood", {"extension": []}),
        ("depressed-mood", {"subject": {"reference": f"Patient/{other}"}}),
    ):
        at = where[name]
        there = (await system.get(at)).json
        untagged = there | {"meta": {k: v for k, v in there["meta"].items() if k != "tag"}}
        changed = {k: v for k, v in (there | change).items() if v != []}
        transaction = {
            "resourceType": "Bundle", "type": "transaction",
            "entry": [{"resource": untagged, "request": {"method": "PUT", "url": at}}],
        }  # fmt: skip
        for refused in (
            await system.put(at, untagged),
            await system.put(at, changed),
            await system.post("", transaction),
            await system.send("PATCH", at, UNTAG, content_type="application/json-patch+json"),
            await system.post(f"{at}/$meta-delete", metas(there["meta"]["tag"])),
        ):
            assert (refused.status, refused.issue) == (422, "proposal-waits"), change
        assert (await system.get(at)).json["meta"]["versionId"] == "1"
    dated = (await system.get(where["phq-9"])).json | {"effectiveDateTime": "2026-06-19"}
    assert (await system.put(where["phq-9"], dated)).status == 200
    assert (await doc.post(f"{where['phq-9']}/$accept", None)).json["status"] == "final"
    # What was a proposal then is labelled as one, whatever has become of it; its tag stays with it.
    earlier = f"{where['phq-9']}/_history/2"
    assert (await system.post(f"{earlier}/$meta-add", metas([{"code": "seen"}]))).status == 200
    refused = await system.post(f"{earlier}/$meta-delete", metas((await system.get(earlier)).json["meta"]["tag"]))
    assert (refused.status, refused.issue) == (422, "proposal-waits")


def metas(tags: Any) -> Any:
    return {"resourceType": "Parameters", "parameter": [{"name": "meta", "valueMeta": {"tag": tags}}]}


async def test_nobody_proposes_by_hand(doc: Caller, system: Caller, unique: str) -> None:
    _, found = await extracted(doc, unique, "Insomnia.")
    there = (await system.get(value(found[0], "proposed")["reference"])).json
    own = {key: each for key, each in there.items() if key != "id"}
    refused = await system.post("Condition", own)
    assert (refused.status, refused.issue) == (422, "proposal-tag")
    for id_ in ("by-hand", "found-by-hand"):
        refused = await system.put(f"Condition/{unique}-{id_}", own | {"id": f"{unique}-{id_}"})
        assert (refused.status, refused.issue) == (422, "proposal-tag")
    made = await system.post("Condition", {key: each for key, each in own.items() if key != "meta"})
    assert made.status == 201, made.text
    refused = await system.post(f"Condition/{made.id}/$meta-add", metas(there["meta"]["tag"]))
    assert (refused.status, refused.issue) == (422, "proposal-tag")
    refused = await doc.post(f"Condition/{made.id}/$accept", None)
    assert (refused.status, refused.issue) == (422, "accept-kind")
    assert (await system.delete(f"Condition/{there['id']}")).status == 204
    refused = await system.put(f"Condition/{there['id']}", own | {"id": there["id"]})
    assert (refused.status, refused.issue) == (422, "proposal-tag")


async def test_accept_believes_no_tag_alone(doc: Caller, tenant: Tenant, unique: str) -> None:
    tag = {"system": "https://fhir.clarity.example/CodeSystem/origin", "code": "proposed"}
    condition = {
        "resourceType": "Condition", "id": f"{unique}-tagged", "subject": {"reference": f"Patient/{unique}"},
        "code": {"text": "Schizophrenia"}, "meta": {"tag": [tag]},
    }  # fmt: skip
    made = commands.build(tenant, condition, condition["id"], origin=IMPORT)  # as a loader writes, past every check
    await commit(tenant, [made], [])
    answer = await doc.post(f"Condition/{unique}-tagged/$accept", None)
    assert (answer.status, answer.issue) == (422, "accept-kind")


async def test_extracted_at_once_it_is_there_once(doc: Caller, unique: str) -> None:
    made = await doc.post("DocumentReference", document(unique))
    every = await asyncio.gather(*(doc.post(f"DocumentReference/{made.id}/$extract", None) for _ in range(4)))
    assert [answer.status for answer in every] == [200] * 4
    assert all(answer.json == every[0].json for answer in every)
    for each in parts(every[0].json, "finding"):
        if where := value(each, "proposed"):
            assert (await doc.get(where["reference"])).json["meta"]["versionId"] == "1"


async def test_another_patients_binary_is_never_read(doc: Caller, system: Caller, unique: str) -> None:
    other = (await system.post("Patient", {"resourceType": "Patient"})).id
    theirs = (await system.post("DocumentReference", document(other))).id
    data = {"contentType": "text/plain", "data": base64.b64encode(b"Has insomnia.").decode()}
    nobody = (await system.post("Organization", {"resourceType": "Organization", "name": "x"})).id
    for context, status in (
        (f"Patient/{other}", 422), (f"DocumentReference/{theirs}", 422), (f"Organization/{nobody}", 422),
        (f"Patient/{unique}", 200),
    ):  # fmt: skip
        kept = await system.post(
            "Binary", {"resourceType": "Binary", "securityContext": {"reference": context}, **data}
        )
        content = [{"attachment": {"contentType": "text/plain", "url": f"Binary/{kept.id}"}}]
        made = await system.post("DocumentReference", document(unique) | {"content": content})
        answer = await system.post(f"DocumentReference/{made.id}/$extract", None)
        assert answer.status == status, context
        assert status == 200 or answer.issue == "extract-other"
    found = await system.get(f"Condition?patient={unique}&_tag=proposed")
    assert len(found.json["entry"]) == 1


async def test_psychotherapy_notes_never_feed_it(
    http: httpx.AsyncClient, tenant: Tenant, system: Caller, unique: str
) -> None:
    await patient(system, unique, f"{unique}-dr")
    cleared = await caller(http, tenant, "system/*.cruds __see/PSYTHPN")
    label = {"system": ACT, "code": "PSYTHPN"}
    for more in ({"meta": {"security": [label]}}, {"securityLabel": [{"coding": [label]}]}):
        made = await cleared.post("DocumentReference", document(unique, **more))
        answer = await cleared.post(f"DocumentReference/{made.id}/$extract", None)
        assert (answer.status, answer.issue) == (422, "extract-psychotherapy")
    hidden = await system.post(f"DocumentReference/{made.id}/$extract", None)
    assert hidden.status == 422  # securityLabel alone hides nothing, and is refused all the same
    found = await system.get(f"Condition?patient={unique}&_tag=proposed")
    assert "entry" not in found.json


async def test_what_the_caller_may_not_write_is_found_only(
    http: httpx.AsyncClient, tenant: Tenant, doc: Caller, unique: str
) -> None:
    made = await doc.post("DocumentReference", document(unique))
    care.forget(tenant, f"Practitioner/{unique}-dr")
    scope = "user/DocumentReference.rs user/Observation.c"
    some = Caller(http, tenant, await mint(tenant, scope, user=f"Practitioner/{unique}-dr"))
    answer = await some.post(f"DocumentReference/{made.id}/$extract", None)
    kinds = {
        value(each, "proposed")["reference"].partition("/")[0]
        for each in parts(answer.json, "finding")
        if value(each, "proposed")
    }
    assert kinds == {"Observation"}


@pytest.mark.parametrize(
    ("content", "issue"),
    [
        ({"contentType": "application/pdf", "data": "JVBERg=="}, "extract-text"),
        ({"contentType": "text/plain", "data": base64.b64encode(b"\xff\xfe\x00").decode()}, "extract-text"),
        ({"contentType": "text/plain", "data": base64.b64encode(b"x" * 100_001).decode()}, "extract-long"),
        ({"contentType": "text/rtf", "data": base64.b64encode(b"{\\rtf1 insomnia}").decode()}, "extract-text"),
        ({"contentType": "text/plain", "data": base64.b64encode(b"Insomnia. " * 1001).decode()}, "extract-many"),
        ({"contentType": "text/plain", "url": "https://elsewhere.example/x"}, "extract-text"),
    ],
)
async def test_no_text(doc: Caller, unique: str, content: Any, issue: str) -> None:
    made = await doc.post("DocumentReference", document(unique) | {"content": [{"attachment": content}]})
    answer = await doc.post(f"DocumentReference/{made.id}/$extract", None)
    assert (answer.status, answer.issue) == (422, issue)


async def test_html_is_read_as_a_reader_sees_it(doc: Caller, unique: str) -> None:
    page = "<title>Panic</title><script>a = 'nightmares'</script><p>Has insom<b>nia</b><s>Takes lithium</s></p>Denies<td>tremor"
    data = {"contentType": "text/html; charset=utf-8", "data": base64.b64encode(page.encode()).decode()}
    made = await doc.post("DocumentReference", document(unique) | {"content": [{"attachment": data}]})
    found = parts((await doc.post(f"DocumentReference/{made.id}/$extract", None)).json, "finding")
    assert [(value(each, "concept"), value(each, "negated")) for each in found] == [
        ("insomnia", False),
        ("tremor", False),
    ]


async def test_what_is_said_again_is_proposed_once(doc: Caller, unique: str) -> None:
    text = "Insomnia persists. Denies insomnia. The insomnia is worse. Takes lithium 900 mg. Lithium is well tolerated."
    _, found = await extracted(doc, unique, text)
    proposed = [value(each, "proposed") and value(each, "proposed")["reference"] for each in found]
    assert [bool(each) for each in proposed] == [True, False, True, True, True]
    assert (proposed[0], proposed[3]) == (proposed[2], proposed[4])
    condition = (await doc.get(proposed[0])).json
    starts = [
        next(e["valueInteger"] for e in span["extension"] if e["url"] == "start") for span in condition["extension"]
    ]
    assert [text[at:].lower().startswith("insomnia") for at in starts] == [True, True]
    assert (await doc.get(proposed[3])).json["dosage"][0]["text"] == "900 mg"


async def test_text_in_a_binary(doc: Caller, system: Caller, unique: str) -> None:
    held = {"contentType": "text/plain", "data": base64.b64encode(b"Has insomnia.").decode()}
    binary = await system.post("Binary", {"resourceType": "Binary", **held})
    attachment = {"contentType": "text/plain", "url": f"Binary/{binary.id}"}
    made = await system.post("DocumentReference", document(unique) | {"content": [{"attachment": attachment}]})
    refused = await system.post(f"DocumentReference/{made.id}/$extract", None)  # nobody knows whose it is
    assert (refused.status, refused.issue) == (422, "extract-other")
    assert refused.expressions == ["DocumentReference.content.attachment.url"]
    owned = {"resourceType": "Binary", "id": binary.id, "securityContext": {"reference": f"Patient/{unique}"}, **held}
    assert (await system.put(f"Binary/{binary.id}", owned)).status == 200
    wrong = attachment | {"hash": base64.b64encode(b"1" * 20).decode()}
    other = await system.post("DocumentReference", document(unique) | {"content": [{"attachment": wrong}]})
    refused = await system.post(f"DocumentReference/{other.id}/$extract", None)
    assert (refused.status, refused.issue) == (422, "extract-hash")
    found = parts((await system.post(f"DocumentReference/{made.id}/$extract", None)).json, "finding")
    assert [value(each, "concept") for each in found] == ["insomnia"]


async def test_a_long_text_is_read_from_where_it_was_moved(doc: Caller, unique: str) -> None:
    text = "Nothing else. " * 6000 + "Has insomnia."
    made = await doc.post("DocumentReference", document(unique, text))
    assert made.status == 201, made.text
    attachment = made.json["content"][0]["attachment"]
    assert "data" not in attachment
    assert attachment["url"].startswith("Binary/")
    found = parts((await doc.post(f"DocumentReference/{made.id}/$extract", None)).json, "finding")
    assert [value(each, "concept") for each in found] == ["insomnia"]
    too_long = await doc.post("DocumentReference", document(unique, "Müde. " * 40_000))
    answer = await doc.post(f"DocumentReference/{too_long.id}/$extract", None)
    assert (answer.status, answer.issue) == (422, "extract-long")
