"""PATCH Type/id and PATCH Type?criteria: an update in all but its body (R4 `http.html#patch`), for both tenants."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

import httpx
import pytest

from tests.http.client import Answer, Caller, caller, entry, observation

JSON_PATCH = "application/json-patch+json"
Json = dict[str, Any]


async def patch(who: Caller, path: str, *operations: Json, **headers: str) -> Answer:
    return await who.send("PATCH", path, list(operations), content_type=JSON_PATCH, **headers)


def fhirpath(kind: str, path: str, **parts: Any) -> Json:
    """Return a FHIRPath Patch of one operation; parts as name=(type, value)."""
    given = [{"name": name, f"value{type_}": value} for name, (type_, value) in parts.items()]
    base = [{"name": "type", "valueCode": kind}, {"name": "path", "valueString": path}]
    return {"resourceType": "Parameters", "parameter": [{"name": "operation", "part": [*base, *given]}]}


def binary(*operations: Json, content_type: str = JSON_PATCH) -> Json:
    data = base64.b64encode(json.dumps(operations).encode()).decode()
    return {"resourceType": "Binary", "contentType": content_type, "data": data}


AMENDED = {"op": "replace", "path": "/status", "value": "amended"}


async def test_json_patch_makes_a_version(system: Caller) -> None:
    made = await system.post("Observation", observation())
    done = await patch(system, f"Observation/{made.id}", AMENDED)
    assert (done.status, done.headers["etag"], done.json["status"]) == (200, 'W/"2"', "amended")
    assert done.headers["content-location"].endswith(f"Observation/{made.id}/_history/2")
    assert (await system.get(f"Observation/{made.id}")).text == done.text
    history = (await system.get(f"Observation/{made.id}/_history")).json["entry"]
    assert [each["request"]["method"] for each in history] == ["PATCH", "POST"]
    assert (await system.get(f"Observation?_id={made.id}&status=amended&_summary=count")).json["total"] == 1
    assert (await system.get(f"Observation?_id={made.id}&status=final&_summary=count")).json["total"] == 0


async def test_fhirpath_patch_makes_a_version(system: Caller) -> None:
    made = await system.post("Observation", observation())
    body = fhirpath("replace", "Observation.status", value=("Code", "amended"))
    for media in ("application/fhir+json", "application/json", "application/fhir+json; fhirVersion=4.0"):
        done = await system.send("PATCH", f"Observation/{made.id}", body, content_type=media)
        assert (done.status, done.headers["etag"], done.json["status"]) == (200, 'W/"2"', "amended")


async def test_fhirpath_patch_in_xml(system: Caller) -> None:
    made = await system.post("Observation", observation())
    parts = (
        ("type", "valueCode", "replace"),
        ("path", "valueString", "Observation.status"),
        ("value", "valueCode", "amended"),
    )
    inside = "".join(f'<part><name value="{name}"/><{key} value="{value}"/></part>' for name, key, value in parts)
    body = (
        f'<Parameters xmlns="http://hl7.org/fhir"><parameter><name value="operation"/>{inside}</parameter></Parameters>'
    )
    done = await system.send("PATCH", f"Observation/{made.id}", body.encode(), content_type="application/fhir+xml")
    assert (done.status, done.json["status"]) == (200, "amended")


async def test_what_changes_nothing_makes_no_version(system: Caller) -> None:
    made = await system.post("Observation", observation())
    same = {"op": "test", "path": "/status", "value": "final"}
    for operations in ([], [same], [AMENDED, AMENDED | {"value": "final"}], [{"op": "remove", "path": "/meta"}]):
        done = await patch(system, f"Observation/{made.id}", *operations)
        assert (done.status, done.headers["etag"], done.text) == (200, 'W/"1"', made.text)


async def test_decimals_stay_as_written(system: Caller) -> None:
    body = b'{"resourceType":"Observation","status":"final","code":{"text":"x"},"valueQuantity":{"value":72.50}}'
    made = await system.post("Observation", body)
    sent = b'[{"op":"add","path":"/referenceRange","value":[{"low":{"value":1.10}}]}]'
    done = await system.send("PATCH", f"Observation/{made.id}", sent, content_type=JSON_PATCH)
    assert '"value":72.50' in done.text
    assert '"value":1.10' in done.text


@pytest.mark.parametrize("returns", ["minimal", "representation", "OperationOutcome"])
async def test_prefer_return(system: Caller, returns: str) -> None:
    made = await system.post("Observation", observation())
    done = await patch(system, f"Observation/{made.id}", AMENDED, prefer=f"return={returns}")
    kind = {"minimal": None, "representation": "Observation"}.get(returns, returns)
    assert (done.status, done.json["resourceType"] if done.text else None) == (200, kind)
    assert done.headers["etag"] == 'W/"2"'


async def test_if_match(system: Caller) -> None:
    made = await system.post("Observation", observation())
    path = f"Observation/{made.id}"
    stale = await patch(system, path, AMENDED, if_match='W/"7"')
    assert (stale.status, stale.issue) == (412, "if-match")
    assert (await patch(system, path, AMENDED, if_match='W/"1"')).headers["etag"] == 'W/"2"'
    assert (await patch(system, path, AMENDED, if_match='W/"1"')).status == 412


async def test_a_failing_test_is_422_and_changes_nothing(system: Caller) -> None:
    made = await system.post("Observation", observation())
    path = f"Observation/{made.id}"
    refused = await patch(system, path, AMENDED, {"op": "test", "path": "/status", "value": "final"})
    assert (refused.status, refused.issue, refused.expressions) == (422, "patch-test", ["Observation.status"])
    assert (await system.get(path)).headers["etag"] == 'W/"1"'


@pytest.mark.parametrize(
    ("operation", "issue", "expression"),
    [
        ({"op": "replace", "path": "/status", "value": "nonsense"}, "shape-code", "Observation.status"),
        ({"op": "remove", "path": "/status"}, "shape-required", "Observation.status"),
        ({"op": "add", "path": "/nonsense", "value": 1}, "shape-unknown-element", "Observation.nonsense"),
        ({"op": "add", "path": "/status", "value": 1}, "shape-wrong-type", "Observation.status"),
        ({"op": "add", "path": "/category", "value": []}, "shape-empty", "Observation.category"),
        (
            {"op": "add", "path": "/subject", "value": {"reference": "Practitioner/1"}},
            "shape-reference-target",
            "Observation.subject.reference",
        ),
        ({"op": "replace", "path": "/id", "value": "other"}, "patch-identity", "Observation.id"),
        ({"op": "replace", "path": "/resourceType", "value": "Basic"}, "patch-identity", "Observation.resourceType"),
        ({"op": "remove", "path": "/note/0"}, "patch-failed", "Observation.note[0]"),
    ],
)
async def test_what_it_must_not_become(system: Caller, operation: Json, issue: str, expression: str) -> None:
    made = await system.post("Observation", observation())
    refused = await patch(system, f"Observation/{made.id}", operation)
    assert (refused.status, refused.issue) == (422, issue)
    assert expression in refused.expressions
    assert (await system.get(f"Observation/{made.id}")).headers["etag"] == 'W/"1"'


@pytest.mark.parametrize(
    ("body", "media", "status", "issue"),
    [
        (b"[", JSON_PATCH, 400, "json-syntax"),
        (b"{}", JSON_PATCH, 400, "patch-malformed"),
        (b'[{"op":"add","op":"remove","path":"/a","value":1}]', JSON_PATCH, 400, "json-duplicate-key"),
        (b'[{"op":"remove","path":"/~2"}]', JSON_PATCH, 400, "patch-malformed"),
        (b"", JSON_PATCH, 400, "body-missing"),
        (json.dumps([AMENDED] * 100_000).encode(), JSON_PATCH, 413, "patch-too-large"),
        (b'[{"op":"add","path":"/a","value":' + b"[" * 100 + b"]" * 100 + b"}]", JSON_PATCH, 400, "json-depth"),
        (json.dumps([AMENDED]).encode(), "application/json", 415, "content-type"),
        (json.dumps([AMENDED]).encode(), "application/fhir+json", 415, "content-type"),
        (b"<diff/>", "application/xml-patch+xml", 415, "content-type"),
        (b"{}", "application/merge-patch+json", 415, "content-type"),
        (b"{}", "application/fhir+json", 400, "shape-resource-type"),
        (json.dumps(observation()).encode(), "application/fhir+json", 400, "patch-expected"),
        (json.dumps(binary(AMENDED)).encode(), "application/fhir+json", 400, "patch-expected"),
        (json.dumps(fhirpath("nonsense", "Observation")).encode(), "application/fhir+json", 400, "patch-malformed"),
    ],
)
async def test_what_is_no_patch(system: Caller, body: bytes, media: str, status: int, issue: str) -> None:
    made = await system.post("Observation", observation())
    refused = await system.send("PATCH", f"Observation/{made.id}", body, content_type=media)
    assert (refused.status, refused.issue) == (status, issue)
    if status == 415:
        assert refused.headers["accept-patch"] == f"{JSON_PATCH}, application/fhir+json, application/fhir+xml"


async def test_what_is_absent_or_gone(system: Caller, unique: str) -> None:
    assert (await patch(system, f"Observation/{unique}", AMENDED)).status == 404
    made = await system.post("Observation", observation())
    await system.delete(f"Observation/{made.id}")
    assert (await patch(system, f"Observation/{made.id}", AMENDED)).status == 410
    stray = await patch(system, f"Observation/{made.id}?status=final", AMENDED)
    assert (stray.status, stray.issue) == (400, "parameter-stray")


async def test_a_binary_is_not_patched(system: Caller) -> None:
    made = await system.post("Binary", {"resourceType": "Binary", "contentType": "text/plain", "data": "QQ=="})
    refused = await patch(system, f"Binary/{made.id}", {"op": "replace", "path": "/data", "value": "Qg=="})
    assert (refused.status, refused.issue) == (405, "method")
    assert "PUT" in refused.headers["allow"]


async def test_racing_patches_lose_none(system: Caller) -> None:
    made = await system.post("Patient", {"resourceType": "Patient", "name": [{"text": "0"}]})
    names = [{"op": "add", "path": "/name/-", "value": {"text": str(number)}} for number in range(1, 13)]
    done = await asyncio.gather(*(patch(system, f"Patient/{made.id}", operation) for operation in names))
    assert {answer.status for answer in done} == {200}
    last = (await system.get(f"Patient/{made.id}")).json
    assert last["meta"]["versionId"] == "13"
    assert {each["text"] for each in last["name"]} == {str(number) for number in range(13)}


# ---- conditional ----


async def test_conditional_patch(system: Caller, unique: str) -> None:
    criteria = f"Observation?identifier=urn:p|{unique}"
    none = await patch(system, criteria, AMENDED)
    assert (none.status, none.issue) == (404, "not-found")
    made = await system.post("Observation", observation(identifier=[{"system": "urn:p", "value": unique}]))
    done = await patch(system, criteria, AMENDED)
    assert (done.status, done.id, done.json["status"]) == (200, made.id, "amended")
    body = fhirpath("replace", "Observation.status", value=("Code", "corrected"))
    assert (await system.send("PATCH", criteria, body, if_match='W/"1"')).status == 412
    assert (await system.send("PATCH", criteria, body, if_match='W/"2"')).json["status"] == "corrected"
    await system.post("Observation", observation(identifier=[{"system": "urn:p", "value": unique}]))
    several = await patch(system, criteria, AMENDED)
    assert (several.status, several.issue) == (412, "multiple-matches")
    empty = await patch(system, "Observation", AMENDED)
    assert (empty.status, empty.issue) == (400, "criteria-empty")


# ---- bundles ----


async def test_patches_in_a_batch_stand_on_their_own(system: Caller, unique: str) -> None:
    one = await system.post("Observation", observation(identifier=[{"system": "urn:p", "value": unique}]))
    two = await system.post("Observation", observation())
    done = await system.transaction(
        entry("PATCH", f"Observation/{one.id}", binary(AMENDED), ifMatch='W/"1"'),
        entry("PATCH", f"Observation/{two.id}", fhirpath("replace", "Observation.status", value=("Code", "amended"))),
        entry("PATCH", f"Observation/{two.id}", binary({"op": "remove", "path": "/status"})),
        entry("PATCH", f"Observation/{unique}", binary(AMENDED)),
        entry("PATCH", f"Observation?identifier=urn:p|{unique}", binary(AMENDED | {"value": "corrected"})),
        entry("PATCH", f"Observation/{two.id}", observation()),
        entry("PATCH", f"Observation/{two.id}", binary(AMENDED, content_type="text/plain")),
        kind="batch",
    )
    answers = [each["response"] for each in done.json["entry"]]
    assert [each["status"][:3] for each in answers] == ["200", "200", "422", "404", "200", "400", "415"]
    assert answers[0]["etag"] == 'W/"2"'
    assert (await system.get(f"Observation/{one.id}")).json["status"] == "corrected"


async def test_patches_in_a_transaction(system: Caller, unique: str) -> None:
    one = await system.post("Observation", observation(identifier=[{"system": "urn:p", "value": unique}]))
    two = await system.post("Observation", observation(subject={"reference": "Patient/someone-else"}))
    reference = {
        "op": "add",
        "path": "/subject",
        "value": {"reference": "urn:uuid:0a1b2c3d-0000-4000-8000-000000000001"},
    }
    done = await system.transaction(
        entry("PATCH", f"Observation?identifier=urn:p|{unique}", binary(reference)),
        entry("PATCH", f"Observation/{two.id}", fhirpath("replace", "Observation.status", value=("Code", "amended"))),
        entry("POST", "Patient", {"resourceType": "Patient"}, full_url="urn:uuid:0a1b2c3d-0000-4000-8000-000000000001"),
        prefer="return=representation",
    )
    assert done.status == 200, done.text
    first, second, third = done.json["entry"]
    assert (first["response"]["status"], first["response"]["location"]) == (
        "200 OK",
        f"Observation/{one.id}/_history/2",
    )
    assert first["resource"]["subject"]["reference"] == f"Patient/{third['resource']['id']}"
    assert (second["resource"]["status"], second["resource"]["subject"]) == (
        "amended",
        {"reference": "Patient/someone-else"},
    )
    history = (await system.get(f"Observation/{one.id}/_history")).json["entry"]
    assert history[0]["request"]["method"] == "PATCH"


async def test_only_references_that_a_patch_brings_are_rewritten(system: Caller, unique: str) -> None:
    """A fullUrl of another server may be spelled as something that is stored here."""
    one = await system.post("Observation", observation(subject={"reference": f"Patient/{unique}"}))
    done = await system.transaction(
        entry(
            "POST", "Patient", {"resourceType": "Patient"}, full_url=f"http://elsewhere.example/fhir/Patient/{unique}"
        ),
        entry("PATCH", f"Observation/{one.id}", binary(AMENDED)),
    )
    assert done.status == 200
    assert (await system.get(f"Observation/{one.id}")).json["subject"]["reference"] == f"Patient/{unique}"


async def test_conditional_references_in_a_patch(system: Caller, unique: str) -> None:
    someone = await system.post(
        "Patient", {"resourceType": "Patient", "identifier": [{"system": "urn:p", "value": unique}]}
    )
    one = await system.post("Observation", observation())
    value = {"reference": f"Patient?identifier=urn:p|{unique}"}
    done = await system.transaction(
        entry("PATCH", f"Observation/{one.id}", binary({"op": "add", "path": "/subject", "value": value}))
    )
    assert done.status == 200, done.text
    assert (await system.get(f"Observation/{one.id}")).json["subject"]["reference"] == f"Patient/{someone.id}"


@pytest.mark.parametrize(
    ("url", "resource", "status", "issue", "expression"),
    [
        (
            "Observation/ID",
            binary({"op": "test", "path": "/status", "value": "x"}),
            422,
            "patch-test",
            "Bundle.entry[1].resource.status",
        ),
        (
            "Observation/ID",
            binary({"op": "remove", "path": "/status"}),
            422,
            "shape-required",
            "Bundle.entry[1].resource.status",
        ),
        ("Observation/absent-ID", binary(AMENDED), 404, "not-found", "Bundle.entry[1]"),
        ("Observation?identifier=urn:p|absent-ID", binary(AMENDED), 404, "not-found", "Bundle.entry[1]"),
        ("Observation?", binary(AMENDED), 400, "criteria-empty", "Bundle.entry[1].request"),
        ("Observation/ID?x=y", binary(AMENDED), 400, "parameter-stray", "Bundle.entry[1].request.url"),
        ("Observation/ID", None, 400, "entry-resource", "Bundle.entry[1].resource"),
        ("Observation/ID", observation(), 400, "patch-expected", "Bundle.entry[1].resource"),
        ("Observation/ID", fhirpath("nonsense", "x"), 400, "patch-malformed", "Bundle.entry[1].resource.parameter[0]"),
        (
            "Observation/ID",
            binary(AMENDED, content_type="text/plain"),
            422,
            "content-type",
            "Bundle.entry[1].resource.contentType",
        ),
    ],
)
async def test_a_transaction_with_a_wrong_patch_changes_nothing(
    system: Caller, url: str, resource: Any, status: int, issue: str, expression: str, unique: str
) -> None:
    made = await system.post("Observation", observation())
    basic = {"resourceType": "Basic", "id": unique, "code": {"text": "x"}}
    refused = await system.transaction(
        entry("PUT", f"Basic/{unique}", basic), entry("PATCH", url.replace("ID", made.id), resource)
    )
    assert (refused.status, refused.issue, refused.expressions[0]) == (status, issue, expression)
    assert (await system.get(f"Basic/{unique}")).status == 404
    assert (await system.get(f"Observation/{made.id}")).headers["etag"] == 'W/"1"'


async def test_two_entries_for_one_resource(system: Caller, unique: str) -> None:
    one = await system.post("Observation", observation(identifier=[{"system": "urn:p", "value": unique}]))
    named = entry("PATCH", f"Observation/{one.id}", binary(AMENDED))
    for other in (
        entry("PUT", f"Observation/{one.id}", observation(id=one.id, status="corrected")),
        entry("DELETE", f"Observation/{one.id}"),
        entry("PATCH", f"Observation?identifier=urn:p|{unique}", binary(AMENDED | {"value": "corrected"})),
    ):
        refused = await system.transaction(named, other)
        assert (refused.status, refused.issue) == (400, "entry-overlap")


# ---- rights ----


async def test_the_right_to_patch_is_u(http: httpx.AsyncClient, system: Caller) -> None:
    made = await system.post("Observation", observation())
    for scope, status in (
        ("system/Observation.u", 200),
        ("system/Observation.write", 200),
        ("system/Observation.crds", 403),
        ("system/Observation.read", 403),
        ("system/Patient.cruds", 403),
    ):
        who = await caller(http, system.tenant, scope)
        assert (await patch(who, f"Observation/{made.id}", AMENDED)).status == status
        in_bundle = await who.transaction(entry("PATCH", f"Observation/{made.id}", binary(AMENDED)))
        assert in_bundle.status == status


async def test_content_stays_inside_the_scope(http: httpx.AsyncClient, system: Caller) -> None:
    mine, other = [(await system.post("Patient", {"resourceType": "Patient"})).id for _ in range(2)]
    made = await system.post("Observation", observation(subject={"reference": f"Patient/{mine}"}))
    who = await caller(http, system.tenant, "patient/Observation.cruds", mine)
    assert (await patch(who, f"Observation/{made.id}", AMENDED)).status == 200
    away = {"op": "replace", "path": "/subject/reference", "value": f"Patient/{other}"}
    for operation in (away, {"op": "remove", "path": "/subject"}):
        refused = await patch(who, f"Observation/{made.id}", operation)
        assert (refused.status, refused.issue) == (403, "write-outside-scope")
        in_bundle = await who.transaction(entry("PATCH", f"Observation/{made.id}", binary(operation)))
        assert (in_bundle.status, in_bundle.issue) == (403, "write-outside-scope")


async def test_every_patch_is_audited(system: Caller, unique: str) -> None:
    made = await system.post("Observation", observation())
    await patch(system, f"Observation/{made.id}", AMENDED)
    await patch(system, f"Observation/{made.id}")
    await patch(system, f"Observation/{made.id}", {"op": "remove", "path": "/nothing"})
    await system.transaction(entry("PATCH", f"Observation/{made.id}", binary(AMENDED | {"value": "final"})))
    trail = (await system.get(f"AuditEvent?entity=Observation/{made.id}&subtype=patch")).json["entry"]
    assert [(each["resource"]["action"], each["resource"]["outcome"]) for each in trail] == [
        ("U", "0"),
        ("U", "4"),
        ("U", "0"),
        ("U", "0"),
    ]
