"""Whatever comes in, the answer is the right 4xx with an OperationOutcome that names the place, never 500."""

from __future__ import annotations

import gzip
import json
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.http.client import Caller, observation

OBSERVATION = b'{"resourceType":"Observation","status":"final","code":{"text":"x"}%s}'


def with_(text: bytes) -> bytes:
    return OBSERVATION % (b"," + text)


@pytest.mark.parametrize(
    ("body", "status", "issue"),
    [
        (b"", 400, "body-missing"),
        (b"{", 400, "json-syntax"),
        (b"nonsense", 400, "json-syntax"),
        (b"[]", 400, "shape-resource-type"),
        (b"null", 400, "shape-resource-type"),
        (b"{}", 400, "shape-resource-type"),
        (b'{"resourceType":"Nonsense"}', 400, "shape-resource-type"),
        (b'{"resourceType":"Patient"}', 400, "shape-type-mismatch"),
        (with_(b'"valueQuantity":{"value":NaN}'), 400, "json-number"),
        (with_(b'"valueQuantity":{"value":1e999999}'), 400, "json-number"),
        (with_(b'"valueQuantity":{"value":' + b"9" * 5000 + b"}"), 400, "json-number"),
        (with_(b'"status":"final"'), 400, "json-duplicate-key"),
        (with_(b'"valueString":"a\\u0000b"'), 400, "json-nul"),
        (with_(b'"valueString":"\\ud800"'), 400, "json-surrogate"),
        (with_(b'"valueString":"\xff"'), 400, "json-utf8"),
        (with_(b'"contained":' + b"[" * 100_000), 400, "json-depth"),
        (b"[" * 1_000_000 + b"]" * 1_000_000, 400, "json-depth"),
        (OBSERVATION % b"" + b"{}", 400, "json-syntax"),
    ],
    ids=lambda value: value[:40] if isinstance(value, bytes) else None,
)
async def test_bodies(system: Caller, body: bytes, status: int, issue: str) -> None:
    made = await system.post("Observation", body)
    assert (made.status, made.issue) == (status, issue), made.text[:300]
    assert made.json["resourceType"] == "OperationOutcome"
    bundled = await system.post("", body)
    assert bundled.status == 400
    assert bundled.json["resourceType"] == "OperationOutcome"


@pytest.mark.parametrize(
    ("more", "expression"),
    [
        ({"nonsense": 1}, "Observation.nonsense"),
        ({"status": "nonsense"}, "Observation.status"),
        ({"subject": "Patient/1"}, "Observation.subject"),
        ({"subject": {"reference": "Practitioner/1"}}, "Observation.subject.reference"),
        ({"subject": {"reference": "!"}}, "Observation.subject.reference"),
        ({"effectiveDateTime": "yesterday"}, "Observation.effective.ofType(dateTime)"),
        ({"valueString": "a", "valueInteger": 1}, "Observation.value"),
        ({"component": [{}]}, "Observation.component[0]"),
        ({"note": []}, "Observation.note"),
        ({"valueString": None}, "Observation.value.ofType(string)"),
        ({"valueInteger": 1.5}, "Observation.value.ofType(integer)"),
        ({"valueInteger": 2**40}, "Observation.value.ofType(integer)"),
        ({"contained": [{"resourceType": "Nonsense"}]}, "Observation.contained[0]"),
    ],
)
async def test_the_place_is_named(system: Caller, more: dict[str, Any], expression: str) -> None:
    for answer, place in (
        (await system.post("Observation", observation() | more), expression),
        (await _bundled(system, observation() | more), f"Bundle.entry[0].resource.{expression.split('.', 1)[-1]}"),
    ):
        assert answer.status in (400, 422), answer.text
        assert any(each.startswith(place) for each in answer.expressions), answer.expressions


async def _bundled(system: Caller, resource: dict[str, Any]) -> Any:
    return await system.transaction({"resource": resource, "request": {"method": "POST", "url": "Observation"}})


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "Nonsense", 404),
        ("GET", "Nonsense/1", 404),
        ("GET", "patient/1", 404),
        ("GET", "Patient/a_b", 400),
        ("GET", "Patient/" + "x" * 65, 400),
        ("GET", "Patient/1/2", 404),
        ("GET", "Patient//1", 400),
        ("GET", "Patient/1/_history/1/2", 404),
        ("GET", "Patient%2F1", 400),
        ("GET", "Patient/%2e%2e/1", 404),
        ("GET", "Patient/1%00", 400),
        ("GET", "Patient/\u0661", 400),
        ("GET", "$nonsense", 404),
        ("GET", "Patient/$nonsense", 404),
        ("GET", "Patient/1/$nonsense", 404),
        ("GET", "Patient/$validate/x", 404),
        ("GET", "metadata/1", 404),
        ("GET", "metadata?mode=terminology", 501),
        ("GET", "x" * 2000, 400),
        ("GET", "Patient?nonsense=1", 400),
        ("GET", "Patient?_count=-1", 400),
        ("GET", "Patient?_count=x", 400),
        ("GET", "Patient?birthdate=x", 400),
        ("GET", "Patient?_cursor=x", 400),
        ("GET", "Patient?name=%ff", 400),
        ("GET", "Patient?name=%00", 400),
        ("GET", "Patient?_format=ttl", 406),
        ("GET", "Organization/1/Observation", 404),
        ("GET", "Patient/1/Nonsense", 404),
        ("GET", "Patient/1?_summary=x", 400),
        ("DELETE", "Patient", 400),
        ("DELETE", "", 405),
        ("PUT", "metadata", 405),
        ("PATCH", "Patient/1", 400),
        ("PATCH", "Patient?name=x", 400),
        ("PATCH", "Binary/1", 405),
        ("PATCH", "Patient/1/_history/1", 405),
        ("POST", "Patient/1", 405),
        ("POST", "Patient/1/_history", 405),
        ("PUT", "_history", 405),
        ("GET", "Patient/_search", 405),
        ("OPTIONS", "Patient/1", 405),
        ("BREW", "Patient/1", 405),
    ],
)
async def test_addresses(system: Caller, method: str, path: str, status: int) -> None:
    body = {"resourceType": "Patient"} if method in ("POST", "PUT", "PATCH") else None
    answer = await system.send(method, path, body)
    assert answer.status == status, answer.text
    assert answer.json["resourceType"] == "OperationOutcome"
    assert ("allow" in answer.headers) == (status == 405)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"content_type": "application/fhir+turtle"}, 415),
        ({"content_type": "application/fhir+xml"}, 400),
        ({"content_type": "application/x-www-form-urlencoded"}, 415),
        ({"content_encoding": "br"}, 415),
        ({"content_encoding": "gzip"}, 400),
        ({"accept": "text/turtle"}, 406),
        ({"prefer": "respond-async"}, 501),
        ({"if_match": "1"}, 400),
    ],
)
async def test_headers(system: Caller, headers: dict[str, str], status: int) -> None:
    answer = await system.put("Observation/1", observation(id="1"), **headers)
    assert answer.status == status, answer.text


async def test_limits(system: Caller, services: Any) -> None:
    limits = services.limits
    try:
        services.limits = type(limits)(body_bytes=2000, bundle_entries=3)
        large = observation(note=[{"text": "x" * 3000}])
        refused = await system.post("Observation", large)
        assert (refused.status, refused.issue) == (413, "body-too-large")
        assert "2000" in refused.text
        packed = gzip.compress(json.dumps(large).encode())
        assert len(packed) < 2000
        assert (await system.post("Observation", packed, content_encoding="gzip")).status == 413
        entries = [{"request": {"method": "GET", "url": "Patient/1"}}] * 4
        for kind in ("batch", "transaction"):
            many = await system.transaction(*entries, kind=kind)
            assert (many.status, many.issue, many.expressions) == (413, "bundle-too-large", ["Bundle.entry"])
    finally:
        services.limits = limits


async def test_gzip_both_ways(system: Caller) -> None:
    body = observation(note=[{"text": "x" * 3000}])
    made = await system.post("Observation", gzip.compress(json.dumps(body).encode()), content_encoding="gzip")
    assert made.status == 201
    assert made.headers["content-encoding"] == "gzip"
    plain = await system.get(f"Observation/{made.id}", accept_encoding="identity")
    assert plain.text == made.text
    assert "content-encoding" not in plain.headers
    for cut in (gzip.compress(b"{}")[:-4], gzip.compress(b"{}") + b"x"):
        assert (await system.post("Observation", cut, content_encoding="gzip")).issue == "gzip-malformed"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
async def test_any_json_anywhere_is_never_500(system: Caller, data: st.DataObject) -> None:
    names = ["status", "code", "subject", "valueQuantity", "contained", "extension", "meta", "id", "text", "component"]
    value = data.draw(json_values)
    resource = observation() | {data.draw(st.sampled_from(names)): value}
    entry = {"resource": resource, "request": {"method": "POST", "url": "Observation"}}
    place = data.draw(st.sampled_from(["fullUrl", "request", "resource", "entry", "type"]))
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": [entry | {place: value}]} | (
        {place: value} if place in ("entry", "type") else {}
    )
    for path, body in (("Observation", resource), ("", bundle), ("Observation/$validate", value)):
        answer = await system.post(path, body)
        assert answer.status < 500, answer.text
        assert "resourceType" in answer.json


@pytest.mark.parametrize("name", ["If-None-Exist", "Content-Type", "X-Provenance"])
async def test_headers_that_have_one_value(http: httpx.AsyncClient, system: Caller, name: str) -> None:
    """Joined by a comma, two criteria of a conditional create would mean one or the other."""
    sent = [
        *system._headers.items(),
        ("Content-Type", "application/fhir+json"),
        (name, "identifier=urn:x|1"),
        (name, "identifier=urn:x|2"),
    ]
    answer = await http.post(f"{system.tenant.base}/Patient", headers=sent, content=b'{"resourceType":"Patient"}')
    assert answer.status_code == 400
    assert answer.json()["issue"][0]["details"]["coding"][0]["code"] == "header-repeated"
