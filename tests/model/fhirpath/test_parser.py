"""The grammar: precedence, literals, names, and that nothing but `FhirPathError` comes out of any text."""

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_server.model.fhirpath import FhirPathError, compile_path
from fhir_server.model.fhirpath import ast as tree
from fhir_server.model.fhirpath.errors import MAX_EXPRESSION
from fhir_server.model.fhirpath.parser import parse

BASIC = {"resourceType": "Basic"}
TOKENS = st.sampled_from(
    ["Patient", "name", "given", ".", "(", ")", "[", "]", "{", "}", "|", "&", "+", "-", "*", "/", "=", "!=", "~", "!~", "<",
     "<=", ">", ">=", "is", "as", "in", "contains", "and", "or", "xor", "implies", "div", "mod", "where", "exists", "iif",
     "$this", "$index", "$total", "%resource", "%`vs-x`", "1", "1.5", "'a'", "@2020", "@2020-01T", "@T10:00", "true", "{}",
     "4 days", "1 'mg'", ",", "`x`", "first()", "children()", "resolve()", "ofType(Quantity)", "// c\n", "/* c */"]
)  # fmt: skip


def _refusal(run: Callable[[], object]) -> str | None:
    """Return the id of the error that comes out, if one does; any other exception fails the test."""
    try:
        run()
    except FhirPathError as error:
        return error.id
    return None


@given(st.text(max_size=60))
def test_any_text_parses_or_is_refused(text: str) -> None:
    assert _refusal(lambda: parse(text)) in (None, "fhirpath-syntax", "fhirpath-limit")


@settings(max_examples=500)
@given(st.lists(TOKENS, max_size=16))
def test_any_tokens_evaluate_or_are_refused(tokens: list[str]) -> None:
    patient = {"resourceType": "Patient", "name": [{"given": ["a", "b"], "family": "c"}], "active": True}
    for glue in ("", " ", "."):
        text = glue.join(tokens)
        assert (_refusal(lambda text=text: compile_path(text)(patient)) or "fhirpath-").startswith("fhirpath-")


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("1 + 2 * 3 - 4", [3]),
        ("2 * -3", [-6]),
        ("-2.abs()", [-2]),
        ("(-2).abs()", [2]),
        ("1 | 2 | 2", [1, 2]),
        ("1 = 1 and 2 > 1 or false", [True]),
        ("true or false and false", [True]),
        ("false implies false or true", [True]),
        ("true xor true and false", [True]),
        ("'a' & 'b' = 'ab'", [True]),
        ("1 in (1 | 2) and (1 | 2) contains 2", [True]),
        ("5 div 2 + 5 mod 2", [3]),
        ("1 | 1 is Integer", [1, True]),
        ("10 'mg' = 0.01 'g'", [True]),
        ("4 days > 3 days", [True]),
        (r"'\u0041\n\'' = 'A' & '\n\''", [True]),
        ("/* a */ 1 // b", [1]),
        ("@2020-01-01 < @2020-01-02", [True]),
        ("@T10:00.is(Time)", [True]),
        ("{}", []),
        ("`resourceType`.empty()", [True]),
    ],
)
def test_precedence_and_literals(expression: str, expected: list[object]) -> None:
    assert compile_path(expression)(BASIC) == expected


@pytest.mark.parametrize(
    "expression",
    ["", "1 +", "(1", "1)", "a.", "a..b", "a[1", "a(", "f(1,)", "'open", "`open", "/* open", "@20", "@2020-13-01", "@T25",
     "@2021-02-30", "1 is", "$that", "%", "{1}", "#", "a b", "1 2", "and", "'\\q'", "99999999999999999999", "1.2.3 4",
     "x" * 300],
)  # fmt: skip
def test_what_the_grammar_does_not_have_is_refused(expression: str) -> None:
    with pytest.raises(FhirPathError) as caught:
        parse(expression)
    assert caught.value.id == "fhirpath-syntax"


@pytest.mark.parametrize(
    "expression",
    ["(" * 5000 + "1" + ")" * 5000, "-" * 5000 + "1", "1" + "+1" * 5000, "a" + "[0" * 4000, "not(" * 3000,
     "where(" * 300 + "true" + ")" * 300, "x " * MAX_EXPRESSION, "1" + " implies 1" * 1500],
)  # fmt: skip
def test_nesting_and_length_are_bounded(expression: str) -> None:
    with pytest.raises(FhirPathError) as caught:
        parse(expression)
    assert caught.value.id == "fhirpath-limit"


def test_long_paths_and_unions_stay_flat() -> None:
    path = parse("a" + ".b" * 1000)
    assert isinstance(path, tree.Path)
    assert len(path.steps) == 1000
    union = parse(" | ".join(["a"] * 1000))
    assert isinstance(union, tree.Union)
    assert len(union.parts) == 1000
    assert compile_path("a" + ".b" * 1000)(BASIC) == []


def test_errors_say_where_and_hold_no_text_of_the_expression() -> None:
    with pytest.raises(FhirPathError, match="at character 5") as caught:
        parse("1 + 'secret name")
    assert "secret" not in caught.value.text


@pytest.mark.parametrize(
    ("expression", "id_"),
    [
        ("foo()", "fhirpath-function"),
        ("where()", "fhirpath-function"),
        ("substring(1, 2, 3)", "fhirpath-function"),
        ("is(1)", "fhirpath-type"),
        ("1 is Nonsense", "fhirpath-type"),
        ("%nothing", "fhirpath-variable"),
    ],
)
def test_unknown_names_are_refused(expression: str, id_: str) -> None:
    with pytest.raises(FhirPathError) as caught:
        compile_path(expression)(BASIC)
    assert caught.value.id == id_
