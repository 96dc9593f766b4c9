"""States and crossings as FHIR: valid R4, the same every time, never read back as signals."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

import pytest

from fhir_server.kit import json
from fhir_server.validation.validate import validate
from tests.workers.twin.conftest import END
from workers.twin import resources
from workers.twin.baseline import Baseline, Deviation
from workers.twin.block import gather
from workers.twin.crossings import RULES, Crossing, crossings
from workers.twin.features import BY_CODE, FEATURES
from workers.twin.ids import device_id, provenance_id, risk_id, state_id
from workers.twin.resources import provenance, software_device, state_observation
from workers.twin.risk import risk_assessment, withdrawn
from workers.twin.signals import NOTHING, read
from workers.twin.state import FeatureState, State, states
from workers.twin.zone import zone_of


@pytest.fixture(scope="module")
def computed(patients):
    zone, found = patients["demo-001"]
    blocks = gather((rid, version, reading) for rid, version, reading, _ in found)
    (state,) = states(blocks, [END - timedelta(days=1)], zone)
    return state, zone, {rid: f"Observation/o{rid}" for rid, *_ in found}


def crossing(state):
    return Crossing(RULES[0], state.day, (("sleep-duration", "below"), ("steps", "above")))


def test_all_of_it_is_valid_r4(computed):
    state, zone, names = computed
    observation = state_observation("p", state, names, zone)
    written = [
        observation,
        provenance(f"Observation/{observation['id']}", state, names, zone),
        software_device("1.2.3"),
        risk_assessment("p", state, crossing(state), zone),
        withdrawn(risk_assessment("p", state, crossing(state), zone)),
    ]
    for resource in written:
        assert validate(resource) == []
        assert json.decode(json.encode(resource)) == resource
        assert len(resource["id"]) <= 64
        assert resource["meta"]["tag"][0]["code"] == "twin"


def test_what_the_observation_says(computed):
    state, zone, names = computed
    observation = state_observation("p", state, names, zone)
    parts = {part["code"]["coding"][0]["code"]: part for part in observation["component"]}
    steps = state.feature("steps")
    assert parts["steps"]["valueQuantity"]["value"] == round(steps.value)
    assert parts["steps-deviation"]["valueQuantity"]["value"] == Decimal(steps.deviation.z).quantize(Decimal("0.01"))
    facts = {fact["url"]: fact for fact in parts["steps"]["extension"][0]["extension"]}
    assert facts["baselineDays"]["valueInteger"] == steps.baseline.days
    assert {feature.code for feature in FEATURES} <= set(parts)
    assert observation["effectivePeriod"]["start"].startswith(f"{state.day}T00:00:00.000-0")
    assert {source["reference"] for source in observation["derivedFrom"]} <= set(names.values())
    assert observation["derivedFrom"]


def test_every_number_says_its_interval_window_and_coverage_or_why_not(computed):
    state, zone, names = computed
    for part in state_observation("p", state, names, zone)["component"]:
        if "valueQuantity" not in part:
            continue
        said = {each["url"].rpartition("/")[2]: each["extension"] for each in part["extension"]}
        facts = {fact["url"] for fact in said["digital-twin-feature"]}
        assert {"window", "method"} <= facts
        assert len(facts & {"coverage", "coverageAbsent"}) == 1
        assert ("digital-twin-interval" in said) != ("intervalAbsent" in facts)
        ends = {each["url"]: each.get("valueDecimal") for each in said["digital-twin-interval"]}
        assert ends["low"] <= part["valueQuantity"]["value"] <= ends["high"], part["code"]


def test_no_number_says_why():
    (empty,) = states({}, [END])
    part = state_observation("p", empty, {})["component"][0]
    assert "valueQuantity" not in part
    assert part["dataAbsentReason"]["coding"][0]["code"] == "no-data"
    assert validate(state_observation("p", empty, {})) == []
    assert validate(provenance("Observation/x", empty, {})) == []


def test_the_twin_never_reads_itself(computed):
    state, zone, names = computed
    assert read(state_observation("p", state, names, zone)) is NOTHING


def test_ids_tell_patient_day_and_rule_apart():
    ids = {
        state_id("p", END),
        state_id("q", END),
        state_id("p", END - timedelta(days=1)),
        risk_id("p", END, "a"),
        risk_id("p", END, "b"),
        provenance_id("Observation/1"),
        provenance_id("RiskAssessment/1"),
        device_id(),
    }
    assert len(ids) == 8
    assert state_id("p", END) == state_id("p", END)


def test_a_risk_holds_no_numbers_and_no_diagnosis(computed):
    state, zone, _ = computed
    risk = risk_assessment("p", state, crossing(state), zone)
    assert risk["status"] == "preliminary"
    assert "probabilityDecimal" not in risk["prediction"][0]
    assert "not a diagnosis" in risk["note"][0]["text"]
    assert risk["basis"] == [{"reference": f"Observation/{state_id('p', state.day)}"}]
    assert withdrawn(risk)["status"] == "entered-in-error"


def state_of(**history):
    """A state whose features have these deviations, newest first."""
    found = []
    for feature in FEATURES:
        zs = history.get(feature.code.replace("-", "_"), ())
        far = [Deviation(z, z - 1, z + 1, "above" if z >= 3 else "below" if z <= -3 else "within") for z in zs]
        head = far[0] if far else None
        found.append(FeatureState(BY_CODE[feature.code], 1.0, "", "m", None, None, head, tuple(far[1:])))
    return State(date(2026, 5, 1), tuple(found), (), (), None)


@pytest.mark.parametrize(
    ("history", "rules"),
    [
        ({"steps": [-4]}, []),
        ({"steps": [-4], "sleep_duration": [4]}, ["several-features"]),
        ({"sleep_midpoint": [4], "sleep_duration": [4]}, []),
        ({"steps": [-4, 0, 0], "sleep_duration": [4, 0, 0]}, ["several-features"]),
        ({"steps": [-4, -4], "sleep_duration": [4, 4]}, []),
        ({"steps": [-4] + [0] * 7 + [-4], "sleep_duration": [4] + [0] * 7 + [4]}, ["several-features"]),
        ({"steps": [-4, -4, -4]}, ["sustained-deviation"]),
        ({"steps": [-4, 0, -4, -4]}, ["sustained-deviation"]),
        ({"steps": [-4, -4, -4, -4]}, []),
        ({"steps": [-4, 4, -4]}, []),
        ({"interdaily_stability": [-4, -4, -4]}, []),
    ],
)
def test_rules(history, rules):
    assert [found.rule.code for found in crossings(state_of(**history))] == rules


def test_the_zone_of_a_patient():
    extension = [{"url": "http://hl7.org/fhir/StructureDefinition/timezone", "valueCode": "Europe/Oslo"}]
    assert str(zone_of({"extension": extension})) == "Europe/Oslo"
    assert str(zone_of({"address": [{}, {"extension": extension}]})) == "Europe/Oslo"
    assert zone_of({"extension": [extension[0] | {"valueCode": "Middle/Earth"}]}) is None
    assert zone_of({}) is None


def test_a_personal_range_never_leaves_what_the_feature_can_be():
    amplitude = resources._range(BY_CODE["relative-amplitude"], Baseline(0.98, 0.02, 0.03, 28, 0.98, 1.0, 0.06, 0.05))
    assert float(amplitude["low"]["value"]) == pytest.approx(0.89)
    assert float(amplitude["high"]["value"]) == 1
    least = resources._range(BY_CODE["l5"], Baseline(2.0, 1.0, 3.0, 28, 2.0, 1.0, 0.06, 0.05))
    assert float(least["low"]["value"]) == 0
    regularity = resources._range(BY_CODE["sleep-regularity-index"], Baseline(-10, 5, 8, 28, -10, 1.0, 0.06, 0.05))
    assert float(regularity["low"]["value"]) == -34
