"""Chains and `_has`: what may be seen on the way, several types, pages, totals, doubt and its bound."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest

from fhir_server.errors import BadSearch, Forbidden, Unprocessable
from fhir_server.search import few, join, run, seeing
from fhir_server.search.criteria import match, matches
from fhir_server.storage.index_keys import COMPARTMENT, pack
from fhir_server.storage.visibility import EVERYTHING, NOTHING, Grant
from tests.search import naive_hops as n
from tests.search import population as p
from tests.search.conftest import context, everything, ids, load, page, parsed

TENANTS = ("search_hop_one", "search_hop_two")
SEEDS = {"search_hop_one": 28, "search_hop_two": 105}


def resources(name: str) -> list[dict[str, Any]]:
    made = n.linked(p.population(SEEDS[name], 20), SEEDS[name])
    return n.placed(made, f"http://clarity.test/t/{name}/fhir")


@pytest.fixture(scope="session")
async def both(open_tenant: Any) -> dict[str, Any]:
    tenants = {name: await open_tenant(name) for name in TENANTS}
    for name, tenant in tenants.items():
        await load(tenant, resources(name))
    return tenants


@pytest.fixture(params=TENANTS)
def net(request: pytest.FixtureRequest, both: dict[str, Any]) -> Any:
    """Each tenant in turn; their resources have the same ids and say different things."""
    return both[request.param]


def expected(
    tenant: Any, type_: str, query: str, hidden: Callable[[dict[str, Any]], bool] = lambda _: False
) -> set[str]:
    """What a search finds for who sees all but what is hidden."""
    world = n.world_of([r for r in resources(tenant.name) if not hidden(r)])
    return {
        id_
        for (of, id_), r in world.items()
        if of == type_ and all(n.meets(world, r, name, text, tenant.base) for name, text in parsed(query))
    }


def only_of(tenant: Any, patient: str) -> Any:
    return (Grant((pack(COMPARTMENT, tenant.rids[("Patient", patient)]),)),)


def sees(**by_type: Any) -> Any:
    async def answer(types: Iterable[str]) -> dict[str, Any]:
        return {type_: by_type[type_] for type_ in types if type_ in by_type}

    return answer


# ---- what may be seen ----


@pytest.mark.parametrize(
    "query",
    [
        "subject:Patient.gender=male", "patient.gender=male", "encounter.status=finished", "encounter.subject:Patient.gender=male",
        "_has:Observation:has-member:code=x", "patient._has:Condition:subject:code=x",
    ],
)  # fmt: skip
async def test_without_the_right_to_search_the_other_type_it_is_403(net: Any, query: str) -> None:
    for given in (seeing.nothing, sees(Encounter=EVERYTHING) if "encounter.subject" in query else seeing.nothing):
        with pytest.raises(Forbidden) as refused:
            await page(net, "Observation", query, sees=given)
        assert refused.value.id == "insufficient-scope"
        assert "WWW-Authenticate" in refused.value.headers


async def test_a_chain_without_type_goes_where_it_may(net: Any) -> None:
    found = await ids(net, "Observation", "subject._id=p1,g1", sees=sees(Patient=EVERYTHING))
    assert set(found) == expected(net, "Observation", "subject._id=p1,g1", lambda r: r["resourceType"] == "Group")
    assert set(found) == expected(net, "Observation", "subject:Patient._id=p1")


HIDDEN = [
    "subject:Patient.gender=male", "subject:Patient.gender:not=male", "subject:Patient.birthdate:missing=false",
    "subject:Patient.identifier:missing=true", "subject:Patient.family=schwarzenegger-k", "patient.organization.name=a",
    "encounter.patient.gender:not=male", "subject:Patient._has:Condition:subject:code:not=abc", "patient.link.gender=female",
    "subject._tag:missing=true",
]  # fmt: skip


@pytest.mark.parametrize("query", HIDDEN)
@pytest.mark.parametrize("followed", [True, False])
async def test_what_is_hidden_is_not_gone_through(
    net: Any, query: str, followed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not followed:
        for name in ("KEYS", "PROBES", "ROWS"):
            monkeypatch.setattr(join, name, 0)
    mine = only_of(net, "p1")
    given = sees(**dict.fromkeys(("Patient", "Condition", "Encounter"), mine), Organization=EVERYTHING, Group=NOTHING)

    def hidden(r: dict[str, Any]) -> bool:
        if r["resourceType"] == "Patient":  # who links to p1 is in the compartment of p1
            return r["id"] != "p1" and ("Patient", "p1") not in n.referred(r, "link", net.base)
        if r["resourceType"] in ("Condition", "Encounter"):
            return ("Patient", "p1") not in n.referred(r, "patient", net.base)
        return r["resourceType"] == "Group"

    wanted = expected(net, "Observation", query, hidden)
    assert set(await ids(net, "Observation", query, sees=given)) == wanted
    assert (await page(net, "Observation", f"{query}&_summary=count", sees=given)).total == len(wanted)
    nobody = sees(**dict.fromkeys(("Patient", "Condition", "Encounter", "Organization", "Group"), NOTHING))
    assert await ids(net, "Observation", query, sees=nobody) == []


async def test_no_estimate_tells_of_what_a_chain_may_not_see(net: Any) -> None:
    query = "subject:Patient.gender=male&_count=1&_total"
    given = sees(Patient=only_of(net, "p1"))
    exact = (await page(net, "Observation", f"{query}=accurate", sees=given)).total
    assert (await page(net, "Observation", f"{query}=estimate", sees=given)).total == exact


async def test_what_is_seen_is_asked_for_every_page(net: Any) -> None:
    first = await page(net, "Observation", "subject:Patient.gender=male,female&_count=2")
    assert first.next
    assert (await page(net, "Observation", f"_cursor={first.next}", sees=sees(Patient=NOTHING))).rows == []
    with pytest.raises(Forbidden):
        await page(net, "Observation", f"_cursor={first.next}", sees=seeing.nothing)


# ---- pages, totals, sorts, several types ----


@pytest.mark.parametrize("sort", ["", "_sort=-date", "_sort=code", "_sort=-_lastUpdated,status"])
async def test_pages_totals_and_links(net: Any, sort: str) -> None:
    query = f"subject:Patient.gender=male&_has:Observation:has-member:_id:not=x&{sort}".replace(
        "_has:Observation:has-member:_id:not=x&", ""
    )
    first = await page(net, "Observation", f"{query}&_count=3&_total=accurate")
    assert first.total == len(expected(net, "Observation", "subject:Patient.gender=male"))
    assert first.applied[0] == ("subject:Patient.gender", "male")
    found = await ids(net, "Observation", f"{query}&_count=3")
    assert len(found) == len(set(found)) == first.total


async def test_several_types_each_by_its_own_parameters(net: Any) -> None:
    seen = {"Observation": EVERYTHING, "Encounter": EVERYTHING, "Condition": EVERYTHING}
    for query in (
        "subject:Patient.gender=male",
        "patient=p1",
        "patient.family=schwarzenegger-k",
        "_has:Observation:encounter:status=final",
    ):
        if query.startswith("_has"):
            wanted = expected(net, "Encounter", query)
        else:
            wanted = {id_ for type_ in ("Observation", "Encounter") for id_ in expected(net, type_, query)}
        found = await ids(net, None, f"{query}&_type=Observation,Encounter", seen)
        assert len(found) == len(wanted)
        assert set(found) == wanted, query
    with pytest.raises(BadSearch, match="Encounter has no search parameter code"):
        await page(net, None, "_type=Observation,Encounter&code=x", seen)
    with pytest.raises(BadSearch, match="Resource has no search parameter subject"):
        await page(net, None, "subject:Patient.gender=male", seen)


async def test_a_chain_to_one_patient_goes_along_the_series(net: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    taken = []
    recognise = run.recognise
    monkeypatch.setattr(run, "recognise", lambda *args: taken.append(recognise(*args)) or taken[-1])
    query = "patient._id=p1&code=http://loinc.org|8867-4&date=ge2020"
    assert set(await ids(net, "Observation", query)) == expected(net, "Observation", query)
    assert taken[0]


@pytest.mark.parametrize(
    "query",
    [
        "patient.gender=male&code=8867-4",
        "subject:Patient.gender=female&code=http://loinc.org|8480-6&_sort=date",
        "patient.gender=female&code=http://loinc.org|8867-4&status=final&date=ge2019",
        "patient.birthdate=ge1900&code=8867-4&_sort=-_lastUpdated",
        "patient.gender=male&code-value-quantity=8867-4$gt1",
    ],
)
async def test_a_chain_to_several_patients_goes_along_their_series(
    net: Any, query: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = []
    recognise = run.recognise
    monkeypatch.setattr(run, "recognise", lambda *args: taken.append(recognise(*args)) or taken[-1])
    monkeypatch.setattr(join, "KEYS", 0)
    along = await ids(net, "Observation", f"{query}&_count=2")
    assert set(along) == expected(net, "Observation", query.partition("&_sort")[0])
    assert len(set(along)) == len(along)
    with monkeypatch.context() as without:
        without.setattr(run, "recognise", lambda *_: None)
        assert await ids(net, "Observation", query) == along
    one = f"{query}&patient._id=p1"
    assert set(await ids(net, "Observation", one)) == expected(
        net, "Observation", one.replace("&_sort=date", "").replace("&_sort=-_lastUpdated", "")
    )
    assert any(series and len(series.patients) > 1 for series in taken), [s and s.patients for s in taken]


@pytest.mark.parametrize("named", [few.BESIDE_HOP, 0])
@pytest.mark.parametrize(
    "query", ["patient.gender=male&status=final", "subject:Patient.gender=female&code=8867-4,x&_sort=status"]
)
async def test_what_stands_beside_a_hop_is_named_if_it_is_little(
    net: Any, query: str, named: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("KEYS", "PROBES", "ROWS"):
        monkeypatch.setattr(join, name, 0)
    monkeypatch.setattr(few, "BESIDE_HOP", named)
    wanted = expected(net, "Observation", query.partition("&_sort")[0])
    found = await ids(net, "Observation", f"{query}&_count=2")
    assert len(found) == len(wanted)
    assert set(found) == wanted
    assert (await page(net, "Observation", f"{query}&_summary=count")).total == len(wanted)
    assert found == await ids(net, "Observation", query)


async def test_criteria_may_go_through_others(net: Any) -> None:
    ctx = context(net)
    criteria = [("subject:Patient._id", "p1"), ("status", "final")]
    wanted = expected(net, "Observation", "subject:Patient._id=p1&status=final")
    found = await match(ctx, "Observation", criteria, EVERYTHING, 50, sees=everything)
    assert {row.id for row in found} == wanted
    assert await match(ctx, "Observation", criteria, EVERYTHING, 50, sees=sees(Patient=NOTHING)) == []
    with pytest.raises(Forbidden):
        await match(ctx, "Observation", criteria, EVERYTHING)
    assert await matches(net, "Observation", criteria, found[0].rid, EVERYTHING, sees=everything)
    other = [("subject:Patient._id", "nobody")]
    assert not await matches(net, "Observation", other, found[0].rid, EVERYTHING, sees=everything)


@pytest.mark.parametrize("code", ["8480-6", "http://loinc.org|8480-6,abc", "http://loinc.org|8867-4", "ABC", "nothing"])
async def test_who_has_a_code_is_read_off_the_series(net: Any, code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    usual = [await ids(net, "Patient", f"_has:Observation:{name}:code={code}") for name in ("patient", "subject")]
    monkeypatch.setattr(join, "PROBES", 0)
    monkeypatch.setattr(join, "Referred", None)  # not to be made
    for name, wanted in zip(("patient", "subject"), usual, strict=True):
        query = f"_has:Observation:{name}:code={code}"
        assert await ids(net, "Patient", query) == wanted
        assert set(wanted) == expected(net, "Patient", query)
        less = sees(Observation=only_of(net, "p1"))
        assert set(await ids(net, "Patient", query, sees=less)) == set(wanted) & {"p1"}


# ---- bounds ----


async def test_doubt_behind_a_hop_is_bounded(net: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    long = "subject:Patient.family=schwarzenegger-kennedy"
    assert set(await ids(net, "Observation", long)) == expected(net, "Observation", long)
    monkeypatch.setattr(join, "LOOKS", 5)
    with pytest.raises(Unprocessable) as refused:
        await page(net, "Observation", "subject:Patient.name:contains=e")
    assert refused.value.id == "search-looks-too-many"
    # What may not be seen is not looked into, so the bound tells nothing of it.
    mine = await ids(net, "Observation", "subject:Patient.name:contains=e", sees=sees(Patient=only_of(net, "p1")))
    monkeypatch.undo()
    assert set(mine) <= set(await ids(net, "Observation", "subject:Patient.name:contains=e"))


async def test_erased_deleted_and_merely_mentioned_targets_lead_nowhere(net: Any) -> None:
    lost = {"resourceType": "Observation", "id": "lost", "status": "final", "subject": {"reference": "Patient/nowhere"}}
    await load(net, [lost])
    for query in (
        "subject:Patient._id=nowhere",
        "subject:Patient.gender:not=x&_id=lost",
        "subject:Patient.birthdate:missing=true&_id=lost",
    ):
        assert await ids(net, "Observation", query) == []


@pytest.mark.parametrize("query", ["subject.name=" + ",".join(["a"] * 2001), "&".join(["subject.name=a,b,c"] * 700)])
async def test_long_lists_are_refused(net: Any, query: str) -> None:
    with pytest.raises(BadSearch) as refused:
        await page(net, "Observation", query)
    assert refused.value.id == "search-too-long"


async def test_many_hops_are_refused(net: Any) -> None:
    with pytest.raises(BadSearch) as refused:
        await page(net, "Observation", "&".join(["_has:Observation:has-member:status=final"] * 101))
    assert refused.value.id == "search-too-many-hops"


# ---- canonical URLs ----

SLEEP = {"resourceType": "Questionnaire", "url": "http://q.example/sleep", "title": "Sleep"}
FORMS = [
    SLEEP | {"id": "q1", "status": "active", "version": "1"},
    SLEEP | {"id": "q2", "status": "retired", "version": "2"},
    {"resourceType": "Questionnaire", "id": "q3", "status": "active", "url": "http://q.example/mood"},
]
CITED = {"r1": "sleep|1", "r2": "sleep|2", "r3": "sleep", "r4": "mood", "r5": "mood|9", "r6": "none"}


async def test_chains_follow_canonical_urls_by_version(net: Any) -> None:
    answers = [
        {"resourceType": "QuestionnaireResponse", "id": id_, "status": "amended" if id_ == "r2" else "completed",
         "questionnaire": f"http://q.example/{cited}"}
        for id_, cited in CITED.items()
    ]  # fmt: skip
    await load(net, FORMS + answers)
    for query, wanted in (
        ("questionnaire.status=active", {"r1", "r3", "r4"}),
        ("questionnaire:Questionnaire.status=retired", {"r2", "r3"}),
        ("questionnaire.title=sleep", {"r1", "r2", "r3"}),
        ("questionnaire._id=none", set()),
        ("questionnaire.status:not=retired&status=completed", {"r1", "r3", "r4"}),
    ):
        assert set(await ids(net, "QuestionnaireResponse", query)) == wanted, query
    assert set(await ids(net, "Questionnaire", "_has:QuestionnaireResponse:questionnaire:status=amended")) == {"q2"}
    assert set(await ids(net, "Questionnaire", "_has:QuestionnaireResponse:questionnaire:_id=r3,r5")) == {"q1", "q2"}
    none = sees(Questionnaire=NOTHING, QuestionnaireResponse=NOTHING)
    assert await ids(net, "QuestionnaireResponse", "questionnaire.status=active", sees=none) == []
    assert await ids(net, "Questionnaire", "_has:QuestionnaireResponse:questionnaire:status=amended", sees=none) == []


UNREACHED = [
    ("Bundle", "composition.title=x"),
    ("Patient", "_has:AuditEvent:patient:type=rest"),
    ("Provenance", "target:AuditEvent.type=rest"),
]


@pytest.mark.parametrize(("type_", "query"), UNREACHED)
async def test_what_hops_do_not_reach_is_refused(net: Any, type_: str, query: str) -> None:
    with pytest.raises(BadSearch) as refused:
        await page(net, type_, query)
    assert refused.value.id == "search-chain-not-supported"
