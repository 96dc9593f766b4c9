"""The code systems and canonical URLs that the twin reads and writes; our own hang below one configurable base."""

from __future__ import annotations

from typing import Final

BASE: Final = "https://fhir.clarity.example"
"""Default stem of our own canonical URLs; every function that needs it takes `base` (settings.canonical_base)."""

LOINC: Final = "http://loinc.org"
SNOMED: Final = "http://snomed.info/sct"
UCUM: Final = "http://unitsofmeasure.org"
MDC: Final = "urn:iso:std:iso:11073:10101"
CATEGORY: Final = "http://terminology.hl7.org/CodeSystem/observation-category"

ALGORITHM: Final = "clarity-twin"
ALGORITHM_VERSION: Final = "3"
"""Part of every state's id: a change of any formula, table or threshold of this room raises it."""


def actigraphy(base: str = BASE) -> str:
    """Return our CodeSystem for what LOINC has no code for: activity counts, sleep stages, ISI, ASRM."""
    return f"{base}/CodeSystem/actigraphy"


def digital_twin(base: str = BASE) -> str:
    """Return our CodeSystem for what the twin computes: features, deviations, rules, methods."""
    return f"{base}/CodeSystem/digital-twin"


def origin(base: str = BASE) -> str:
    """Return the system of the `meta.tag` that marks who wrote a resource; code `twin` is never read as input."""
    return f"{base}/CodeSystem/origin"


def profile(name: str, base: str = BASE) -> str:
    """Return the canonical URL of one of our StructureDefinitions."""
    return f"{base}/StructureDefinition/{name}"
