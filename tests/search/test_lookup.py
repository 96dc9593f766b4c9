"""Value sets, code systems and parts: what `:in`, `:not-in`, `:above` and `:below` find, what they refuse, and for whom."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pytest

from fhir_server.errors import BadSearch, FhirError, Forbidden, Unprocessable
from fhir_server.search.run import search
from fhir_server.storage.visibility import EVERYTHING, NOTHING, Visibility
from tests.search.conftest import context, load, parsed

Resource = dict[str, Any]
S, T = "http://example.org/animals", "http://example.org/colours"


def concept(code: str, *inner: Resource, **properties: str) -> Resource:
    out: Resource = {"code": code}
    if properties:
        out["property"] = [{"code": name, "valueCode": value} for name, value in properties.items()]
    return out | ({"concept": list(inner)} if inner else {})


def observation(id_: str, *codings: tuple[str, str], **more: Any) -> Resource:
    return {
        "resourceType": "Observation", "id": id_, "status": "final",
        "code": {"coding": [{"system": s, "code": c} for s, c in codings]} if codings else {"text": "only"}, **more,
    }  # fmt: skip


def value_set(name: str, *include: Resource, exclude: Iterable[Resource] = (), **more: Any) -> Resource:
    compose: Resource = {"include": list(include)}
    if exclude:
        compose["exclude"] = list(exclude)
    return {
        "resourceType": "ValueSet", "id": name, "url": f"http://example.org/vs/{name}", "status": "active", "compose": compose,
        **more,
    }  # fmt: skip


def of(system: str, *codes: str, **more: Any) -> Resource:
    return {"system": system, **({"concept": [{"code": code} for code in codes]} if codes else {}), **more}


def filtered(system: str, property_: str, op: str, value: str) -> Resource:
    return of(system, filter=[{"property": property_, "op": op, "value": value}])


ANIMALS = {
    "resourceType": "CodeSystem", "id": "animals", "url": S, "version": "2", "status": "active", "content": "complete",
    "concept": [
        concept("animal", concept("mammal", concept("dog", concept("poodle")), concept("cat")), concept("bird")),
        concept("pet"),
        concept("hamster", parent="mammal", wild="no"),
        concept("parrot", parent="bird", subsumedBy="pet"),
    ],
}  # fmt: skip
SETS = [
    value_set("dogs", of(S, "dog", "poodle")),
    value_set("mammals", filtered(S, "concept", "is-a", "mammal")),
    value_set("under-mammals", filtered(S, "concept", "descendent-of", "mammal")),
    value_set("no-mammals", filtered(S, "concept", "is-not-a", "mammal")),
    value_set("all-animals", of(S)),
    value_set("tame", filtered(S, "wild", "=", "no")),
    value_set("p-words", filtered(S, "code", "regex", "p.*")),
    value_set("imported", {"valueSet": ["http://example.org/vs/mammals"]}, of(T, "red")),
    value_set("both", {**of(S, "dog", "bird"), "valueSet": ["http://example.org/vs/mammals"]}),
    value_set("less", filtered(S, "concept", "is-a", "mammal"), exclude=[of(S, "cat"), {"valueSet": ["http://example.org/vs/dogs"]}]),
    value_set("colours", of(T)),
    value_set("shades", filtered(T, "concept", "is-a", "red")),
    value_set("no-red", of(T), exclude=[of(T, "red")]),
    value_set("circle", {"valueSet": ["http://example.org/vs/circle"]}),
    value_set("dangling", {"valueSet": ["http://example.org/vs/nowhere"]}),
    value_set("strange", filtered(S, "code", "sounds-like", "dog")),
    value_set("hopeless", filtered(S, "code", "regex", "(?=x)")),
    {k: v for k, v in value_set("listed").items() if k != "compose"}
    | {"expansion": {"timestamp": "2020", "contains": [{"system": T, "code": "red"},
        {"system": S, "code": "animal", "abstract": True, "contains": [{"system": S, "code": "cat"}]}]}},
    value_set("shades-listed", filtered(T, "concept", "is-a", "red"), expansion={"timestamp": "2020", "contains": [
        {"system": T, "code": "pink"}]}),
    value_set("huge", of("http://example.org/numbers", *map(str, range(10_001)))),
    value_set("many", of(S, "cat", *map(str, range(5_000)))),
    value_set("versions1", of(S, "cat"), url="http://example.org/vs/versions", version="1.9"),
    value_set("versions2", of(S, "dog"), url="http://example.org/vs/versions", version="1.10"),
    value_set("versions3", of(S, "bird"), url="http://example.org/vs/versions", version="3", status="draft"),
]  # fmt: skip
OBSERVATIONS = [
    observation("dog", (S, "dog")), observation("poodle", (S, "POODLE")), observation("cat", (S, "cat"), (T, "red")),
    observation("bird", (S, "bird")), observation("hamster", (S, "hamster")), observation("parrot", (S, "parrot")),
    observation("pink", (T, "pink")), observation("other", ("http://example.org/else", "dog")), observation("none"),
]  # fmt: skip
EVERYONE = {each["id"] for each in OBSERVATIONS}


def place(type_: str, id_: str, parent: str | None = None) -> Resource:
    return {"resourceType": type_, "id": id_, "name": id_} | (
        {"partOf": {"reference": f"{type_}/{parent}"}} if parent else {}
    )


PLACES = [
    place("Location", "site"), place("Location", "house", "site"), place("Location", "room", "house"),
    place("Location", "loop1", "loop2"), place("Location", "loop2", "loop1"), place("Organization", "site"),
    *(
        {"resourceType": "Encounter", "id": f"at-{where}", "status": "finished", "class": {"code": "AMB"},
         "location": [{"location": {"reference": f"Location/{where}"}}], "serviceProvider": {"reference": "Organization/site"}}
        for where in ("site", "house", "room", "loop1", "loop2")
    ),
    *(
        {"resourceType": "PlanDefinition", "id": f"uses-{number}", "status": "active", "library": [f"http://example.org/Lib{version}"]}
        for number, version in enumerate(["", "|1", "|1.2", "|1.2.3", "|1.20", "|2"])
    ),
]  # fmt: skip


async def everything(types: Iterable[str]) -> Mapping[str, Visibility]:
    return dict.fromkeys(types, EVERYTHING)


@pytest.fixture(scope="session")
async def zoo(open_tenant: Any) -> Any:
    tenant = await open_tenant("search_lookup")
    await load(tenant, [ANIMALS, *SETS, *OBSERVATIONS, *PLACES])
    return tenant


async def found(tenant: Any, query: str, type_: str = "Observation", sees: Any = everything) -> set[str]:
    page = await search(context(tenant), type_, parsed(query), visibility=EVERYTHING, sees=sees)
    return {row.id for row in page.rows}


IN = {
    "http://example.org/vs/dogs": {"dog", "poodle"},
    "ValueSet/dogs": {"dog", "poodle"},
    "http://example.org/vs/mammals": {"dog", "poodle", "cat", "hamster"},
    "http://example.org/vs/under-mammals": {"dog", "poodle", "cat", "hamster"},
    "http://example.org/vs/no-mammals": {"bird", "parrot"},
    "http://example.org/vs/all-animals": {"dog", "poodle", "cat", "bird", "hamster", "parrot"},
    "http://example.org/vs/tame": {"hamster"},
    "http://example.org/vs/p-words": {"poodle", "parrot"},
    "http://example.org/vs/imported": {"dog", "poodle", "cat", "hamster"},
    "http://example.org/vs/both": {"dog"},
    "http://example.org/vs/less": {"hamster"},
    "http://example.org/vs/colours": {"cat", "pink"},
    "http://example.org/vs/listed": {"cat"},
    "http://example.org/vs/shades-listed": {"pink"},
    "http://example.org/vs/many": {"cat"},
    "http://example.org/vs/versions": {"dog"},
    "http://example.org/vs/versions|1.9": {"cat"},
    "http://example.org/vs/versions|3": {"bird"},
    "http://example.org/vs/dogs,http://example.org/vs/tame": {"dog", "poodle", "hamster"},
    "http://hl7.org/fhir/ValueSet/observation-status": set(),
}


@pytest.mark.parametrize("named", IN)
async def test_members_of_a_value_set(zoo: Any, named: str) -> None:
    assert await found(zoo, f"code:in={named}") == IN[named]
    assert await found(zoo, f"code:not-in={named}") == EVERYONE - IN[named]
    assert await found(zoo, f"combo-code:in={named}") == IN[named]


async def test_value_sets_of_r4_and_elements_without_a_system(zoo: Any) -> None:
    assert await found(zoo, "status:in=http://hl7.org/fhir/ValueSet/observation-status") == EVERYONE
    assert await found(zoo, "status:in=http://hl7.org/fhir/ValueSet/observation-status|4.0.1") == EVERYONE
    assert await found(zoo, "status:in=http://hl7.org/fhir/ValueSet/encounter-status") == set()
    assert await found(zoo, f"status:in={zoo.base}/ValueSet/dogs") == set()


SUBSUMED = {
    f"below={S}|mammal": {"dog", "poodle", "cat", "hamster"},
    f"below={S}|MAMMAL": {"dog", "poodle", "cat", "hamster"},
    f"below={S}|dog": {"dog", "poodle"},
    f"below={S}|dog,{S}|bird": {"dog", "poodle", "bird", "parrot"},
    f"below={S}|pet": {"parrot"},
    f"below={S}|unicorn": set(),
    f"above={S}|poodle": {"dog", "poodle"},
    f"above={S}|parrot": {"bird", "parrot"},
}


@pytest.mark.parametrize("asked", SUBSUMED)
async def test_what_a_code_subsumes(zoo: Any, asked: str) -> None:
    assert await found(zoo, f"code:{asked}") == SUBSUMED[asked]


REFUSED = {
    "code:in=http://example.org/vs/unknown": (Unprocessable, "not-found"),
    "code:in=http://example.org/vs/versions|7": (Unprocessable, "not-found"),
    "code:in=ValueSet/unknown": (Unprocessable, "not-found"),
    "code:in=http://example.org/vs/shades": (Unprocessable, "not-found"),
    "code:in=http://example.org/vs/no-red": (Unprocessable, "not-found"),
    "code:in=http://example.org/vs/dangling": (Unprocessable, "not-found"),
    "code:in=http://example.org/vs/circle": (Unprocessable, "not-supported"),
    "code:in=http://example.org/vs/strange": (Unprocessable, "not-supported"),
    "code:in=http://example.org/vs/hopeless": (Unprocessable, "not-supported"),
    "code:in=http://example.org/vs/huge": (Unprocessable, "too-costly"),
    "code:below=http://loinc.org|8480-6": (Unprocessable, "not-found"),
    "code:above=http://snomed.info/sct|73211009": (Unprocessable, "not-found"),
    "code:below=mammal": (BadSearch, "invalid"),
    f"code:below={S}|": (BadSearch, "invalid"),
    "subject:below=Patient/1": (BadSearch, "invalid"),
    "identifier:in=http://example.org/vs/dogs": (BadSearch, "invalid"),
}


@pytest.mark.parametrize("query", REFUSED)
async def test_what_is_not_here_is_refused_with_a_reason(zoo: Any, query: str) -> None:
    kind, code = REFUSED[query]
    with pytest.raises(FhirError) as refused:
        await found(zoo, query)
    assert isinstance(refused.value, kind)
    assert refused.value.issues[0].code == code


async def test_a_code_system_that_is_not_here_is_named_as_it_was_asked_for(zoo: Any) -> None:
    with pytest.raises(Unprocessable, match=r"CodeSystem http://snomed.info/sct, which is not loaded"):
        await found(zoo, "code:above=http://snomed.info/sct|73211009")


async def test_parts_of_a_place(zoo: Any) -> None:
    assert await found(zoo, "location:below=Location/site", "Encounter") == {"at-site", "at-house", "at-room"}
    assert await found(zoo, "location:below=house", "Encounter") == {"at-house", "at-room"}
    assert await found(zoo, "location:above=Location/house", "Encounter") == {"at-site", "at-house"}
    assert await found(zoo, "location:below=Location/loop1", "Encounter") == {"at-loop1", "at-loop2"}
    assert await found(zoo, "location:below=Location/nowhere", "Encounter") == set()
    assert await found(zoo, "partof:below=Location/site", "Location") == {"house", "room"}
    assert len(await found(zoo, "service-provider:below=Organization/site", "Encounter")) == 5


async def test_versions_of_a_canonical(zoo: Any) -> None:
    async def uses(asked: str) -> set[str]:
        return {id_.removeprefix("uses-") for id_ in await found(zoo, f"depends-on:{asked}", "PlanDefinition")}

    assert await uses("below=http://example.org/Lib") == {"0", "1", "2", "3", "4", "5"}
    assert await uses("below=http://example.org/Lib|1") == {"1", "2", "3", "4"}
    assert await uses("below=http://example.org/Lib|1.2") == {"2", "3"}
    assert await uses("above=http://example.org/Lib|1.2.3") == {"0", "1", "2", "3"}
    assert await uses("above=http://example.org/Lib") == {"0"}


async def test_who_may_not_search_a_type_is_told_so_and_who_sees_nothing_of_it_finds_nothing(zoo: Any) -> None:
    async def nobody(_: Iterable[str]) -> Mapping[str, Visibility]:
        return {}

    async def blind(types: Iterable[str]) -> Mapping[str, Visibility]:
        return dict.fromkeys(types, NOTHING)

    for query in ("code:in=http://example.org/vs/dogs", f"code:below={S}|dog"):
        with pytest.raises(Forbidden):
            await found(zoo, query, sees=nobody)
        with pytest.raises(Unprocessable) as hidden:
            await found(zoo, query, sees=blind)
        with pytest.raises(Unprocessable) as absent:
            await found(zoo, query.replace("animals", "nothing").replace("dogs", "nothing"), sees=blind)
        assert hidden.value.text.replace("animals", "nothing") == absent.value.text
    with pytest.raises(Forbidden):
        await found(zoo, "location:below=Location/site", "Encounter", sees=nobody)
    assert await found(zoo, "location:below=Location/site", "Encounter", sees=blind) == {"at-site"}
    assert await found(zoo, "status:in=http://hl7.org/fhir/ValueSet/observation-status", sees=nobody) == EVERYONE


async def test_a_value_set_is_its_tenants_own_and_follows_its_changes(zoo: Any, open_tenant: Any) -> None:
    other = await open_tenant("search_lookup_other")
    await load(other, [value_set("dogs", of(S, "cat")), *OBSERVATIONS])
    assert await found(other, "code:in=http://example.org/vs/dogs") == {"cat"}
    assert await found(zoo, "code:in=http://example.org/vs/dogs") == {"dog", "poodle"}
    with pytest.raises(Unprocessable):
        await found(other, "code:in=http://example.org/vs/mammals")
