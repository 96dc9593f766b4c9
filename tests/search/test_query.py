"""Reading queries: what is refused and how, what lenient handling leaves out, escapes, controls."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.errors import BadSearch
from fhir_server.search import escape
from fhir_server.search.kinds.token import Token
from fhir_server.search.parse import MAX_VALUES, parse_query
from fhir_server.search.query import shown

STRICT = [
    ("cod=1", "search-unknown-parameter", "Did you mean code?"),
    ("birthdat=1", "search-unknown-parameter", "Observation has no search parameter birthdat."),
    ("identifier:in=1", "search-modifier", "no codes"),
    ("code:contains=1", "search-modifier", ":contains does not go with code"),
    ("code:of-type=1", "search-modifier", "no Identifiers"),
    ("value-string:text=1", "search-modifier", ":text does not go with value-string"),
    ("date:exact=2020", "search-modifier", ":exact does not go with date"),
    ("code:nonsense=1", "search-modifier", ":nonsense does not go with code"),
    ("subject:Medication=1", "search-target", "subject refers to Device, Group, Location, Patient"),
    ("_include=Observation:subjekt", "search-unknown-parameter", "subject"),
    ("subject.nam=x", "search-unknown-parameter", "None of what subject refers to"),
    ("subject:Patient.nam=x", "search-unknown-parameter", "Patient has no search parameter nam. Did you mean name"),
    ("subject:Organization.name=x", "search-target", "subject refers to Device, Group, Location, Patient"),
    ("subject:identifier.name=x", "search-chain", "In a chain subject goes with a type"),
    ("code.name=x", "search-chain", "code of Observation is a parameter of kind token"),
    ("encounter.subject.birthdat=1", "search-unknown-parameter", "None of what subject refers to"),
    ("_sort=subject.name", "search-chain", "cannot stand here"),
    ("_has:Observation:subject:code=x", "search-target", "Observation.subject refers to"),
    ("_has:Observatio:has-member:code=x", "search-has", "Did you mean Observation"),
    ("_has:Observation:has-membe:code=x", "search-unknown-parameter", "Did you mean has-member"),
    ("_has:Observation:code:code=x", "search-chain", "only references lead"),
    ("_filter=code co x", "search-filter-operator", "is not compared by co"),
    ("_list=$current-problems", "search-functional-list", "no functional lists"),
    ("_query=x", "search-not-supported", "_query"),
]
ALWAYS = [
    ("date=yesterday", "search-value"),
    ("date=xx2020", "search-value"),
    ("date=2020-13", "search-value"),
    ("value-quantity=5|mg", "search-value"),
    ("value-quantity=five", "search-value"),
    ("value-quantity=1e999", "search-value"),
    ("value-quantity=5|http://unitsofmeasure.org|", "search-value"),
    ("code=a|b|c", "search-value"),
    ("identifier:of-type=a|b", "search-value"),
    ("value-string:contains=" + ",".join("abcdefghij" * 11), "search-value"),
    ("_text=" + ",".join("abcdefghij" * 11), "search-value"),
    ("identifier:of-type=a||b", "search-value"),
    ("_profile:below=urn:oid:1.2.3", "search-value"),
    ("_profile:above=/relative", "search-value"),
    ("_profile:below=http://a" + "/b" * 30, "search-value"),
    ("value-string=%20".replace("%20", " "), "search-value"),
    ("code=|", "search-value"),
    ("code=", "search-value"),
    ("code=a,,b", "search-value"),
    ("code:missing=yes", "search-value"),
    ("code-value-quantity=1", "search-value"),
    ("code-value-quantity=1$", "search-value"),
    ("subject:identifier=", "search-value"),
    ("_count=-1", "search-value"),
    ("_count=ten", "search-value"),
    ("_total=some", "search-value"),
    ("_summary=short", "search-value"),
    ("_count=1&_count=2", "search-repeated"),
    ("_sort=code-value-quantity", "search-value"),
    ("_sort=date,status,code,subject,encounter", "search-value"),
    ("_type=Patient", "search-value"),
    ("_has:Observation:has-member=x", "search-has"),
    ("_has:=x", "search-has"),
    ("subject:Patient.birthdate=yesterday", "search-value"),
    ("subject:Patient.name=", "search-value"),
    ("_has:Observation:has-member:date=yesterday", "search-value"),
    ("encounter.subject:Patient." + "link." * 8 + "name=x", "search-too-deep"),
    ("has-member." * 9 + "code=x", "search-too-deep"),
    ("_has:Observation:has-member:" * 9 + "code=x", "search-too-deep"),
    ("focus.focus.focus.focus._id=x", "search-too-wide"),
    ("code=a\0", "search-value"),
    ("value-string=\ud800", "search-value"),
]


def pairs(query: str) -> list[tuple[str, str]]:
    return [(name, value) for name, _, value in (part.partition("=") for part in query.split("&"))]


@pytest.mark.parametrize(("query", "id_", "said"), STRICT)
def test_what_is_unknown_is_refused_or_left_out_with_a_warning(query: str, id_: str, said: str) -> None:
    with pytest.raises(BadSearch, match=said.replace(".", "\\.")[:40]) as refused:
        parse_query("Observation", pairs(query), lenient=False)
    assert refused.value.id == id_
    assert refused.value.status == 400
    assert refused.value.issues[0].expression
    lenient = parse_query("Observation", pairs(f"status=final&{query}"), lenient=True)
    assert [clause.param.name for clause in lenient.where] == ["status"]
    assert lenient.applied == [("status", "final")]
    assert [(issue.id, issue.severity) for issue in lenient.issues] == [(id_, "warning")]


@pytest.mark.parametrize(("query", "id_"), ALWAYS)
@pytest.mark.parametrize("lenient", [False, True])
def test_values_that_mean_nothing_are_refused_either_way(query: str, id_: str, lenient: bool) -> None:
    with pytest.raises(BadSearch) as refused:
        parse_query("Observation", pairs(query), lenient=lenient)
    assert refused.value.id == id_


def test_messages_hold_no_values() -> None:
    with pytest.raises(BadSearch) as refused:
        parse_query("Observation", [("date", "Peter Chalmers")], lenient=False)
    assert "Peter" not in refused.value.text
    assert shown("a b<script>" + "x" * 100) == ("a?b?script?" + "x" * 100)[:64]


def test_too_many_values_are_refused() -> None:
    with pytest.raises(BadSearch) as refused:
        parse_query("Observation", [("code", ",".join("a" * 1 for _ in range(MAX_VALUES + 1)))], lenient=False)
    assert refused.value.id == "search-too-long"


def test_controls() -> None:
    text = (
        "_count=5000&_total=accurate&_summary=true&_elements=id,code&_sort=-date,status&_format=json&_contained=false"
    )
    query = parse_query("Observation", pairs(text), lenient=False, most=1000)
    assert (query.count, query.total, query.summary, query.elements) == (1000, "accurate", "true", ("id", "code"))
    assert [(key.param.name, key.descending) for key in query.sort] == [("date", True), ("status", False)]
    assert query.applied[0] == ("_count", "1000")
    assert "_format" not in [name for name, _ in query.applied]
    assert parse_query("Observation", [("_count", "0")], lenient=False).counts_only
    assert parse_query("Observation", [("_summary", "count")], lenient=False).counts_only


def test_several_types_have_the_common_parameters_only() -> None:
    query = parse_query(None, pairs("_type=Patient,Observation&_tag=red&_lastUpdated=ge2020"), lenient=False)
    assert query.types == ("Patient", "Observation")
    with pytest.raises(BadSearch):
        parse_query(None, [("code", "x")], lenient=False)
    with pytest.raises(BadSearch):
        parse_query(None, [("_type", "Patience")], lenient=False)


def test_escapes_keep_separators_in_values() -> None:
    query = parse_query("Observation", [("code", r"http://x|a\,b,c\|d,e\$f,g\\")], lenient=False)
    assert query.where[0].values == (
        Token("http://x", "a,b"),
        Token(None, "c|d"),
        Token(None, "e$f"),
        Token(None, "g\\"),
    )


@given(st.lists(st.text(min_size=1), min_size=1, max_size=4))
def test_escaping_is_undone_by_splitting_and_unescaping(parts: list[str]) -> None:
    joined = ",".join(escape.escape(part) for part in parts)
    assert [escape.unescape(part) for part in escape.split(joined, ",")] == parts


@given(
    st.text(),
    st.sampled_from(
        [
            "code",
            "date",
            "value-quantity",
            "subject",
            "_profile",
            "code-value-quantity",
            "value-string",
            "_sort",
            "_count",
        ]
    ),
)
def test_any_text_is_read_or_refused(text: str, name: str) -> None:
    with contextlib.suppress(BadSearch):
        parse_query("Observation", [(name, text)], lenient=False)


def test_only_searches_of_one_type_ask_for_what_others_contain() -> None:
    for type_, inside in (("Observation", False), (None, True)):
        with pytest.raises(BadSearch) as refused:
            parse_query(type_, pairs("_contained=both"), lenient=False, inside=inside)
        assert refused.value.id == "search-contained"
    query = parse_query("Observation", pairs("_contained=both&_containedType=contained"), lenient=False, inside=True)
    assert (query.contained, query.opened) == ("both", True)
    assert parse_query("Observation", pairs("_contained=false"), lenient=False).contained is None
