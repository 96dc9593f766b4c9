"""Binary and attachments: raw in and out, parts, who sees them, content outside the database (R4 `binary.html`)."""

from __future__ import annotations

import base64
import hashlib
import os

import pytest

from fhir_server.search.extract import CONTEXT_PATIENT
from fhir_server.storage.blobs import keep
from tests.http.client import caller, entry

PDF = b"%PDF-1.7 " + os.urandom(200_000)


async def patient(system, **more):
    return (await system.post("Patient", {"resourceType": "Patient", **more})).id


async def document(system, of, data=None, **more):
    attachment = {"contentType": "application/pdf"} | (
        {"data": base64.b64encode(data).decode()} if data else {"title": "x"}
    )
    made = {
        "resourceType": "DocumentReference", "status": "current", "subject": {"reference": f"Patient/{of}"},
        "content": [{"attachment": attachment}],
    }  # fmt: skip
    return await system.post("DocumentReference", made | more)


@pytest.mark.parametrize("content", [b"short", PDF], ids=["inline", "stored"])
async def test_raw_in_raw_out(system, content):
    made = await system.post("Binary", content, content_type="application/pdf")
    assert made.status == 201
    assert made.json["contentType"] == "application/pdf"
    read = await system.get(f"Binary/{made.id}")
    assert read.status == 200
    assert read.content == content
    assert read.headers["content-type"] == "application/pdf"
    assert read.headers["etag"] == 'W/"1"'
    assert read.headers["content-disposition"].startswith("attachment")
    assert "sandbox" in read.headers["content-security-policy"]
    assert read.headers["x-content-type-options"] == "nosniff"
    as_resource = await system.get(f"Binary/{made.id}", accept="application/fhir+json")
    assert base64.b64decode(as_resource.json["data"]) == content
    assert "_data" not in as_resource.json
    assert (await system.get(f"Binary/{made.id}?_format=json")).json["resourceType"] == "Binary"
    assert "<Binary" in (await system.get(f"Binary/{made.id}", accept="application/fhir+xml")).text
    assert (await system.get(f"Binary/{made.id}", accept="text/html")).headers["content-type"].startswith("text/html")
    assert (await system.get(f"Binary/{made.id}", if_none_match='W/"1"')).status == 304
    head = await system.send("HEAD", f"Binary/{made.id}")
    assert (head.status, head.content, head.headers["content-length"]) == (200, b"", str(len(content)))


@pytest.mark.parametrize("content", [b"0123456789", PDF], ids=["inline", "stored"])
async def test_parts(system, content):
    id_ = (await system.post("Binary", content, content_type="image/png")).id
    size = len(content)
    for asked, start, end in (
        ("0-3", 0, 4),
        ("4-", 4, size),
        ("-3", size - 3, size),
        ("2-99999999", 2, size),
        (f"{size - 1}-", size - 1, size),
    ):
        part = await system.get(f"Binary/{id_}", range=f"bytes={asked}")
        assert part.status == 206, asked
        assert part.content == content[start:end]
        assert part.headers["content-range"] == f"bytes {start}-{end - 1}/{size}"
    beyond = await system.get(f"Binary/{id_}", range=f"bytes={size}-")
    assert beyond.status == 416
    assert beyond.headers["content-range"] == f"bytes */{size}"
    for whole in ("bytes=5-2", "items=1-2", "bytes=0-1,3-4"):
        assert (await system.get(f"Binary/{id_}", range=whole)).content == content
    assert (await system.get(f"Binary/{id_}", range="bytes=0-3", if_range='W/"1"')).status == 200


async def test_versions_are_kept_and_compared(system):
    id_ = (await system.post("Binary", PDF, content_type="application/pdf")).id
    assert (await system.put(f"Binary/{id_}", b"second", content_type="text/plain", if_match='W/"1"')).status == 200
    assert (await system.put(f"Binary/{id_}", b"third", content_type="text/plain", if_match='W/"1"')).status == 412
    assert (await system.get(f"Binary/{id_}")).content == b"second"
    assert (await system.get(f"Binary/{id_}/_history/1")).content == PDF
    assert (await system.get(f"Binary/{id_}/_history")).json["entry"][1]["resource"]["id"] == id_
    as_resource = (await system.get(f"Binary/{id_}/_history/1", accept="application/fhir+json")).json
    assert len(base64.b64decode(as_resource["data"])) == len(PDF)


async def test_content_is_not_in_the_database_but_sealed_in_the_store(system, tenant):
    made = await system.post("Binary", PDF, content_type="application/pdf")
    row = await tenant.pool.fetchrow(
        tenant.sql(
            "SELECT b.*, length(r.body) AS long FROM {s}.blob b JOIN {s}.resource r ON r.fhir_id = b.fhir_id WHERE b.fhir_id = $1"
        ),
        made.id,
    )
    assert row["size"] == len(PDF)
    assert row["long"] < 2000
    assert PDF[100:140] not in await tenant.blobs.part(row["name"], 0, 300_000)
    await keep.sweep(tenant, "0 seconds")
    assert (await system.get(f"Binary/{made.id}")).content == PDF


async def test_a_pointer_is_nobody_elses(system):
    made = (await system.post("Binary", PDF, content_type="application/pdf")).json
    copied = {"resourceType": "Binary", "contentType": "application/pdf", "_data": made["_data"]}
    stolen = await system.post("Binary", copied)
    assert (stolen.status, stolen.issue) == (422, "binary-pointer")
    assert (await system.put(f"Binary/{made['id']}", made | {"contentType": "text/plain"})).status == 200
    assert (await system.get(f"Binary/{made['id']}")).content == PDF


@pytest.mark.parametrize("content", [b"short", PDF], ids=["inline", "stored"])
async def test_a_binary_is_seen_as_its_context(system, http, tenant, content):
    mine, other = await patient(system), await patient(system)
    sud = {"security": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "SUD"}]}
    plain, labelled = (await document(system, mine)).id, None
    custodian = await caller(http, tenant, "system/*.cruds __see/all")
    labelled = (await document(custodian, mine, meta=sud)).id
    ids = {}
    for name, context in (
        ("own", f"DocumentReference/{plain}"),
        ("self", f"Patient/{mine}"),
        ("labelled", f"DocumentReference/{labelled}"),
        ("other", f"Patient/{other}"),
    ):
        made = await custodian.post("Binary", content, content_type="text/plain", x_security_context=context)
        assert made.status == 201, made.text
        ids[name] = made.id
    ids["nobody"] = (await system.post("Binary", content, content_type="text/plain")).id

    async def seen(who):
        return {name for name, id_ in ids.items() if (await who.get(f"Binary/{id_}")).status == 200}

    assert await seen(custodian) == {"own", "self", "labelled", "other", "nobody"}
    assert await seen(await caller(http, tenant, "patient/*.rs", patient=mine)) == {"own", "self"}
    assert await seen(await caller(http, tenant, "patient/Binary.rs", patient=mine)) == set()
    assert await seen(await caller(http, tenant, "patient/Binary.rs patient/Patient.rs", patient=mine)) == {"self"}
    assert await seen(system) == {"own", "self", "other", "nobody"}
    assert (
        await (await caller(http, tenant, "patient/Observation.rs", patient=mine)).get(f"Binary/{ids['own']}")
    ).status == 403
    found = await (await caller(http, tenant, "patient/*.rs", patient=mine)).get("Binary?_count=50")
    assert {each["resource"]["id"] for each in found.json.get("entry", ())} == {ids["own"], ids["self"]}


async def test_a_context_that_changes_takes_the_binary_along(system, http, tenant):
    mine, other = await patient(system), await patient(system)
    made = (await document(system, mine)).json
    id_ = (
        await system.post(
            "Binary", b"x", content_type="text/plain", x_security_context=f"DocumentReference/{made['id']}"
        )
    ).id
    who = await caller(http, tenant, "patient/*.rs", patient=mine)
    assert (await who.get(f"Binary/{id_}")).status == 200
    assert (
        await system.put(f"DocumentReference/{made['id']}", made | {"subject": {"reference": f"Patient/{other}"}})
    ).status == 200
    for path in ("", "/_history/1", "/_history"):
        assert (await who.get(f"Binary/{id_}{path}")).status == 404
    assert (await who.get(f"Binary/{id_}", if_none_match='W/"1"')).status == 404


async def test_a_context_that_the_writer_does_not_see_is_refused(system, http, tenant):
    mine, other = await patient(system), await patient(system)
    app = await caller(http, tenant, "patient/*.cruds", patient=mine)
    for context in ("Patient/absent-1", "https://elsewhere.example/Patient/1", f"Patient/{other}", "Binary/x"):
        who = system if context.startswith(("https", "Binary")) else app
        answer = await who.post("Binary", b"x", content_type="text/plain", x_security_context=context)
        assert answer.status in (400, 422), context
    forged = {
        "resourceType": "Binary", "contentType": "text/plain", "data": "eA==",
        "securityContext": {
            "reference": f"Patient/{other}",
            "extension": [{"url": CONTEXT_PATIENT, "valueReference": {"reference": f"Patient/{mine}"}}],
        },
    }  # fmt: skip
    made = await system.post("Binary", forged)
    assert made.status == 201
    assert (await (await caller(http, tenant, "patient/*.rs", patient=mine)).get(f"Binary/{made.id}")).status == 404


async def test_a_service_may_name_a_context_that_is_not_here(system, http, tenant, unique):
    """As any reference may: it is nobody's then, and comes back to who reaches all of the type as it was sent."""
    resource = {"resourceType": "Binary", "contentType": "text/plain", "data": "eA==",
                "securityContext": {"reference": f"Patient/absent-{unique}"}}  # fmt: skip
    made = await system.post("Binary", resource)
    assert made.status == 201
    back = await system.get(f"Binary/{made.id}", accept="application/fhir+json")
    assert back.json["securityContext"] == resource["securityContext"]
    narrow = await caller(http, tenant, "system/Binary.rs")
    assert (await narrow.get(f"Binary/{made.id}")).status == 404


async def test_json_and_xml_are_resources_when_they_say_so(system):
    resource = {"resourceType": "Binary", "contentType": "text/plain", "data": "aGk="}
    assert (await system.post("Binary", resource)).json["contentType"] == "text/plain"
    made = await system.post("Binary", b'{"a": 1}', content_type="application/json")
    assert (await system.get(f"Binary/{made.id}")).content == b'{"a": 1}'
    for body, kind in ((b"x", "nonsense"), (b"x", "text/plain" + "x" * 300)):
        assert (await system.post("Binary", body, content_type=kind)).status == 400
    assert (await system.post("Binary", b"", content_type="text/plain")).status == 400
    assert (await system.post("Observation", b"x", content_type="text/plain")).status == 415
    big = await system.post("Binary", b"\0" * (33 * 1024 * 1024), content_type="application/octet-stream")
    assert (big.status, big.issue) == (413, "binary-too-large")


async def test_long_attachments_move_and_are_checked(system, http, tenant):
    mine = await patient(system)
    digest = base64.b64encode(hashlib.sha1(PDF).digest()).decode()
    made = (await document(system, mine, PDF)).json
    attachment = made["content"][0]["attachment"]
    assert attachment["hash"] == digest
    assert attachment["size"] == len(PDF)
    assert "data" not in attachment
    who = await caller(http, tenant, "patient/*.rs", patient=mine)
    read = await who.get(attachment["url"])
    assert read.content == PDF
    assert read.headers["content-type"] == "application/pdf"
    other = await caller(http, tenant, "patient/*.rs", patient=await patient(system))
    assert (await other.get(attachment["url"])).status == 404
    found = await system.get(f"DocumentReference?location={attachment['url']}&_id={made['id']}")
    assert found.json["total"] == 1
    short = (await document(system, mine, b"short")).json["content"][0]["attachment"]
    assert base64.b64decode(short["data"]) == b"short"
    for wrong, issue in (({"size": 3}, "attachment-size"), ({"hash": "AAAA"}, "attachment-hash")):
        sent = {"contentType": "text/plain", "data": "c2hvcnQ="} | wrong
        refused = await document(system, mine, content=[{"attachment": sent}])
        assert (refused.status, refused.issue) == (422, issue)
        assert refused.expressions[0].startswith("DocumentReference.content[0].attachment")


async def test_erasing_the_patient_erases_the_content(system, tenant):
    mine = await patient(system)
    made = (await document(system, mine, PDF)).json
    url = made["content"][0]["attachment"]["url"]
    key = await tenant.pool.fetchval(
        tenant.sql("SELECT key_id FROM {s}.blob WHERE fhir_id = $1"), url.removeprefix("Binary/")
    )
    assert key == await tenant.pool.fetchval(
        tenant.sql(
            "SELECT k.key_id FROM {s}.patient_key k JOIN {s}.resource r ON r.rid = k.patient WHERE r.fhir_id = $1"
        ),
        mine,
    )
    tenant.keystore.destroy(key)
    assert (await system.get(url)).status in (404, 410)
    await keep.sweep(tenant)
    assert await tenant.pool.fetchval(tenant.sql("SELECT count(*) FROM {s}.blob WHERE key_id = $1"), key) == 0


async def test_entries_of_bundles(system):
    mine = await patient(system)
    entries = [
        {
            "resource": {
                "resourceType": "Binary",
                "contentType": "text/plain",
                "data": base64.b64encode(PDF).decode(),
                "securityContext": {"reference": f"Patient/{mine}"},
            },
            "request": {"method": "POST", "url": "Binary"},
        }
    ]
    answer = await system.transaction(*entries)
    assert answer.status == 200, answer.text
    where = answer.json["entry"][0]["response"]["location"].split("/_history")[0]
    read = await system.transaction({"request": {"method": "GET", "url": where.split("/fhir/")[-1]}}, kind="batch")
    assert base64.b64decode(read.json["entry"][0]["resource"]["data"]) == PDF


async def test_the_content_of_an_attachment_stays_while_its_document_is_current(system):
    of, other = await patient(system), await patient(system)
    made = (await document(system, of, PDF)).json
    where = made["content"][0]["attachment"]["url"]
    as_resource = (await system.get(where, accept="application/fhir+json")).json
    changed = as_resource | {"data": base64.b64encode(b"other").decode()}
    refused = [
        await system.delete(where),
        await system.put(where, b"other", content_type="text/plain"),
        await system.put(where, changed),
        await system.put(where, as_resource | {"securityContext": {"reference": f"Patient/{other}"}}),
        await system.transaction(entry("DELETE", where)),
        await system.transaction(entry("PUT", where, changed)),
    ]
    for answer in refused:
        assert (answer.status, answer.issue) == (409, "binary-held")
        assert f"DocumentReference/{made['id']}" in answer.text
    assert (await system.get(where)).content == PDF
    assert (await system.put(where, as_resource)).status == 200
    both = await system.transaction(entry("DELETE", where), entry("DELETE", f"DocumentReference/{made['id']}"))
    assert both.status == 200, both.text
    made = (await document(system, of, PDF)).json
    where = made["content"][0]["attachment"]["url"]
    superseded = made | {"status": "superseded"}
    assert (await system.put(f"DocumentReference/{made['id']}", superseded)).status == 200
    assert (await system.delete(where)).status == 204
