"""The static check: what an expression can never mean is said before it runs."""

import pytest

from fhir_server.model.fhirpath.check import check


@pytest.mark.parametrize(
    ("expression", "base", "reason"),
    [
        ("name.given1", "Patient", "HumanName has no element 'given1'; did you mean 'given'?"),
        ("Encounter.name", "Patient", "the input is never a Encounter"),
        ("Observation.valueQuantity.unit", "Observation", "did you mean 'value'?"),
        ("(Observation.value as Period).unit", "Observation", "Period has no element 'unit'"),
        ("Observation.value.as(Patient)", "Observation", "this is never a Patient"),
        ("Patient.children().skip(1)", "Patient", "skip() on a collection without an order"),
        ("Patient.descendants()[0]", "Patient", "an indexer on a collection without an order"),
        ("name.where(usage = 'official')", "Patient", "HumanName has no element 'usage'"),
        ("name.select(givn)", "Patient", "'givn'; did you mean 'given'?"),
        ("nothing()", "Patient", "there is no function 'nothing'"),
        ("birthDate.year", "Patient", "date has no element 'year'"),
        ("valueString.length()", "Observation.component", "did you mean 'value'?"),
        ("a |", "Patient", "unexpected end"),
    ],
)
def test_faults(expression: str, base: str, reason: str) -> None:
    issues = check(expression, base)
    assert len(issues) == 1
    assert reason in issues[0].text
    assert issues[0].id.startswith("fhirpath-")


@pytest.mark.parametrize(
    ("expression", "base"),
    [
        ("name.given.first() & name.family", "Patient.contact"),
        ("Observation.component.where(code.coding.exists(code = 'x')).value.ofType(Quantity).value > 5", "Observation"),
        ("contained.whatever", "Patient"),
        ("subject.resolve().anything", "Observation"),
        ("birthDate.extension('http://x').value.unit", "Patient"),
        ("iif(active, name.first().text, $this.id)", "Patient"),
        ("code.exists() and id.exists()", "Observation"),
        ("name.sort(-family).first().use", "Patient"),
        ("entry.resource.ofType(Patient).name.family", "Bundle"),
        ("item.repeat(item).linkId.isDistinct()", "Questionnaire"),
    ],
)
def test_no_faults(expression: str, base: str) -> None:
    assert check(expression, base) == []
