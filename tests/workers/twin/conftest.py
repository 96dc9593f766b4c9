"""A demo patient's Observations, read once."""

from __future__ import annotations

from datetime import date

import pytest

from workers.demo.generate import generate
from workers.twin.signals import read
from workers.twin.zone import zone_of

END = date(2026, 11, 21)


@pytest.fixture(scope="session")
def patients():
    """By patient id: zone and the (rid, version, reading, day) of all signal Observations of 90 days, three kits."""
    zones, readings = {}, {}
    rid = 0
    for bundle in generate(7, 3, end=END):
        for entry in bundle["entry"]:
            resource = entry["resource"]
            rid += 1
            if resource["resourceType"] == "Patient":
                zones[resource["id"]] = zone_of(resource)
            elif resource["resourceType"] in ("Observation", "QuestionnaireResponse"):
                reading = read(resource)
                if reading.samples:
                    text = resource["id"].removesuffix("-answers").rpartition("-")[2]
                    day = date.fromisoformat(f"{text[:4]}-{text[4:6]}-{text[6:]}")
                    patient = resource["subject"]["reference"].removeprefix("Patient/")
                    readings.setdefault(patient, []).append((rid, 1, reading, day))
    return {patient: (zones[patient], found) for patient, found in readings.items()}
