"""Chains and `_has` read naively: by going through every resource there is."""

from __future__ import annotations

import random
import re
from typing import Any

from tests.search import naive
from tests.search.naive_paths import values

Resource = dict[str, Any]
World = dict[tuple[str, str], Resource]
LOCAL = re.compile(r"([A-Z]\w+)/([\w.\-]+)")


def world_of(resources: list[Resource]) -> World:
    return {(r["resourceType"], r["id"]): r for r in resources}


def referred(resource: Resource, param: str, base: str) -> list[tuple[str, str]]:
    """The resources of this server to which a parameter of a resource leads."""
    texts = [v["reference"] for v in values(resource, param) if isinstance(v, dict) and "reference" in v]
    found = [LOCAL.fullmatch(re.sub(r"/_history/.*", "", text).removeprefix(f"{base}/")) for text in texts]
    return [(match[1], match[2]) for match in found if match]


def meets(world: World, resource: Resource, name: str, text: str, base: str = "") -> bool:
    """Tell whether a resource meets `name=text`, whatever hops the name has."""
    if name.startswith("_has:"):
        _, type_, param, rest = name.split(":", 3)
        here = (resource["resourceType"], resource["id"])
        return any(
            here in referred(other, param, base) and meets(world, other, rest, text, base)
            for (of, _), other in world.items()
            if of == type_
        )
    head, dot, rest = name.partition(".")
    if not dot:
        return naive.matches(resource, name, text, base)
    param, _, only = head.partition(":")
    for target in referred(resource, param, base):
        if target in world and only in ("", target[0]):
            try:
                if meets(world, world[target], rest, text, base):
                    return True
            except KeyError:  # the type has no such parameter
                continue
    return False


def linked(resources: list[Resource], seed: int) -> list[Resource]:
    """Return the population with references from each to others, so that there is somewhere to go."""
    r = random.Random(seed)
    ids = {
        type_: [each["id"] for each in resources if each["resourceType"] == type_] for type_ in ("Patient", "Encounter")
    }
    people = ids["Patient"][:9]

    def to(type_: str, id_: str) -> Resource:
        form = r.choice(["{}/{}", "{}/{}", "{}/{}/_history/1", "BASE/{}/{}"])
        return {"reference": form.format(type_, id_)}

    def more(resource: Resource) -> Resource:
        type_ = resource["resourceType"]
        if type_ == "Patient":
            out = {"managingOrganization": to("Organization", f"o{r.randint(1, 9)}")}
            return out | (
                {"link": [{"other": to("Patient", r.choice(people)), "type": "seealso"}]} if r.random() < 0.4 else {}
            )
        if type_ == "Organization":
            return {"partOf": to("Organization", f"o{r.randint(1, 12)}")} if r.random() < 0.6 else {}
        if type_ == "Group":
            return {"member": [{"entity": to("Patient", each)} for each in r.sample(people, 2)]}
        if type_ == "Encounter":
            return {"subject": to("Patient", r.choice(people))} if r.random() < 0.8 else {}
        if type_ == "Observation":
            subject = to("Patient", r.choice(people)) if r.random() < 0.6 else to("Group", f"g{r.randint(1, 9)}")
            visit = {"encounter": to("Encounter", r.choice(ids["Encounter"][:12]))} if r.random() < 0.7 else {}
            return ({"subject": subject} if r.random() < 0.8 else {}) | visit
        if type_ in ("Condition", "RiskAssessment"):
            return {"subject": to("Patient", r.choice(people))}
        return {}

    return [resource | more(resource) for resource in resources]


def placed(value: Any, base: str) -> Any:
    """Return a resource with the address of the server where it says so."""
    if isinstance(value, dict):
        return {name: placed(each, base) for name, each in value.items()}
    if isinstance(value, list):
        return [placed(each, base) for each in value]
    return value.replace("BASE/", f"{base}/") if isinstance(value, str) else value
