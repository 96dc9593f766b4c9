"""Chains, `_has` and filters over the Synthea bundles, by sets: who is marked, who refers to whom."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from tests.conformance.naive import Json, any_has, has, starts, value, when

Test = Callable[[Json], bool]
Keys = set[str]

MARKS: dict[str, tuple[str, Test]] = {
    "female": ("Patient", lambda r: r["gender"] == "female"),
    "male": ("Patient", lambda r: r["gender"] == "male"),
    "ma": ("Patient", lambda r: starts(r["name"], "ma")),
    "after 1990": ("Patient", lambda r: r["birthDate"] >= "1990-01-01"),
    "before 1980": ("Patient", lambda r: r["birthDate"] < "1980-01-01"),
    "dead": ("Patient", lambda r: "deceasedDateTime" in r or r.get("deceasedBoolean") is True),
    "patient": ("Patient", lambda _: True),
    "height": ("Observation", lambda r: has(r["code"], "http://loinc.org", "8302-2")),
    "haemoglobin": ("Observation", lambda r: has(r["code"], "http://loinc.org", "718-7")),
    "heavy": ("Observation", lambda r: has(r["code"], None, "29463-7") and (value(r) or 0) > 90),
    "vital": ("Observation", lambda r: any_has(r.get("category", []), "vital-signs")),
    "active": ("Condition", lambda r: has(r.get("clinicalStatus"), None, "active")),
    "ambulatory": ("Encounter", lambda r: r["class"]["code"] == "AMB"),
    "emergency": ("Encounter", lambda r: r["class"]["code"] == "EMER"),
    "prescribed": ("MedicationRequest", lambda r: r["status"] == "active"),
    "woman": ("Practitioner", lambda r: r.get("gender") == "female"),
    "in MA": ("Organization", lambda r: any(a.get("state") == "MA" for a in r.get("address", []))),
    "old": ("Procedure", lambda r: when(r["performedPeriod"]["start"]) < when("2000-01-01T00:00:00+00:00")),
}
"""What is said of resources of a type."""


def _all(paths: str) -> Callable[[Json], list[Any]]:
    def find(resource: Json) -> list[Any]:
        nodes: list[Any] = [resource]
        for name in paths.split("."):
            held = [node.get(name) for node in nodes if isinstance(node, dict)]
            nodes = [each for h in held for each in (h if isinstance(h, list) else [h]) if each is not None]
        return [node["reference"] for node in nodes if "reference" in node]

    return find


EDGES: dict[str, tuple[str, Callable[[Json], list[Any]]]] = {
    "observation subject": ("Observation", _all("subject")),
    "observation encounter": ("Observation", _all("encounter")),
    "condition subject": ("Condition", _all("subject")),
    "condition encounter": ("Condition", _all("encounter")),
    "encounter subject": ("Encounter", _all("subject")),
    "encounter provider": ("Encounter", _all("serviceProvider")),
    "encounter participant": ("Encounter", _all("participant.individual")),
    "request subject": ("MedicationRequest", _all("subject")),
    "request encounter": ("MedicationRequest", _all("encounter")),
    "report result": ("DiagnosticReport", _all("result")),
    "claim patient": ("Claim", _all("patient")),
    "procedure subject": ("Procedure", _all("subject")),
    "provenance target": ("Provenance", _all("target")),
}
"""References by which resources of a type lead to others."""


class Net:
    """Everything that the searches below ask about, gathered bundle by bundle."""

    def __init__(self) -> None:
        self._marked: dict[str, Keys] = {name: set() for name in MARKS}
        self._edges: dict[str, list[tuple[str, str]]] = {name: [] for name in EDGES}
        self._named: dict[str, str] = {}

    def add(self, resource: Json) -> None:
        type_, key = resource["resourceType"], f"urn:uuid:{resource['id']}"
        for identifier in resource.get("identifier", []):
            self._named[f"{type_}?identifier={identifier.get('system')}|{identifier['value']}"] = key
        for name, (of, test) in MARKS.items():
            if of == type_ and test(resource):
                self._marked[name].add(key)
        for name, (of, find) in EDGES.items():
            if of == type_:
                self._edges[name] += [(key, target) for target in find(resource)]

    def marked(self, name: str) -> Keys:
        return self._marked[name]

    def leading(self, edge: str, targets: Keys) -> Keys:
        """Who refers to one of the targets (a chain)."""
        return {source for source, target in self._edges[edge] if self._named.get(target, target) in targets}

    def led_to(self, edge: str, sources: Keys) -> Keys:
        """To whom one of the sources refers (`_has`)."""
        return {self._named.get(target, target) for source, target in self._edges[edge] if source in sources}


HOPS: dict[str, Callable[[Net], Iterable[str]]] = {
    "Observation?subject:Patient.gender=female&code=8302-2": lambda n: (
        n.marked("height") & n.leading("observation subject", n.marked("female"))
    ),
    "Observation?patient.birthdate=ge1990-01-01": lambda n: n.leading("observation subject", n.marked("after 1990")),
    "Observation?subject:Patient.gender:not=male&code=8302-2": lambda n: (
        n.marked("height") & n.leading("observation subject", n.marked("female"))
    ),
    "Observation?category=vital-signs&patient.name=ma": lambda n: (
        n.marked("vital") & n.leading("observation subject", n.marked("ma"))
    ),
    "Observation?encounter.subject:Patient.gender=male&code=8302-2": lambda n: (
        n.marked("height") & n.leading("observation encounter", n.leading("encounter subject", n.marked("male")))
    ),
    "Condition?subject.name=ma": lambda n: n.leading("condition subject", n.marked("ma")),
    "Condition?encounter.class=EMER&subject:Patient.gender=male": lambda n: (
        n.leading("condition encounter", n.marked("emergency")) & n.leading("condition subject", n.marked("male"))
    ),
    "Encounter?service-provider.address-state=MA": lambda n: n.leading("encounter provider", n.marked("in MA")),
    "Encounter?participant:Practitioner.gender=female": lambda n: n.leading("encounter participant", n.marked("woman")),
    "Encounter?class=EMER&subject:Patient._has:Observation:subject:code=8302-2": lambda n: (
        n.marked("emergency") & n.leading("encounter subject", n.led_to("observation subject", n.marked("height")))
    ),
    "MedicationRequest?encounter.class=AMB": lambda n: n.leading("request encounter", n.marked("ambulatory")),
    "DiagnosticReport?result.code=http://loinc.org|718-7": lambda n: n.leading(
        "report result", n.marked("haemoglobin")
    ),
    "Claim?patient.deceased=true": lambda n: n.leading("claim patient", n.marked("dead")),
    "Provenance?target:Patient.gender=female": lambda n: n.leading("provenance target", n.marked("female")),
    "Patient?_has:Condition:subject:clinical-status=active": lambda n: n.led_to(
        "condition subject", n.marked("active")
    ),
    "Patient?_has:Observation:patient:code=http://loinc.org|8302-2": lambda n: n.led_to(
        "observation subject", n.marked("height")
    ),
    "Patient?_has:Observation:patient:code-value-quantity=29463-7$gt90": lambda n: n.led_to(
        "observation subject", n.marked("heavy")
    ),
    "Patient?gender=female&_has:MedicationRequest:subject:status=active": lambda n: (
        n.marked("female") & n.led_to("request subject", n.marked("prescribed"))
    ),
    "Patient?_has:Procedure:subject:date=lt2000-01-01T00:00:00Z": lambda n: n.led_to(
        "procedure subject", n.marked("old")
    ),
    "Practitioner?_has:Encounter:participant:class=EMER": lambda n: n.led_to(
        "encounter participant", n.marked("emergency")
    ),
    "Organization?_has:Encounter:service-provider:subject:Patient.gender=female": lambda n: n.led_to(
        "encounter provider", n.leading("encounter subject", n.marked("female"))
    ),
    "Patient?_has:Encounter:subject:_has:Condition:encounter:clinical-status=active": lambda n: n.led_to(
        "encounter subject", n.led_to("condition encounter", n.marked("active"))
    ),
    "Patient?_filter=gender eq female and birthdate ge 1990-01-01": lambda n: (
        n.marked("female") & n.marked("after 1990")
    ),
    "Observation?_filter=code eq 8302-2 and subject:Patient[gender eq male].birthdate lt 1980-01-01": lambda n: (
        n.marked("height") & n.leading("observation subject", n.marked("male") & n.marked("before 1980"))
    ),
    "Patient?_filter=not (_has:MedicationRequest:subject:status eq active) or name sw ma": lambda n: (
        (n.marked("patient") - n.led_to("request subject", n.marked("prescribed"))) | n.marked("ma")
    ),
    "Condition?_filter=subject:Patient.gender eq female and not (clinical-status eq active)": lambda n: (
        n.leading("condition subject", n.marked("female")) - n.marked("active")
    ),
}
"""Searches, and who meets them."""
