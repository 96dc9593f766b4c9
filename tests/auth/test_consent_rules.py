"""What is unclear in a Consent, read from its JSON: it never becomes clear by what stands beside it."""

from __future__ import annotations

from typing import Any

import pytest

from fhir_server.auth.consent.rules import rules_of
from tests.auth.test_consent import consent

ONE = {"meaning": "instance", "reference": {"reference": "Observation/1"}}
RELATED = ONE | {"meaning": "related"}
ELSEWHERE = ONE | {"reference": {"reference": "http://elsewhere.example/Observation/1"}}


def unclear(**provision: Any) -> set[str]:
    rules = rules_of(consent("p", "OPTIN", type="deny", **provision), "http://x/fhir")
    assert rules is not None
    return set(rules.root.unclear)


@pytest.mark.parametrize("beside", [RELATED, ELSEWHERE])
def test_one_reference_that_is_not_understood_makes_all_unclear(beside):
    assert unclear(data=[ONE]) == set()
    assert unclear(data=[ONE, beside]) == unclear(data=[beside, ONE]) == unclear(data=[beside]) == {"data"}


def test_extensions_of_primitives_and_ids_say_nothing_and_other_elements_do():
    said = [{"url": "urn:x", "valueBoolean": True}]
    assert unclear(_type={"extension": said}, id="1", extension=said) == set()
    assert unclear(modifierExtension=said, dataPeriod={"start": "2020-01-01"}) == {"modifierExtension", "dataPeriod"}


def test_a_concept_without_a_coding_makes_its_element_unclear():
    words, coded = {"text": "words"}, {"coding": [{"system": "urn:x", "code": "y"}]}
    assert unclear(code=[coded], action=[coded]) == set()
    assert unclear(code=[coded, words]) == {"code"}
    assert unclear(action=[words, coded]) == {"action"}


def test_what_names_single_resources_depends_on_the_type():
    for provision in ({"data": [ONE]}, {"provision": [{"type": "deny", "data": [ONE]}]}):
        rules = rules_of(consent("p", type="permit", **provision), "http://x/fhir")
        assert rules is not None
        assert rules.typed, provision
