"""Paths: what they mean, and that nothing else means anything."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.errors import BadRequest, FhirError, NotFound
from fhir_server.interactions.address import Address, parse_address, parse_criteria, parse_query


@pytest.mark.parametrize(
    ("path", "address"),
    [
        ("", Address("system")),
        ("metadata", Address("metadata")),
        ("_history", Address("history-system")),
        ("_search", Address("search-system")),
        ("Patient", Address("type", "Patient")),
        ("Patient/_search", Address("search-type", "Patient")),
        ("Patient/_history", Address("history-type", "Patient")),
        ("Patient/1", Address("instance", "Patient", "1")),
        ("Patient/1/_history", Address("history-instance", "Patient", "1")),
        ("Patient/1/_history/2", Address("version", "Patient", "1", "2")),
        ("Patient/1/Observation", Address("compartment", "Patient", "1", member="Observation")),
        ("Patient/1/Observation/_search", Address("search-compartment", "Patient", "1", member="Observation")),
        ("Encounter/1/*", Address("compartment", "Encounter", "1", member="*")),
        ("Patient/1/*/_search", Address("search-compartment", "Patient", "1", member="*")),
        ("$x", Address("operation", operation="x")),
        ("Patient/$match", Address("operation", "Patient", operation="match")),
        ("Patient/1/_history/2/$meta", Address("operation", "Patient", "1", "2", operation="meta")),
        ("Patient/1/$everything", Address("operation", "Patient", "1", operation="everything")),
    ],
)
def test_meaning(path: str, address: Address) -> None:
    assert parse_address(path) == address


@pytest.mark.parametrize(
    "path",
    ["patient", "Nonsense/1", "metadata/1", "Patient//1", "Patient/1/", "Patient/1/_history/2/3",
     "Patient/1/_history/2/$x/y", "Patient/1/_history/$x", "$", "Patient/1/$x/y",
     "Patient/1/Nonsense", "Resource", "DomainResource/1", "HumanName"],
)  # fmt: skip
def test_nothing_there(path: str) -> None:
    with pytest.raises((NotFound, BadRequest)):
        parse_address(path)


@given(st.text(max_size=60))
def test_any_text_is_an_address_or_refused(path: str) -> None:
    try:
        assert parse_address(path).kind
    except FhirError as error:
        assert error.status in (400, 404)  # noqa: PT017


@given(st.text(alphabet="ab=&%+0\x00é", max_size=40))
def test_any_query_is_parsed_or_refused(text: str) -> None:
    try:
        assert isinstance(parse_query(text), list)
    except BadRequest as error:
        assert error.id.startswith("query")  # noqa: PT017


def test_query_keeps_order_and_blanks() -> None:
    assert parse_query("a=1&b=&a=%C3%A9+x") == [("a", "1"), ("b", ""), ("a", "é x")]


@pytest.mark.parametrize(
    "text", ["identifier=a?b", "?identifier=a?b", "Patient?identifier=a?b", "http://x.test/fhir/Patient?identifier=a?b"]
)
def test_criteria_with_and_without_the_type(text: str) -> None:
    assert parse_criteria(text, "Patient") == [("identifier", "a?b")]
