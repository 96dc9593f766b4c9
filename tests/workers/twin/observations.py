"""Observations as devices post them, for the tests of this room."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

LOINC = "http://loinc.org"
UCUM = "http://unitsofmeasure.org"
OURS = "https://fhir.clarity.example/CodeSystem/actigraphy"


def observation(code: str, system: str = LOINC, **rest: Any) -> dict[str, Any]:
    return {
        "resourceType": "Observation",
        "status": "final",
        "code": {"coding": [{"system": system, "code": code}]},
        "subject": {"reference": "Patient/p"},
        "device": {"reference": "Device/d"},
    } | rest


def quantity(value: str | int, code: str) -> dict[str, Any]:
    return {"value": value if isinstance(value, int) else Decimal(value), "unit": code, "system": UCUM, "code": code}


def heart_rate(when: str, value: str | int = 60, **rest: Any) -> dict[str, Any]:
    return observation("8867-4", effectiveDateTime=when, valueQuantity=quantity(value, "/min"), **rest)


def counts(start: str, data: str, period: str = "60000", **rest: Any) -> dict[str, Any]:
    sampled = {"origin": quantity(0, "{counts}"), "period": Decimal(period), "dimensions": 1, "data": data}
    return observation("activity-counts", OURS, effectiveDateTime=start, valueSampledData=sampled, **rest)


def sleep(start: str, end: str, minutes: int, **rest: Any) -> dict[str, Any]:
    return observation(
        "93832-4", effectivePeriod={"start": start, "end": end}, valueQuantity=quantity(minutes, "min"), **rest
    )
