"""References: what each form means, what may stand where, and what a transaction makes of them."""

from __future__ import annotations

import tarfile

import pytest

from fhir_server.kit import json
from fhir_server.model.references import (
    Absolute,
    Conditional,
    Contained,
    Local,
    Urn,
    find_references,
    names_elsewhere,
    only_urns,
    parse_reference,
    rewrite,
    rewrite_links,
    settle_references,
    versioned,
    walk_references,
)
from profiles.registry import R4
from tests.shared_data import shared

BASE = "http://clarity.test/fhir"
UUID = "urn:uuid:0c3151bd-1cbf-4d64-b04d-cd9187a4c6e0"


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("Patient/1", Local("Patient", "1")),
        ("Patient/1/_history/2", Local("Patient", "1", "2")),
        (f"{BASE}/Patient/1", Local("Patient", "1")),
        (f"{BASE}/Patient/1/_history/3", Local("Patient", "1", "3")),
        ("http://other.test/fhir/Patient/1", Absolute("http://other.test/fhir/Patient/1", "Patient")),
        ("https://other.test/fhir/Group/1/_history/2", Absolute("https://other.test/fhir/Group/1/_history/2", "Group")),
        ("http://example.org/anything", Absolute("http://example.org/anything")),
        (UUID, Urn(UUID)),
        ("urn:oid:1.2.3", Urn("urn:oid:1.2.3")),
        ("#", Contained("")),
        ("#med-1", Contained("med-1")),
        ("Practitioner?identifier=http://npi|1", Conditional("Practitioner", "identifier=http://npi|1")),
        ("Nonsense/1", None),
        ("Nonsense?a=b", None),
        ("Patient", None),
        ("Patient/", None),
        ("Patient/a b", None),
        ("Patient/1/_history/", None),
        ("patient/1", None),
        ("Patient/" + "x" * 65, None),
        ("../Patient/1", None),
        ("", None),
    ],
)
def test_forms(text: str, parsed: object) -> None:
    assert parse_reference(text, BASE) == parsed


def observation(**elements: object) -> dict[str, object]:
    return {"resourceType": "Observation", "status": "final", "code": {"text": "x"}, **elements}


def test_find_knows_targets_and_goes_everywhere() -> None:
    resource = observation(
        subject={"reference": "Patient/1"},
        performer=[{"reference": "Practitioner/1"}],
        extension=[{"url": "http://x", "valueReference": {"reference": "Basic/1"}}],
        contained=[{"resourceType": "Specimen", "id": "s", "subject": {"reference": "Group/1"}}],
    )
    found = {holder["reference"]: targets for holder, targets in find_references(resource)}
    assert "Patient" in found["Patient/1"]
    assert "Practitioner" in found["Practitioner/1"]
    assert found["Basic/1"] == ()
    assert "Device" in found["Group/1"]
    assert {where for where, _ in walk_references(resource)} == {
        "Observation.subject",
        "Observation.performer[0]",
        "Observation.extension[0].valueReference",
        "Observation.contained[0].subject",
    }


def test_a_uri_named_reference_is_no_reference() -> None:
    resource = {"resourceType": "DetectedIssue", "status": "final", "reference": "not a reference"}
    assert find_references(resource) == []
    assert settle_references(resource, BASE) == []


@pytest.mark.parametrize(
    ("text", "id_"),
    [
        ("Practitioner/1", "reference-target"),
        (f"{BASE}/Device/../1", "reference-malformed"),
        ("Patient?identifier=1", "reference-conditional"),
        ("Medication?code=1", "reference-conditional"),
        ("nothing", "reference-malformed"),
    ],
)
def test_refused(text: str, id_: str) -> None:
    issues = settle_references(observation(subject={"reference": text}), BASE)
    assert [(issue.id, issue.expression) for issue in issues] == [(id_, "Observation.subject.reference")]


def test_own_base_becomes_relative() -> None:
    resource = observation(subject={"reference": f"{BASE}/Patient/1"}, focus=[{"reference": "http://other/Patient/1"}])
    assert settle_references(resource, BASE) == []
    assert resource["subject"] == {"reference": "Patient/1"}
    assert resource["focus"] == [{"reference": "http://other/Patient/1"}]


def test_conditional_allowed_in_transactions_checks_the_target() -> None:
    resource = observation(subject={"reference": "Practitioner?identifier=1"})
    assert [issue.id for issue in settle_references(resource, BASE, conditional=True)] == ["reference-target"]


def test_rewrite() -> None:
    div = f'<div xmlns="http://www.w3.org/1999/xhtml"><a href="{UUID}">x</a><img alt="" src=\'{UUID}\'/> {UUID}</div>'
    resource = observation(
        text={"status": "generated", "div": div},
        identifier=[{"system": UUID, "value": UUID}],
        subject={"reference": UUID},
        focus=[{"reference": UUID + "#part"}, {"reference": "Patient/old/_history/4"}],
        extension=[
            {"url": "http://x", "valueUri": UUID},
            {"url": "http://x", "valueCanonical": UUID},
            {"url": "http://x", "valueString": UUID},
        ],
    )
    mapping = {UUID: "Patient/1", "Patient/old": "Patient/new"}
    rewrite_links(resource, mapping)
    assert versioned(find_references(resource), mapping) == {"Patient/new"}
    assert rewrite(resource, mapping, versions={"Patient/new": 7}) == []
    assert resource["subject"] == {"reference": "Patient/1"}
    assert resource["focus"] == [{"reference": "Patient/1#part"}, {"reference": "Patient/new/_history/7"}]
    assert resource["identifier"] == [{"system": "Patient/1", "value": UUID}]
    values = [list(each.values())[1] for each in resource["extension"]]  # type: ignore[union-attr]
    assert values == ["Patient/1", UUID, UUID]
    rewritten = resource["text"]["div"]  # type: ignore[index]
    assert 'href="Patient/1"' in rewritten
    assert "src='Patient/1'" in rewritten
    assert rewritten.endswith(f" {UUID}</div>")


def test_references_beside_primitives_are_found_too() -> None:
    beside = {"extension": [{"url": "http://x", "valueReference": {"reference": UUID}}]}
    resource = {
        "resourceType": "Patient",
        "_birthDate": beside,
        "name": [{"given": ["a", "b"], "_given": [None, beside]}],
    }
    assert [holder["reference"] for holder, _ in find_references(resource)] == [UUID] * 2
    assert rewrite(resource, {UUID: "Patient/1"}) == []
    assert [holder["reference"] for holder, _ in find_references(resource)] == ["Patient/1"] * 2
    wrong = {
        "resourceType": "Patient",
        "_birthDate": {"extension": [{"url": "http://x", "valueReference": {"reference": "?"}}]},
    }
    expected = ["Patient._birthDate.extension[0].valueReference.reference"]
    assert [issue.expression for issue in settle_references(wrong, BASE)] == expected


def test_rewrite_tells_what_is_missing() -> None:
    assert rewrite(observation(subject={"reference": UUID}), {}) == [UUID]


def test_when_links_need_not_be_looked_for() -> None:
    mapping = {UUID: "Patient/1"}
    only = observation(subject={"reference": UUID})
    more = observation(subject={"reference": UUID}, extension=[{"url": "http://x", "valueUri": UUID}])
    for resource, elsewhere in ((only, False), (more, True)):
        found = find_references(resource)
        assert names_elsewhere(json.encode(resource), found, urns=only_urns(mapping)) is elsewhere
    assert names_elsewhere(b"{}", [], urns=only_urns(mapping | {"http://x.test/Patient/1": "Patient/2"}))


def test_the_short_walk_finds_what_the_long_one_finds() -> None:
    """Over every resource of the US Core package and its 183 examples."""
    seen = 0
    with tarfile.open(shared("us-core") / "hl7.fhir.us.core-6.1.0.tgz") as package:
        for member in package:
            content = package.extractfile(member) if member.name.startswith("package/example/") else None
            value = json.decode(content.read()) if content else None
            if isinstance(value, dict) and R4.is_type(value.get("resourceType")):
                short, long = find_references(value, json.encode(value)), find_references(value)
                assert [id(holder) for holder, _ in short] == [id(holder) for holder, _ in long], member.name
                seen += bool(long)
    assert seen > 100
