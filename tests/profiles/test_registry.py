"""The tables say what R4 says: counts of the specification, known rows, and agreement with what we did not write."""

import time
from importlib import import_module
from pathlib import Path

import pytest

from profiles.registry import R4, Registry

FOLDER = Path(__file__).resolve().parents[2] / "profiles" / "r4"


def test_all_tables_load_within_a_fraction_of_a_second() -> None:
    started = time.process_time()
    registry = Registry(FOLDER)
    for type_ in registry.types:
        registry.json_children(type_)
        registry.params(type_)
    assert registry.codes("http://hl7.org/fhir/ValueSet/observation-status")
    assert registry.operations
    assert registry.compartment("Patient", "Observation")
    assert registry.invariants("obs-6")
    assert time.process_time() - started < 1.0  # about 0.05 s: the bound only catches a change of order


def test_there_are_146_concrete_resource_types() -> None:
    assert len(R4.types) == 146
    assert not {"Resource", "DomainResource"} & set(R4.types)
    assert all(R4.type_name(R4.type_id(t)) == t for t in R4.types)
    assert len({R4.type_id(t) for t in R4.types}) == 146
    assert R4.is_type("Patient")
    assert not R4.is_type("HumanName")
    assert not R4.is_type(["Patient"])


def test_elements_come_in_the_order_of_the_specification() -> None:
    assert list(R4.children("Observation"))[:9] == [
        *("id", "meta", "implicitRules", "language", "text", "contained", "extension", "modifierExtension"),
        "identifier",
    ]
    status = R4.children("Observation")["status"]
    assert (status.min, status.max, status.summary, status.modifier, status.many) == (1, 1, True, True, False)
    assert status.path == "Observation.status"
    assert status.binding is not None
    assert status.binding.strength == "required"


def test_a_choice_is_one_element_and_many_properties() -> None:
    value = R4.children("Observation")["value[x]"]
    assert value.choice
    assert len(value.types) == 11
    assert R4.json_children("Observation")["valueQuantity"].path_of_type == "Quantity"
    assert R4.json_children("Observation")["valueDateTime"].primitive
    assert "value" not in R4.json_children("Observation")


def test_content_references_are_resolved() -> None:
    child = R4.json_children("Observation.component")["referenceRange"]
    assert child.path_of_type == "Observation.referenceRange"
    assert list(R4.children("Observation.component.referenceRange")) == list(R4.children("Observation.referenceRange"))


def test_backbone_elements_inherit() -> None:
    assert list(R4.children("Patient.contact"))[:3] == ["id", "extension", "modifierExtension"]
    assert list(R4.children("Timing.repeat"))[:3] == ["id", "extension", "bounds[x]"]
    assert R4.children("Nothing") == {}
    assert R4.element("Patient.nothing") is None


def test_targets_and_profiles_of_types() -> None:
    subject = R4.children("Observation")["subject"].types[0]
    assert subject.targets == ("Patient", "Group", "Device", "Location")
    assert R4.children("Observation")["focus"].types[0].targets == ()
    assert R4.children("Observation.referenceRange")["low"].types[0].profile == "SimpleQuantity"


def test_the_tree_of_types() -> None:
    assert R4.parents("Age") == ("Quantity", "Element")
    assert R4.is_a("code", "string")
    assert R4.is_a("Patient", "DomainResource")
    assert not R4.is_a("Bundle", "DomainResource")
    assert not R4.is_a("unknown", "string")


def test_invariants_have_expressions_and_doubled_keys_are_told_apart() -> None:
    keys = {k for t in R4.types for k in R4.type_invariants(t)}
    keys |= {k for t in R4.types for e in R4.children(t).values() for k in e.invariants}
    assert all(R4.invariants(key).expression for key in keys)
    assert "dom-2" in R4.type_invariants("Patient")
    assert len({R4.invariants(k).expression for k in ("inv-1", "inv-1@Task", "inv-1@TestReport.setup.action")}) == 3


def test_parameters_are_split_by_base_type() -> None:
    code = R4.params("Observation")["code"]
    assert (code.expression, code.kind) == ("Observation.code", "token")
    assert R4.params("AllergyIntolerance")["code"].expression == (
        "AllergyIntolerance.code | AllergyIntolerance.reaction.substance"
    )
    assert R4.params("InsurancePlan")["name"].expression == "InsurancePlan.name | InsurancePlan.alias"
    composite = R4.params("Observation")["code-value-quantity"]
    assert [(c.name, c.kind) for c in composite.components] == [("code", "token"), ("value-quantity", "quantity")]
    swapped = R4.params("DocumentReference")["relationship"].components
    assert [(c.name, c.expression) for c in swapped] == [("relation", "code"), ("relatesto", "target")]


def test_every_parameter_starts_at_its_base() -> None:
    for type_ in R4.types:
        for param in R4.params(type_).values():
            for branch in filter(None, param.expression.split(" | ")):
                assert branch.lstrip("(").startswith(param.base), param


def test_targets_of_references_are_those_that_the_element_allows() -> None:
    assert R4.params("Observation")["patient"].targets == ("Patient",)
    assert R4.params("Observation")["subject"].targets == ("Device", "Group", "Location", "Patient")
    names = {t for type_ in R4.types for p in R4.params(type_).values() for t in p.targets}
    assert names <= set(R4.types)


def test_all_types_have_the_parameters_of_resource() -> None:
    for type_ in R4.types:
        assert {"_id", "_lastUpdated", "_tag", "_profile", "_security", "_source"} <= set(R4.params(type_))
    assert "_text" in R4.params("Patient")
    assert "_text" not in R4.params("Bundle")
    assert R4.params("Patient")["_id"] is R4.params("Observation")["_id"]


def test_parameter_numbers_are_unique_and_fit_a_smallint() -> None:
    params = {p.id: p for type_ in R4.types for p in R4.params(type_).values()}
    assert all(R4.param_by_id(number) is param for number, param in params.items())
    assert min(params) >= 1
    assert max(params) < 2**15


def test_compartments() -> None:
    assert R4.compartments == ("Device", "Encounter", "Patient", "Practitioner", "RelatedPerson")
    assert R4.compartment("Patient", "Observation") == ("subject", "performer")
    assert R4.compartment("Patient", "Organization") == ()
    assert R4.compartment("Encounter", "Encounter") == ()
    for compartment in R4.compartments:
        for type_ in R4.types:
            assert all(name in R4.params(type_) for name in R4.compartment(compartment, type_))


def test_codes_of_required_bindings() -> None:
    status = R4.codes("http://hl7.org/fhir/ValueSet/observation-status")
    assert status is not None
    assert "final" in status
    assert R4.codes("http://hl7.org/fhir/ValueSet/mimetypes") is None
    # The fast check of a required CodeableConcept knows system and code apart only if there is one system.
    concepts = [
        e
        for t in R4.types
        for path in (t, *(f"{t}.{n}" for n in R4.children(t)))
        for e in R4.children(path).values()
        if e.binding and e.binding.strength == "required" and e.types[0].code in ("CodeableConcept", "Coding")
    ]
    assert concepts
    assert all(len(R4.expansion(e.binding.valueset) or [1]) == 1 for e in concepts if e.binding)


def test_operations() -> None:
    everything = next(o for o in R4.operations if o.url.endswith("/Patient-everything"))
    assert everything.code == "everything"
    assert (everything.system, everything.type, everything.instance) == (False, True, True)
    assert {p.name for p in everything.parameters if p.use == "in"} >= {"start", "end", "_since", "_count"}


@pytest.mark.parametrize("type_", R4.types)
def test_elements_agree_with_a_library_that_we_did_not_write(type_: str) -> None:
    """fhir.resources is R4B: the types that it changed are left out of the comparison."""
    try:
        model = getattr(import_module(f"fhir.resources.R4B.{type_.lower()}"), type_)
    except ImportError:
        assert type_ in CHANGED_IN_R4B
        return
    if type_ in CHANGED_IN_R4B:
        return
    theirs = {f.alias or n for n, f in model.model_fields.items()} - {"resource_type", "fhir_comments"}
    theirs = {name for name in theirs if not name.startswith("_")} - {"resourceType"}
    assert theirs == set(R4.json_children(type_))


CHANGED_IN_R4B = {
    *("ActivityDefinition", "PlanDefinition"),  # subjectCanonical
    *("CatalogEntry", "DeviceDefinition", "EffectEvidenceSynthesis", "Evidence", "EvidenceVariable"),
    *("MedicinalProduct", "MedicinalProductAuthorization", "MedicinalProductContraindication"),
    *("MedicinalProductIndication", "MedicinalProductIngredient", "MedicinalProductInteraction"),
    *("MedicinalProductManufactured", "MedicinalProductPackaged", "MedicinalProductPharmaceutical"),
    *("MedicinalProductUndesirableEffect", "RiskEvidenceSynthesis", "SubstanceNucleicAcid", "SubstancePolymer"),
    *("SubstanceProtein", "SubstanceReferenceInformation", "SubstanceSourceMaterial", "SubstanceSpecification"),
}
