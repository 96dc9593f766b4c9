"""A second reading of `_include` and `_revinclude`, and a web of resources to read: references both ways, in circles, to nobody."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

from tests.search.naive_paths import definitions, values

Resource = dict[str, Any]
Name = tuple[str, str]
Sees = Callable[[Resource], bool]


# ---- the naive reading ----


@cache
def parameters(type_: str) -> dict[str, Resource]:
    """The published reference parameters of a type, by code."""
    return {
        each["code"]: each
        for each in definitions().values()
        if each["type"] == "reference"
        and type_ in each.get("base", ())
        and "expression" in each
        and "example" not in each["id"]
    }


def names(resource: Resource) -> set[str]:
    """What others may call a resource."""
    out = {f"{resource['resourceType']}/{resource['id']}"}
    if "url" in resource:
        out |= {resource["url"], f"{resource['url']}|{resource.get('version', '')}"}
    return out


def called(resource: Resource, parameter: str, base: str) -> set[str]:
    """What a parameter of a resource calls others."""
    out = set()
    for value in values(resource, parameter):
        text = value if isinstance(value, str) else value.get("reference", "")
        out.add(re.sub(r"/_history/.*", "", text).removeprefix(f"{base}/"))
    return out


def leads(source: Resource, target: Resource, asked: str, base: str) -> bool:
    """Tell whether `Type:parameter[:Target]` leads from one to the other."""
    if asked == "*":
        asked = f"{source['resourceType']}:*"
    type_, parameter, *only = asked.split(":")
    if source["resourceType"] != type_ or (only and only != [target["resourceType"]]):
        return False
    known = parameters(type_)
    return any(
        names(target) & called(source, each, base)
        for each in (known if parameter == "*" else [parameter])
        if target["resourceType"] in known[each].get("target", [target["resourceType"]])
    )


def included(
    everything: Iterable[Resource], matches: list[Resource], query: str, base: str = "", sees: Sees = lambda _: True
) -> set[Name]:
    """Return the names of what a page of matches includes."""
    asked = [part.partition("=")[::2] for part in query.split("&") if part.startswith(("_include", "_revinclude"))]
    pool = [r for r in everything if sees(r)]
    found: dict[Name, Resource] = {}
    at = {(r["resourceType"], r["id"]) for r in matches}
    start, first = matches, True
    while start:
        new = {}
        for name, text in asked:
            if first or ":iterate" in name or ":recurse" in name:
                for one in start:
                    for other in pool:
                        pair = (other, one) if name.startswith("_rev") else (one, other)
                        if leads(*pair, text, base):
                            new[(other["resourceType"], other["id"])] = other
        start = [r for key, r in new.items() if key not in at and key not in found]
        found |= {key: r for key, r in new.items() if key not in at}
        first = False
    return set(found)


# ---- the web ----

QUESTIONNAIRES = ["http://example.org/q/phq9", "http://example.org/q/gad7"]


class Web:
    """Makes the resources from one seed."""

    def __init__(self, seed: int, base: str) -> None:
        self.r = random.Random(seed)
        self.base = base

    def to(self, *types: str, most: int = 12) -> Resource:
        name = f"{self.r.choice(types)}/{self.r.randint(1, most)}"
        return self.r.choice(
            [{"reference": name}] * 6
            + [{"reference": f"{name}/_history/1"}, {"reference": f"http://elsewhere.example/fhir/{name}"},
               {"display": "somebody"}, {"identifier": {"system": "urn:x", "value": name}}]
        )  # fmt: skip

    def some(self, *types: str, most: int = 2) -> list[Resource]:
        return [self.to(*types) for _ in range(self.r.randint(0, most))]

    def patient(self) -> Resource:
        return {"managingOrganization": self.to("Organization"), "generalPractitioner": self.some("Practitioner")}

    def practitioner(self) -> Resource:
        return {"active": True}

    def organization(self) -> Resource:
        return {"name": "Ward", "partOf": self.to("Organization")}

    def encounter(self) -> Resource:
        return {"status": "finished", "class": {"code": "AMB"}, "subject": self.to("Patient"),
                "partOf": self.to("Encounter"), "serviceProvider": self.to("Organization"),
                "participant": [{"individual": each} for each in self.some("Practitioner")]}  # fmt: skip

    def observation(self) -> Resource:
        return {"status": "final", "code": {"coding": [{"code": self.r.choice("abc")}]},
                "subject": self.to("Patient", "Device"), "encounter": self.to("Encounter"),
                "hasMember": self.some("Observation"), "derivedFrom": self.some("Observation", "QuestionnaireResponse"),
                "performer": self.some("Practitioner", "Organization")}  # fmt: skip

    def condition(self) -> Resource:
        return {"subject": self.to("Patient"), "encounter": self.to("Encounter")}

    def device(self) -> Resource:
        return {"patient": self.to("Patient"), "parent": self.to("Device")}

    def provenance(self) -> Resource:
        return {"recorded": "2026-01-01T00:00:00Z", "agent": [{"who": self.to("Practitioner", "Device")}],
                "target": [self.to("Patient", "Observation", "Encounter"), *self.some("Observation", most=6)]}  # fmt: skip

    def questionnaire(self) -> Resource:
        return {"status": "active", "url": self.r.choice(QUESTIONNAIRES), "version": self.r.choice(["1", "2"])}

    def questionnaireresponse(self) -> Resource:
        asked = self.r.choice(QUESTIONNAIRES) + self.r.choice(["", "|1", "|2", "|3"])
        return {"status": "completed", "questionnaire": asked, "subject": self.to("Patient")}

    def make(self, type_: str, id_: str) -> Resource:
        made = {name: value for name, value in getattr(self, type_.lower())().items() if value != []}
        return {"resourceType": type_, "id": id_, **made}


TYPES = (
    "Patient", "Practitioner", "Organization", "Encounter", "Observation", "Condition", "Device", "Provenance",
    "Questionnaire", "QuestionnaireResponse",
)  # fmt: skip


def web(seed: int, each: int = 10, base: str = "") -> list[Resource]:
    """Return `each` resources of every type; they refer to 12, so some to nobody."""
    maker = Web(seed, base)
    return [maker.make(type_, str(number)) for type_ in TYPES for number in range(1, each + 1)]
