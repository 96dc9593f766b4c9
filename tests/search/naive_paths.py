"""The oracle's way to values: along the expressions of the published SearchParameters.

Plain paths are followed by a walk of a few lines, all else by fhirpathpy.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import fhirpathpy
from fhirpathpy.models import models

from fhir_server.kit import json
from tests.r4_examples import all_files

Resource = dict[str, Any]
# Errata of 4.0.1: what the published definitions get wrong.
ERRATA = {
    "InsurancePlan-name": "InsurancePlan.name | InsurancePlan.alias",
    "patient-extensions-Patient-mothersMaidenName": (
        "Patient.extension('http://hl7.org/fhir/StructureDefinition/patient-mothersMaidenName')"
    ),
}


@cache
def definitions() -> dict[str, Resource]:
    """SearchParameters by id."""
    found = (json.decode_trusted(text) for name, text in all_files() if name.startswith("SearchParameter-"))
    return {resource["id"]: resource for resource in found}


@cache
def definition(type_: str, name: str) -> Resource:
    """The published SearchParameter of a type."""
    for base in (type_, "DomainResource", "Resource"):
        for each in definitions().values():
            if (
                each["code"] == name
                and base in each.get("base", ())
                and "expression" in each
                and "example" not in each["id"]
            ):
                return each
    raise KeyError(name)


def union(expression: str) -> list[str]:
    parts, depth = [""], 0
    for char in expression:
        depth += (char == "(") - (char == ")")
        if char == "|" and not depth:
            parts.append("")
        else:
            parts[-1] += char
    return [part.strip() for part in parts]


def branches(type_: str, found: Resource) -> list[str]:
    """The branches of a definition that can match a type, with type filters as functions."""
    expression = ERRATA.get(found["id"], found["expression"])
    own = re.compile(rf"\(?({type_}|Resource|DomainResource)\b")
    out = []
    for part in union(expression):
        if part in ("id", "name", "alias"):
            part = f"{type_}.{part}"
        if own.match(part):
            part = re.sub(r"\(([\w.]+) as (\w+)\)", r"\1.ofType(\2)", part)
            part = re.sub(r"\.as\((\w+)\)", r".ofType(\1)", part).replace("DateTime", "dateTime")
            out.append(part + ".value" if re.search(r"extension\('[^']+'\)$", part) else part)
    return out


@cache
def compiled(expression: str) -> Any:
    return fhirpathpy.compile(expression, models["r4"])


PLAIN = re.compile(r"[A-Z]\w+(\.\w+)+(\.ofType\(\w+\)(\.\w+)*)?")
CHOICES = {path.split(".")[-1]: types for path, types in models["r4"]["choiceTypePaths"].items()}


def step(node: Any, name: str, cast: str | None) -> list[Any]:
    """Go down to an element; for a choice to whichever of its types is there, or to the one that is asked for."""
    if not isinstance(node, dict):
        return []
    suffixes = [cast] if cast else CHOICES.get(name, [])
    keys = [name, *(name + suffix[0].upper() + suffix[1:] for suffix in suffixes)]
    found = next((node[key] for key in keys if key in node), [])
    return [item for item in (found if isinstance(found, list) else [found]) if item is not None]


def walk(resource: Resource, expression: str) -> list[Any]:
    """Follow a plain path."""
    nodes: list[Any] = [resource]
    for name, cast in re.findall(r"\.(\w+)(?!\w*\()(?:\.ofType\((\w+)\))?", expression):
        nodes = [found for node in nodes for found in step(node, name, cast or None)]
    return nodes


RESOLVES = re.compile(r"(.+)\.where\(resolve\(\) is (\w+)\)$")


def evaluate(resource: Resource, expression: str) -> list[Any]:
    """Evaluate, with `resolve() is T` read off the reference."""
    filtered = RESOLVES.match(expression)
    if filtered:
        found = evaluate(resource, filtered[1])
        return [v for v in found if re.search(rf"(^|/){filtered[2]}/[^/]+(/_history/[^/]+)?$", v.get("reference", ""))]
    if "hasExtension" in expression:  # the one expression with it: QuestionnaireResponse.item-subject
        url = re.search(r"hasExtension\('([^']+)'\)", expression)
        assert url
        items = [i for i in resource.get("item", []) if url[1] in [e["url"] for e in i.get("extension", [])]]
        return [a["valueReference"] for item in items for a in item.get("answer", []) if "valueReference" in a]
    return walk(resource, expression) if PLAIN.fullmatch(expression) else compiled(expression)(resource)


def values(resource: Resource, name: str) -> list[Any]:
    """What a parameter finds in a resource."""
    type_ = resource["resourceType"]
    found = definition(type_, name)
    out = [v for branch in branches(type_, found) for v in evaluate(resource, branch) if v is not None]
    # CarePlan.activity.detail.scheduledString may look like a date, but is none.
    texts = walk(resource, "CarePlan.activity.detail.scheduledString") if found["type"] == "date" else []
    return [v for v in out if v not in texts]
