"""The scope grammar: what is taken, what is refused with a reason, and what narrowing gives."""

from __future__ import annotations

import re
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.auth.scopes import LETTERS, ScopeError, covers, intersection, join, narrow, parse_scope, parse_scopes
from fhir_server.context import Scope

CATEGORY = "http://terminology.hl7.org/CodeSystem/observation-category|laboratory"

TAKEN = [
    ("system/Observation.rs", "system", "Observation", "rs", ()),
    ("patient/*.cruds", "patient", "*", "cruds", ()),
    ("user/Patient.r", "user", "Patient", "r", ()),
    ("patient/Observation.read", "patient", "Observation", "rs", ()),
    ("patient/*.write", "patient", "*", "cud", ()),
    ("system/*.*", "system", "*", "cruds", ()),
    (f"patient/Observation.rs?category={CATEGORY}", "patient", "Observation", "rs", (("category", (CATEGORY,)),)),
    ("system/Condition.s?category=a,b", "system", "Condition", "s", (("category", ("a", "b")),)),
    (
        "system/Observation.rs?category=a&code=b",
        "system", "Observation", "rs", (("category", ("a",)), ("code", ("b",))),
    ),
    # R4: a repeated parameter is AND, so this asks for resources that have both.
    (
        "system/Observation.rs?category=a&category=b",
        "system", "Observation", "rs", (("category", ("a",)), ("category", ("b",))),
    ),
    ("system/Observation.rs?subject=Patient/1", "system", "Observation", "rs", (("subject", ("Patient/1",)),)),
    ("system/*.rs?_tag=http://x|y", "system", "*", "rs", (("_tag", ("http://x|y",)),)),
    ("system/Observation.rs?_profile=http://x/y", "system", "Observation", "rs", (("_profile", ("http://x/y",)),)),
]  # fmt: skip


@pytest.mark.parametrize(("text", "level", "type_", "letters", "filters"), TAKEN, ids=[case[0] for case in TAKEN])
def test_taken(text, level, type_, letters, filters):
    assert parse_scope(text) == Scope(level, type_, letters, filters, text)


# Attack 33 of the list, and the lessons of Microsoft's scope middleware: the whole token, or nothing.
REFUSED = [
    ("patient/Observation.rsx", "letters of 'cruds'"),
    ("patient/Observation.sr", "write .rs"),
    ("patient/Observation.rr", "write .r"),
    ("patient/Observation.dc", "write .cd"),
    ("patient/Observation.read.rs", "not a resource scope"),
    ("patient/Observation.reads", "letters of 'cruds'"),
    ("patient/Observation.Read", "letters of 'cruds'"),
    ("patient/Observation.readwrite", "letters of 'cruds'"),
    ("patient/Observation.", "not a resource scope"),
    ("patient/Observation", "not a resource scope"),
    ("patient/.rs", "not a resource scope"),
    ("patient/*.rs?", "name=value"),
    ("patient/Observation.rs?category", "name=value"),
    ("patient/Observation.rs?category=", "empty"),
    ("patient/Observation.rs?category=a,", "empty"),
    ("patient/Observation.rs?category=a&", "name=value"),
    ("patient/Observation.rs?=a", "modifiers"),
    ("patient/Observation.rs?category=a%26code=b", "cannot carry"),
    ("patient/Observation.rs?category=a=b", "cannot carry"),
    ("patient/Observation.rs?category=a|b|c", r"[system]|[code]"),
    ("patient/Observation.rs?category=|", "neither"),
    ("patient/Observation.rs?nothing=a", "not a search parameter of Observation"),
    ("patient/Observation.rs?category:in=a", "modifiers"),
    ("patient/Observation.rs?subject.name=a", "modifiers"),
    ("patient/Observation.rs?_has:Group:member:_id=a", "modifiers"),
    ("patient/Observation.rs?_filter=a", "cannot filter a scope"),
    ("patient/Observation.rs?_include=Observation:subject", "not a search parameter"),
    ("patient/Observation.rs?date=2020", "cannot filter a scope"),
    ("patient/Observation.rs?value-quantity=5", "cannot filter a scope"),
    ("patient/Observation.rs?code-value-concept=a$b", "cannot filter a scope"),
    ("patient/Patient.rs?name=a", "cannot filter a scope"),
    ("patient/Observation.rs?_id=1", "cannot filter a scope"),
    ("patient/*.rs?category=a", "not a search parameter of every type"),
    ("patient/Observation.read?category=a", "filters go with v2"),
    ("patient/Observation.*?category=a", "filters go with v2"),
    ("patient/observation.rs", "not a resource type"),
    ("patient/Resource.rs", "not a resource type"),
    ("patient/Nothing.rs", "not a resource type"),
    ("Patient/Observation.rs", "not a resource scope"),
    ("system/Observation.rs\nsystem/*.cruds", "not a resource scope"),
    ("system/Observation.rs\tsystem/*.cruds", "not a resource scope"),
    ("system/Observation.rs?category=a\n", "not a resource scope"),
    ("system/Observation.rs?category=\u0660", "cannot carry"),
    ("system/Observation.rs?category=a'\"", "cannot carry"),
    ("*.*", "not a resource scope"),
    ("launch/patient", "not a resource scope"),
    ("openid", "not a resource scope"),
    ("system/" + "A" * 600 + ".rs", "characters at most"),
    ("system/Observation.rs?category=" + ",".join(f"c{i}" for i in range(70)), "alternatives"),
    ("system/Observation.rs?category=a,b,c,d,e,f,g,h,i&code=a,b,c,d,e,f,g,h,i", "combine"),
]


@pytest.mark.parametrize(("text", "reason"), REFUSED, ids=[repr(case[0][:60]) for case in REFUSED])
def test_refused_whole(text, reason):
    with pytest.raises(ScopeError, match=re.escape(reason)):
        parse_scope(text)


def test_a_long_scope_string_is_refused_at_once():
    with pytest.raises(ScopeError, match="characters"):
        parse_scopes("system/Observation.rs " * 3000)


def test_one_wrong_token_refuses_the_request():
    with pytest.raises(ScopeError):
        parse_scopes("system/Observation.rs system/Patient.sr")


def test_repetitions_count_once():
    assert len(parse_scopes("system/Observation.rs  system/Observation.rs")) == 1


letters = st.sampled_from(["".join(c) for n in range(1, 6) for c in combinations(LETTERS, n)])
types = st.sampled_from(["*", "Patient", "Observation", "Condition"])
levels = st.sampled_from(["patient", "user", "system"])


@st.composite
def scopes(draw):
    level, type_, rights = draw(levels), draw(types), draw(letters)
    query = ""
    if type_ != "*" and draw(st.booleans()):
        query = "?identifier=" + ",".join(draw(st.lists(st.sampled_from("abc"), min_size=1, max_size=2, unique=True)))
    return parse_scope(f"{level}/{type_}.{rights}{query}")


@given(scopes())
def test_what_is_taken_reads_back_as_itself(scope):
    assert parse_scope(scope.text) == scope


@given(st.text(alphabet='patientusrsym/*.crudsObevnCdio?=&,|: %\n"', max_size=60))
def test_no_other_text_is_taken(text):
    """Whatever is taken is, letter for letter, the grammar of SMART App Launch 2.2."""
    grammar = r"(patient|user|system)/(\*|[A-Za-z]+)\.(read|write|\*|(?=.)c?r?u?d?s?)(\?[^%\s]+)?"
    try:
        parse_scope(text)
    except ScopeError:
        return
    assert re.fullmatch(grammar, text)


@given(st.lists(scopes(), max_size=4), st.lists(scopes(), max_size=4))
def test_narrowing_never_extends(asked, allowed):
    granted, lost = narrow(asked, allowed)
    for scope in granted:
        assert parse_scope(scope.text) == scope
        assert any(covers(each, scope) for each in asked)
        for letter in scope.letters:
            alone = Scope(scope.level, scope.type, letter, scope.filters)
            assert any(covers(each, alone) for each in allowed)
    assert set(lost) <= {scope.text for scope in asked}


@given(scopes(), scopes())
def test_intersection_is_within_both(one, other):
    common = intersection(one, other)
    if common is not None:
        assert covers(one, common)
        assert covers(other, common)


def test_a_wildcard_is_narrowed_and_said_so():
    granted, lost = narrow(parse_scopes("system/*.cruds"), parse_scopes("system/Observation.c system/Patient.rs"))
    assert join(granted) == "system/Observation.c system/Patient.rs"
    assert lost == {"system/*.cruds": "narrowed to what the client is registered for: " + join(granted)}


@pytest.mark.smart(127)
def test_v1_text_is_kept_when_nothing_is_lost():
    granted, lost = narrow(parse_scopes("system/Patient.read"), parse_scopes("system/*.cruds"))
    assert join(granted) == "system/Patient.read"
    assert not lost


def test_filters_of_both_sides_are_anded():
    granted, _ = narrow(parse_scopes("system/Observation.rs?code=a"), parse_scopes("system/Observation.rs?category=b"))
    assert join(granted) == "system/Observation.rs?code=a&category=b"
