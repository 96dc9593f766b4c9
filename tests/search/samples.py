"""Resources made up for the search parameters that no R4 example has a value for: one element, at the end of the expression."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

from profiles.registry import R4
from tests.search import naive, naive_paths

Resource = dict[str, Any]
QUANTITY = {"value": Decimal("12.5"), "unit": "mg", "system": "http://unitsofmeasure.org", "code": "mg"}
SAMPLES: dict[str, Any] = {
    "string": "Sample text", "markdown": "Sample *text*", "code": "sample", "id": "sample-1", "boolean": True,
    "uri": "http://example.org/sample", "url": "http://example.org/sample", "canonical": "http://example.org/sample|1.0",
    "oid": "urn:oid:1.2.3", "date": "2021-03-04", "dateTime": "2021-03-04T05:06:07Z", "instant": "2021-03-04T05:06:07.089Z",
    "integer": 7, "positiveInt": 7, "unsignedInt": 7, "decimal": Decimal("7.5"),
    "Coding": {"system": "http://example.org/codes", "code": "Sample"},
    "CodeableConcept": {"coding": [{"system": "http://example.org/codes", "code": "Sample"}], "text": "Sample"},
    "Identifier": {"system": "http://example.org/ids", "value": "S-1"},
    "ContactPoint": {"system": "email", "use": "work", "value": "sample@example.org"},
    "HumanName": {"family": "Sample", "given": ["Sam"]},
    "Address": {"use": "work", "line": ["1 Sample Street"], "city": "Sampleton", "country": "NL"},
    "Period": {"start": "2021-03-04", "end": "2021-04"},
    "Timing": {"event": ["2021-03-04T05:06:07Z"]},
    "Quantity": QUANTITY, "Age": {**QUANTITY, "code": "a", "unit": "a"}, "Duration": {**QUANTITY, "code": "h", "unit": "h"},
    "Money": {"value": Decimal("9.99"), "currency": "EUR"},
    "Range": {"low": QUANTITY, "high": {**QUANTITY, "value": Decimal("20")}},
}  # fmt: skip
EXTENDED = {"string": ("valueString", "Sample text"), "token": ("valueCodeableConcept", SAMPLES["CodeableConcept"])}


WRITTEN_OUT: dict[tuple[str, str], Resource] = {
    ("QuestionnaireResponse", "item-subject"): {
        "item": [
            {
                "linkId": "1",
                "extension": [
                    {
                        "url": "http://hl7.org/fhir/StructureDefinition/questionnaireresponse-isSubject",
                        "valueBoolean": True,
                    }
                ],
                "answer": [{"valueReference": {"reference": "Patient/sample-1"}}],
            }
        ]
    },
    ("MolecularSequence", "chromosome-variant-coordinate"): {
        "referenceSeq": {"chromosome": SAMPLES["CodeableConcept"]},
        "variant": [{"start": 3, "end": 5}, {"start": 7, "end": 11}],
    },
}
"""What takes more than one element."""


def put(node: Resource, path: str, names: list[str], leaf: Any = None) -> None:
    """Set a sample at the end of a path of element names, `valueQuantity` written out for a choice."""
    name, *rest = names
    name, _, tests = name.partition("[")
    children = R4.json_children(path)
    child = children.get(name) or next(
        c for c in children.values() if c.element.name == f"{name}[x]" and c.type_code in SAMPLES | {"Reference": 1}
    )
    below = child.path_of_type
    if rest:
        value: Any = {}
        if tests:
            value.update(dict([tests[:-1].split("=")]))
        put(value, below, rest, leaf)
    elif leaf is not None:
        value = leaf
    elif child.type_code == "Reference":
        value = {"reference": f"{(child.targets or ('Patient',))[0]}/sample-1"}
    else:
        value = SAMPLES[child.type_code]
        if tests:
            value = {**value, **dict([tests[:-1].split("=")])}
    node[child.name] = [value] if child.element.max != 1 else value


def steps(expression: str) -> list[str]:
    """Return the element names of an expression; a test of equality stays with its element: `telecom[system=email]`."""
    expression = re.sub(r"\.where\((\w+)='([\w-]+)'\)", r"[\1=\2]", expression)
    expression = re.sub(r"\.(\w+)\.ofType\((\w+)\)", lambda m: f".{m[1]}{m[2][0].upper()}{m[2][1:]}", expression)
    return expression.split(".")[1:]


def sample(type_: str, name: str) -> Resource | None:
    """Return a resource that has a value for a parameter; None where that takes more than an element."""
    found = naive_paths.definition(type_, name)
    resource: Resource = {"resourceType": type_, "id": f"s-{type_}-{name.replace('_', 'meta-')}"[:64]}
    if (type_, name) in WRITTEN_OUT:
        return resource | WRITTEN_OUT[(type_, name)]
    for branch in naive_paths.branches(type_, found):
        branch = re.sub(r"^(Resource|DomainResource)\.", f"{type_}.", branch)
        extension = re.search(r"extension\('([^']+)'\)", branch)
        if extension and "hasExtension" not in branch:
            element, value = EXTENDED.get(found["type"], ("valueReference", {"reference": "Condition/sample-1"}))
            return resource | {"extension": [{"url": extension[1], element: value}]}
        refers = naive_paths.RESOLVES.match(branch)
        if "(" in (steps_of := (refers[1] if refers else branch)).replace(".where(", ".").replace(".ofType(", "."):
            continue
        put(resource, type_, steps(steps_of), {"reference": f"{refers[2]}/sample-1"} if refers else None)
        return resource
    return None


def composite_sample(type_: str, name: str) -> Resource | None:
    """Return a resource with one instance of a composite."""
    found = naive_paths.definition(type_, name)
    branch = naive_paths.branches(type_, found)[-1]
    resource: Resource = {"resourceType": type_, "id": f"s-{type_}-{name}"[:64]}
    if (type_, name) in WRITTEN_OUT:
        return resource | WRITTEN_OUT[(type_, name)]
    child = R4.json_children(type_).get(branch.split(".")[-1])
    instance: Resource = resource if branch == type_ else {}
    for component, _ in naive.component_of(found):
        expression = re.sub(r"\.as\((\w+)\)", r".ofType(\1)", naive_paths.union(component["expression"])[0])
        if not expression.startswith("%"):
            put(
                instance,
                child.path_of_type if child and branch != type_ else type_,
                steps(f"x.{expression.replace('DateTime', 'dateTime')}"),
            )
    if branch != type_ and child:
        resource[child.name] = [instance] if child.element.max != 1 else instance
    return resource
