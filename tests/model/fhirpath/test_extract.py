"""Search extraction: every R4 parameter, against the general evaluation and against fhirpathpy."""

from collections.abc import Iterator
from typing import Any

import fhirpathpy
import pytest
from fhirpathpy.models import models

from fhir_server.kit.json import encode
from fhir_server.model.fhirpath import Node, compile_path, extractor
from fhir_server.model.fhirpath.parser import parse
from fhir_server.model.fhirpath.plan import NoPlan, plan
from fhir_server.model.fhirpath.types import fhir_type
from profiles.registry import R4, SearchParam
from tests.model.fhirpath.instances import by_type

PARAMS = [(type_, param) for type_ in R4.types for param in R4.params(type_).values() if param.expression]
PATIENT = {
    "resourceType": "Patient",
    "id": "a",
    "name": [
        {"family": "Chalmers", "given": ["Peter", None, "James"], "_given": [None, {"id": "x"}]},
        {"use": "usual"},
    ],
    "telecom": [{"system": "phone", "value": "1"}, {"system": "email", "value": "2"}],
    "deceasedDateTime": "2020",
    "contact": [{"name": {"family": "B"}}, {"gender": "male"}],
}
OBSERVATION = {
    "resourceType": "Observation",
    "subject": {"reference": "Patient/1"},
    "performer": [
        {"reference": "https://x.example/fhir/Practitioner/2/_history/1"},
        {"reference": "urn:uuid:3", "type": "Patient"},
    ],
    "effectivePeriod": {"start": "2020"},
    "valueQuantity": {"value": 1},
    "component": [{"valueString": "a"}, {"valueQuantity": {"value": 2}}, {"dataAbsentReason": {"text": "b"}}],
}  # fmt: skip


@pytest.mark.parametrize(
    ("expression", "resource", "expected"),
    [
        ("Patient.name.given", PATIENT, [("string", "Peter"), ("string", "James")]),
        ("Patient.telecom.where(system='email')", PATIENT, [("ContactPoint", PATIENT["telecom"][1])]),
        ("Patient.telecom.where(system='email' and use='home')", PATIENT, []),
        ("Patient.deceased", PATIENT, [("dateTime", "2020")]),
        ("(Patient.deceased as dateTime)", PATIENT, [("dateTime", "2020")]),
        ("Patient.deceased.as(boolean)", PATIENT, []),
        ("Patient.deceased.exists() and Patient.deceased != false", PATIENT, [("boolean", True)]),
        ("Patient.contact", PATIENT, [("Patient.contact", c) for c in PATIENT["contact"]]),
        ("Patient.contact.name.family | Patient.name.family", PATIENT, [("string", "B"), ("string", "Chalmers")]),
        ("Patient.name[1].use", PATIENT, [("code", "usual")]),
        ("Patient.name.first()", PATIENT, [("HumanName", PATIENT["name"][0])]),
        ("Patient.name.given[1]", PATIENT, []),
        ("Patient.name.given[2]", PATIENT, [("string", "James")]),
        ("Person.name", PATIENT, []),
        ("Resource.id", PATIENT, [("id", "a")]),
        ("DomainResource.text", PATIENT, []),
        ("", PATIENT, []),
        ("Observation", OBSERVATION, [("Observation", OBSERVATION)]),
        ("Observation.value", OBSERVATION, [("Quantity", {"value": 1})]),
        ("(Observation.value as Quantity) | (Observation.value as SampledData)", OBSERVATION, [("Quantity", {"value": 1})]),
        ("(Observation.value as Quantity).unit", OBSERVATION, []),
        ("Observation.value.as(Age)", OBSERVATION, []),
        ("Observation.effective", OBSERVATION, [("Period", {"start": "2020"})]),
        ("(Observation.component.value as Quantity)", OBSERVATION, [("Quantity", {"value": 2})]),
        ("Observation.component.value", OBSERVATION, [("string", "a"), ("Quantity", {"value": 2})]),
        ("Observation.subject.where(resolve() is Patient)", OBSERVATION, [("Reference", {"reference": "Patient/1"})]),
        ("Observation.performer.where(resolve() is Patient)", OBSERVATION, [("Reference", OBSERVATION["performer"][1])]),
        ("Observation.performer.where(resolve() is Practitioner)", OBSERVATION, [("Reference", OBSERVATION["performer"][0])]),
        ("Observation.performer.where(resolve() is DomainResource).reference", OBSERVATION,
         [("string", OBSERVATION["performer"][0]["reference"]), ("string", "urn:uuid:3")]),
    ],
)  # fmt: skip
def test_extraction(expression: str, resource: dict[str, Any], expected: list[tuple[str, Any]]) -> None:
    assert extractor(expression, resource["resourceType"])(resource) == expected


def test_components_start_at_a_backbone_element() -> None:
    component = OBSERVATION["component"][1]
    assert extractor("value.as(Quantity)", "Observation.component")(component) == [("Quantity", {"value": 2})]
    assert extractor("value.as(Quantity)", "Observation")(OBSERVATION) == [("Quantity", {"value": 1})]
    sequence = {
        "resourceType": "MolecularSequence",
        "referenceSeq": {"chromosome": {"text": "X"}},
        "variant": [{"start": 1}],
    }
    chromosome = extractor("%resource.referenceSeq.chromosome", "MolecularSequence.variant")
    assert chromosome(sequence["variant"][0], sequence) == [("CodeableConcept", {"text": "X"})]


def test_resources_inside_a_bundle_say_their_own_type() -> None:
    bundle = {
        "resourceType": "Bundle",
        "type": "document",
        "entry": [{"resource": {"resourceType": "Composition"}}, {}],
    }
    assert extractor("Bundle.entry[0].resource", "Bundle")(bundle) == [("Composition", {"resourceType": "Composition"})]
    assert extractor("Bundle.entry[1].resource", "Bundle")(bundle) == []


def test_what_is_no_reference_refers_to_nothing() -> None:
    patient = extractor("Observation.subject.where(resolve() is Patient)", "Observation")
    for subject in ({}, {"display": "x"}, {"reference": "#p"}, {"reference": "urn:uuid:1"}, {"reference": "Patients/1"},
                    {"reference": "Group/Patient"}, {"reference": "Patient"}, {"identifier": {"value": "Patient/1"}}):  # fmt: skip
        assert patient({"resourceType": "Observation", "subject": subject}) == []
    for text in ("Patient/1", "http://a/b/Patient/1", "Patient/1/_history/2", "Patient?identifier=1"):
        assert patient({"resourceType": "Observation", "subject": {"reference": text}}) != []


def test_every_parameter_compiles_and_nearly_all_have_a_plan() -> None:
    general = set()
    for type_, param in PARAMS:
        assert extractor(param.expression, type_)({"resourceType": type_}) is not None
        for component in param.components:
            compile_path(component.expression)
        try:
            assert plan(parse(param.expression), type_) != [], f"{type_}.{param.name} can never match"
        except NoPlan:
            general.add((type_, param.name))
    assert general == {("Patient", "deceased"), ("QuestionnaireResponse", "item-subject")}


def _shown(values: list[Any]) -> list[bytes]:
    return sorted({encode(value) for value in values})


def _cases(most: int) -> Iterator[tuple[SearchParam, dict[str, Any]]]:
    resources = by_type(most)
    for type_, param in PARAMS:
        for resource in resources.get(type_, ()):
            yield param, resource


def test_the_fast_path_finds_what_the_general_evaluation_finds() -> None:
    count = 0
    for param, resource in _cases(4):
        fast = extractor(param.expression, resource["resourceType"])(resource)
        items = compile_path(param.expression).items(resource, lenient=True)
        if "resolve()" in param.expression:  # by design, a contained target does not count for search
            items = [item for item in items if not item.raw.get("reference", "").startswith("#")]
        slow = [(item.path if "." in item.path else item.type, item.raw) for item in items if type(item) is Node]
        slow += [(fhir_type(item), item) for item in items if type(item) is not Node]
        expected = [[kind, value] for kind, value in slow if value is not None]
        assert _shown([list(pair) for pair in fast]) == _shown(expected), (param.base, param.name)
        count += 1
    assert count > 5000


def _theirs(evaluate: Any, resource: dict[str, Any]) -> list[Any] | None:
    """Return what fhirpathpy finds; None where it refuses `as` on several items, which R4's parameters use."""
    try:
        return evaluate(resource)
    except Exception as error:
        if "singleton" in str(error):  # it raises bare Exceptions
            return None
        raise


def test_the_fast_path_finds_what_fhirpathpy_finds() -> None:
    """Without resolve(), hasExtension() and `as` on several items, which fhirpathpy does not do."""
    compiled: dict[str, Any] = {}
    count = 0
    for param, resource in _cases(2):
        type_ = resource["resourceType"]
        expression = param.expression.replace("DomainResource.", f"{type_}.").replace("Resource.", f"{type_}.")
        if "resolve()" in expression or "hasExtension" in expression:
            continue
        if expression not in compiled:
            compiled[expression] = fhirpathpy.compile(expression, models["r4"])
        theirs = _theirs(compiled[expression], resource)
        if theirs is None:
            continue
        ours = [value for _, value in extractor(param.expression, type_)(resource)]
        assert _shown(ours) == _shown([getattr(value, "asStr", value) for value in theirs]), (param.base, param.name)
        count += 1
    assert count > 3000
