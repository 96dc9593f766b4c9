"""The tables of R4 search.html, row by row: what a written value means, and which values it meets."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.search.kinds import date, number, quantity, reference, string, token
from fhir_server.search.kinds.prefixes import PREFIXES
from tests.search import naive

D = Decimal

PRECISION = [  # R4 search.html#number
    ("100", "99.5", "100.5"),
    ("100.00", "99.995", "100.005"),
    ("1e2", "95", "105"),
    ("-5", "-5.5", "-4.5"),
    ("0.40", "0.395", "0.405"),
]


@pytest.mark.parametrize(("text", "lo", "hi"), PRECISION)
def test_digits_say_how_exact_a_number_is(text: str, lo: str, hi: str) -> None:
    value = number.parse(text)
    assert (value.lo, value.hi) == (D(lo), D(hi))


# R4 search.html#prefix: the value 2013-01-14, or a period, against what is asked.
DATES = [
    ("eq2013-01-14", "2013-01-14T00:00:00Z", True),
    ("eq2013-01-14", "2013-01-14T10:00:00Z", True),
    ("eq2013-01-14", "2013-01-15T00:00:00Z", False),
    ("eq2013-01-14T10:00", "2013-01-14", False),
    ("ne2013-01-14", "2013-01-15T00:00:00Z", True),
    ("ne2013-01-14", "2013-01-14T00:00:00Z", False),
    ("ne2013-01-14T10:00", "2013-01-14", True),
    ("lt2013-01-14T10:00", "2013-01-14", True),
    ("lt2013-01-14", "2013-01-14T10:00:00Z", False),
    ("gt2013-01-14T10:00", "2013-01-14", True),
    ("gt2013-01-14", "2013-01-14T10:00:00Z", False),
    ("ge2013-03-14", {"start": "2013-03-14"}, True),
    ("ge2013-03-14", {"start": "2012-01", "end": "2013-03-13"}, False),
    ("le2013-03-14", {"end": "2013-03-14"}, True),
    ("sa2013-03-14", {"start": "2013-03-15"}, True),
    ("sa2013-03-14", {"start": "2013-03-01"}, False),
    ("eb2013-03-14", {"end": "2013-03-13"}, True),
    ("eb2013-03-14", {"end": "2013-03"}, False),
    ("ap2013-03-14", {"start": "2013-03-14", "end": "2013-03-15"}, True),
    ("2013", "2013-06", True),
    ("2013-06", "2013", False),
    ("2013-01-14T23:30:00-05:00", "2013-01-15T04:30:00Z", True),
]


def typed(value: Any) -> list[tuple[str, Any]]:
    return [("Period" if isinstance(value, dict) else "dateTime", value)]


@pytest.mark.parametrize(("text", "value", "found"), DATES)
def test_dates(text: str, value: Any, found: bool) -> None:
    assert date.accepts(date.parse(text), typed(value)) is found


def test_a_plus_that_arrived_as_a_blank_is_a_plus() -> None:
    assert date.parse("2020-01-01T00:00:00 02:00") == date.parse("2020-01-01T00:00:00+02:00")


@pytest.mark.parametrize("year", ["0001", "9999", "9999-12-31", "0001-01-01T00:00:00Z"])
def test_the_ends_of_the_calendar_are_dates_like_others(year: str) -> None:
    for prefix in PREFIXES:
        value = date.parse(prefix + year)
        assert date.FIRST <= value.lo <= value.hi <= date.LAST
        assert date.conditions(value)


@given(
    st.sampled_from(PREFIXES),
    st.decimals(-1000, 1000, places=2),
    st.decimals(-1000, 1000, places=2),
    st.decimals(0, 100, places=1),
)
def test_numbers_compare_as_the_naive_reading_has_it(prefix: Any, asked: Decimal, lo: Decimal, width: Decimal) -> None:
    text = f"{prefix}{asked}"
    value = {"low": {"value": lo}, "high": {"value": lo + width}}
    assert number.accepts(number.parse(text), [("Range", value)]) is naive.is_number(value, text)


STRINGS = [  # R4 search.html#string: given=eve finds Eve, Evelyn, and not Severine; accents and case do not count
    ("eve", "Eve", True),
    ("eve", "Evelyn", True),
    ("eve", "Severine", False),
    ("josé", "JOSE", True),
    ("strasse", "Straße", True),
    ("van  der", "Van der Berg", True),
    ("christophe", "Christopher", True),
    ("christophr", "Christopher", False),
]


@pytest.mark.parametrize(("text", "field", "found"), STRINGS)
def test_strings(text: str, field: str, found: bool) -> None:
    assert string.accepts(string.parse(text, None), [("string", field)]) is found
    assert string.accepts(string.parse(text, "exact"), [("string", field)]) is (text == field)


def test_tokens_read() -> None:
    assert token.parse("a") == token.Token(None, "a")
    assert token.parse("s|a") == token.Token("s", "a")
    assert token.parse("|a") == token.Token("", "a")
    assert token.parse("s|") == token.Token("s", None)
    assert token.parse(r"s|a\|b") == token.Token("s", "a|b")


def test_codes_keep_their_case_where_their_system_says_so() -> None:
    grams = [("Coding", {"system": "http://unitsofmeasure.org", "code": "Mg"})]
    assert not token.accepts(token.parse("http://unitsofmeasure.org|mg"), grams)
    assert token.accepts(token.parse("mg"), grams)
    assert token.accepts(
        token.parse("http://loinc.org|ABC"), [("Coding", {"system": "http://loinc.org", "code": "abc"})]
    )


QUANTITIES = [
    ("5.4|http://unitsofmeasure.org|mg", "5.44", "mg", True),
    ("5.40e-3|http://unitsofmeasure.org|g", "5.4", "mg", True),
    ("0.0054|http://unitsofmeasure.org|g", "5.4", "mg", True),
    ("5.4||mg", "5.4", "mg", True),
    ("5.4||milligram", "5.4", "mg", True),
    ("5.4||g", "5.4", "mg", False),
    ("5.4", "5.4", "mg", True),
    ("gt5.4", "5.41", "mg", True),
    ("gt5.4", "5.4", "mg", False),
    ("le0.0054|http://unitsofmeasure.org|g", "5.4", "mg", True),
    ("98.6|http://unitsofmeasure.org|[degF]", "37.0", "Cel", True),
]


@pytest.mark.parametrize(("text", "value", "unit", "found"), QUANTITIES)
def test_quantities(text: str, value: str, unit: str, found: bool) -> None:
    held = {"value": D(value), "system": quantity.UCUM, "code": unit, "unit": "milligram"}
    assert quantity.accepts(quantity.parse(text), [("Quantity", held)]) is found


@pytest.mark.parametrize(
    ("comparator", "text", "found"),
    [
        ("<", "ge5", False),
        ("<=", "ge5", True),
        ("<", "lt5", True),
        (">", "gt5", True),
        (">", "le5", False),
        (">=", "le5", True),
        ("<", "5", False),
    ],
)
def test_a_comparator_in_the_resource_makes_a_range(comparator: str, text: str, found: bool) -> None:
    held = {"value": 5, "comparator": comparator, "system": quantity.UCUM, "code": "mg"}
    assert quantity.accepts(quantity.parse(text), [("Quantity", held)]) is found
    assert quantity.accepts(quantity.parse(f"{text}|{quantity.UCUM}|mg"), [("Quantity", held)]) is found


def test_samples_are_as_wide_as_their_values() -> None:
    sampled = {"origin": {"value": 1, "code": "m"}, "factor": 2, "data": "1 E 4 U 2.5 L"}
    (measure,) = quantity.measures([("SampledData", sampled)])
    assert (measure.lo, measure.hi, measure.code) == (3, 9, "m")
    assert quantity.measures([("SampledData", {"origin": {"value": 1}, "data": "E U"})]) == []


REFERENCES = [
    ("Patient/1", (), None, (("Patient", "1"),), "Patient/1"),
    ("http://clarity.test/fhir/Patient/1", (), None, (("Patient", "1"),), "http://clarity.test/fhir/Patient/1"),
    ("1", ("Patient", "Group"), None, (("Patient", "1"), ("Group", "1")), "1"),
    ("1", ("Patient", "Group"), "Group", (("Group", "1"),), "1"),
    ("Patient/1", ("Patient", "Group"), "Group", (), "Patient/1"),
    ("http://other/Patient/1", (), None, (), "http://other/Patient/1"),
    ("urn:uuid:x", (), None, (), "urn:uuid:x"),
    ("#inside", (), None, (), "#inside"),
]


@pytest.mark.parametrize(("text", "targets", "modifier", "names", "literal"), REFERENCES)
def test_references_read(text: str, targets: Any, modifier: str | None, names: Any, literal: str | None) -> None:
    assert reference.parse(text, targets, modifier, "http://clarity.test/fhir") == reference.Reference(names, literal)
