"""A small population for the oracle: few distinct values, so that queries hit, and every oddity that the kinds know."""

from __future__ import annotations

import random
from decimal import Decimal
from typing import Any

Resource = dict[str, Any]
LOINC, SNOMED, UCUM = "http://loinc.org", "http://snomed.info/sct", "http://unitsofmeasure.org"
OTHER = "urn:iso:std:iso:11073:10101"
CODES = [
    (LOINC, "8867-4"),
    (LOINC, "8480-6"),
    (SNOMED, "8480-6"),
    (LOINC, "abc"),
    ("", "abc"),
    (OTHER, "ABC"),
    (SNOMED, "x,y$z|1"),
]
FAMILIES = [
    "Müller",
    "Mueller",
    "muller-schmidt",
    "O'Neill",
    "van der Berg",
    "Vandenberg",
    "Åström",
    "Schwarzenegger-Kennedy",
    "Li",
]
GIVENS = ["Anna", "ANNE", "Ann Marie", "Zoë", "José", "Jose", "Christopher", "Christoph"]
CITIES = ["Amsterdam", "amstelveen", "São Paulo", "SAO TOME", "Raynham", "New  York"]
NUMBERS = ["5", "5.0", "5.40", "5.44", "5.5", "100", "99.5", "100.4", "100.5", "0", "-3", "0.0054", "1e2", "7000", "7"]
UNITS = [
    {"system": UCUM, "code": "kg", "unit": "kg"}, {"system": UCUM, "code": "g", "unit": "gram"}, {"system": UCUM, "code": "mg"},
    {"system": UCUM, "code": "cm", "unit": "centimeter"}, {"system": UCUM, "code": "m", "unit": "m"}, {"unit": "lbs"},
    {"system": OTHER, "code": "mg", "unit": "milligram"}, {"system": UCUM, "code": "h"}, {},
]  # fmt: skip
DATES = [
    "2020", "2021", "2021-03", "2021-12", "2021-03-04", "2021-03-05", "2021-03-04T10:00:00Z", "2021-03-04T23:30:00-05:00",
    "2021-03-04T10:00:00.500Z", "2021-12-31T23:59:59Z", "1999-12-31", "2024-02-29",
]  # fmt: skip
REFERENCES = [
    "Patient/p1",
    "Patient/p2",
    "Device/p1",
    "Group/g1",
    "http://other.example/fhir/Patient/p1",
    "Patient/p1/_history/2",
]
URLS = [
    "http://example.org/vs/A", "http://example.org/vs/a", "urn:oid:1.2.3", "http://example.org/vs/A/deeper/", "http://example.org/vs",
    "http://example.org/vsA", "http://example.org", "https://example.org/vs/A",
]  # fmt: skip
PROFILES = ["http://example.org/p", "http://example.org/p|1", "http://example.org/p/q|1", "http://example.org/pq"]
TYPES = (
    "Patient",
    "Observation",
    "Encounter",
    "Condition",
    "Organization",
    "RiskAssessment",
    "ValueSet",
    "Group",
    "DocumentReference",
)


TERMS: list[Resource] = [
    {
        "resourceType": "CodeSystem", "id": "terms", "url": SNOMED, "status": "active", "content": "complete",
        "concept": [{"code": "8480-6", "concept": [{"code": "x,y$z|1"}]}, {"code": "other"}],
    },
    {
        "resourceType": "ValueSet", "id": "terms-some", "url": "http://example.org/terms/some", "status": "active",
        "compose": {
            "include": [{"system": LOINC, "concept": [{"code": "8867-4"}]}, {"system": OTHER, "concept": [{"code": "abc"}]}],
        },
    },
    {
        "resourceType": "ValueSet", "id": "terms-below", "url": "http://example.org/terms/below", "status": "active",
        "compose": {
            "include": [{"system": SNOMED, "filter": [{"property": "concept", "op": "is-a", "value": "8480-6"}]}],
            "exclude": [{"system": SNOMED, "concept": [{"code": "8480-6"}]}],
        },
    },
    {
        "resourceType": "ValueSet", "id": "terms-all", "url": "http://example.org/terms/all", "status": "active",
        "compose": {"include": [{"system": LOINC}, {"valueSet": ["http://example.org/terms/below"]}]},
    },
]  # fmt: skip
MEMBERS: dict[str, set[tuple[str, str]]] = {
    "http://example.org/terms/some": {(LOINC, "8867-4"), (OTHER, "abc")},
    "http://example.org/terms/below": {(SNOMED, "x,y$z|1")},
    "http://example.org/terms/all": {(LOINC, "8867-4"), (LOINC, "8480-6"), (LOINC, "abc"), (SNOMED, "x,y$z|1")},
}
"""The members among CODES of the value sets of TERMS, by hand; CODES in lower case."""
NEAR: dict[tuple[str, str], set[tuple[str, str]]] = {
    ("below", "8480-6"): {(SNOMED, "8480-6"), (SNOMED, "x,y$z|1")},
    ("above", "8480-6"): {(SNOMED, "8480-6")},
    ("below", "x,y$z|1"): {(SNOMED, "x,y$z|1")},
    ("above", "x,y$z|1"): {(SNOMED, "8480-6"), (SNOMED, "x,y$z|1")},
    ("below", "other"): set(),
    ("above", "other"): set(),
}


class Maker:
    """Makes resources from one seed."""

    def __init__(self, seed: int) -> None:
        self.r = random.Random(seed)

    def some(self, items: list[Any], most: int = 2) -> list[Any]:
        return self.r.sample(items, self.r.randint(0, most))

    def concept(self) -> Resource:
        codings = [({"system": s} if s else {}) | {"code": c} for s, c in self.r.sample(CODES, self.r.randint(1, 2))]
        return {"coding": codings} if self.r.random() < 0.8 else {"text": "Only text"}

    def quantity(self) -> Resource:
        out: Resource = {"value": Decimal(self.r.choice(NUMBERS)), **self.r.choice(UNITS)}
        if self.r.random() < 0.2:
            out["comparator"] = self.r.choice(["<", "<=", ">", ">="])
        return out

    def period(self) -> Resource:
        first, last = sorted(self.r.sample(["2020-05", "2021-03-04", "2021-03-04T12:00:00Z", "2021-06-01", "2023"], 2))
        out = {"start": first, "end": last}
        for end in self.some(["start", "end"], 1):
            del out[end]
        return out

    def timing(self) -> Resource:
        return (
            {"event": self.r.sample(DATES, self.r.randint(1, 3))}
            if self.r.random() < 0.5
            else {"repeat": {"boundsPeriod": self.period()}}
        )

    def reference(self) -> Resource:
        if self.r.random() < 0.15:
            return {"identifier": {"system": "http://ids", "value": self.r.choice(["A-1", "a-1", "B|2"])}}
        return {"reference": self.r.choice(REFERENCES)}

    def identifier(self, value: str) -> Resource:
        out: Resource = {"system": "http://mrn", "value": value}
        types = [
            {"system": s, "code": c}
            for s, c in self.some([("http://types", "MR"), ("http://types", "SS"), ("http://t2", "MR")])
        ]
        return out | ({"type": {"coding": types}} if types else {})

    def value(self) -> Resource:
        return self.r.choice(
            [
                lambda: {"valueQuantity": self.quantity()},
                lambda: {"valueQuantity": self.quantity()},
                lambda: {"valueCodeableConcept": self.concept()},
                lambda: {"valueString": self.r.choice(FAMILIES)},
                lambda: {"valueDateTime": self.r.choice(DATES)},
                lambda: {
                    "valueSampledData": {
                        "origin": {"value": Decimal(5), **UNITS[0]},
                        "period": 1,
                        "dimensions": 1,
                        "data": "1 2 E 3",
                    }
                },
                dict,
            ]
        )()

    def patient(self) -> Resource:
        name = {
            "family": self.r.choice(FAMILIES),
            "given": self.some(GIVENS),
            "text": self.r.choice([*FAMILIES, "Dr. X"]),
        }
        out: Resource = {
            "name": [{k: v for k, v in name.items() if v}],
            "gender": self.r.choice(["male", "female"]),
            "identifier": [self.identifier(v) for v in self.some(["1", "A-1", "a-1"])],
            "telecom": [{"system": s, "use": "home", "value": "(03) 5555"} for s in self.some(["phone", "email"])],
            "address": [{"city": c, "line": ["1 Main St"]} for c in self.some(CITIES)],
        }
        if self.r.random() < 0.8:
            out["birthDate"] = self.r.choice([d for d in DATES if "T" not in d])
        if self.r.random() < 0.3:
            out["deceasedBoolean"] = self.r.random() < 0.5
        return out

    def observation(self) -> Resource:
        when = self.r.choice(["effectiveDateTime", "effectivePeriod", "effectiveTiming", ""])
        out: Resource = {
            "status": self.r.choice(["final", "amended"]),
            "code": self.concept(),
            "subject": self.reference(),
            **self.value(),
        }
        if when:
            out[when] = {"D": lambda: self.r.choice(DATES), "P": self.period, "T": self.timing}[when[9]]()
        out["component"] = [{"code": self.concept(), **self.value()} for _ in range(self.r.choice([0, 0, 1, 2]))]
        out["category"] = [self.concept() for _ in range(self.r.randint(0, 2))]
        return out

    def encounter(self) -> Resource:
        coding = dict(zip(("system", "code"), self.r.choice(CODES[:4]), strict=True))
        return {"status": "finished", "class": coding, "period": self.period(), "subject": self.reference()}

    def condition(self) -> Resource:
        onset = self.r.choice(
            [{"onsetDateTime": self.r.choice(DATES)}, {"onsetPeriod": self.period()}, {"onsetString": "Ann Marie"}, {}]
        )
        return {"subject": {"reference": "Patient/p1"}, "code": self.concept(), **onset}

    def organization(self) -> Resource:
        return {
            "name": self.r.choice([*FAMILIES, *CITIES]),
            "alias": self.some(CITIES),
            "address": [{"city": self.r.choice(CITIES)}],
        }

    def riskassessment(self) -> Resource:
        bounds = {"low": {"value": Decimal("0.2")}, "high": {"value": Decimal("0.5")}}
        for end in self.some(["low", "high"], 1):
            del bounds[end]
        made = [{"probabilityDecimal": Decimal(self.r.choice(NUMBERS))}, {"probabilityRange": bounds}, {}]
        return {
            "status": "final",
            "subject": {"reference": "Patient/p2"},
            "prediction": [self.r.choice(made) for _ in range(2)],
        }

    def valueset(self) -> Resource:
        use = {"code": {"system": "http://u", "code": "focus"}}
        context = [{**use, "valueQuantity": self.quantity()}, {**use, "valueCodeableConcept": self.concept()}]
        url = self.r.choice(URLS)
        return {
            "status": "active",
            "url": url,
            "version": self.r.choice(["1.0", "1.0.1"]),
            "useContext": self.some(context),
        }

    def group(self) -> Resource:
        kinds = [{"valueCodeableConcept": self.concept()}, {"valueBoolean": True}, {"valueQuantity": self.quantity()}]
        return {
            "type": "person",
            "actual": True,
            "characteristic": [{"code": self.concept(), "exclude": False, **self.r.choice(kinds)} for _ in range(2)],
        }

    def documentreference(self) -> Resource:
        related = [
            {"code": c, "target": {"reference": f"DocumentReference/d{n}"}}
            for c, n in self.some([("replaces", 1), ("signs", 2), ("replaces", 2)])
        ]
        return {"status": "current", "relatesTo": related}

    def make(self, type_: str, id_: str) -> Resource:
        """One resource; empty lists are left out, and some carry meta."""
        made = {name: value for name, value in getattr(self, type_.lower())().items() if value not in ([], {})}
        meta: Resource = {}
        if self.r.random() < 0.4:
            meta["tag"] = [{"system": "http://tags", "code": self.r.choice(["red", "Blue"])}]
        if self.r.random() < 0.3:
            meta["profile"] = [self.r.choice(PROFILES)]
        return {"resourceType": type_, "id": id_, **({"meta": meta} if meta else {}), **made}


def population(seed: int, each: int) -> list[Resource]:
    """Return `each` resources of every type."""
    maker = Maker(seed)
    return [maker.make(type_, f"{type_.lower()[0]}{number}") for type_ in TYPES for number in range(1, each + 1)]
