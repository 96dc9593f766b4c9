"""The walk reaches every object that the table knows, with expressions that say where."""

import pytest

from fhir_server.kit import json
from fhir_server.model.fhirpath import compile_path
from fhir_server.model.walk import resources, walk
from tests.r4_examples import examples

PATIENT = {
    "resourceType": "Patient",
    "birthDate": "1970",
    "_birthDate": {"extension": [{"url": "u", "valueQuantity": {"value": 1}}]},
    "name": [{"given": ["a"], "_given": [{"id": "x"}]}],
    "contained": [{"resourceType": "Organization", "name": "o", "contact": [{"purpose": {"text": "t"}}]}],
    "unknown": {"a": {}},
    "active": {"not": "boolean"},
}


def test_objects_come_with_their_expressions_and_paths() -> None:
    assert [(n.expression, n.path) for n in walk(PATIENT)] == [
        ("Patient", "Patient"),
        ("Patient.birthDate", "Element"),
        ("Patient.birthDate.extension[0]", "Extension"),
        ("Patient.birthDate.extension[0].value.ofType(Quantity)", "Quantity"),
        ("Patient.name[0]", "HumanName"),
        ("Patient.name[0].given[0]", "Element"),
        ("Patient.contained[0]", "Organization"),
        ("Patient.contained[0].contact[0]", "Organization.contact"),
        ("Patient.contained[0].contact[0].purpose", "CodeableConcept"),
    ]


def test_resources_are_found_at_any_depth() -> None:
    parameters = {
        "resourceType": "Parameters",
        "parameter": [
            {"name": "a", "part": [{"name": "b", "resource": PATIENT}]},
            {"name": "c", "resource": {"resourceType": "Bundle", "entry": [{"resource": {"resourceType": "Nothing"}}]}},
        ],
    }
    assert [(n.expression, n.path) for n in resources(parameters)] == [
        ("Parameters", "Parameters"),
        ("Parameters.parameter[0].part[0].resource", "Patient"),
        ("Parameters.parameter[0].part[0].resource.contained[0]", "Organization"),
        ("Parameters.parameter[1].resource", "Bundle"),
        ("Parameters.parameter[1].resource.entry[0].resource", "Resource"),
    ]


def test_the_expression_can_start_elsewhere() -> None:
    assert next(walk(PATIENT, "Bundle.entry[3].resource")).expression == "Bundle.entry[3].resource"


def test_deep_objects_are_walked_without_recursion() -> None:
    extension: dict[str, object] = {"url": "u"}
    for _ in range(5000):
        extension = {"url": "u", "extension": [extension]}
    assert sum(1 for _ in walk({"resourceType": "Patient", "extension": [extension]})) == 5002


@pytest.mark.parametrize("type_", ["Observation", "Patient", "Bundle", "Questionnaire", "Parameters", "CarePlan"])
def test_an_expression_evaluates_to_the_object_that_it_names(type_: str) -> None:
    texts = [text for name, text in examples().items() if name.startswith(f"{type_}-") and len(text) < 10_000]
    for text in texts[:8]:
        resource = json.decode(text)
        for node in walk(resource):
            if node.path != "Element":
                assert compile_path(node.expression, type_)(resource) == [node.value], node.expression
