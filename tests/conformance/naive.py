"""A second reading of the Synthea bundles, in plain Python and without our code: what fifteen searches should find."""

from __future__ import annotations

import bz2
import json
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from tests.conformance.naive_includes import Graph

Json = dict[str, Any]
Test = Callable[[Json], bool]


def bundles(folder: Path) -> Iterator[bytes]:
    """Yield the bundles, those that others refer to first."""
    files = sorted(folder.glob("*.json.bz2"), key=lambda path: (not path.name.startswith("0-"), path.name))
    for path in files:
        yield bz2.decompress(path.read_bytes())


def resources(bundle: bytes) -> Iterator[tuple[Json, str | None]]:
    """Yield each resource with the criteria of its conditional create."""
    for entry in json.loads(bundle, parse_float=Decimal)["entry"]:
        yield entry["resource"], entry["request"].get("ifNoneExist")


def has(concept: Any, system: str | None, code: str) -> bool:
    codings = concept.get("coding", []) if isinstance(concept, dict) else []
    return any(each.get("code") == code and (system is None or each.get("system") == system) for each in codings)


def any_has(concepts: list[Json], code: str) -> bool:
    return any(has(each, None, code) for each in concepts)


def when(text: str) -> datetime:
    return datetime.fromisoformat(text)


def starts(names: list[Json], prefix: str) -> bool:
    parts = [
        part for name in names for part in [name.get("family", ""), *name.get("given", []), *name.get("prefix", [])]
    ]
    return any(part.lower().startswith(prefix) for part in parts)


def value(resource: Json) -> Decimal | None:
    found = resource.get("valueQuantity", {}).get("value")
    return None if found is None else Decimal(found)


def components(resource: Json, code: str) -> list[Decimal]:
    return [
        Decimal(each["valueQuantity"]["value"])
        for each in resource.get("component", [])
        if has(each["code"], None, code) and "valueQuantity" in each
    ]


LOINC = "http://loinc.org"
# gt, ge and lt compare with the number itself; only eq would take its precision into account (R4 search.html#number).
SEARCHES: dict[str, tuple[str, Test]] = {
    "Patient?gender=female": ("Patient", lambda r: r["gender"] == "female"),
    "Patient?birthdate=ge1980-01-01": ("Patient", lambda r: r["birthDate"] >= "1980-01-01"),
    "Patient?name=ma": ("Patient", lambda r: starts(r["name"], "ma")),
    "Patient?deceased=true": ("Patient", lambda r: "deceasedDateTime" in r or r.get("deceasedBoolean") is True),
    f"Observation?code={LOINC}|8302-2": ("Observation", lambda r: has(r["code"], LOINC, "8302-2")),
    "Observation?category=vital-signs&date=ge2020-01-01T00:00:00Z": (
        "Observation",
        lambda r: (
            any_has(r.get("category", []), "vital-signs")
            and when(r["effectiveDateTime"]) >= when("2020-01-01T00:00:00+00:00")
        ),
    ),
    "Observation?code=8867-4&value-quantity=gt80": (
        "Observation",
        lambda r: has(r["code"], None, "8867-4") and (value(r) or 0) > 80,
    ),
    "Observation?code-value-quantity=8302-2$lt150": (
        "Observation",
        lambda r: has(r["code"], None, "8302-2") and value(r) is not None and (value(r) or 0) < 150,
    ),
    "Observation?component-code-value-quantity=8480-6$gt140": (
        "Observation",
        lambda r: any(each > 140 for each in components(r, "8480-6")),
    ),
    "Condition?abatement-date:missing=false": ("Condition", lambda r: "abatementDateTime" in r),
    "Condition?clinical-status=active": ("Condition", lambda r: has(r.get("clinicalStatus"), None, "active")),
    "Encounter?class=AMB,EMER": ("Encounter", lambda r: r["class"]["code"] in ("AMB", "EMER")),
    "MedicationRequest?status:not=active": ("MedicationRequest", lambda r: r["status"] != "active"),
    "Procedure?date=lt2000-01-01T00:00:00Z": (
        "Procedure",
        lambda r: when(r["performedPeriod"]["start"]) < when("2000-01-01T00:00:00+00:00"),
    ),
    "Claim?use=claim&status=active": ("Claim", lambda r: r["use"] == "claim" and r["status"] == "active"),
    "Immunization?date=ge2015-01-01T00:00:00Z&status=completed": (
        "Immunization",
        lambda r: when(r["occurrenceDateTime"]) >= when("2015-01-01T00:00:00+00:00") and r["status"] == "completed",
    ),
}


class Reading:
    """Counts by type and by search over all bundles; conditional creates with one criterion count once."""

    def __init__(self) -> None:
        self.types: Counter[str] = Counter()
        self.searches: Counter[str] = Counter(dict.fromkeys(SEARCHES, 0))
        self.graph = Graph()
        self._criteria: set[tuple[str, str]] = set()

    def add(self, resource: Json, criteria: str | None) -> bool:
        """Count a resource; False when it is there already."""
        type_ = resource["resourceType"]
        if criteria is not None:
            if (type_, criteria) in self._criteria:
                return False
            self._criteria.add((type_, criteria))
        self.types[type_] += 1
        self.graph.add(resource)
        for query, (searched, test) in SEARCHES.items():
            if searched == type_ and test(resource):
                self.searches[query] += 1
        return True
