"""Which parameter is answered by what: aliases, unions, narrowed sources, composites."""

from __future__ import annotations

from typing import Any

import pytest

from fhir_server.search.expressions import split_outside, term, terms
from fhir_server.search.parameters import served_params, table
from profiles.registry import R4

UNIONS = [
    ("Observation", "combo-code", {("code", None), ("component-code", None)}),
    ("Observation", "combo-value-quantity", {("value-quantity", None), ("component-value-quantity", None)}),
    ("Observation", "patient", {("subject", "Patient")}),
    ("Patient", "phonetic", {("family", None), ("given", None), ("name", None)}),
    (
        "Patient",
        "address",
        {(f"address-{part}", None) for part in ("city", "state", "postalcode", "country")} | {("address", None)},
    ),
    ("Encounter", "practitioner", {("participant", "Practitioner")}),
    ("AuditEvent", "patient", {("agent", "Patient"), ("entity", "Patient")}),
    ("Observation", "code", {("code", None)}),
]


@pytest.mark.parametrize(("type_", "name", "sources"), UNIONS)
def test_what_answers_a_parameter(type_: str, name: str, sources: set[tuple[str, str | None]]) -> None:
    assert {(s.param.name, s.only) for s in table(type_).sources[name]} == sources


@pytest.mark.parametrize("type_", R4.types)
def test_every_branch_of_every_parameter_is_answered_and_stored_once(type_: str) -> None:
    known = table(type_)
    by_kind: dict[Any, int] = {}
    for source in known.stored:
        for branch in source.terms:
            at = (source.param.kind, branch.expression)
            by_kind[at] = by_kind.get(at, 0) + 1
    assert [at for at, count in by_kind.items() if count > 1] == []
    for name in known.sources:
        assert known.sources[name], name


def test_composites_on_the_resource_have_no_entries() -> None:
    known = table("Observation")
    assert [s.param.name for s in known.rooted["code-value-quantity"][0]] == ["code"]
    assert {i.param.name for i in known.instances} == {
        "component-code-value-quantity",
        "component-code-value-concept",
    } or {i.param.name for i in known.instances} == {"combo-code-value-quantity", "combo-code-value-concept"}
    assert known.below["combo-code-value-quantity"] == known.below["component-code-value-quantity"]


def test_served_parameters_are_all_of_r4_that_have_an_expression() -> None:
    served = {(type_, param.name) for type_ in R4.types for param in served_params(type_)}
    defined = {(type_, name) for type_ in R4.types for name, param in R4.params(type_).items() if param.expression}
    assert defined - served == set()
    assert {name for _, name in served - defined} == {"_text", "_content"}
    assert len(served) > 2500


def test_terms() -> None:
    value = term("Observation.value.ofType(Quantity)", "Observation")
    assert (value.first, value.types, value.many) == ("value", frozenset({"Quantity"}), False)
    assert term("Observation.component.code", "Observation").many
    assert term("Patient.deceased.exists() and Patient.deceased != false", "Patient").first == ""
    assert term("Patient.extension('x').value", "Patient").first == "extension"
    assert {t.expression for t in terms("Person.name", "Person", "string")} == {
        f"Person.name.{leaf}" for leaf in ("family", "given", "prefix", "suffix", "text")
    }
    assert split_outside("a.where(x | y='|') | b", "|") == ["a.where(x | y='|')", "b"]
