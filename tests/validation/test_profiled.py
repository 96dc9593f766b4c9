"""Resources against profiles: what HL7 and we publish as examples conforms; each way of breaking one is told, with its place."""

from __future__ import annotations

import copy
import tarfile
from collections.abc import Callable
from typing import Any

import pytest

from fhir_server.kit import json
from fhir_server.validation.profiled import Profile, check, profile
from profiles.psych.artefacts import artefacts
from profiles.psych.codes import profile as url_of
from profiles.psych.examples import examples
from terminology.value_set import Library, Members, expand
from tests.shared_data import shared

Json = dict[str, Any]
MADE = [json.decode_trusted(json.encode(each)) for each in artefacts()]
OURS = {each["url"]: profile(each) for each in MADE if each["resourceType"] == "StructureDefinition"}
SETS = {each["url"]: expand(each, Library()) for each in MADE if each["resourceType"] == "ValueSet"}
EXAMPLES = [json.decode_trusted(json.encode(each)) for each in examples()]
BEAT = next(each for each in EXAMPLES if url_of("heart-rate") in each.get("meta", {}).get("profile", ()))


def us_core() -> tuple[dict[str, Json], list[Json]]:
    """The profiles of US Core 6.1.0 by URL, and its examples."""
    structures, found = {}, []
    [package] = shared("us-core").glob("*.tgz")
    with tarfile.open(package) as tar:
        for member in tar:
            if "/openapi/" in member.name or not member.name.endswith(".json") or not (file := tar.extractfile(member)):
                continue
            resource = json.decode_trusted(file.read())
            if resource.get("resourceType") == "StructureDefinition" and "snapshot" in resource:
                structures[resource["url"]] = resource
            elif "/example/" in member.name:
                found.append(resource)
    return structures, found


def ids(resource: Json, of: Profile, codes: dict[str, Members | None] | None = None) -> list[tuple[str, str | None]]:
    return [(issue.id, issue.expression) for issue in check(resource, of, SETS if codes is None else codes)]


def test_our_examples_conform() -> None:
    told = [(each, url) for each in EXAMPLES for url in each.get("meta", {}).get("profile", ()) if url in OURS]
    assert len(told) > 40
    for example, url in told:
        assert ids(example, OURS[url]) == [], example["id"]


def test_hl7s_examples_of_us_core_conform_and_lose_it_with_what_is_required() -> None:
    """The judge is US Core itself: its examples are valid; without an element that only its profile requires they are not."""
    structures, found = us_core()
    profiles = {url: profile(each) for url, each in structures.items()}
    sent = broken = 0
    for example in found:
        for canonical in example.get("meta", {}).get("profile", ()):
            of = profiles.get(canonical.partition("|")[0])
            if of is None or of.type != example["resourceType"]:
                continue
            sent += 1
            assert ids(example, of, {}) == [], (example["id"], of.url)
            for element in of.children[of.type]:
                name = element["path"].rpartition(".")[2]
                if element["min"] > element["base"]["min"] and name in example and name != "id":
                    without = {key: value for key, value in example.items() if key not in (name, f"_{name}")}
                    assert ("profile-required", f"{of.type}.{name}") in ids(without, of, {}), (of.url, name)
                    broken += 1
    assert (sent > 150, broken > 100) == (True, True)


def changed(change: Callable[[Json], Any]) -> Json:
    made: Json = copy.deepcopy(BEAT)
    change(made)
    return made


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda r: r.pop("subject"), ("profile-required", "Observation.subject")),
        (lambda r: r.pop("device"), ("profile-required", "Observation.device")),
        (lambda r: r.update(subject={"reference": "Group/1"}), ("profile-target", "Observation.subject.reference")),
        (lambda r: r["code"]["coding"][0].update(code="8310-5"), ("profile-pattern", "Observation.code")),
        (lambda r: r["valueQuantity"].update(code="/h"), ("profile-code", "Observation.value")),
        (lambda r: (r.pop("valueQuantity"), r.update(valueString="fast")), ("profile-type", "Observation.value")),
        (
            lambda r: r.update(referenceRange=[{"appliesTo": [{"text": "all"}]}]),
            ("profile-invariant", "Observation.referenceRange[0]"),
        ),
        (lambda r: r.update(dataAbsentReason={"text": "lost"}), ("profile-invariant", "Observation")),
    ],
)  # fmt: skip
def test_what_breaks_a_profile_is_told(change: Callable[[Json], Any], told: tuple[str, str]) -> None:
    assert ids(BEAT, OURS[url_of("heart-rate")]) == []
    assert told in ids(changed(change), OURS[url_of("heart-rate")])


def test_none_where_a_profile_allows_none_and_a_fixed_value() -> None:
    state = OURS[url_of("digital-twin-state")]
    example = next(each for each in EXAMPLES if url_of("digital-twin-state") in each.get("meta", {}).get("profile", ()))
    assert ("profile-cardinality", "Observation.value") in ids({**example, "valueString": "good"}, state)
    extension = OURS[url_of("message-detail")]
    good = {"url": url_of("message-detail"), "valueCode": "full"}
    assert ids(good, extension) == []
    assert ids({**good, "url": "http://other"}, extension) == [("profile-fixed", "Extension.url")]


def test_a_snapshot_that_says_odd_things_is_no_crash() -> None:
    """Of what a stranger stores only the shape is sure: no ids, a maximum that is no number, rules that are no FHIRPath."""
    rule = {"key": "x-1", "severity": "error", "human": "Odd", "expression": "((("}
    odd = [
        {"path": "Observation", "constraint": [rule]},
        {"path": "Observation.status", "max": "many", "type": [{"code": "code"}], "patternCode": "final"},
        {"path": "Observation.colour", "min": 1},
        {"path": "Patient.name", "min": 1},
        {"path": "Observation.component", "contentReference": "#Observation.component"},
    ]
    of = profile({"url": "http://x.example/odd", "type": "Observation", "snapshot": {"element": odd}})
    found = ids({**BEAT, "component": [{"code": {"text": "part"}}]}, of)
    assert found == [("profile-invariant-unknown", "Observation"), ("profile-required", "Observation.colour")]


def test_what_r4_repeats_by_reference_is_looked_into() -> None:
    """`Observation.component.referenceRange` is a contentReference to `Observation.referenceRange`."""
    made = copy.deepcopy(next(each for each in MADE if each["url"] == url_of("heart-rate")))
    [text] = [each for each in made["snapshot"]["element"] if each["path"] == "Observation.referenceRange.text"]
    text["min"] = 1
    resting = {"code": {"text": "at rest"}, "referenceRange": [{"low": {"value": 50}}]}
    found = ids({**BEAT, "component": [resting]}, profile(made))
    assert found == [("profile-required", "Observation.component[0].referenceRange[0].text")]


def test_an_extension_alone_is_a_value_and_slices_are_told_apart() -> None:
    absent = {
        "extension": [{"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "unknown"}]
    }
    assert ids(changed(lambda r: (r.pop("status"), r.update(_status=absent))), OURS[url_of("heart-rate")]) == []
    structures, _ = us_core()
    sliced = profile(structures["http://hl7.org/fhir/us/core/StructureDefinition/us-core-blood-pressure"])
    assert sliced.unchecked
    assert not OURS[url_of("heart-rate")].unchecked
