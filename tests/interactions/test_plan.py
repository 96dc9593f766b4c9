"""The pure part of a transaction: what is refused before the database is asked, and in which order the rest is done."""

from __future__ import annotations

from typing import Any

import pytest

from fhir_server.errors import BadRequest
from fhir_server.interactions.plan import Entry, Plan, choose_id, make_plan, normalised, read_request, reference_map

BASE = "http://clarity.test/fhir"
UUID = "urn:uuid:0c3151bd-1cbf-4d64-b04d-cd9187a4c6e0"


def entry(
    position: int, request: dict[str, Any], resource: dict[str, Any] | None = None, url: str | None = None
) -> Entry:
    made = read_request(position, url, request, BASE)
    made.resource = resource
    made.raw = b"{}" if resource is not None else b""
    return made


def request(method: str, url: str, **more: str) -> dict[str, Any]:
    return {"method": method, "url": url, **more}


def plan(*given: tuple[dict[str, Any], dict[str, Any] | None]) -> Plan:
    return make_plan([entry(position, head, resource) for position, (head, resource) in enumerate(given)])


PATIENT = {"resourceType": "Patient", "id": "1"}


def test_order_whatever_the_order_of_entries() -> None:
    made = plan(
        (request("GET", "Patient/1"), None),
        (request("PUT", "Patient/1"), PATIENT),
        (request("POST", "Observation"), {"resourceType": "Observation"}),
        (request("DELETE", "Patient/2"), None),
        (request("PUT", "Patient?identifier=1"), {"resourceType": "Patient"}),
    )
    assert [each.position for each in made.ordered] == [3, 2, 1, 4, 0]
    ids = [choose_id(each) for each in made.entries if each.resource]
    assert ids[0] == "1"
    assert len(set(ids)) == 3


@pytest.mark.parametrize(
    ("head", "resource", "id_"),
    [
        (request("POST", "Patient"), None, "entry-resource"),
        (request("GET", "Patient/1"), PATIENT, "entry-resource"),
        (request("POST", "Observation"), PATIENT, "type-mismatch"),
        (request("PUT", "Patient/2"), PATIENT, "id-mismatch"),
        (request("PUT", "Patient"), PATIENT, "criteria-empty"),
        (request("DELETE", "Patient"), None, "criteria-empty"),
        (request("POST", "Patient", ifNoneExist=""), PATIENT, "criteria-empty"),
        (request("POST", "Patient/1"), PATIENT, "entry-method"),
        (request("PATCH", "Patient/1"), None, "entry-resource"),
        (request("PATCH", "Patient"), PATIENT, "criteria-empty"),
        (request("PATCH", "Patient/1/_history/1"), PATIENT, "entry-method"),
        (request("POST", ""), PATIENT, "entry-method"),
        (request("POST", "Patient/$validate"), PATIENT, "entry-method"),
    ],
)
def test_refused(head: dict[str, Any], resource: dict[str, Any] | None, id_: str) -> None:
    with pytest.raises(BadRequest) as caught:
        plan((head, resource))
    assert caught.value.issues[0].id == id_
    assert (caught.value.issues[0].expression or "").startswith("Bundle.entry[0]")


@pytest.mark.parametrize(
    ("given", "id_"),
    [
        (None, "entry-request"),
        ({"method": "GET"}, "entry-request"),
        ({"method": "LINK", "url": "Patient/1"}, "entry-method"),
        (request("GET", "Nonsense/1"), "unknown-address"),
        (request("GET", "Patient/a_b"), "id-malformed"),
        (request("GET", "http://elsewhere.test/fhir/Patient/1"), "entry-url"),
        (request("PUT", "Patient/1", ifMatch="3"), "etag-malformed"),
    ],
)
def test_requests_that_make_no_sense(given: dict[str, Any] | None, id_: str) -> None:
    with pytest.raises(BadRequest) as caught:
        read_request(4, None, given, BASE)
    assert caught.value.id == id_
    assert (caught.value.issues[0].expression or "").startswith("Bundle.entry[4].request")


def test_own_base_and_leading_slash_are_taken_off() -> None:
    for url in (f"{BASE}/Patient/1", "/Patient/1", "Patient/1"):
        assert (read_request(0, None, request("GET", url), BASE).address.id) == "1"


def test_all_issues_of_all_entries() -> None:
    with pytest.raises(BadRequest) as caught:
        plan((request("POST", "Patient"), None), (request("DELETE", "Patient"), None))
    assert [issue.expression for issue in caught.value.issues] == [
        "Bundle.entry[0].resource",
        "Bundle.entry[1].request",
    ]


def test_the_same_target_twice() -> None:
    with pytest.raises(BadRequest) as caught:
        plan((request("PUT", "Patient/1"), PATIENT), (request("DELETE", "Patient/1"), None))
    assert caught.value.id == "entry-overlap"


def test_the_same_full_url_twice() -> None:
    head = request("POST", "Patient")
    entries = [entry(position, head, {"resourceType": "Patient"}, UUID) for position in range(2)]
    with pytest.raises(BadRequest) as caught:
        make_plan(entries)
    assert caught.value.id == "entry-full-url"


def test_what_full_urls_stand_for() -> None:
    head = request("POST", "Patient")
    entries = [
        entry(0, head, {"resourceType": "Patient"}, UUID),
        entry(1, head, {"resourceType": "Patient"}, "http://x.test/fhir/Patient/old"),
        entry(2, request("PUT", "Patient/1"), PATIENT, "http://x.test/fhir/Patient/1"),
    ]
    mapping = reference_map(make_plan(entries), {0: ("Patient", "a"), 1: ("Patient", "b"), 2: ("Patient", "1")})
    assert mapping == {
        UUID: "Patient/a",
        "http://x.test/fhir/Patient/old": "Patient/b",
        "Patient/old": "Patient/b",
        "http://x.test/fhir/Patient/1": "Patient/1",
    }


def test_criteria_have_one_form() -> None:
    assert normalised([("b", "2"), ("a", "x y")]) == normalised([("a", "x y"), ("b", "2")]) == "a=x+y&b=2"
