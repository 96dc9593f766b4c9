"""A second reading of includes over the Synthea bundles: which references lead where, kept while the bundles pass by."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from typing import Any

Json = dict[str, Any]

# Where R4's parameters look: Type:parameter -> path of the references.
PATHS = {
    "Encounter:subject": "subject", "Encounter:service-provider": "serviceProvider",
    "Encounter:participant": "participant.individual", "Encounter:location": "location.location",
    "Condition:encounter": "encounter", "Condition:subject": "subject", "Procedure:encounter": "encounter",
    "Procedure:patient": "subject", "DiagnosticReport:result": "result", "DiagnosticReport:encounter": "encounter",
    "Claim:encounter": "item.encounter", "Claim:patient": "patient", "Claim:provider": "provider",
    "CarePlan:care-team": "careTeam", "CareTeam:participant": "participant.member", "CareTeam:subject": "subject",
    "ExplanationOfBenefit:claim": "claim", "MedicationRequest:encounter": "encounter",
    "MedicationRequest:requester": "requester", "Observation:encounter": "encounter",
    "Observation:subject": "subject", "Immunization:patient": "patient", "Immunization:location": "location",
    "ImagingStudy:encounter": "encounter", "Device:patient": "patient", "Provenance:target": "target",
    "CarePlan:encounter": "encounter", "AllergyIntolerance:patient": "patient",
}  # fmt: skip


def code(concept: Json, wanted: str) -> bool:
    return any(each.get("code") == wanted for each in concept.get("coding", []))


# query -> (type, what matches); none brings more than a page can include.
INCLUDES: dict[str, tuple[str, Callable[[Json], bool]]] = {
    "Encounter?class=EMER&date=ge2015&_include=Encounter:subject": (
        "Encounter", lambda r: r["class"]["code"] == "EMER" and r["period"]["end"] >= "2015"),
    "Encounter?class=EMER&date=ge2015&_include=Encounter:service-provider&_include=Encounter:participant": (
        "Encounter", lambda r: r["class"]["code"] == "EMER" and r["period"]["end"] >= "2015"),
    "Encounter?class=IMP&_include=Encounter:location&_include=Encounter:subject:Patient&_include=Encounter:subject:Group": (
        "Encounter", lambda r: r["class"]["code"] == "IMP"),
    "Condition?code=44054006&_include=Condition:encounter&_include:iterate=Encounter:service-provider": (
        "Condition", lambda r: code(r["code"], "44054006")),
    "Condition?code=59621000&_include=Condition:encounter&_include=Encounter:service-provider": (
        "Condition", lambda r: code(r["code"], "59621000")),
    "Condition?code=44054006&_include=Condition:encounter&_revinclude:iterate=DiagnosticReport:encounter": (
        "Condition", lambda r: code(r["code"], "44054006")),
    "Patient?birthdate=ge2015&_revinclude=Immunization:patient&_revinclude=CareTeam:subject": (
        "Patient", lambda r: r["birthDate"] >= "2015"),
    "Patient?birthdate=ge2018&_revinclude=Immunization:patient&_include:iterate=Immunization:location": (
        "Patient", lambda r: r["birthDate"] >= "2018"),
    "Patient?gender=male&_revinclude=AllergyIntolerance:patient&_revinclude=Device:patient": (
        "Patient", lambda r: r["gender"] == "male"),
    "Device?_include=Device:patient": ("Device", lambda _: True),
    "ImagingStudy?_include=ImagingStudy:encounter&_include:iterate=Encounter:subject&_include:iterate=Encounter:location": (
        "ImagingStudy", lambda _: True),
    "CarePlan?status=active&_include=CarePlan:care-team&_include:iterate=CareTeam:participant": (
        "CarePlan", lambda r: r["status"] == "active"),
    "DiagnosticReport?code=57698-3&date=ge2020&_include=DiagnosticReport:result": (
        "DiagnosticReport", lambda r: code(r["code"], "57698-3") and r["effectiveDateTime"] >= "2020"),
    "Encounter?class=IMP&_revinclude=Claim:encounter&_revinclude:iterate=ExplanationOfBenefit:claim": (
        "Encounter", lambda r: r["class"]["code"] == "IMP"),
    "Encounter?class=EMER&date=ge2015&_revinclude=Procedure:encounter&_revinclude=MedicationRequest:encounter": (
        "Encounter",
        lambda r: r["class"]["code"] == "EMER" and r["period"]["end"] >= "2015",
    ),
    "Patient?deceased=true&_revinclude=Provenance:target": (
        "Patient", lambda r: "deceasedDateTime" in r or r.get("deceasedBoolean") is True),
}  # fmt: skip


def references(node: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Yield (path, reference) of everything that a resource refers to."""
    for name, value in node.items():
        below = f"{path}.{name}" if path else name
        for each in value if isinstance(value, list) else [value]:
            if isinstance(each, dict):
                if isinstance(each.get("reference"), str):
                    yield below, each["reference"]
                yield from references(each, below)


class Graph:
    """Who refers to whom; ids are those of the bundles."""

    def __init__(self) -> None:
        self.type: dict[str, str] = {}
        self.matches: dict[str, set[str]] = {query: set() for query in INCLUDES}
        self._identified: dict[str, str] = {}
        self._edges: dict[str, list[tuple[str, str]]] = defaultdict(list)

    def add(self, resource: Json) -> None:
        type_, id_ = resource["resourceType"], resource["id"]
        self.type[id_] = type_
        for each in resource.get("identifier", []) if type_ in ("Practitioner", "Organization", "Location") else []:
            self._identified[f"{type_}?identifier={each.get('system')}|{each['value']}"] = id_
        wanted = {parameter: path for parameter, path in PATHS.items() if parameter.startswith(f"{type_}:")}
        for path, text in references(resource):
            for parameter, at in wanted.items():
                if at == path:
                    self._edges[parameter].append((id_, text))
        for query, (searched, test) in INCLUDES.items():
            if searched == type_ and test(resource):
                self.matches[query].add(id_)

    def pairs(self, parameter: str) -> Iterator[tuple[str, str]]:
        """Yield (source, target) of what a parameter finds, as far as both are there."""
        for source, text in self._edges[parameter]:
            target = self._identified.get(text) or text.removeprefix("urn:uuid:")
            if target in self.type:
                yield source, target

    def included(self, query: str) -> Counter[str]:
        """Count what a query includes, by type."""
        asked = [part.partition("=")[::2] for part in query.partition("?")[2].split("&") if "include" in part]
        matches, found = self.matches[query], set[str]()
        start, first = matches, True
        while start:
            new = set()
            for name, text in asked:
                if not (first or name.endswith(":iterate")):
                    continue
                source, parameter, *only = text.split(":")
                for one, other in self.pairs(f"{source}:{parameter}"):
                    if name.startswith("_rev"):
                        one, other = other, one
                    if one in start and (not only or self.type[other] == only[0]):
                        new.add(other)
            start = new - matches - found
            found |= start
            first = False
        return Counter(self.type[id_] for id_ in found)
