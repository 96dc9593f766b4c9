"""Fifty searches over the ward of `million.py`, each with what it must find said a second time, in Python."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from typing import Any

from tests.bench import million
from tests.bench.million import LOINC, Json

PAGE = 20
PATIENTS = tuple(f"p{number}" for number in range(3, 2000, 250))
"""Whom `{p}` stands for, in turn."""

Naive = Callable[[Json, str], bool]


@dataclass(frozen=True, slots=True)
class Shape:
    """A search, the type it is over, and whether a resource is meant, `{p}` being a patient."""

    query: str
    naive: Naive
    type: str = "Observation"
    of: str = ""
    """The type that `naive` is about where that is another one: meant are the Patients of whom some such resource speaks."""

    @property
    def counts(self) -> bool:
        """Whether it asks for a number instead of resources, or beside them."""
        return "_summary=count" in self.query or "_total=accurate" in self.query

    @property
    def patients(self) -> tuple[str, ...]:
        """Those it is asked for."""
        return PATIENTS if "{p}" in self.query else ("",)


# ---- what a resource says ----


def _code(o: Json) -> str:
    found: str = o["code"]["coding"][0]["code"]
    return found


def _of(o: Json, patient: str) -> bool:
    return bool(o["subject"]["reference"] == f"Patient/{patient}")


def _category(o: Json, code: str) -> bool:
    return bool(o["category"][0]["coding"][0]["code"] == code)


def _start(o: Json) -> str:
    found: str = o["effectiveDateTime"] if "effectiveDateTime" in o else o["effectivePeriod"]["start"]
    return found


def _within(o: Json, first: str, last: str) -> bool:
    """Tell whether a date is contained; what has no end is contained in nothing."""
    return "effectiveDateTime" in o and first <= _start(o) < last


def _from(o: Json, first: str) -> bool:
    return "effectivePeriod" in o or _start(o) >= first


def _before(o: Json, last: str) -> bool:
    return _start(o) < last


def _value(o: Json, unit: str | None = None) -> Decimal | None:
    quantity = o.get("valueQuantity", {})
    return quantity.get("value") if unit in (None, quantity.get("unit")) else None


def _above(value: Any, than: int) -> bool:
    return value is not None and value > than


def _part(o: Json, code: str, than: int) -> bool:
    parts = o.get("component", ())
    return any(_code(part) == code and part["valueQuantity"]["value"] > than for part in parts)


def _performer(o: Json, id_: str) -> bool:
    return any(each["reference"] == f"Practitioner/{id_}" for each in o.get("performer", ()))


@cache
def _people() -> dict[str, Json]:
    return {
        f"{r['resourceType']}/{r['id']}": r
        for r in million.clinic()
        if r["resourceType"] in ("Patient", "Practitioner")
    }


def _subject(o: Json) -> Json:
    return _people()[o["subject"]["reference"]]


def _family(person: Json, start: str) -> bool:
    return bool(person["name"][0]["family"].startswith(start))


def _performed_by(o: Json, start: str) -> bool:
    return any(_family(_people()[each["reference"]], start) for each in o.get("performer", ()))


def _condition(c: Json, code: str) -> bool:
    return bool(c["code"]["coding"][0]["code"] == code)


_GRAZ = [number for number in range(20) if f"Clinic {million.CITIES[number % 5]} {number}".startswith("Clinic Graz 1")]
HEART, GLUCOSE, RARE, SYSTOLIC = "8867-4", "2339-0", "89204-2", "8480-6"

SHAPES: tuple[Shape, ...] = (
    Shape(f"patient={{p}}&code={HEART}&date=ge2024", lambda o, p: _of(o, p) and _code(o) == HEART and _from(o, "2024")),
    Shape(
        f"patient={{p}}&code={LOINC}|{HEART}&date=ge2023&date=lt2024&_sort=-date",
        lambda o, p: _of(o, p) and _code(o) == HEART and _within(o, "2023", "2024"),
    ),
    Shape(f"patient={{p}}&code={HEART}&_sort=-date", lambda o, p: _of(o, p) and _code(o) == HEART),
    Shape("patient={p}", _of),
    Shape("patient={p}&category=laboratory&_sort=-date", lambda o, p: _of(o, p) and _category(o, "laboratory")),
    Shape("patient={p}&_sort=-_lastUpdated", _of),
    Shape("subject=Patient/{p}&status=preliminary", lambda o, p: _of(o, p) and o["status"] == "preliminary"),
    Shape("patient={p}&_summary=count", _of),
    Shape(f"patient={{p}}&code={HEART},9279-1", lambda o, p: _of(o, p) and _code(o) in (HEART, "9279-1")),
    Shape(
        f"patient={{p}}&component-code-value-quantity={SYSTOLIC}$gt140",
        lambda o, p: _of(o, p) and _part(o, SYSTOLIC, 140),
    ),
    Shape(f"code={HEART}", lambda o, _: _code(o) == HEART),
    Shape(f"code={LOINC}|{RARE}", lambda o, _: _code(o) == RARE),
    Shape(f"code={HEART}&_sort=-_lastUpdated", lambda o, _: _code(o) == HEART),
    Shape(f"code={HEART}&_sort=-date", lambda o, _: _code(o) == HEART),
    Shape(f"code={RARE}&_sort=-date", lambda o, _: _code(o) == RARE),
    Shape(f"code={HEART}&_summary=count", lambda o, _: _code(o) == HEART),
    Shape(f"code={LOINC}|{GLUCOSE}&_total=accurate", lambda o, _: _code(o) == GLUCOSE),
    Shape(f"code={HEART},{GLUCOSE}", lambda o, _: _code(o) in (HEART, GLUCOSE)),
    Shape(f"code={LOINC}|", lambda _o, _: True),
    Shape(f"code={HEART}&status=amended", lambda o, _: _code(o) == HEART and o["status"] == "amended"),
    Shape(f"code={HEART}&category=vital-signs&_sort=-date", lambda o, _: _code(o) == HEART),
    Shape(f"code={HEART}&date=2024-03-05", lambda o, _: _code(o) == HEART and _start(o).startswith("2024-03-05")),
    Shape(f"code={HEART}&date=ge2025-06-01&_sort=date", lambda o, _: _code(o) == HEART and _from(o, "2025-06-01")),
    Shape(f"code:not={HEART}", lambda o, _: _code(o) != HEART),
    Shape("category=laboratory", lambda o, _: _category(o, "laboratory")),
    Shape("category=survey&date=ge2025", lambda o, _: _category(o, "survey") and _from(o, "2025")),
    Shape("category=laboratory&_summary=count", lambda o, _: _category(o, "laboratory")),
    Shape("status=preliminary&_sort=-date", lambda o, _: o["status"] == "preliminary"),
    Shape("_summary=count", lambda _o, _: True),
    Shape("_sort=-_lastUpdated", lambda _o, _: True),
    Shape("date=2024-03-05", lambda o, _: _within(o, "2024-03-05", "2024-03-06")),
    Shape("date=ge2025-10-01&date=lt2025-10-02", lambda o, _: _from(o, "2025-10-01") and _before(o, "2025-10-02")),
    Shape("value-quantity=gt200|http://unitsofmeasure.org|mg/dL", lambda o, _: _above(_value(o, "mg/dL"), 200)),
    Shape(
        f"code-value-quantity={LOINC}|{GLUCOSE}$gt150",
        lambda o, _: _code(o) == GLUCOSE and _above(_value(o), 150),
    ),
    Shape(f"component-code-value-quantity={SYSTOLIC}$gt170", lambda o, _: _part(o, SYSTOLIC, 170)),
    Shape(
        "value-concept=http://snomed.info/sct|8517006",
        lambda o, _: o.get("valueCodeableConcept", {}).get("coding", [{}])[0].get("code") == "8517006",
    ),
    Shape("identifier=urn:clinic:observations|40000", lambda o, _: o["id"] == "o40000"),
    Shape(
        f"performer=Practitioner/d7&code={GLUCOSE}&date=ge2025",
        lambda o, _: _performer(o, "d7") and _code(o) == GLUCOSE and _from(o, "2025"),
    ),
    Shape("name=adams", lambda o, _: _family(o, "Adams"), "Patient"),
    Shape(
        "date=ge2025-01-01&date=lt2025-02-01&class=IMP",
        lambda o, _: (
            o["class"]["code"] == "IMP" and o["period"]["start"] < "2025-02-01" and o["period"]["end"] >= "2025-01-01"
        ),
        "Encounter",
    ),
    Shape(
        f"patient.identifier=urn:clinic:patients|7&code={HEART}&_sort=-date",
        lambda o, _: _of(o, "p7") and _code(o) == HEART,
    ),
    Shape(f"patient.name=adams1&code={GLUCOSE}", lambda o, _: _code(o) == GLUCOSE and _family(_subject(o), "Adams1")),
    Shape(
        f"patient.organization=Organization/h3&code={RARE}",
        lambda o, _: _code(o) == RARE and _subject(o)["managingOrganization"]["reference"] == "Organization/h3",
    ),
    Shape(f"performer:Practitioner.family=kim&code={RARE}", lambda o, _: _code(o) == RARE and _performed_by(o, "Kim")),
    Shape(
        "patient.gender=female&class=IMP",
        lambda o, _: o["class"]["code"] == "IMP" and _subject(o)["gender"] == "female",
        "Encounter",
    ),
    Shape(
        "patient.organization.name=Clinic Graz 1&code=44054006",
        lambda o, _: _condition(o, "44054006") and int(_subject(o)["managingOrganization"]["reference"][14:]) in _GRAZ,
        "Condition",
    ),
    Shape("_has:Condition:patient:code=44054006", lambda o, _: _condition(o, "44054006"), "Patient", "Condition"),
    Shape(f"_has:Observation:patient:code={RARE}", lambda o, _: _code(o) == RARE, "Patient", "Observation"),
    Shape(
        f"_has:Observation:patient:code-value-quantity={GLUCOSE}$gt165",
        lambda o, _: _code(o) == GLUCOSE and _above(_value(o), 165),
        "Patient",
        "Observation",
    ),
    Shape(
        f"name=adams&_has:Observation:patient:code={HEART}",
        lambda o, _: _code(o) == HEART and _family(_subject(o), "Adams"),
        "Patient",
        "Observation",
    ),
)
