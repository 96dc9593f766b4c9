"""`_filter`: generated filters against a reading of what they were made from, and what is refused."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fhir_server.errors import BadSearch, Unprocessable
from fhir_server.search import join
from fhir_server.search.filter_parser import MOST_COMPARISONS, Comparison, Joined, Negated, Step, parse
from fhir_server.storage.visibility import EVERYTHING
from tests.search import naive
from tests.search import naive_hops as n
from tests.search import population as p
from tests.search.conftest import ids, load
from tests.search.naive_paths import values
from tests.search.test_hops_oracle import EDGES
from tests.search.test_oracle import starts, token_codes

TENANT = "search_filter"
BASE = f"http://clarity.test/t/{TENANT}/fhir"
RESOURCES = n.placed(n.linked(p.population(77, 25), 9), BASE)
WORLD = n.world_of(RESOURCES)
oracle = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

Resource = dict[str, Any]
Meets = Callable[[Resource], bool]
Made = tuple[str, Meets]
"""A filter, and what it means."""

STRINGS = {
    "Patient": ["family", "given", "name", "address-city"],
    "Organization": ["name", "address-city"],
    "Observation": ["value-string"],
}
TOKENS = {
    "Patient": ["gender", "identifier"],
    "Observation": ["code", "category", "combo-code", "status"],
    "Encounter": ["class"],
    "Condition": ["code"],
    "Group": ["characteristic"],
}
DATES = {"Patient": ["birthdate"], "Observation": ["date"], "Encounter": ["date"], "Condition": ["onset-date"]}
TYPES = sorted({*STRINGS, *TOKENS})


# ---- comparisons ----


def text_leaf(name: str, operator: str, word: str) -> Made:
    wanted = naive.normal(word)
    how: dict[str, Callable[[str], bool]] = {
        "eq": lambda field: field == wanted, "ne": lambda field: field != wanted, "sw": lambda field: field.startswith(wanted),
    }  # fmt: skip

    def meets(r: Resource) -> bool:
        return any(how[operator](naive.normal(field)) for v in values(r, name) for field in naive.fields(v))

    return f"{name} {operator} {json.dumps(word)}", meets


def token_leaf(name: str, operator: str, text: str) -> Made:
    def meets(r: Resource) -> bool:
        held = [v for v in values(r, name) if naive.codings(v)]
        return any(naive.is_token(v, text) is (operator == "eq") for v in held)

    return f"{name} {operator} {json.dumps(text)}", meets


def date_leaf(name: str, operator: str, text: str) -> Made:
    def meets(r: Resource) -> bool:
        if operator != "po":
            return any(naive.is_date(v, operator + text) for v in values(r, name))
        lo, hi = naive.span(text)
        return any(held[0] < hi and held[1] > lo for v in values(r, name) if (held := naive.moments(v)))

    return f"{name} {operator} {text}", meets


def present_leaf(name: str, there: str) -> Made:
    return f"{name} pr {there}", lambda r: bool([v for v in values(r, name) if v != {}]) is (there == "true")


words = st.one_of(st.sampled_from([*p.FAMILIES, *p.GIVENS, *p.CITIES]), starts.map(naive.plain)).filter(
    lambda w: bool(w.strip())
)


def leaves(type_: str) -> st.SearchStrategy[Made]:
    found = []
    if type_ in STRINGS:
        found.append(st.builds(text_leaf, st.sampled_from(STRINGS[type_]), st.sampled_from(["eq", "ne", "sw"]), words))
    if type_ in TOKENS:
        found.append(st.builds(token_leaf, st.sampled_from(TOKENS[type_]), st.sampled_from(["eq", "ne"]), token_codes))
        found.append(st.builds(present_leaf, st.sampled_from(TOKENS[type_]), st.sampled_from(["true", "false"])))
    if type_ in DATES:
        operators = st.sampled_from(["eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "po"])
        found.append(
            st.builds(
                date_leaf,
                st.sampled_from(DATES[type_]),
                operators,
                st.sampled_from([d for d in p.DATES if "T" not in d]),
            )
        )
    return st.one_of(found)


# ---- trees ----


def ended(name: str, resource: Resource, meets: Meets) -> bool:
    return any(meets(WORLD[at]) for at in n.referred(resource, name, BASE) if at in WORLD)


@st.composite
def filters(draw: st.DrawFn, type_: str, depth: int) -> Made:
    away = [edge for edge in EDGES if edge[0] == type_ and edge[2] in TYPES]
    back = [edge for edge in EDGES if edge[2] == type_ and edge[0] in TYPES]
    kinds = (
        ["leaf"]
        if not depth
        else ["leaf", "and", "or", "not", "mixed", *(["chain", "bracket"] if away else []), *(["has"] if back else [])]
    )
    kind = draw(st.sampled_from(kinds))
    if kind == "leaf":
        return draw(leaves(type_))
    if kind == "not":
        text, meets = draw(filters(type_, depth - 1))
        return f"not ({text})", lambda r: not meets(r)
    if kind in ("and", "or"):
        (one, first), (other, second) = draw(filters(type_, depth - 1)), draw(filters(type_, depth - 1))
        both = kind == "and"
        return f"({one}) {kind} ( {other} )", lambda r: (first(r) and second(r)) if both else (first(r) or second(r))
    if kind == "mixed":
        (a, one), (b, two), (c, three) = (draw(leaves(type_)) for _ in range(3))
        return f"{a} or {b} and {c}", lambda r: (one(r) or two(r)) and three(r)
    if kind == "has":
        source, name, _ = draw(st.sampled_from(back))
        text, meets = draw(leaves(source))
        return f"_has:{source}:{name}:{text}", lambda r: any(
            other["resourceType"] == source
            and (r["resourceType"], r["id"]) in n.referred(other, name, BASE)
            and meets(other)
            for other in RESOURCES
        )
    _, name, target = draw(st.sampled_from(away))
    text, meets = draw(leaves(target))

    def of_type(r: Resource, wanted: Meets) -> bool:
        return r["resourceType"] == target and wanted(r)

    if kind == "chain":
        return f"{name}:{target}.{text}", lambda r: ended(name, r, lambda t: of_type(t, meets))
    inside, narrow = draw(filters(target, 0))
    return f"{name}:{target}[{inside}].{text}", lambda r: ended(
        name, r, lambda t: of_type(t, lambda x: narrow(x) and meets(x))
    )


@pytest.fixture(scope="session")
async def net(open_tenant: Any) -> Any:
    tenant = await open_tenant(TENANT)
    await load(tenant, RESOURCES)
    return tenant


async def found(tenant: Any, type_: str, text: str) -> list[str]:
    return await ids(tenant, type_, f"_filter={text}")


@oracle
@given(data=st.data())
async def test_filters(net: Any, data: st.DataObject) -> None:
    type_ = data.draw(st.sampled_from(TYPES))
    text, meets = data.draw(filters(type_, 2))
    got = await found(net, type_, text)
    assert len(got) == len(set(got))
    assert set(got) == {r["id"] for r in RESOURCES if r["resourceType"] == type_ and meets(r)}, (
        f"{type_}?_filter={text}"
    )


@pytest.mark.slow
@settings(oracle, max_examples=2000)
@given(data=st.data())
async def test_filters_at_length(net: Any, data: st.DataObject) -> None:
    type_ = data.draw(st.sampled_from(TYPES))
    text, meets = data.draw(filters(type_, 3))
    assert set(await found(net, type_, text)) == {
        r["id"] for r in RESOURCES if r["resourceType"] == type_ and meets(r)
    }, text


async def test_beside_other_parameters_and_types(net: Any) -> None:
    males = {r["id"] for r in RESOURCES if r["resourceType"] == "Patient" and r["gender"] == "male"}
    assert set(await ids(net, "Patient", "gender=male&_filter=id ne p1&_filter=_id ne p2")) == males - {"p1", "p2"}
    seen = {"Encounter": EVERYTHING, "Condition": EVERYTHING}
    both = await ids(net, None, "_type=Encounter,Condition&_filter=subject:Patient.gender eq male", seen)
    each = [await ids(net, type_, "subject:Patient.gender=male") for type_ in seen]
    assert sorted(both) == sorted([*each[0], *each[1]])
    assert await ids(net, "Observation", "_filter=subject re Patient/p1") == await ids(
        net, "Observation", "subject=Patient/p1"
    )


async def test_what_has_to_be_looked_into_is_bounded(net: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(join, "LOOKS", 5)
    with pytest.raises(Unprocessable) as refused:
        await found(net, "Patient", 'gender eq male or family ne "x"')
    assert refused.value.id == "search-looks-too-many"


# ---- the text ----


def test_the_tree() -> None:
    a, b, c = (Comparison((Step(name),), "eq", "1") for name in "abc")
    assert parse("a eq 1 or b eq 1 and c eq 1") == Joined("and", Joined("or", a, b), c)
    assert parse("a eq 1 or (b eq 1 and c eq 1)") == Joined("or", a, Joined("and", b, c))
    assert parse("not(a eq 1)and\n(b eq 1)") == Joined("and", Negated(a), b)
    assert parse("x:Patient[a eq 1].b eq 1") == Comparison((Step("x:Patient", a), Step("b")), "eq", "1")
    assert parse("_has:Observation:patient:code eq http://l|1-2") == Comparison(
        (Step("_has:Observation:patient:code"),), "eq", "http://l|1-2"
    )
    assert parse('a eq "1)] \\"and\\u00e9"') == Comparison((Step("a"),), "eq", '1)] "andé')
    assert parse("notes eq 1") == Comparison((Step("notes"),), "eq", "1")


REFUSED = [
    ("", "search-filter"),
    ("   ", "search-filter"),
    ("code", "search-filter"),
    ("code eq", "search-filter"),
    ("code eq 1 and", "search-filter"),
    ("code eq 1 xor code eq 2", "search-filter"),
    ("(code eq 1", "search-filter"),
    ("code eq 1)", "search-filter"),
    ("not code eq 1", "search-filter"),
    ("code EQ 1", "search-filter"),
    ('code eq "1', "search-filter"),
    ('code eq "\\x"', "search-filter"),
    ("subject[code eq 1] eq 2", "search-filter"),
    ("subject[code eq 1.x eq 2", "search-filter"),
    ("code is 1", "search-filter"),
    ("(" * 5000, "search-filter"),
    ("not(" * 30 + "a eq 1", "search-filter"),
    (" and ".join(["code eq 1"] * (MOST_COMPARISONS + 1)), "search-filter"),
    ("code eq " + "x" * 9000, "search-too-long"),
    ("cod eq 1", "search-unknown-parameter"),
    ("code co x", "search-filter-operator"),
    ("code gt x", "search-filter-operator"),
    ("date co 2020", "search-filter-operator"),
    ("value-string gt x", "search-filter-operator"),
    ("subject sw x", "search-filter-operator"),
    ("date eq yesterday", "search-value"),
    ("date pr maybe", "search-value"),
    ("date po ge2020", "search-value"),
    ("code.name eq x", "search-chain"),
    ("subject.nam eq x", "search-unknown-parameter"),
    ("code:not eq x", "search-filter"),
    ("_has:Observation:code eq x", "search-has"),
    ("subject:Patient.link." + "link." * 9 + "gender eq male", "search-too-deep"),
]


@pytest.mark.parametrize(("text", "id_"), REFUSED)
async def test_what_is_no_filter_is_refused(net: Any, text: str, id_: str) -> None:
    with pytest.raises(BadSearch) as refused:
        await found(net, "Observation", text)
    assert (refused.value.id, refused.value.status) == (id_, 400)
    assert "yesterday" not in refused.value.text


@given(st.text(alphabet=st.sampled_from('ab()[]."\\ eqnotandor1|:_-\n'), max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(BadSearch):
        parse(text)


# ---- _list ----


async def test_members_of_a_list(net: Any) -> None:
    entries = [{"item": {"reference": f"Patient/p{number}"}} for number in (2, 5)] + [
        {"item": {"reference": "Observation/o1"}}
    ]
    await load(net, [{"resourceType": "List", "id": "l1", "status": "current", "mode": "working", "entry": entries}])
    assert await ids(net, "Patient", "_list=l1") == ["p2", "p5"]
    assert await ids(net, "Patient", "_list=List/l1,none&gender:not=x") == ["p2", "p5"]
    assert await ids(net, "Observation", "_list=l1") == ["o1"]
    assert await ids(net, "Patient", "_list=none") == []
    for query, id_ in (
        ("_list=$current-problems", "search-functional-list"),
        ("_query=x", "search-not-supported"),
        ("_list=", "search-value"),
    ):
        with pytest.raises(BadSearch) as refused:
            await ids(net, "Patient", query)
        assert refused.value.id == id_
