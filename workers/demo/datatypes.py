"""Plausible values of R4's data types for the corpus: a table from type to builder, for primitives and common structures."""

from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, Final

from profiles.psych.questionnaires import GAD7, PHQ9
from workers.demo.chance import Chance, digits, pick, some
from workers.demo.codes import DIAGNOSES, NAMING, SOMATIC, TERMINOLOGY, coding
from workers.demo.people import FAMILY, GIVEN, PLACES, STREETS
from workers.twin.codes import BASE, LOINC, SNOMED, UCUM

Builder = Callable[[Chance], Any]

PHRASES: Final = (
    "Reviewed with the patient.",
    "Follow up in four weeks.",
    "Sleep has improved since the last visit.",
    "No side effects reported.",
    "Continue current treatment.",
    "Patient reports low mood and loss of interest.",
    "Discussed sleep hygiene and daily activity.",
    "Referred for psychotherapy.",
    "Within normal limits",
    "See attached report",
)
UNITS: Final = (
    ("mg", "mg"),
    ("mmol/L", "mmol/L"),
    ("beats/minute", "/min"),
    ("kg", "kg"),
    ("mm[Hg]", "mm[Hg]"),
    ("%", "%"),
    ("h", "h"),
    ("minutes", "min"),
    ("{score}", "{score}"),
)
MEASURED: Final = (
    ("8302-2", "Body Height"),
    ("29463-7", "Body Weight"),
    ("39156-5", "Body Mass Index"),
    ("85354-9", "Blood Pressure"),
    ("8480-6", "Systolic Blood Pressure"),
    ("8462-4", "Diastolic Blood Pressure"),
    ("8867-4", "Heart rate"),
    ("9279-1", "Respiratory rate"),
    ("8310-5", "Body temperature"),
    ("72166-2", "Tobacco smoking status NHIS"),
    ("4548-4", "Hemoglobin A1c/Hemoglobin.total in Blood"),
    ("2339-0", "Glucose"),
    ("2947-0", "Sodium"),
    ("6298-4", "Potassium"),
    ("38483-4", "Creatinine"),
    ("2093-3", "Total Cholesterol"),
)
SYSTEMS: Final = (
    ("http://www.nlm.nih.gov/research/umls/rxnorm", "sertraline 50 MG Oral Tablet"),
    ("http://hl7.org/fhir/sid/cvx", "Influenza, seasonal, injectable, preservative free"),
    ("http://hl7.org/fhir/sid/ndc", "Oral tablet"),
    ("http://snomed.info/sct", "Procedure (procedure)"),
    ("http://unitsofmeasure.org", "milligram"),
    (f"{TERMINOLOGY}/v3-ActCode", "ambulatory"),
    (f"{TERMINOLOGY}/v3-RoleCode", "Hospital"),
    (f"{TERMINOLOGY}/v2-0203", "Medical Record Number"),
    (f"{TERMINOLOGY}/observation-category", "vital-signs"),
    (f"{TERMINOLOGY}/condition-clinical", "resolved"),
    (f"{TERMINOLOGY}/condition-ver-status", "confirmed"),
    (f"{TERMINOLOGY}/claim-type", "institutional"),
    (f"{TERMINOLOGY}/ex-serviceplace", "Service place"),
    (f"{TERMINOLOGY}/adjudication", "submitted"),
    (f"{TERMINOLOGY}/organization-type", "Healthcare Provider"),
    ("urn:ietf:bcp:47", "English"),
    ("urn:oid:2.16.840.1.113883.6.238", "White"),
)
NAMED: Final = (
    "http://hl7.org/fhir/sid/us-ssn",
    "http://hl7.org/fhir/sid/us-npi",
    "https://github.com/example/patients",
    "urn:ietf:rfc:3986",
    f"{NAMING}/mrn",
    f"{NAMING}/order",
    f"{NAMING}/device",
)
PROFILES: Final = (
    *("patient", "practitioner", "organization", "encounter", "condition", "immunization", "procedure"),
    *("medicationrequest", "careplan", "careteam", "allergyintolerance", "observation-lab"),
    *("diagnosticreport-note", "documentreference", "implantable-device", "smokingstatus"),
)
"""What real systems write again and again: measurements, code systems, identifier systems, US Core profiles."""

ZONES: Final = ("Z", "+01:00", "-05:00", "+02:00")


def day(rng: Chance) -> str:
    """Return a date of the last decade."""
    return (date(2016, 1, 1) + timedelta(days=int(rng.integers(0, 3900)))).isoformat()


def instant(rng: Chance) -> str:
    """Return an instant."""
    seconds = f"{int(rng.integers(24)):02d}:{int(rng.integers(60)):02d}:{int(rng.integers(60)):02d}"
    return f"{day(rng)}T{seconds}{'.' + digits(rng, 3) if rng.random() < 0.4 else ''}{pick(rng, ZONES)}"


def decimal(rng: Chance) -> Decimal:
    """Return a number with one or two decimals."""
    return Decimal(int(rng.integers(1, 30000))).scaleb(-int(rng.integers(1, 3)))


def identifier(rng: Chance) -> str:
    """Return a logical id: of ours, a number or a UUID."""
    hexadecimal = rng.bytes(16).hex()
    return pick(rng, (f"{hexadecimal[:26]}", digits(rng, 6), _uuid(hexadecimal)))


def _uuid(text: str) -> str:
    """Return 32 hexadecimal digits as a UUID."""
    return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-a{text[17:20]}-{text[20:]}"


PRIMITIVES: Final[dict[str, Builder]] = {
    "boolean": lambda rng: bool(rng.random() < 0.5),
    "integer": lambda rng: int(rng.integers(0, 200)),
    "unsignedInt": lambda rng: int(rng.integers(0, 200)),
    "positiveInt": lambda rng: int(rng.integers(1, 200)),
    "decimal": decimal,
    "string": lambda rng: pick(rng, PHRASES),
    "markdown": lambda rng: " ".join(some(rng, PHRASES, 2)),
    "code": lambda rng: pick(rng, ("final", "active", "en", "en-US")),
    "id": identifier,
    "uri": lambda rng: f"{BASE}/{pick(rng, ('ValueSet', 'CodeSystem', 'Library'))}/{digits(rng, 4)}",
    "url": lambda rng: f"https://www.example.org/fhir/Binary/{digits(rng, 5)}",
    "canonical": lambda rng: f"{BASE}/StructureDefinition/demo-{digits(rng, 2)}",
    "oid": lambda rng: f"urn:oid:2.16.840.1.113883.3.{digits(rng, 4)}",
    "uuid": lambda rng: f"urn:uuid:{_uuid(rng.bytes(16).hex())}",
    "date": day,
    "dateTime": lambda rng: day(rng) if rng.random() < 0.4 else instant(rng),
    "instant": instant,
    "time": lambda rng: f"{int(rng.integers(24)):02d}:{int(rng.integers(60)):02d}:00",
    "base64Binary": lambda rng: base64.b64encode(rng.bytes(24)).decode(),
    "xhtml": lambda rng: f'<div xmlns="http://www.w3.org/1999/xhtml"><p>{pick(rng, PHRASES)}</p></div>',
}


def clinical_coding(rng: Chance) -> dict[str, Any]:
    """Return a coding as psychiatric records have them."""
    table = pick(rng, ("snomed", "icd", "loinc", "measured", "other"))
    if table == "loinc":
        return coding(*pick(rng, PHQ9.items + GAD7.items))
    if table == "measured":
        return coding(LOINC, *pick(rng, MEASURED))
    if table == "other":
        system, display = pick(rng, SYSTEMS)
        return coding(system, digits(rng, 6), display)
    codes = [(found.snomed, found.icd10) for found in DIAGNOSES] + list(SOMATIC)
    snomed, icd = codes[int(rng.integers(len(codes)))]
    return coding(SNOMED, *snomed) if table == "snomed" else coding("http://hl7.org/fhir/sid/icd-10-cm", *icd)


def _concept(rng: Chance) -> dict[str, Any]:
    found = clinical_coding(rng)
    return {"coding": [found]} | ({"text": found["display"]} if rng.random() < 0.6 else {})


def _quantity(rng: Chance) -> dict[str, Any]:
    unit, code = pick(rng, UNITS)
    return {"value": decimal(rng), "unit": unit, "system": UCUM, "code": code}


def _timed(code: str, unit: str) -> Builder:
    """Return a builder of a Quantity whose unit is bound to time, length, money."""
    return lambda rng: {"value": int(rng.integers(1, 90)), "unit": unit, "system": UCUM, "code": code}


def _period(rng: Chance) -> dict[str, Any]:
    start = date.fromisoformat(day(rng))
    end = start + timedelta(days=int(rng.integers(0, 90)))
    return {"start": start.isoformat()} | ({"end": end.isoformat()} if rng.random() < 0.6 else {})


def _range(rng: Chance) -> dict[str, Any]:
    low, high = int(rng.integers(1, 50)), int(rng.integers(50, 100))
    unit = {"unit": "mg", "system": UCUM, "code": "mg"}
    return {"low": {"value": low, **unit}, "high": {"value": high, **unit}}


def _identifier(rng: Chance) -> dict[str, Any]:
    return {"system": pick(rng, NAMED), "value": pick(rng, (digits(rng, 8), identifier(rng)))}


def _name(rng: Chance) -> dict[str, Any]:
    gender = pick(rng, ("female", "male"))
    return {"use": "official", "family": pick(rng, FAMILY), "given": some(rng, GIVEN[gender], int(rng.integers(1, 3)))}


def _address(rng: Chance) -> dict[str, Any]:
    city, state, postal, country, _ = pick(rng, PLACES)
    line = [f"{int(rng.integers(1, 999))} {pick(rng, STREETS)}"]
    return {"use": "home", "line": line, "city": city, "state": state, "postalCode": postal, "country": country}


def _contact(rng: Chance) -> dict[str, Any]:
    if rng.random() < 0.5:
        return {"system": "email", "value": f"contact.{digits(rng, 3)}@example.org", "use": "work"}
    return {"system": "phone", "value": f"+1-555-{digits(rng, 3)}-{digits(rng, 4)}", "use": "mobile"}


def _attachment(rng: Chance) -> dict[str, Any]:
    address = f"https://www.example.org/fhir/Binary/{digits(rng, 5)}"
    return {"contentType": "application/pdf", "language": "en", "url": address, "title": "Report", "creation": day(rng)}


def _sampled(rng: Chance) -> dict[str, Any]:
    origin = {"value": 0, "unit": "/min", "system": UCUM, "code": "/min"}
    data = " ".join(str(n) for n in rng.integers(55, 110, 60).tolist())
    return {"origin": origin, "period": 60000, "dimensions": 1, "data": data}


def _timing(rng: Chance) -> dict[str, Any]:
    return {"repeat": {"frequency": int(rng.integers(1, 4)), "period": 1, "periodUnit": "d"}}


def _meta(rng: Chance) -> dict[str, Any]:
    out: dict[str, Any] = {"versionId": str(int(rng.integers(1, 9))), "lastUpdated": f"{day(rng)}T10:00:00.000Z"}
    if rng.random() < 0.5:
        out["profile"] = [f"http://hl7.org/fhir/us/core/StructureDefinition/us-core-{pick(rng, PROFILES)}"]
    if rng.random() < 0.2:
        out["security"] = [coding(f"{TERMINOLOGY}/v3-Confidentiality", "R", "restricted")]
    return out


def _extension(rng: Chance) -> dict[str, Any]:
    return {"url": f"{BASE}/StructureDefinition/demo-{digits(rng, 2)}", "valueString": pick(rng, PHRASES)}


def _narrative(rng: Chance) -> dict[str, Any]:
    return {"status": "generated", "div": PRIMITIVES["xhtml"](rng)}


STRUCTURES: Final[dict[str, Builder]] = {
    "Coding": clinical_coding,
    "CodeableConcept": _concept,
    "Quantity": _quantity,
    "Age": _timed("a", "years"),
    "Duration": _timed("h", "hours"),
    "Distance": _timed("m", "metres"),
    "Count": lambda rng: {"value": int(rng.integers(1, 90)), "system": UCUM, "code": "1"},
    "Money": lambda rng: {"value": decimal(rng), "currency": "USD"},
    "Period": _period,
    "Range": _range,
    "Ratio": lambda rng: {"numerator": _quantity(rng), "denominator": _timed("d", "days")(rng)},
    "Identifier": _identifier,
    "HumanName": _name,
    "Address": _address,
    "ContactPoint": _contact,
    "Attachment": _attachment,
    "SampledData": _sampled,
    "Timing": _timing,
    "Meta": _meta,
    "Extension": _extension,
    "Narrative": _narrative,
    "Annotation": lambda rng: {"time": instant(rng), "text": pick(rng, PHRASES)},
    "Expression": lambda rng: {"language": "text/fhirpath", "expression": f"Patient.name.count() > {digits(rng, 1)}"},
    "UsageContext": lambda rng: {
        "code": coding(f"{TERMINOLOGY}/usage-context-type", "focus", "Clinical Focus"),
        "valueCodeableConcept": _concept(rng),
    },
}
