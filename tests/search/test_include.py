"""Includes: the naive reading of a web of resources, what may be seen, bounds, and what is refused."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fhir_server.errors import BadSearch
from fhir_server.search import gather
from fhir_server.search.criteria import match
from fhir_server.search.extract import extract
from fhir_server.search.run import search
from fhir_server.search.seeing import Sees, nothing
from fhir_server.storage.commands import Command
from fhir_server.storage.commit import commit
from fhir_server.storage.index_keys import COMPARTMENT, pack
from fhir_server.storage.visibility import EVERYTHING, NOTHING, Grant, Visibility
from profiles.registry import R4
from tests.search import naive_include
from tests.search.conftest import body, context, load, page, parsed
from tests.search.naive_include import Resource, called, included, parameters, web

RESOURCES = web(5)
BY_TYPE = {type_: [r for r in RESOURCES if r["resourceType"] == type_] for type_ in naive_include.TYPES}


@pytest.fixture(scope="session")
async def net(open_tenant: Any) -> Any:
    tenant = await open_tenant("search_include")
    await load(tenant, RESOURCES)
    return tenant


@pytest.fixture(scope="session")
async def shed(open_tenant: Any) -> Any:
    """Where tests put what they need, so that the web stays as it is."""
    tenant = await open_tenant("search_include_shed")
    await load(tenant, [{"resourceType": "Patient", "id": "1"}, {"resourceType": "Patient", "id": "2"}])
    return tenant


def seeing(**visible: Visibility) -> Sees:
    """Who sees these types so; without any, everything of every type."""

    async def sees(types: Iterable[str]) -> dict[str, Visibility]:
        return {type_: visible.get(type_, EVERYTHING) for type_ in types if not visible or type_ in visible}

    return sees


async def found(tenant: Any, type_: str | None, query: str, sees: Sees | None = None, **more: Any) -> Any:
    """Return a page, having looked that nothing stands on it twice."""
    visibility = more.pop("visibility", EVERYTHING)
    result = await page(tenant, type_, query, visibility, sees=sees or seeing(), **more)
    at = [row.rid for row in (*result.rows, *result.included)]
    assert len(at) == len(set(at))
    return result


def names(rows: Iterable[Any]) -> set[tuple[str, str]]:
    return {(row.type, row.id) for row in rows}


async def agree(tenant: Any, type_: str, query: str, **more: Any) -> Any:
    result = await found(tenant, type_, query, **more)
    matches = [body(row) for row in result.rows]
    assert names(result.included) == included(RESOURCES, matches, query, tenant.base), query
    return result


# ---- the naive reading ----

ASKED = [
    "_include=Observation:subject", "_include=Observation:subject:Patient", "_include=Observation:patient",
    "_include=Observation:*", "_include=*", "_include=Observation:*:Observation", "_include=Observation:has-member",
    "_include:iterate=Observation:has-member", "_include:recurse=Observation:has-member&_include:iterate=Observation:encounter",
    "_revinclude=Provenance:target", "_revinclude=Provenance:target:Observation", "_revinclude=Provenance:*",
    "_revinclude=*", "_include=Observation:encounter&_include:iterate=Encounter:service-provider",
    "_include=Observation:encounter&_include:iterate=Encounter:part-of&_include:iterate=Organization:partof",
    "_revinclude=Provenance:target&_include:iterate=Provenance:agent", "_revinclude:iterate=Observation:derived-from",
    "_include=Observation:patient&_revinclude:iterate=Condition:subject", "_revinclude=Condition:subject",
    "_include=Encounter:subject",
    "_include=Observation:derived-from:QuestionnaireResponse&_include:iterate=QuestionnaireResponse:questionnaire",
    "_include:iterate=*", "_revinclude:iterate=*", "_include=Observation:subject&_include=Observation:subject",
]  # fmt: skip


@pytest.mark.parametrize("asked", ASKED)
async def test_what_observations_include(net: Any, asked: str) -> None:
    for more in ("_count=3", "code=a&_count=2&_sort=-_id", "_id=1,2,3,4,5,6,7,8,9,10"):
        await agree(net, "Observation", f"{more}&{asked}")


@pytest.mark.parametrize(
    ("type_", "asked"),
    [
        ("QuestionnaireResponse", "_include=QuestionnaireResponse:questionnaire"),
        ("Questionnaire", "_revinclude=QuestionnaireResponse:questionnaire"),
        ("Questionnaire", "_revinclude=*"),
        ("QuestionnaireResponse", "_include=*&_revinclude=Observation:derived-from"),
        ("Organization", "_include:iterate=Organization:partof"),
        ("Organization", "_revinclude:iterate=Organization:partof"),
        (
            "Patient",
            "_revinclude=Observation:patient&_revinclude=Encounter:patient&_include=Patient:general-practitioner",
        ),
        ("Device", "_include=Device:patient&_revinclude=Observation:device"),
        ("Provenance", "_include=Provenance:target&_include:iterate=Observation:performer"),
    ],
)
async def test_what_others_include(net: Any, type_: str, asked: str) -> None:
    found_any = False
    for number in range(1, 11):
        found_any |= bool((await agree(net, type_, f"_id={number}&{asked}")).included)
    await agree(net, type_, asked)
    assert found_any


@st.composite
def questions(draw: st.DrawFn) -> tuple[str, str]:
    searched = draw(st.sampled_from(naive_include.TYPES))
    parts = [f"_count={draw(st.integers(1, 5))}"]
    for _ in range(draw(st.integers(1, 3))):
        source = draw(st.sampled_from([t for t in naive_include.TYPES if parameters(t)]))
        name = draw(st.sampled_from(["*", *sorted(n for n in parameters(source) if n in SERVED[source])]))
        iterate = draw(st.sampled_from(["", "", ":iterate"]))
        parts.append(f"{draw(st.sampled_from(['_include', '_revinclude']))}{iterate}={source}:{name}")
    return searched, "&".join(parts)


SERVED = {type_: set(R4.params(type_)) for type_ in naive_include.TYPES}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(asked=questions())
async def test_whatever_is_asked_agrees_with_the_naive_reading(net: Any, asked: tuple[str, str]) -> None:
    await agree(net, *asked)


async def test_every_page_has_its_own(net: Any) -> None:
    query = "_count=3&_include=Observation:subject&_revinclude=Provenance:target"
    result = await agree(net, "Observation", query)
    pages = 1
    while result.next:
        result = await found(net, "Observation", f"_cursor={result.next}")
        assert names(result.included) == included(RESOURCES, [body(row) for row in result.rows], query)
        pages += 1
    assert pages == 4


async def test_totals_count_matches_only(net: Any) -> None:
    result = await found(net, "Observation", "_include=*&_count=2&_total=accurate")
    assert (result.total, len(result.rows)) == (10, 2)
    assert result.included
    counted = await found(net, "Observation", "_include=*&_summary=count")
    assert (counted.total, counted.rows, counted.included) == (10, [], [])


async def test_a_search_over_several_types_includes_too(net: Any) -> None:
    seen = {"Observation": EVERYTHING, "Encounter": EVERYTHING}
    query = (
        "_type=Observation,Encounter&_count=4&_include=Observation:encounter&_include=Encounter:subject&_revinclude=*"
    )
    result = await found(net, None, query, visibility=seen)
    assert names(result.included) == included(RESOURCES, [body(row) for row in result.rows], query)
    assert result.included


# ---- what may be seen ----


def of_patient(tenant: Any, id_: str) -> Visibility:
    return (Grant((pack(COMPARTMENT, tenant.rids[("Patient", id_)]),)),)


def inside(resource: Resource, patient: str) -> bool:
    params = R4.compartment("Patient", resource["resourceType"])
    own = (resource["resourceType"], resource["id"]) == ("Patient", patient)
    return own or any(f"Patient/{patient}" in called(resource, name, "") for name in params)


async def test_without_being_told_nothing_is_seen(net: Any) -> None:
    assert (await page(net, "Observation", "_include=*&_revinclude=*", sees=nothing)).included == []


@pytest.mark.parametrize("asked", ASKED)
async def test_included_is_what_may_be_seen_of_its_own_type(net: Any, asked: str) -> None:
    types = ("Patient", "Encounter", "Observation", "Condition", "QuestionnaireResponse", "Provenance")
    sees = seeing(**{type_: of_patient(net, "1") for type_ in types}, Practitioner=EVERYTHING, Organization=NOTHING)

    def visible(resource: Resource) -> bool:
        type_ = resource["resourceType"]
        return type_ == "Practitioner" or (type_ in types and inside(resource, "1"))

    result = await found(net, "Observation", asked, sees)
    matches = [body(row) for row in result.rows]
    assert names(result.included) == included(RESOURCES, matches, asked, "", visible)


# ---- what is there ----


async def test_what_was_deleted_or_only_mentioned_is_not_included(shed: Any, unique: str) -> None:
    there = {"resourceType": "Practitioner", "id": f"{unique}-p"}
    looks = {"resourceType": "Observation", "id": unique, "status": "final", "code": {"text": "x"},
             "performer": [{"reference": f"Practitioner/{unique}-{end}"} for end in ("p", "never")]}  # fmt: skip
    await load(shed, [there, looks])
    query = f"_id={unique}&_include=*"
    assert names((await found(shed, "Observation", query)).included) == {("Practitioner", f"{unique}-p")}
    await commit(shed, [Command("delete", "Practitioner", there["id"], expected=1, previous=extract(shed, there))])
    assert (await found(shed, "Observation", query)).included == []
    await commit(shed, [Command("delete", "Observation", unique, expected=1, previous=extract(shed, looks))])
    kept = {"resourceType": "Practitioner", "id": f"{unique}-never"}
    await load(shed, [kept])
    assert (await found(shed, "Practitioner", f"_id={unique}-never&_revinclude=Observation:performer")).included == []


async def update(tenant: Any, resource: Resource, version: int, **more: Any) -> None:
    new = resource | more
    command = Command("update", resource["resourceType"], resource["id"], new, extract(tenant, new), expected=version,
                      previous=extract(tenant, resource))  # fmt: skip
    await commit(tenant, [command])


async def test_a_versioned_reference_includes_the_version_it_names(shed: Any, unique: str) -> None:
    encounter = {
        "resourceType": "Encounter",
        "id": unique,
        "status": "first",
        "class": {},
        "subject": {"reference": "Patient/1"},
    }
    look = {"resourceType": "Observation", "status": "final", "code": {"text": "x"}}

    def of(text: str, id_: str) -> Resource:
        return look | {"id": f"{unique}-{id_}", "encounter": {"reference": f"Encounter/{unique}{text}"}}

    texts = ("", "/_history/1", "/_history/2", "/_history/9", "/_history/x")
    await load(shed, [encounter, *(of(text, str(number)) for number, text in enumerate(texts))])
    await update(shed, encounter, 1, status="second", subject={"reference": "Patient/2"})

    async def statuses(*ids: int, sees: Sees | None = None) -> list[str]:
        query = f"_id={','.join(f'{unique}-{n}' for n in ids)}&_include=Observation:encounter"
        return sorted(
            body(row)["status"] for row in (await page(shed, "Observation", query, sees=sees or seeing())).included
        )

    assert await statuses(0) == ["second"]
    assert await statuses(1) == ["first"]
    assert await statuses(2) == ["second"]
    assert await statuses(3) == ["second"]
    assert await statuses(4) == ["second"]
    assert await statuses(0, 1) == ["first", "second"]
    assert await statuses(1, 2) == ["first", "second"]
    mine, other = (seeing(Encounter=(Grant((pack(COMPARTMENT, shed.rids[("Patient", n)]),)),)) for n in "12")
    assert await statuses(1, sees=mine) == ["first"]
    assert await statuses(0, 2, sees=mine) == []
    assert await statuses(1, sees=other) == ["second"]


# ---- bounds ----


async def test_a_page_includes_so_many_and_says_when_it_is_cut(net: Any) -> None:
    whole = await found(net, "Observation", "_revinclude=*&_include=*")
    assert whole.issues == []
    few = await found(net, "Observation", "_revinclude=*&_include=*", most_included=5)
    assert len(few.included) == 5
    assert names(few.included) < names(whole.included)
    assert [issue.id for issue in few.issues] == ["search-include-cut"]
    just = await found(net, "Observation", "_revinclude=*&_include=*", most_included=len(whole.included))
    assert (len(just.included), just.issues) == (len(whole.included), [])


async def test_iterating_ends(shed: Any, unique: str) -> None:
    chain = [{"resourceType": "Organization", "id": f"{unique}-{n}", "name": "x",
              "partOf": {"reference": f"Organization/{unique}-{n + 1}"}} for n in range(gather.ROUNDS + 5)]  # fmt: skip
    await load(shed, chain)
    query = f"_id={unique}-0&_include:iterate=Organization:partof"
    result = await found(shed, "Organization", query)
    assert len(result.included) == gather.ROUNDS
    assert [issue.id for issue in result.issues] == ["search-include-cut"]
    near_the_end = await found(shed, "Organization", query.replace("-0", "-6"))
    assert (len(near_the_end.included), near_the_end.issues) == (gather.ROUNDS - 2, [])


async def test_looking_for_references_is_bounded(net: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gather, "PROBES", 20)
    monkeypatch.setattr(gather, "_CHUNK", 10)
    result = await found(net, "Patient", "_revinclude=*")
    assert [issue.id for issue in result.issues] == ["search-include-cut"]
    assert len(result.included) < len((await found(net, "Patient", "_revinclude=Observation:subject")).included) + 20


# ---- what is refused ----

REFUSED = [
    ("_include=Observation", "search-value"), ("_include=", "search-value"), ("_include=Observation:", "search-value"),
    ("_include=Observation:subject:Patient:x", "search-value"), ("_include=Observation:a,Observation:b", "search-value"),
    ("_include=Observacion:subject", "search-unknown-type"), ("_include=Observation:subjekt", "search-unknown-parameter"),
    ("_include=Observation:code", "search-include-kind"), ("_include=Observation:subject:Practitioner", "search-target"),
    ("_include=Observation:subject:Person_", "search-unknown-type"), ("_include:missing=Observation:subject", "search-modifier"),
    ("_revinclude=AuditEvent:entity", "search-include-not-supported"), ("_revinclude=*:subject", "search-unknown-type"),
]  # fmt: skip


@pytest.mark.parametrize(("query", "issue"), REFUSED)
async def test_what_is_wrong_is_said(net: Any, query: str, issue: str) -> None:
    with pytest.raises(BadSearch) as refused:
        await page(net, "Observation", query)
    assert refused.value.id == issue
    assert refused.value.issues[0].expression == query.partition("=")[0]


async def test_the_nearest_names_are_offered(net: Any) -> None:
    for query, hint in [("_include=Observation:subjekt", "subject"), ("_include=Observacion:x", "Observation")]:
        with pytest.raises(BadSearch, match=f"Did you mean .*{hint}"):
            await page(net, "Observation", query)


async def test_lenient_handling_leaves_out_and_says_so(net: Any) -> None:
    ctx = context(net, lenient=True)
    params = parsed("_include=Observation:subjekt&_include=Observation:encounter&_count=3")
    result = await search(ctx, "Observation", params, visibility=EVERYTHING, sees=seeing())
    assert [issue.id for issue in result.issues] == ["search-unknown-parameter"]
    assert result.applied == [("_include", "Observation:encounter"), ("_count", "3")]
    assert {row.type for row in result.included} == {"Encounter"}
    texts = parsed("_include=Observation:encounter&_summary=text")
    result = await search(ctx, "Observation", texts, visibility=EVERYTHING, sees=seeing())
    assert ([issue.id for issue in result.issues], result.applied) == (
        ["search-include-summary"],
        [("_summary", "text")],
    )
    assert result.included == []
    with pytest.raises(BadSearch, match="_summary=text"):
        await page(net, "Observation", "_include=Observation:encounter&_summary=text")


async def test_an_include_that_cannot_start_says_so(net: Any) -> None:
    for query in ("_include=Encounter:service-provider", "_revinclude=Condition:evidence-detail:Patient"):
        result = await found(net, "Observation", query)
        assert [issue.id for issue in result.issues] == ["search-include-idle"]


async def test_criteria_include_nothing(net: Any) -> None:
    with pytest.raises(BadSearch) as refused:
        await match(context(net), "Observation", parsed("code=a&_include=*"), EVERYTHING)
    assert refused.value.id == "criteria-include"
