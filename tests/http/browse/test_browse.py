"""A person looks around with a browser: searches, resources, histories, refusals, what the server can do."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from fhir_server.storage.tenants import Tenant
from tests.http.browse.inert import HOSTILE, assert_inert
from tests.http.client import Answer, Caller, caller, entry, observation

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"


def words(root: Any) -> str:
    return " ".join(" ".join(root.find(".//main").itertext()).split())


def links(root: Any) -> dict[str, str]:
    return {" ".join(each.itertext()): each.get("href") for each in root.iter("a") if each.get("href")}


async def look(system: Caller, path: str, status: int = 200) -> Any:
    """Return the tree of a page, after a look at its headers."""
    answer = await system.get(path, accept=BROWSER)
    assert answer.status == status, answer.text[:500]
    check_headers(answer)
    return assert_inert(answer.text)


def check_headers(answer: Answer) -> None:
    headers = answer.headers
    assert headers["content-type"] == "text/html;charset=utf-8"
    policy = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))
    assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert policy["form-action"] == "'self'"
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["cache-control"] == "no-store"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["x-frame-options"] == "DENY"


async def test_a_search_is_a_table(system: Caller, tenant: Tenant, unique: str) -> None:
    identifier = [{"system": "urn:page", "value": unique}]
    patient = await system.post("Patient", {"resourceType": "Patient", "name": [{"given": ["Ada"], "family": "L<i>"}]})
    subject = {"reference": f"Patient/{patient.id}", "display": "Ada <b>"}
    made = [
        observation(identifier=identifier, subject=subject, valueQuantity={"value": 6.50, "unit": "h"})
        for _ in range(3)
    ]
    await system.transaction(*[entry("POST", "Observation", each) for each in made])
    root = await look(system, f"Observation?identifier=urn:page|{unique}&_count=2&_total=accurate")
    assert [each.text for each in root.findall(".//thead//th")] == [
        "id",
        "identifier",
        "status",
        "code",
        "subject",
        "value",
        "changed",
    ]
    assert "2 shown of 3" in words(root)
    assert "6.5 h" in words(root)
    base = tenant.base.removeprefix("http://clarity.test")
    assert links(root)["Ada <b>"] == f"{base}/Patient/{patient.id}"
    assert f"identifier = urn:page|{unique}" in words(root)
    following = links(root)["Next"]
    assert following.startswith(f"{base}/Observation?")
    second = await look(system, f"http://clarity.test{following}")
    assert "1 shown" in words(second)
    person = await look(system, f"Patient/{patient.id}")
    assert person.findtext(".//h1") == "Ada L<i>"
    nothing = await look(system, f"Observation?identifier=urn:page|{unique}-none")
    assert "Nothing was found." in words(nothing)


async def test_a_posted_search_is_a_page_of_what_it_asks(system: Caller, tenant: Tenant, unique: str) -> None:
    form = {"content_type": "application/x-www-form-urlencoded"}
    for body, accept in ((f"identifier={unique}", BROWSER), (f"identifier={unique}&_format=html", "*/*")):
        answer = await system.post("Patient/_search", body.encode(), accept=accept, **form)
        root = assert_inert(answer.text)
        assert f"identifier = {unique}" in words(root)
        base = tenant.base.removeprefix("http://clarity.test")
        assert links(root)["Raw JSON"] == f"{base}/Patient?identifier={unique}&_view=json"


async def test_explain_is_offered_to_who_may_ask(http: httpx.AsyncClient, system: Caller, tenant: Tenant) -> None:
    root = await look(system, "Patient?name=x")
    explained = await look(system, f"http://clarity.test{links(root)['Explain']}")
    assert "predicate" in words(explained)
    narrow = await caller(http, tenant, "system/Patient.rs")
    assert "Explain" not in links(await look(narrow, "Patient?name=x"))


async def test_a_form_leaves_out_what_is_empty(system: Caller, unique: str) -> None:
    root = await look(system, f"Patient?name=&birthdate=&identifier={unique}&_sort=")
    fields = {each.get("name"): each.get("value") for each in root.iter("input")}
    assert fields["identifier"] == unique
    assert fields["name"] is None
    assert {"_count", "_sort", "gender"} <= fields.keys()
    assert (await system.get("Patient?nonsense=&_format=json")).status == 400


async def test_a_resource_its_versions_and_its_text(system: Caller, tenant: Tenant) -> None:
    made = await system.post("Observation", observation(valueString="one"))
    await system.put(f"Observation/{made.id}", observation(id=made.id, valueString="two"))
    root = await look(system, f"Observation/{made.id}")
    assert "version 2" in words(root)
    base = tenant.base.removeprefix("http://clarity.test")
    assert links(root)["History"] == f"{base}/Observation/{made.id}/_history"
    versions = await look(system, f"Observation/{made.id}/_history")
    assert links(versions)["1"] == f"{base}/Observation/{made.id}/_history/1"
    assert "PUT" in words(versions)
    first = await look(system, f"Observation/{made.id}/_history/1")
    assert '"one"' in words(first).replace('" one "', '"one"')
    raw = await look(system, f"Observation/{made.id}?_view=json")
    assert '"valueString": "two"' in raw.findtext(".//pre")
    assert '<valueString value="two"/>' in (await look(system, f"Observation/{made.id}?_view=xml")).findtext(".//pre")
    await system.delete(f"Observation/{made.id}")
    assert (await look(system, f"Observation/{made.id}", 410)).findtext(".//h1") == "410 Gone"
    assert "DELETE" in words(await look(system, f"Observation/{made.id}/_history"))


async def test_curl_says_the_same(system: Caller, tenant: Tenant) -> None:
    root = await look(system, "Patient?name=O'Brien&birthdate=ge2000")
    command = root.find(".//pre[@id='curl']").text
    assert f"'{tenant.base}/Patient?name=O%27Brien&birthdate=ge2000'" in command
    assert "$TOKEN" in command
    assert "eyJ" not in command


async def test_refusals_are_sentences(system: Caller) -> None:
    root = await look(system, "Patient?nonsense=1", 400)
    assert root.findtext(".//h1") == "400 Bad Request"
    assert "Patient has no search parameter nonsense" in words(root)
    assert any(each.get("name") == "birthdate" for each in root.iter("input"))
    assert "There is no such resource." in words(await look(system, "Patient/none-such", 404))
    assert (await look(system, "Nonsense", 404)).findtext(".//h1") == "404 Not Found"
    assert (await look(system, "http://clarity.test/t/nowhere/fhir/Patient", 404)).findtext(".//h1") == "404 Not Found"
    assert (await look(system, "Patient/$nonsense", 404)) is not None


async def test_capabilities_are_readable_by_anybody(http: httpx.AsyncClient, tenant: Tenant, system: Caller) -> None:
    stranger = await caller(http, tenant, None)
    root = await look(stranger, "metadata")
    assert "146 resource types" in words(root)
    assert links(root)["Patient"] == f"{tenant.base.removeprefix('http://clarity.test')}/Patient"
    assert any(each.get("name") == "token" for each in root.iter("input"))
    assert "text/html" in (await system.get("metadata")).json["format"]


async def test_the_base_a_batch_and_an_operation(system: Caller) -> None:
    made = await system.post("Patient", {"resourceType": "Patient", "id": "x"})
    everything = await look(system, "")
    assert everything.findtext(".//h1") == "Everything"
    assert "Account" in links(everything)
    bundle = {
        "resourceType": "Bundle",
        "type": "batch",
        "entry": [entry("GET", f"Patient/{made.id}"), entry("GET", "Patient/none")],
    }
    answers = await system.post("", bundle, accept="text/html")
    assert "200 OK" in words(assert_inert(answers.text))
    assert "There is no such resource." in words(assert_inert(answers.text))
    checked = await system.post("Observation/$validate", observation(status="x"), accept="text/html")
    assert "Observation.status" in words(assert_inert(checked.text))


async def test_format_and_head(system: Caller) -> None:
    made = await system.post("Patient", {"resourceType": "Patient"})
    page = await system.get(f"Patient/{made.id}?_format=html", accept="application/fhir+json")
    check_headers(page)
    same = await system.get(f"Patient/{made.id}?_format=text/html", x_request_id="one")
    head = await system.send("HEAD", f"Patient/{made.id}?_format=text/html", x_request_id="one")
    assert {name: head.headers[name] for name in same.headers} == dict(same.headers)
    assert head.text == ""
    json = await system.get(f"Patient/{made.id}?_format=json", accept=BROWSER)
    assert json.headers["content-type"] == "application/fhir+json;charset=utf-8"
    assert (await system.get(f"Patient/{made.id}?_view=xml")).status in (200, 400)


async def test_hidden_and_absent_are_the_same_page(http: httpx.AsyncClient, tenant: Tenant, system: Caller) -> None:
    mine, other = [
        await system.post("Patient", {"resourceType": "Patient", "name": [{"family": "Canary"}]}) for _ in range(2)
    ]
    person = await caller(http, tenant, "patient/*.rs", mine.id)
    pages = []
    for id_ in (other.id, "none-such"):
        answer = await person.get(f"Patient/{id_}", accept=BROWSER, x_request_id="same")
        assert answer.status == 404
        assert "Canary" not in answer.text
        pages.append(answer.text.replace(id_, "ID"))
    assert pages[0] == pages[1]


@pytest.mark.parametrize("text", HOSTILE)
async def test_hostile_addresses(system: Caller, text: str) -> None:
    for path in (
        f"Patient/{text}",
        text,
        f"Patient?{text}={text}",
        f"Patient?name={text}",
        f"Patient?_view={text}",
        f"Patient?_format={text}&x",
    ):
        answer = await system.get(
            path.replace("#", "%23"), accept=BROWSER, x_request_id=text.encode("ascii", "replace").decode()
        )
        assert answer.status in (200, 400, 404, 406), answer.text[:300]
        if answer.headers["content-type"].startswith("text/html"):
            assert_inert(answer.text)


async def test_what_is_stored_stays_text(system: Caller) -> None:
    """What validation lets through is the text of somebody; it arrives as that."""
    for text in HOSTILE:
        made = await system.post("Observation", observation(valueString=text, code={"text": text}))
        assert made.status == 201
        root = await look(system, f"Observation/{made.id}")
        assert root.findtext(".//h1") == text.replace("\u2028", "\u2028")
        assert_inert((await system.get(f"Observation?_id={made.id}", accept=BROWSER)).text)
