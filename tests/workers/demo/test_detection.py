"""Does the baseline method find the episodes of the demo, how late, and how often does it cry wolf?"""

from __future__ import annotations

import statistics
from datetime import date

import pytest

from workers.demo.generate import generate, truth
from workers.twin.block import gather
from workers.twin.crossings import crossings
from workers.twin.signals import read
from workers.twin.state import states
from workers.twin.zone import zone_of

END = date(2026, 11, 21)


def cohort(seed, patients):
    """Return by patient the days of the crossings and of all states with a deviation."""
    zones, readings = {}, {}
    resources = (e["resource"] for bundle in generate(seed, patients, end=END) for e in bundle["entry"])
    for rid, resource in enumerate(resources):
        if resource["resourceType"] == "Patient":
            zones[resource["id"]] = zone_of(resource)
        elif resource["resourceType"] == "Observation":
            patient = resource["subject"]["reference"].removeprefix("Patient/")
            readings.setdefault(patient, []).append((rid, 1, read(resource)))
    found = {}
    for patient, own in readings.items():
        computed = states(gather(own), zone=zones[patient])
        scored = [state.day for state in computed if any(feature.deviation for feature in state.features)]
        found[patient] = scored, [state.day for state in computed if crossings(state)]
    return found


def measure(seed, patients):
    """Return days from onset to the first crossing of each episode (None: missed) and false crossings a patient-week."""
    told = {entry["patient"]: entry for entry in truth(seed, patients, end=END)}
    lags, false, weeks = [], 0, 0.0
    for patient, (scored, crossed) in cohort(seed, patients).items():
        entry = told.get(patient)
        onset = date.fromisoformat(entry["onset"]) if entry else date.max
        weeks += sum(day < onset for day in scored) / 7
        false += sum(day < onset for day in crossed)
        if entry:
            hits = [day for day in crossed if onset <= day <= date.fromisoformat(entry["end"])]
            lags.append((hits[0] - onset).days if hits else None)
    return lags, false / weeks


def check(seed, patients):
    lags, false = measure(seed, patients)
    hits = [lag for lag in lags if lag is not None]
    assert len(hits) >= 0.7 * len(lags)
    assert statistics.median(hits) <= 4
    assert false <= 0.1


def test_episodes_are_found_early_and_calm_weeks_stay_calm():
    check(7, 6)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [7, 8])
def test_the_whole_cohort(seed):
    check(seed, 30)
