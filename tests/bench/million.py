"""A ward of 2,000 patients and any number of their Observations, the same for the same number: what searches are measured over.

Codes, values, dates and references vary as they do in a clinic: few codes make most of the rows, one patient has some of each.
Written through the product's own `commit`, a thousand in a transaction, as an import writes.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import accumulate, islice
from typing import Any

from fhir_server.search.extract import extract
from fhir_server.storage.commands import IMPORT, Command
from fhir_server.storage.commit import commit
from fhir_server.storage.tenants import Tenant

PATIENTS = 2000
PRACTITIONERS = 50
LOINC, UCUM = "http://loinc.org", "http://unitsofmeasure.org"
CATEGORIES = "http://terminology.hl7.org/CodeSystem/observation-category"
FIRST = datetime(2021, 1, 1, tzinfo=UTC)
DAYS = 1800
_CHUNK = 1000

Json = dict[str, Any]

# code, category, weight, unit, mean, spread
MEASURES: tuple[tuple[str, str, int, str, float, float], ...] = (
    ("8867-4", "vital-signs", 90, "/min", 72, 12),
    ("59408-5", "vital-signs", 60, "%", 97, 1.5),
    ("9279-1", "vital-signs", 60, "/min", 15, 3),
    ("8310-5", "vital-signs", 50, "Cel", 36.8, 0.5),
    ("29463-7", "vital-signs", 40, "kg", 75, 14),
    ("8302-2", "vital-signs", 20, "cm", 171, 10),
    ("39156-5", "vital-signs", 20, "kg/m2", 25, 4),
    ("55423-8", "activity", 60, "{steps}", 6500, 2500),
    ("93832-4", "activity", 50, "h", 7, 1.2),
    ("80404-7", "vital-signs", 40, "ms", 45, 15),
    ("2339-0", "laboratory", 40, "mg/dL", 100, 20),
    ("4548-4", "laboratory", 25, "%", 5.6, 0.6),
    ("2093-3", "laboratory", 20, "mg/dL", 190, 30),
    ("718-7", "laboratory", 25, "g/dL", 14, 1.5),
    ("6690-2", "laboratory", 25, "10*3/uL", 7, 2),
    ("777-3", "laboratory", 25, "10*3/uL", 250, 60),
    ("2160-0", "laboratory", 25, "mg/dL", 0.9, 0.2),
    ("3094-0", "laboratory", 20, "mg/dL", 14, 4),
    ("2951-2", "laboratory", 20, "mmol/L", 140, 2),
    ("6298-4", "laboratory", 20, "mmol/L", 4.2, 0.3),
    ("14334-7", "laboratory", 8, "mmol/L", 0.7, 0.2),
    ("44261-6", "survey", 30, "{score}", 9, 5),
    ("69737-5", "survey", 30, "{score}", 7, 4),
    ("89204-2", "survey", 2, "{score}", 5, 2),
)
PRESSURE, SMOKING = "85354-9", "72166-2"
CODES = (*(measure[0] for measure in MEASURES), PRESSURE, SMOKING)
_WEIGHTS = tuple(accumulate((*(measure[2] for measure in MEASURES), 90, 15)))
_SMOKING = ("266919005", "8517006", "449868002", "428041000124106")
_STATUS = ("final",) * 18 + ("amended", "preliminary")


def coding(system: str, code: str) -> Json:
    """Return a CodeableConcept of one coding."""
    return {"coding": [{"system": system, "code": code}]}


def _quantity(value: float, unit: str) -> Json:
    return {"value": Decimal(f"{value:.1f}"), "unit": unit, "system": UCUM, "code": unit}


def _said(r: random.Random, code: str) -> Json:
    """Return the value of an Observation of a code."""
    if code == PRESSURE:
        pressures = (("8480-6", r.gauss(125, 15)), ("8462-4", r.gauss(80, 10)))
        return {
            "component": [
                {"code": coding(LOINC, part), "valueQuantity": _quantity(value, "mm[Hg]")} for part, value in pressures
            ]
        }
    if code == SMOKING:
        return {"valueCodeableConcept": coding("http://snomed.info/sct", r.choice(_SMOKING))}
    _, _, _, unit, mean, spread = MEASURES[CODES.index(code)]
    return {"valueQuantity": _quantity(r.gauss(mean, spread), unit)}


def _category(code: str) -> str:
    return MEASURES[CODES.index(code)][1] if code not in (PRESSURE, SMOKING) else "vital-signs"


def observation(number: int) -> Json:
    """Return the Observation of a number."""
    r = random.Random(number)
    (code,) = r.choices(CODES, cum_weights=_WEIGHTS)
    at = FIRST + timedelta(days=r.randrange(DAYS), seconds=r.randrange(86400))
    when = at.strftime("%Y-%m-%dT%H:%M:%SZ")
    made: Json = {
        "resourceType": "Observation",
        "id": f"o{number}",
        "status": r.choice(_STATUS),
        "category": [coding(CATEGORIES, _category(code))],
        "code": coding(LOINC, code),
        "subject": {"reference": f"Patient/p{r.randrange(PATIENTS)}"},
        **({"effectivePeriod": {"start": when}} if code == "93832-4" else {"effectiveDateTime": when}),
        **_said(r, code),
    }
    if number % 3 == 0:
        made["performer"] = [{"reference": f"Practitioner/d{r.randrange(PRACTITIONERS)}"}]
    if number % 20 == 0:
        made["identifier"] = [{"system": "urn:clinic:observations", "value": str(number)}]
    return made


_FAMILIES = (
    "Adams",
    "Baker",
    "Clark",
    "Davis",
    "Evans",
    "Fischer",
    "Garcia",
    "Huber",
    "Ivanova",
    "Jensen",
    "Kim",
    "Lopez",
)
_GIVENS = ("Anna", "Ben", "Carla", "David", "Eva", "Felix", "Greta", "Hugo", "Ines", "Jan", "Karin", "Leo")
CITIES = ("Boston", "Graz", "Wien", "Linz", "Bergen")
_CONDITIONS = ("35489007", "197480006", "191736004", "13746004", "44054006", "38341003")


def _patient(number: int) -> Json:
    r = random.Random(-1 - number)
    name = {"family": f"{r.choice(_FAMILIES)}{number}", "given": [r.choice(_GIVENS)]}
    return {
        "resourceType": "Patient",
        "id": f"p{number}",
        "identifier": [{"system": "urn:clinic:patients", "value": str(number)}],
        "name": [name],
        "gender": r.choice(("male", "female")),
        "birthDate": (FIRST - timedelta(days=r.randrange(6000, 30000))).strftime("%Y-%m-%d"),
        "address": [{"city": r.choice(CITIES)}],
        "managingOrganization": {"reference": f"Organization/h{number % 20}"},
    }


def _condition(number: int) -> Json:
    r = random.Random(number)
    return {
        "resourceType": "Condition",
        "id": f"c{number}",
        "clinicalStatus": coding("http://terminology.hl7.org/CodeSystem/condition-clinical", "active"),
        "code": coding("http://snomed.info/sct", r.choice(_CONDITIONS)),
        "subject": {"reference": f"Patient/p{number % PATIENTS}"},
        "onsetDateTime": (FIRST + timedelta(days=r.randrange(DAYS))).strftime("%Y-%m-%d"),
    }


def _encounter(number: int) -> Json:
    r = random.Random(number)
    start = FIRST + timedelta(days=r.randrange(DAYS))
    ends = start + timedelta(hours=r.choice((1, 2, 100)))
    return {
        "resourceType": "Encounter",
        "id": f"e{number}",
        "status": "finished",
        "class": {
            "system": "http://terminology.hl7.org/CodeSystem/v3-ActCode",
            "code": r.choice(("AMB", "IMP", "EMER")),
        },
        "subject": {"reference": f"Patient/p{number % PATIENTS}"},
        "period": {"start": start.strftime("%Y-%m-%dT%H:%M:%SZ"), "end": ends.strftime("%Y-%m-%dT%H:%M:%SZ")},
    }


def clinic() -> Iterator[Json]:
    """Yield everything but the Observations: 20 hospitals, 50 doctors, 2,000 patients, what they have and when they came."""
    for number in range(20):
        yield {"resourceType": "Organization", "id": f"h{number}", "name": f"Clinic {CITIES[number % 5]} {number}"}
    for number in range(PRACTITIONERS):
        name = {"family": _FAMILIES[number % 12], "given": [_GIVENS[number // 5]]}
        yield {"resourceType": "Practitioner", "id": f"d{number}", "name": [name]}
    yield from (_patient(number) for number in range(PATIENTS))
    yield from (_condition(number) for number in range(3 * PATIENTS))
    yield from (_encounter(number) for number in range(5 * PATIENTS))


async def load(tenant: Tenant, resources: Iterator[Json]) -> int:
    """Write the resources, and return how many there were."""
    count = 0
    while chunk := list(islice(resources, _CHUNK)):
        commands = [
            Command("create", r["resourceType"], r["id"], r, extract(tenant, r), origin=IMPORT, http_method=2)
            for r in chunk
        ]
        await commit(tenant, commands)
        count += len(chunk)
    return count
