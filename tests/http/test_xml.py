"""XML over HTTP: on every interaction what JSON says, refusals too; a JSON caller sees no difference."""

from __future__ import annotations

import gzip
from typing import Any

import pytest
from lxml import etree

from fhir_server.kit import json
from fhir_server.model.xml.read import from_xml
from fhir_server.model.xml.write import to_xml
from tests.http.client import Answer, Caller, entry, observation

XML = {"content_type": "application/fhir+xml", "accept": "application/fhir+xml"}
FORM = {"content_type": "application/x-www-form-urlencoded"}


def xml(resource: dict[str, Any]) -> bytes:
    return to_xml(json.encode(resource))


def content(answer: Answer) -> Any:
    """What an answer in XML says, as JSON would."""
    assert answer.headers["content-type"].startswith("application/fhir+xml"), answer.headers
    etree.fromstring(answer.text.encode())
    return json.decode(from_xml(answer.text.encode()))


async def test_a_resource_goes_in_and_comes_out(system: Caller) -> None:
    made = await system.post("Observation", xml(observation(valueInteger=3)), **XML)
    assert made.status == 201
    resource = content(made)
    assert resource["valueInteger"] == 3
    path = f"Observation/{resource['id']}"
    assert (await system.get(path)).json == resource
    assert content(await system.get(path, accept="application/fhir+xml")) == resource
    assert content(await system.get(f"{path}/_history/1?_format=xml")) == resource
    changed = await system.put(path, xml(resource | {"status": "amended"}), if_match='W/"1"', **XML)
    assert (changed.status, changed.headers["etag"]) == (200, 'W/"2"')
    assert content(changed)["status"] == "amended"
    assert [
        each["resource"]["status"] for each in content(await system.get(f"{path}/_history?_format=xml"))["entry"]
    ] == [
        "amended",
        "final",
    ]
    gone = await system.delete(path, accept="application/fhir+xml", prefer="return=OperationOutcome")
    assert content(gone)["resourceType"] == "OperationOutcome"
    assert content(await system.get(path, accept="application/fhir+xml"))["issue"][0]["code"] == "deleted"


async def test_json_in_xml_out_and_the_reverse(system: Caller) -> None:
    made = await system.post("Observation", observation(), accept="application/xml")
    assert made.headers["content-type"] == "application/xml;charset=utf-8"
    back = await system.post("Observation", xml(observation()), content_type="text/xml", accept="application/json")
    assert (back.status, back.headers["content-type"]) == (201, "application/json;charset=utf-8")
    assert back.json["resourceType"] == "Observation"


async def test_searches(system: Caller, unique: str) -> None:
    identifier = [{"system": "urn:xml", "value": unique}]
    await system.transaction(*[entry("POST", "Observation", observation(identifier=identifier)) for _ in range(3)])
    query = f"identifier=urn:xml|{unique}&_count=2"
    plain = (await system.get(f"Observation?{query}")).json
    for answer in (
        await system.get(f"Observation?{query}&_format=xml"),
        await system.get(f"Observation?{query}&_format=application/fhir%2Bxml"),
        await system.get(f"Observation?{query}&_format=application/fhir+xml"),
        await system.get(f"Observation?{query}", accept="application/fhir+xml"),
        await system.post("Observation/_search", f"{query}&_format=xml".encode(), **FORM),
        await system.post("Observation/_search", f"{query}&_format=xml".encode(), **FORM, accept="text/turtle"),
    ):
        assert answer.status == 200, answer.text
        found = content(answer)
        assert found["entry"] == plain["entry"]
        assert [link["relation"] for link in found["link"]] == ["self", "next"]


async def test_bundles(system: Caller, unique: str) -> None:
    bundle = {
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": [
            entry(
                "POST", "Patient", {"resourceType": "Patient"}, full_url="urn:uuid:00000000-0000-4000-8000-000000000001"
            ),
            entry(
                "POST",
                "Observation",
                observation(subject={"reference": "urn:uuid:00000000-0000-4000-8000-000000000001"}),
                ifNoneExist=f"identifier=urn:xml|{unique}",
            ),
        ],
    }
    done = content(await system.post("", xml(bundle), **XML, prefer="return=representation"))
    assert done["type"] == "transaction-response"
    patient, made = (each["resource"] for each in done["entry"])
    assert made["subject"]["reference"] == f"Patient/{patient['id']}"
    batch = bundle | {
        "type": "batch",
        "entry": [entry("GET", f"Patient/{patient['id']}"), entry("GET", "Patient/none-such")],
    }
    answers = content(await system.post("", xml(batch), **XML))
    assert [each["response"]["status"] for each in answers["entry"]] == ["200 OK", "404 Not Found"]
    assert answers["entry"][1]["response"]["outcome"]["resourceType"] == "OperationOutcome"


async def test_operations(system: Caller) -> None:
    checked = content(await system.post("Observation/$validate", xml(observation(status="x")), **XML))
    assert checked["issue"][0]["expression"] == ["Observation.status"]
    parameters = {"resourceType": "Parameters", "parameter": [{"name": "resource", "resource": observation()}]}
    checked = content(await system.post("Observation/$validate", xml(parameters), **XML))
    assert checked["issue"][0]["severity"] == "information"


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "Observation/none-such", None, 404),
        ("GET", "Nonsense", None, 404),
        ("GET", "Observation?nonsense=1", None, 400),
        ("GET", "Observation?code=%ff", None, 400),
        ("DELETE", "metadata", None, 405),
        ("POST", "Observation", b"<x/>", 400),
        ("POST", "Observation", b"", 400),
        ("POST", "Observation", b'<!DOCTYPE x [<!ENTITY a "b">]><Observation xmlns="http://hl7.org/fhir"/>', 400),
        ("POST", "Observation", xml(observation(status="nonsense")), 422),
        ("POST", "", xml(observation()), 400),
        ("PUT", "Observation/1", xml(observation(id="1")).replace(b"final", b"final\xff"), 400),
    ],
)
async def test_refusals_are_in_xml_too(system: Caller, method: str, path: str, body: bytes | None, status: int) -> None:
    answer = await system.send(method, path, body, **XML)
    assert answer.status == status, answer.text
    assert content(answer)["resourceType"] == "OperationOutcome"


async def test_places_are_those_of_json(system: Caller) -> None:
    """What XML itself has wrong and what validation finds name the same places."""
    wrong = b'<Observation xmlns="http://hl7.org/fhir"><status value="final"/><code><text value="x"/></code>%b</Observation>'
    for inside, place in (
        (
            b'<component><code><text value="x"/></code><valueInteger value="1.5"/></component>',
            "component[0].value.ofType(integer)",
        ),
        (b'<component><valueInteger value="1"/></component>', "component[0].code"),
        (b"<component/>", "component[0]"),
    ):
        answer = await system.post("Observation", wrong % inside, content_type="application/fhir+xml")
        assert (answer.status in (400, 422), answer.expressions[0]) == (True, f"Observation.{place}")


async def test_a_stranger_is_told_in_xml(system: Caller) -> None:
    answer = await system.get("Observation", authorization="", accept="application/fhir+xml")
    assert (answer.status, content(answer)["issue"][0]["code"]) == (401, "login")


async def test_the_database_is_away_in_xml(system: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_: object, **__: object) -> None:
        raise ValueError("a secret")

    monkeypatch.setattr("fhir_server.storage.reads.read", fail)
    answer = await system.get("Patient/1", accept="application/fhir+xml")
    assert (answer.status, content(answer)["issue"][0]["code"]) == (500, "exception")
    assert "secret" not in answer.text


async def test_metadata(system: Caller) -> None:
    statement = content(await system.get("metadata?_format=xml"))
    assert statement == json.decode((await system.get("metadata")).text.encode())
    assert {"xml", "application/fhir+xml"} <= set(statement["format"])


async def test_pretty_head_and_gzip(system: Caller) -> None:
    made = await system.post("Observation", observation())
    path = f"Observation/{made.id}"
    pretty = await system.get(f"{path}?_pretty=true&_format=xml")
    assert pretty.text.count("\n") > 5
    assert content(pretty) == made.json
    head = await system.send("HEAD", f"{path}?_pretty=true&_format=xml")
    same = ("content-length", "content-type", "etag", "last-modified", "vary")
    assert [head.headers[name] for name in same] == [pretty.headers[name] for name in same]
    assert head.text == ""
    packed = await system.get("metadata?_format=xml", accept_encoding="gzip")
    assert packed.headers["content-encoding"] == "gzip"
    sent = await system.post("Observation", gzip.compress(xml(observation())), **XML, content_encoding="gzip")
    assert sent.status == 201


async def test_json_is_untouched(system: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    """A JSON caller never meets the converters."""

    def fail(*_: object, **__: object) -> None:
        raise AssertionError("XML for a JSON caller")

    monkeypatch.setattr("fhir_server.http.faces.pieces", fail)
    monkeypatch.setattr("fhir_server.http.faces.Reader", fail)
    made = await system.post("Observation", observation(), accept="*/*")
    assert (made.status, made.headers["content-type"]) == (201, "application/fhir+json;charset=utf-8")
    assert (await system.get(f"Observation/{made.id}", accept="text/turtle")).status == 406


async def test_a_patch_is_parameters_in_xml_too(system: Caller) -> None:
    made = await system.post("Observation", observation())
    parts = [
        {"name": "type", "valueCode": "replace"},
        {"name": "path", "valueString": "Observation.status"},
        {"name": "value", "valueCode": "amended"},
    ]
    parameters = {"resourceType": "Parameters", "parameter": [{"name": "operation", "part": parts}]}
    done = await system.send("PATCH", f"Observation/{made.id}", xml(parameters), **XML)
    assert (done.status, content(done)["status"]) == (200, "amended")
    body = b'[{"op":"replace","path":"/status","value":"final"}]'
    back = await system.send(
        "PATCH",
        f"Observation/{made.id}",
        body,
        content_type="application/json-patch+json",
        accept="application/fhir+xml",
    )
    assert content(back)["status"] == "final"
    refused = await system.send("PATCH", f"Observation/{made.id}", b"<x/>", content_type="application/xml-patch+xml")
    assert refused.status == 415


async def test_entries_of_a_batch_say_nothing_of_the_format(system: Caller) -> None:
    """The Bundle has one format; what an entry asks in its URL changes nothing."""
    made = await system.post("Patient", {"resourceType": "Patient"})
    urls = (f"Patient/{made.id}?_format=xml", f"Patient?_id={made.id}&_format=xml&_pretty=true")
    done = await system.transaction(*[entry("GET", url) for url in urls], kind="batch")
    assert [each["response"]["status"] for each in done.json["entry"]] == ["200 OK", "200 OK"]
