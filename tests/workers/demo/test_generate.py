"""The demo: the same from the same seed, valid R4, small enough, and telling the truth about its episodes."""

from __future__ import annotations

import itertools
from collections import Counter
from datetime import date, timedelta

import pytest

from fhir_server.kit import json
from fhir_server.validation.validate import validate
from workers.demo.generate import generate, people, truth
from workers.twin.signals import read
from workers.twin.zone import zone_of

END = date(2026, 11, 21)


@pytest.fixture(scope="module")
def bundles():
    return list(generate(7, 4, 60, end=END))


@pytest.fixture(scope="module")
def resources(bundles):
    return [entry["resource"] for bundle in bundles for entry in bundle["entry"]]


def test_every_resource_is_valid(bundles, resources):
    assert [issue for resource in resources for issue in validate(resource)] == []
    assert [issue for bundle in bundles[:2] for issue in validate(bundle)] == []


def test_entries_are_puts_by_id_and_ids_are_unique(bundles, resources):
    for bundle in bundles:
        assert bundle["type"] == "transaction"
        for entry in bundle["entry"]:
            resource = entry["resource"]
            assert entry["request"] == {"method": "PUT", "url": f"{resource['resourceType']}/{resource['id']}"}
    assert max(Counter((r["resourceType"], r["id"]) for r in resources).values()) == 1
    assert max(len(bundle["entry"]) for bundle in bundles) <= 200


def test_references_lead_somewhere(resources):
    known = {f"{r['resourceType']}/{r['id']}" for r in resources}

    def references(node):
        if isinstance(node, dict):
            if "reference" in node:
                yield node["reference"]
            node = list(node.values())
        if isinstance(node, list):
            for item in node:
                yield from references(item)

    assert {name for resource in resources for name in references(resource)} <= known


def test_the_same_seed_gives_the_same_bytes(bundles):
    again = generate(7, 4, 60, end=END)
    assert [json.encode(bundle) for bundle in again] == [json.encode(bundle) for bundle in bundles]
    other = json.encode(list(itertools.islice(generate(8, 4, 60, end=END), 2)))
    assert other != json.encode(bundles[:2])


def test_a_patient_does_not_depend_on_how_many_there_are():
    assert people(7, 3, 60, end=END) == people(7, 9, 60, end=END)[:3]


def test_every_signal_is_read(resources):
    signals, refused = Counter(), Counter()
    for resource in resources:
        if resource["resourceType"] == "Observation":
            reading = read(resource)
            signals.update(samples.signal for samples in reading.samples)
            refused.update(refusal.reason for refusal in reading.refused)
    worn = {"heart-rate", "steps", "activity-counts", "sleep-session", "resting-heart-rate"}
    assert set(signals) == worn | {"phq-9", "phq-9-item-9", "gad-7"}
    assert set(refused) == {"sample-not-usable"}


def test_what_a_patient_has(resources):
    patients = [r for r in resources if r["resourceType"] == "Patient"]
    assert len(patients) == 4
    assert all(zone_of(patient) for patient in patients)
    types = Counter(r["resourceType"] for r in resources)
    for name in ("Condition", "Encounter", "MedicationRequest", "CareTeam", "Device"):
        assert types[name] >= 4, name
    scores = {
        r["code"]["coding"][0]["code"]: r for r in resources if r["id"].startswith("demo-001-") and "component" in r
    }
    assert set(scores) == {"44261-6", "70274-6"}
    for score in scores.values():
        assert score["valueQuantity"]["value"] == sum(part["valueInteger"] for part in score["component"])


def test_nothing_lies_after_the_end(resources):
    ends = [r["effectivePeriod"]["end"][:10] for r in resources if "effectivePeriod" in r and "device" in r]
    assert max(ends) <= str(END + timedelta(days=1))


def test_truth():
    told = truth(7, 30, 90, end=END)
    assert len(told) == 15
    assert {entry["kind"] for entry in told} >= {"depressive", "manic", "anxious", "sleep-loss", "phase-shift"}
    first = END - timedelta(days=89)
    for entry in told:
        onset = date.fromisoformat(entry["onset"])
        assert first + timedelta(days=35) <= onset <= END - timedelta(days=9)
        assert onset < date.fromisoformat(entry["end"])
    assert truth(7, 30, 20, end=END) == []


@pytest.mark.slow
def test_the_whole_demo_is_of_the_promised_size():
    count = sum(len(bundle["entry"]) for bundle in generate(7, end=END))
    assert 9_000 <= count <= 15_000
