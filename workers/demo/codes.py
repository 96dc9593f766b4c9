"""Codings of the demo's clinical data, as tables of (system, code, display)."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from workers.twin.codes import BASE, LOINC, SNOMED

ICD10: Final = "http://hl7.org/fhir/sid/icd-10-cm"
RXNORM: Final = "http://www.nlm.nih.gov/research/umls/rxnorm"
TERMINOLOGY: Final = "http://terminology.hl7.org/CodeSystem"
NAMING: Final = f"{BASE}/NamingSystem"


class Drug(NamedTuple):
    """A medicine with its RxNorm ingredient, daily dose in mg and the time it is taken."""

    rxnorm: str
    name: str
    dose: int
    when: str


class Diagnosis(NamedTuple):
    """What a demo patient has: codes, drugs, usual PHQ-9 and GAD-7 and the kinds of episode that may befall."""

    key: str
    snomed: tuple[str, str]
    icd10: tuple[str, str]
    drugs: tuple[Drug, ...]
    phq9: float
    gad7: float
    episodes: tuple[str, ...]


SSRIS: Final = (
    Drug("36437", "sertraline", 100, "MORN"),
    Drug("321988", "escitalopram", 10, "MORN"),
    Drug("4493", "fluoxetine", 20, "MORN"),
    Drug("2556", "citalopram", 20, "MORN"),
)
OTHERS: Final = (Drug("39786", "venlafaxine", 150, "MORN"), Drug("15996", "mirtazapine", 30, "HS"))
MOOD: Final = (
    Drug("6448", "lithium", 900, "HS"),
    Drug("28439", "lamotrigine", 200, "MORN"),
    Drug("51272", "quetiapine", 300, "HS"),
)
PSYCHOSIS: Final = (
    Drug("35636", "risperidone", 4, "HS"),
    Drug("61381", "olanzapine", 10, "HS"),
    Drug("89013", "aripiprazole", 15, "MORN"),
)

DIAGNOSES: Final = (
    Diagnosis(
        "depression",
        ("36923009", "Major depression, single episode"),
        ("F32.1", "Major depressive disorder, single episode, moderate"),
        SSRIS + OTHERS,
        9,
        6,
        ("depressive", "sleep-loss"),
    ),
    Diagnosis(
        "recurrent",
        ("66344007", "Recurrent major depression"),
        ("F33.1", "Major depressive disorder, recurrent, moderate"),
        SSRIS + OTHERS,
        10,
        6,
        ("depressive", "withdrawal"),
    ),
    Diagnosis(
        "bipolar",
        ("13746004", "Bipolar disorder"),
        ("F31.9", "Bipolar disorder, unspecified"),
        MOOD,
        7,
        5,
        ("manic", "depressive"),
    ),
    Diagnosis(
        "anxiety",
        ("21897009", "Generalized anxiety disorder"),
        ("F41.1", "Generalized anxiety disorder"),
        SSRIS,
        6,
        10,
        ("anxious", "sleep-loss"),
    ),
    Diagnosis(
        "schizophrenia",
        ("58214004", "Schizophrenia"),
        ("F20.9", "Schizophrenia, unspecified"),
        PSYCHOSIS,
        7,
        6,
        ("phase-shift", "withdrawal"),
    ),
)

SOMATIC: Final = (
    (("38341003", "Hypertensive disorder, systemic arterial"), ("I10", "Essential (primary) hypertension")),
    (("44054006", "Diabetes mellitus type 2"), ("E11.9", "Type 2 diabetes mellitus without complications")),
    (("40930008", "Hypothyroidism"), ("E03.9", "Hypothyroidism, unspecified")),
    (("37796009", "Migraine"), ("G43.909", "Migraine, unspecified, not intractable")),
    (("195967001", "Asthma"), ("J45.909", "Unspecified asthma, uncomplicated")),
    (("193462001", "Insomnia"), ("G47.00", "Insomnia, unspecified")),
)


def coding(system: str, code: str, display: str) -> dict[str, Any]:
    """Return a Coding."""
    return {"system": system, "code": code, "display": display}


def concept(system: str, code: str, display: str) -> dict[str, Any]:
    """Return a CodeableConcept of one coding."""
    return {"coding": [coding(system, code, display)], "text": display}


def loinc(code: str, display: str) -> dict[str, Any]:
    """Return a CodeableConcept of LOINC."""
    return concept(LOINC, code, display)


def snomed(code: str, display: str) -> dict[str, Any]:
    """Return a CodeableConcept of SNOMED CT."""
    return concept(SNOMED, code, display)


def term(system: str, code: str, display: str) -> dict[str, Any]:
    """Return a CodeableConcept of a code system of terminology.hl7.org."""
    return concept(f"{TERMINOLOGY}/{system}", code, display)
