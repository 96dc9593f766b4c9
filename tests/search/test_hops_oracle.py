"""Generated chains and `_has`, nested in each other, answered by the database and by going through everything."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fhir_server.search import join
from tests.search import naive_hops as n
from tests.search import population as p
from tests.search.conftest import ids, load
from tests.search.test_oracle import dates, identifiers, ored, quantities, starts, tags, tokens

TENANT = "search_hops"
BASE = f"http://clarity.test/t/{TENANT}/fhir"
RESOURCES = n.placed(n.linked(p.population(41, 25), 5), BASE)
WORLD = n.world_of(RESOURCES)
oracle = settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

EDGES = [  # (type, parameter, target)
    ("Observation", "subject", "Patient"), ("Observation", "subject", "Group"), ("Observation", "patient", "Patient"),
    ("Observation", "encounter", "Encounter"), ("Encounter", "subject", "Patient"), ("Encounter", "patient", "Patient"),
    ("Patient", "organization", "Organization"), ("Patient", "link", "Patient"), ("Organization", "partof", "Organization"),
    ("Group", "member", "Patient"), ("Condition", "subject", "Patient"), ("RiskAssessment", "patient", "Patient"),
]  # fmt: skip
words = starts.filter(lambda text: bool(text.strip()))


def named(*names: str) -> st.SearchStrategy[str]:
    return st.sampled_from(names)


def leaf(names: st.SearchStrategy[str], values: st.SearchStrategy[str]) -> st.SearchStrategy[tuple[str, str]]:
    return st.tuples(names, values)


yes_no = st.sampled_from(["true", "false"])
COMMON = st.one_of(leaf(named("_tag", "_tag:not"), ored(tags)), leaf(named("_tag:missing", "_profile:missing"), yes_no))
LEAVES: dict[str, st.SearchStrategy[tuple[str, str]]] = {
    "Patient": st.one_of(
        leaf(named("family", "name", "given", "family:exact", "address-city"), ored(words)),
        leaf(named("gender", "gender:not"), st.sampled_from(["male", "female", "male,female"])),
        leaf(named("birthdate"), ored(dates)),
        leaf(named("birthdate:missing", "deceased:missing", "identifier:missing", "given:missing"), yes_no),
        leaf(named("identifier", "telecom"), ored(identifiers)),
        leaf(named("_id", "_id:not"), st.sampled_from(["p1", "p2,p3", "p7,p8,nobody"])),
        COMMON,
    ),
    "Organization": st.one_of(
        leaf(named("name", "name:exact", "address-city"), ored(words)), leaf(named("name:missing"), yes_no), COMMON
    ),
    "Encounter": st.one_of(leaf(named("class", "class:not"), ored(tokens)), leaf(named("date"), ored(dates)), COMMON),
    "Observation": st.one_of(
        leaf(named("code", "code:not", "combo-code", "value-concept"), ored(tokens)),
        leaf(named("date"), ored(dates)),
        leaf(named("value-quantity"), ored(quantities)),
        leaf(named("value-string"), ored(words)),
        leaf(named("code-value-quantity"), st.builds("{}${}".format, tokens, quantities)),
        leaf(named("date:missing", "value-concept:missing"), yes_no),
        COMMON,
    ),
    "Condition": st.one_of(leaf(named("code"), ored(tokens)), leaf(named("onset-date"), ored(dates)), COMMON),
    "Group": st.one_of(leaf(named("characteristic", "characteristic:not"), ored(tokens)), COMMON),
    "RiskAssessment": st.one_of(leaf(named("probability:missing"), yes_no), COMMON),
}


@st.composite
def asked(draw: st.DrawFn, type_: str, depth: int) -> tuple[str, str]:
    """A parameter of a type that goes through up to `depth` other resources."""
    away = [edge for edge in EDGES if edge[0] == type_]
    back = [edge for edge in EDGES if edge[2] == type_]
    kinds = ["leaf"] if depth == 0 else (["chain", "typed"] if away else []) + (["has"] if back else []) or ["leaf"]
    kind = draw(st.sampled_from(kinds))
    if kind == "leaf":
        return draw(LEAVES[type_])
    if kind == "has":
        source, param, _ = draw(st.sampled_from(back))
        name, text = draw(asked(source, draw(st.integers(0, depth - 1))))
        return f"_has:{source}:{param}:{name}", text
    _, param, target = draw(st.sampled_from(away))
    name, text = draw(asked(target, draw(st.integers(0, depth - 1))))
    return f"{param}{':' + target if kind == 'typed' else ''}.{name}", text


@st.composite
def searches(draw: st.DrawFn) -> tuple[str, str]:
    type_ = draw(st.sampled_from(sorted(LEAVES)))
    parts = [draw(asked(type_, draw(st.integers(1, 3))))]
    if draw(st.booleans()):
        parts.append(draw(asked(type_, draw(st.integers(0, 2)))))
    return type_, "&".join(f"{name}={text}" for name, text in parts)


@pytest.fixture(scope="session")
async def net(open_tenant: Any) -> Any:
    tenant = await open_tenant(TENANT)
    assert tenant.base == BASE
    await load(tenant, RESOURCES)
    return tenant


def expected(type_: str, query: str) -> set[str]:
    parts = [part.partition("=")[::2] for part in query.split("&")]
    return {
        r["id"]
        for r in RESOURCES
        if r["resourceType"] == type_ and all(n.meets(WORLD, r, name, text, BASE) for name, text in parts)
    }


async def agree(tenant: Any, type_: str, query: str) -> None:
    found = await ids(tenant, type_, query)
    assert len(found) == len(set(found)), query
    assert set(found) == expected(type_, query), f"{type_}?{query}"


@oracle
@given(at=searches())
async def test_hops_named_row_by_row(net: Any, at: tuple[str, str]) -> None:
    await agree(net, *at)


@oracle
@given(at=searches())
async def test_hops_where_much_matches(net: Any, at: tuple[str, str]) -> None:
    with pytest.MonkeyPatch.context() as little:
        little.setattr(join, "KEYS", 0)
        little.setattr(join, "PROBES", 1)
        little.setattr(join, "ROWS", 1)
        await agree(net, *at)


@pytest.mark.slow
@settings(oracle, max_examples=3000)
@given(at=searches())
async def test_hops_at_length(net: Any, at: tuple[str, str]) -> None:
    await agree(net, *at)
