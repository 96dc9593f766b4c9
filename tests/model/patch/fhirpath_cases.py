"""Builders of FHIRPath Patches, and what each kind of operation does: (name, before, operations, after)."""

from __future__ import annotations

from typing import Any

from fhir_server.kit import json as kit
from fhir_server.model.patch.document import fhirpath_patch_of
from fhir_server.validation.validate import parse_resource

Json = dict[str, Any]


def part(name: str, value: Any, type_: str | None = None) -> Json:
    """Return a part; a value without a type is a list of parts."""
    if type_ is None:
        return {"name": name, "part": value}
    return {"name": name, ("resource" if type_ == "Resource" else f"value{type_}"): value}


def operation(kind: str, path: str, *more: Json) -> Json:
    return {"name": "operation", "part": [part("type", kind, "Code"), part("path", path, "String"), *more]}


def add(path: str, name: str, value: Any, type_: str | None = None) -> Json:
    return operation("add", path, part("name", name, "String"), part("value", value, type_))


def replace(path: str, value: Any, type_: str | None = None) -> Json:
    return operation("replace", path, part("value", value, type_))


def insert(path: str, at: int, value: Any, type_: str | None = None) -> Json:
    return operation("insert", path, part("index", at, "Integer"), part("value", value, type_))


def move(path: str, source: int, destination: int) -> Json:
    return operation("move", path, part("source", source, "Integer"), part("destination", destination, "Integer"))


def delete(path: str) -> Json:
    return operation("delete", path)


def parameters(*operations: Json) -> Json:
    body = {"resourceType": "Parameters"} | ({"parameter": list(operations)} if operations else {})
    return parse_resource(kit.encode(body), expect="Parameters")


def patched(resource: Json, *operations: Json) -> Json:
    return fhirpath_patch_of(parameters(*operations)).apply(kit.encode(resource))


def patient(**more: Any) -> Json:
    return {"resourceType": "Patient", "id": "p", **more}


def observation(**more: Any) -> Json:
    return {"resourceType": "Observation", "id": "o", "status": "final", "code": {"text": "c"}, **more}


ADA = {"family": "Lovelace", "given": ["Ada", "Augusta"]}

CASES: list[tuple[str, Json, list[Json], Json]] = [
    ("nothing", patient(), [], patient()),
    (
        "add a primitive",
        patient(),
        [add("Patient", "birthDate", "1815-12-10", "Date")],
        patient(birthDate="1815-12-10"),
    ),
    (
        "add a complex",
        patient(),
        [add("Patient", "maritalStatus", {"text": "m"}, "CodeableConcept")],
        patient(maritalStatus={"text": "m"}),
    ),
    (
        "add to a list",
        patient(name=[ADA]),
        [add("Patient", "name", {"text": "x"}, "HumanName")],
        patient(name=[ADA, {"text": "x"}]),
    ),
    ("add a new list", patient(), [add("Patient", "name", {"text": "x"}, "HumanName")], patient(name=[{"text": "x"}])),
    (
        "add to a list of primitives",
        patient(name=[ADA]),
        [add("Patient.name[0]", "given", "King", "String")],
        patient(name=[ADA | {"given": ["Ada", "Augusta", "King"]}]),
    ),
    (
        "add an anonymous type",
        patient(),
        [
            add(
                "Patient",
                "contact",
                [
                    part("name", {"text": "n"}, "HumanName"),
                    part("gender", "male", "Code"),
                    part("telecom", {"value": "1"}, "ContactPoint"),
                    part("telecom", {"value": "2"}, "ContactPoint"),
                ],
            )
        ],
        patient(contact=[{"name": {"text": "n"}, "gender": "male", "telecom": [{"value": "1"}, {"value": "2"}]}]),
    ),
    (
        "anonymous types nest",
        {"resourceType": "Questionnaire", "id": "q", "status": "draft"},
        [
            add(
                "Questionnaire",
                "item",
                [
                    part("linkId", "1", "String"),
                    part("type", "group", "Code"),
                    part(
                        "item",
                        [
                            part("linkId", "1.1", "String"),
                            part("type", "string", "Code"),
                            part(
                                "enableWhen",
                                [
                                    part("question", "1", "String"),
                                    part("operator", "exists", "Code"),
                                    part("answer", True, "Boolean"),
                                ],
                            ),
                        ],
                    ),
                ],
            )
        ],
        {
            "resourceType": "Questionnaire",
            "id": "q",
            "status": "draft",
            "item": [
                {
                    "linkId": "1",
                    "type": "group",
                    "item": [
                        {
                            "linkId": "1.1",
                            "type": "string",
                            "enableWhen": [{"question": "1", "operator": "exists", "answerBoolean": True}],
                        }
                    ],
                }
            ],
        },
    ),
    (
        "a type that value[x] lacks, by parts",
        patient(),
        [
            add(
                "Patient",
                "extension",
                [part("url", "http://e.example", "Uri"), part("value", {"value": 1.5}, "Quantity")],
            )
        ],
        patient(extension=[{"url": "http://e.example", "valueQuantity": {"value": 1.5}}]),
    ),
    (
        "a type of a choice made of parts is named in full",
        observation(),
        [add("Observation", "valueQuantity", [part("value", 1.5, "Decimal"), part("unit", "kg", "String")])],
        observation(valueQuantity={"value": 1.5, "unit": "kg"}),
    ),
    (
        "a contained resource",
        patient(),
        [add("Patient", "contained", {"resourceType": "Organization", "id": "g", "name": "G"}, "Resource")],
        patient(contained=[{"resourceType": "Organization", "id": "g", "name": "G"}]),
    ),
    (
        "inside a contained resource",
        patient(contained=[{"resourceType": "Organization", "id": "g", "name": "G"}]),
        [replace("Patient.contained.where(id = 'g').name", "H", "String")],
        patient(contained=[{"resourceType": "Organization", "id": "g", "name": "H"}]),
    ),
    (
        "resolve() to what is contained",
        patient(
            contained=[{"resourceType": "Organization", "id": "g", "name": "G"}],
            managingOrganization={"reference": "#g"},
        ),
        [replace("Patient.managingOrganization.resolve().name", "H", "String")],
        patient(
            contained=[{"resourceType": "Organization", "id": "g", "name": "H"}],
            managingOrganization={"reference": "#g"},
        ),
    ),
    (
        "a choice",
        observation(),
        [add("Observation", "value", {"value": 2}, "Quantity")],
        observation(valueQuantity={"value": 2}),
    ),
    (
        "a choice changes its type",
        observation(valueQuantity={"value": 2}),
        [replace("Observation.value", "two", "String")],
        observation(valueString="two"),
    ),
    (
        "an element of a choice",
        observation(valueQuantity={"value": 2}),
        [replace("Observation.value.ofType(Quantity).value", 3, "Decimal")],
        observation(valueQuantity={"value": 3}),
    ),
    (
        "a choice that is a primitive",
        patient(deceasedBoolean=False),
        [replace("Patient.deceased", "2020-01-01", "Date")],
        patient(deceasedDateTime="2020-01-01"),
    ),
    (
        "a date is a dateTime",
        observation(),
        [add("Observation", "effectiveDateTime", "2020-01-01", "Date")],
        observation(effectiveDateTime="2020-01-01"),
    ),
    ("a narrower type fits", observation(), [add("Observation", "value", "x", "Code")], observation(valueString="x")),
    (
        "replace a primitive",
        patient(gender="male"),
        [replace("Patient.gender", "female", "Code")],
        patient(gender="female"),
    ),
    (
        "replace an item",
        patient(name=[ADA, ADA]),
        [replace("Patient.name[1]", {"text": "x"}, "HumanName")],
        patient(name=[ADA, {"text": "x"}]),
    ),
    (
        "replace an item of a list of primitives",
        patient(name=[ADA]),
        [replace("Patient.name[0].given[1]", "King", "String")],
        patient(name=[ADA | {"given": ["Ada", "King"]}]),
    ),
    (
        "without the type before",
        patient(gender="male"),
        [replace("gender", "female", "Code")],
        patient(gender="female"),
    ),
    (
        "with a filter",
        patient(name=[{"use": "old"}, {"use": "official", "family": "A"}]),
        [replace("Patient.name.where(use = 'official').family", "B", "String")],
        patient(name=[{"use": "old"}, {"use": "official", "family": "B"}]),
    ),
    ("delete", patient(gender="male", active=True), [delete("Patient.gender")], patient(active=True)),
    ("delete what is not there", patient(active=True), [delete("Patient.gender")], patient(active=True)),
    ("delete the only item", patient(name=[ADA]), [delete("Patient.name[0]")], patient()),
    (
        "delete the last of an element",
        patient(contact=[{"name": {"text": "n"}, "gender": "male"}]),
        [delete("Patient.contact[0].name.text")],
        patient(contact=[{"gender": "male"}]),
    ),
    (
        "delete the last of all",
        patient(contact=[{"name": {"text": "n"}}]),
        [delete("Patient.contact.name.text")],
        patient(),
    ),
    (
        "insert at the start",
        patient(name=[ADA]),
        [insert("Patient.name", 0, {"text": "x"}, "HumanName")],
        patient(name=[{"text": "x"}, ADA]),
    ),
    (
        "insert at the end",
        patient(name=[ADA]),
        [insert("Patient.name", 1, {"text": "x"}, "HumanName")],
        patient(name=[ADA, {"text": "x"}]),
    ),
    (
        "insert into nothing",
        patient(),
        [insert("Patient.name", 0, {"text": "x"}, "HumanName")],
        patient(name=[{"text": "x"}]),
    ),
    (
        "insert a primitive",
        patient(name=[ADA]),
        [insert("Patient.name[0].given", 1, "King", "String")],
        patient(name=[ADA | {"given": ["Ada", "King", "Augusta"]}]),
    ),
    (
        "move down",
        patient(name=[ADA | {"given": ["a", "b", "c", "d"]}]),
        [move("Patient.name.given", 3, 1)],
        patient(name=[ADA | {"given": ["a", "d", "b", "c"]}]),
    ),
    (
        "move up",
        patient(name=[ADA | {"given": ["a", "b", "c", "d"]}]),
        [move("Patient.name.given", 0, 3)],
        patient(name=[ADA | {"given": ["b", "c", "d", "a"]}]),
    ),
    (
        "one after the other",
        patient(),
        [
            add("Patient", "contact", [part("gender", "male", "Code")]),
            add("Patient.contact[0]", "name", {"text": "n"}, "HumanName"),
        ],
        patient(contact=[{"gender": "male", "name": {"text": "n"}}]),
    ),
    (
        "the narrative",
        patient(text={"status": "generated", "div": '<div xmlns="http://www.w3.org/1999/xhtml">a</div>'}),
        [replace("Patient.text.div", '<div xmlns="http://www.w3.org/1999/xhtml">b</div>', "String")],
        patient(text={"status": "generated", "div": '<div xmlns="http://www.w3.org/1999/xhtml">b</div>'}),
    ),
]
