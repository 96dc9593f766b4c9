"""Ten FHIRPath expressions by our engine beside fhirpathpy, compiled before, in one run, on the same resources.

Only expressions on which both answer the same are timed, so that no figure is of a wrong answer.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from statistics import median
from timeit import repeat
from typing import Any

import fhirpathpy
from fhirpathpy.models import models

from fhir_server.model.fhirpath import compile_path
from workers.demo.generate import generate

EXPRESSIONS: tuple[tuple[str, str], ...] = (
    ("Patient", "Patient.name.given"),
    ("Patient", "Patient.name.where(use = 'official').family.first()"),
    ("Patient", "Patient.identifier.exists() and Patient.active.exists().not()"),
    ("Patient", "Patient.birthDate < @2020-01-01"),
    ("Observation", "Observation.code.coding.where(system = 'http://loinc.org').code"),
    ("Observation", "Observation.subject.reference.startsWith('Patient/')"),
    ("Observation", "Observation.value.exists() or Observation.component.exists()"),
    ("Observation", "Observation.category.coding.select(system & '|' & code)"),
    ("Encounter", "Encounter.period.start <= Encounter.period.end"),
    ("Condition", "Condition.code.coding.count() + Condition.category.count()"),
)
LOOPS, ROUNDS = 200, 5


def _resources() -> dict[str, dict[str, Any]]:
    """Return a demo resource of each type that the expressions are about."""
    wanted = {type_ for type_, _ in EXPRESSIONS}
    found: dict[str, dict[str, Any]] = {}
    for bundle in generate(20261, 1, 40, end=date(2026, 6, 30)):
        for entry in bundle["entry"]:
            resource = entry["resource"]
            if resource["resourceType"] in wanted:
                found.setdefault(resource["resourceType"], resource)
    return found


def measure() -> list[dict[str, Any]]:
    """Return the best of five rounds of each expression in microseconds, and how many times faster ours is."""
    return [_one(expression, resource) for resource, expression in _pairs()]


def middle(measured: list[dict[str, Any]]) -> float:
    """Return by how many times ours is faster, the median over the expressions."""
    return float(median(each["times_faster"] for each in measured))


def _pairs() -> list[tuple[dict[str, Any], str]]:
    resources = _resources()
    return [(resources[type_], expression) for type_, expression in EXPRESSIONS]


def _one(expression: str, resource: dict[str, Any]) -> dict[str, Any]:
    ours, theirs = compile_path(expression), fhirpathpy.compile(expression, models["r4"])
    mine, other = ours(resource), theirs(resource)
    if mine != other:
        raise AssertionError(f"{expression}: {mine} and {other}")
    own, beside = _best(lambda: ours(resource)), _best(lambda: theirs(resource))
    return {
        "expression": expression,
        "us": round(own, 2),
        "fhirpathpy_us": round(beside, 1),
        "times_faster": round(beside / own, 1),
    }


def _best(run: Callable[[], Any]) -> float:
    return min(repeat(run, number=LOOPS, repeat=ROUNDS)) / LOOPS * 1e6
