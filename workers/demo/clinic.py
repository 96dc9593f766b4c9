"""The clinic around the demo patients: organization, practitioners, and per patient diagnoses, medication, encounters."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from workers.demo.chance import Chance, pick, some
from workers.demo.codes import (
    ICD10,
    NAMING,
    RXNORM,
    SOMATIC,
    TERMINOLOGY,
    Drug,
    coding,
    concept,
    snomed,
    term,
)
from workers.demo.people import Person, Resource
from workers.twin.codes import SNOMED, UCUM

STAFF: Final = (
    ("Adeyemi", "Folake", "female", "80584001", "Psychiatrist"),
    ("Bergström", "Nils", "male", "80584001", "Psychiatrist"),
    ("Chaudhry", "Samina", "female", "59944000", "Psychologist"),
    ("Delacroix", "Marc", "male", "224587008", "Community psychiatric nurse"),
)
VISITS: Final = (
    ("AMB", "ambulatory", "390906007", "Follow-up encounter"),
    ("VR", "virtual", "448337001", "Telemedicine consultation with patient"),
    ("VR", "virtual", "185317003", "Telephone encounter"),
)


def clinic() -> list[Resource]:
    """Return what all patients share: the organization and its staff."""
    organization: Resource = {
        "resourceType": "Organization",
        "id": "demo-clinic",
        "identifier": [{"system": f"{NAMING}/demo-organization", "value": "CLINIC-1"}],
        "active": True,
        "type": [term("organization-type", "prov", "Healthcare Provider")],
        "name": "Lakeside Outpatient Psychiatry",
        "telecom": [{"system": "phone", "value": "+1-555-010-0100", "use": "work"}],
        "address": [
            {"line": ["12 Linden Square"], "city": "Boston", "state": "MA", "postalCode": "02118", "country": "US"}
        ],
    }
    return [organization, *(_practitioner(i + 1) for i in range(len(STAFF)))]


def _practitioner(number: int) -> Resource:
    """Return one of the staff."""
    family, given, gender, code, display = STAFF[number - 1]
    return {
        "resourceType": "Practitioner",
        "id": f"demo-practitioner-{number}",
        "identifier": [{"system": f"{NAMING}/demo-practitioner", "value": f"P{number:04d}"}],
        "active": True,
        "name": [{"use": "official", "family": family, "given": [given], "prefix": ["Dr."] if number < 4 else ["Ms."]}],
        "telecom": [{"system": "email", "value": f"staff.{number}@example.org", "use": "work"}],
        "gender": gender,
        "qualification": [{"code": snomed(code, display), "issuer": {"reference": "Organization/demo-clinic"}}],
    }


def record(who: Person) -> Iterator[Resource]:
    """Yield diagnoses, medication, encounters and care team of a patient."""
    rng = who.chance("record")
    began = who.first - timedelta(days=int(rng.integers(200, 3000)))
    yield _condition(who, "main", who.diagnosis.snomed, who.diagnosis.icd10, began)
    for i, (code, icd) in enumerate(some(rng, SOMATIC, int(rng.integers(0, 3)))):
        yield _condition(who, f"other-{i + 1}", code, icd, began - timedelta(days=int(rng.integers(0, 2000))))
    for i, drug in enumerate(some(rng, who.diagnosis.drugs, int(rng.integers(1, 3)))):
        yield from _medication(rng, who, drug, i + 1)
    yield from _encounters(rng, who)
    yield _team(who)


def _condition(who: Person, key: str, code: tuple[str, str], icd: tuple[str, str], began: date) -> Resource:
    """Return an active diagnosis in SNOMED CT and ICD-10-CM."""
    return {
        "resourceType": "Condition",
        "id": f"{who.id}-condition-{key}",
        "clinicalStatus": {"coding": [{"system": f"{TERMINOLOGY}/condition-clinical", "code": "active"}]},
        "verificationStatus": {"coding": [{"system": f"{TERMINOLOGY}/condition-ver-status", "code": "confirmed"}]},
        "category": [term("condition-category", "problem-list-item", "Problem List Item")],
        "code": {"coding": [coding(SNOMED, *code), coding(ICD10, *icd)], "text": code[1]},
        "subject": who.reference,
        "onsetDateTime": began.isoformat(),
        "recordedDate": began.isoformat(),
        "recorder": {"reference": f"Practitioner/demo-practitioner-{who.number % 2 + 1}"},
    }


def _medication(rng: Chance, who: Person, drug: Drug, number: int) -> Iterator[Resource]:
    """Yield the prescription, and for most what the patient says about taking it."""
    start = who.first - timedelta(days=int(rng.integers(10, 600)))
    dosage = {
        "text": f"{drug.dose} mg once a day",
        "timing": {"repeat": {"frequency": 1, "period": 1, "periodUnit": "d", "when": [drug.when]}},
        "doseAndRate": [{"doseQuantity": {"value": drug.dose, "unit": "mg", "system": UCUM, "code": "mg"}}],
    }
    stem = f"{who.id}-{drug.name}"
    yield {
        "resourceType": "MedicationRequest",
        "id": f"{stem}-request",
        "status": "active",
        "intent": "order",
        "medicationCodeableConcept": concept(RXNORM, drug.rxnorm, drug.name),
        "subject": who.reference,
        "authoredOn": start.isoformat(),
        "requester": {"reference": f"Practitioner/demo-practitioner-{who.number % 2 + 1}"},
        "reasonReference": [{"reference": f"Condition/{who.id}-condition-main"}],
        "dosageInstruction": [dosage],
    }
    if number == 1 or rng.random() < 0.5:
        yield {
            "resourceType": "MedicationStatement",
            "id": f"{stem}-statement",
            "basedOn": [{"reference": f"MedicationRequest/{stem}-request"}],
            "status": "active",
            "medicationCodeableConcept": concept(RXNORM, drug.rxnorm, drug.name),
            "subject": who.reference,
            "effectivePeriod": {"start": start.isoformat()},
            "dateAsserted": who.first.isoformat(),
            "informationSource": who.reference,
            "dosage": [dosage],
        }


def _encounters(rng: Chance, who: Person) -> Iterator[Resource]:
    """Yield a visit about every month, and one a few days into an episode."""
    days = [int(rng.integers(0, 12)) + 30 * i for i in range(-(-who.days // 30))]
    if who.episode is not None:
        days.append((who.episode.onset - who.first).days + 6)
    for day in sorted({day for day in days if 0 <= day < who.days}):
        yield _encounter(rng, who, who.first + timedelta(days=day))


def _encounter(rng: Chance, who: Person, day: date) -> Resource:
    """Return a finished visit."""
    code, display, snomed_code, kind = pick(rng, VISITS)
    start = datetime(day.year, day.month, day.day, int(rng.integers(9, 16)), 30, tzinfo=ZoneInfo(who.place[4]))
    return {
        "resourceType": "Encounter",
        "id": f"{who.id}-encounter-{day:%Y%m%d}",
        "status": "finished",
        "class": coding(f"{TERMINOLOGY}/v3-ActCode", code, display),
        "type": [snomed(snomed_code, kind)],
        "subject": who.reference,
        "participant": [{"individual": {"reference": f"Practitioner/demo-practitioner-{who.number % 4 + 1}"}}],
        "period": {"start": start.isoformat(), "end": (start + timedelta(minutes=45)).isoformat()},
        "reasonReference": [{"reference": f"Condition/{who.id}-condition-main"}],
        "serviceProvider": {"reference": "Organization/demo-clinic"},
    }


def _team(who: Person) -> Resource:
    """Return the care team."""
    members = sorted({who.number % 2 + 1, 3, 4})
    return {
        "resourceType": "CareTeam",
        "id": f"{who.id}-team",
        "status": "active",
        "name": "Outpatient psychiatry team",
        "subject": who.reference,
        "participant": [
            {
                "role": [snomed(STAFF[i - 1][3], STAFF[i - 1][4])],
                "member": {"reference": f"Practitioner/demo-practitioner-{i}"},
            }
            for i in members
        ],
        "managingOrganization": [{"reference": "Organization/demo-clinic"}],
    }
