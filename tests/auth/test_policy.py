"""The policy's decision table, and that what it grants is what the database then shows."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.auth import filters, policy
from fhir_server.auth.policy import admits, both, check_write, unrestricted, visibilities, visibility
from fhir_server.auth.scopes import INTERACTIONS, LETTERS
from fhir_server.context import ANONYMOUS, RequestContext
from fhir_server.errors import Forbidden
from fhir_server.kit import clock, ids
from fhir_server.kit.memo import Memo
from fhir_server.search.extract import extract
from fhir_server.storage import visibility as sql
from fhir_server.storage.commands import IndexRows
from fhir_server.storage.ident import known_rid
from fhir_server.storage.index_keys import COMPARTMENT, pack
from fhir_server.storage.reads import read
from fhir_server.storage.visibility import EVERYTHING, NOTHING, Grant, kept_from, visible_sql
from profiles.registry import R4
from tests.auth.conftest import store

CATEGORIES = "http://terminology.hl7.org/CodeSystem/observation-category"
LAB = f"{CATEGORIES}|laboratory"


def observation(subject: str, category: str = "laboratory", code: str = "8867-4", **more):
    return {
        "resourceType": "Observation",
        "status": "final",
        "category": [{"coding": [{"system": CATEGORIES, "code": category}]}],
        "code": {"coding": [{"system": "http://loinc.org", "code": code}]},
        "subject": {"reference": f"Patient/{subject}"},
        **more,
    }


@pytest.fixture(autouse=True)
def scopes_alone(monkeypatch):
    """What scopes give; labels and Consent, which only take away from it, have tests of their own."""
    monkeypatch.setattr(policy, "LIMITS", ())


# ---- which interactions a letter opens ----


@pytest.mark.parametrize("letter", LETTERS)
async def test_a_letter_opens_its_interactions_and_no_others(acting, letter):
    ctx = await acting(f"system/Observation.{letter}")
    opened = {name for name in INTERACTIONS if await policy.allowed(ctx, "Observation", name)}
    assert opened == {name for name, needs in INTERACTIONS.items() if needs == letter}
    assert not any([await policy.allowed(ctx, "Patient", name) for name in INTERACTIONS])


V1 = [("read", "rs"), ("write", "cud"), ("*", "cruds")]


@pytest.mark.smart(128)
@pytest.mark.parametrize(("v1", "v2"), V1)
async def test_v1_means_its_letters(acting, v1, v2):
    old, new = await acting(f"system/*.{v1}"), await acting(f"system/*.{v2}")
    for name in INTERACTIONS:
        assert await policy.allowed(old, "Observation", name) == await policy.allowed(new, "Observation", name)


# ---- what is denied ----

DENIED = [
    ("", None, "Observation", "read"),
    ("system/Patient.rs", None, "Observation", "read"),
    ("system/Observation.s", None, "Observation", "read"),
    ("system/Observation.r", None, "Observation", "search-type"),
    ("system/Observation.rs", None, "Observation", "no-such-interaction"),
    ("system/*.cruds", None, "Observation", "operation"),
    # patient/ without a patient context, and types that CompartmentDefinition leaves out
    ("patient/*.cruds", None, "Observation", "read"),
    ("patient/*.cruds", "KNOWN", "Practitioner", "read"),
    ("patient/Organization.rs", "KNOWN", "Organization", "search-type"),
    ("patient/*.cruds", "KNOWN", "Medication", "read"),
    ("patient/*.cruds", "KNOWN", "Subscription", "create"),
    ("patient/*.cruds", "never-mentioned-anywhere", "Observation", "read"),
    # user/ without a person
    ("user/*.cruds", None, "Observation", "read"),
    ("user/*.cruds", "KNOWN", "Observation", "read"),
]


@pytest.mark.smart(95, 243, 266)
@pytest.mark.parametrize(("scope", "patient_id", "type_", "interaction"), DENIED)
async def test_denied(acting, patient, scope, patient_id, type_, interaction):
    ctx = await acting(scope, patient if patient_id == "KNOWN" else patient_id)
    with pytest.raises(Forbidden) as caught:
        await visibility(ctx, type_, interaction)
    assert caught.value.status == 403
    assert not await policy.allowed(ctx, type_, interaction)
    assert not await unrestricted(ctx, type_, interaction)
    with pytest.raises(Forbidden):
        await check_write(ctx, type_, interaction, IndexRows(), "x")


async def test_nobody_may_do_anything(tenant):
    ctx = RequestContext(tenant, ANONYMOUS, "r", tenant.base)
    for name in INTERACTIONS:
        with pytest.raises(Forbidden):
            await visibility(ctx, "Patient", name)
        with pytest.raises(Forbidden):
            await visibilities(ctx, name)


async def test_the_refusal_says_which_scope_it_would_take(acting):
    with pytest.raises(Forbidden) as caught:
        await visibility(await acting("system/Patient.rs"), "Observation", "create")
    assert "system/Observation.c" in caught.value.text
    assert caught.value.headers["WWW-Authenticate"] == (
        'Bearer error="insufficient_scope", scope="system/Observation.c"'
    )


# ---- what is granted ----


@pytest.mark.smart(142, 144)
async def test_system_sees_everything(acting):
    assert await visibility(await acting("system/*.rs"), "Binary", "read") == EVERYTHING


@pytest.mark.smart(136)
async def test_patient_is_the_compartment_and_nothing_else(acting, tenant, patient):
    rid = await known_rid(tenant, "Patient", patient)
    ctx = await acting("patient/*.rs", patient)
    expected = (Grant((pack(COMPARTMENT, rid),)),)
    found = await visibilities(ctx, "search-system")
    assert set(found) == {t for t in R4.types if t in ("Patient", "Binary") or R4.compartment("Patient", t)}
    [told] = found.pop("Provenance")
    assert set(found.values()) == {expected}
    assert (told.all_of, len(told.through)) == (expected[0].all_of, 1), "and nothing that it tells of is hidden"


async def test_scopes_are_a_union_and_the_widest_wins(acting, patient):
    ctx = await acting(f"patient/Observation.rs system/Observation.s system/Observation.r?category={LAB}", patient)
    assert await visibility(ctx, "Observation", "search-type") == EVERYTHING
    assert len(await visibility(ctx, "Observation", "read")) == 2


async def test_a_filter_with_commas_is_or_and_with_ampersand_and(acting, tenant):
    ctx = await acting("system/Observation.rs?category=urn:c|a,urn:c|b&code=urn:c|c")
    found = await visibility(ctx, "Observation", "read")
    assert len(found) == 2
    assert all(len(grant.all_of) == 2 for grant in found)


async def test_asking_for_types_leaves_out_what_is_not_granted(acting):
    ctx = await acting("system/Observation.rs")
    assert set(await visibilities(ctx, "search-type", ["Observation", "Patient"])) == {"Observation"}
    assert await visibilities(ctx, "search-type", ["Patient"]) == {}


@pytest.mark.smart(123)
async def test_only_the_unrestricted_may_create_by_put(acting, patient):
    assert await unrestricted(await acting("system/Observation.u"), "Observation", "update")
    assert not await unrestricted(await acting("system/Observation.c"), "Observation", "update")
    assert not await unrestricted(await acting(f"system/Observation.u?category={LAB}"), "Observation", "update")
    assert not await unrestricted(await acting("patient/Observation.u", patient), "Observation", "update")


async def test_nobody_changes_an_audit_event(acting):
    ctx = await acting("system/*.cruds")
    for name in ("update", "patch", "delete"):
        assert await visibility(ctx, "AuditEvent", name) == NOTHING
    assert await visibility(ctx, "AuditEvent", "read") == EVERYTHING
    assert await unrestricted(ctx, "AuditEvent", "update")


# ---- against what search extracts and the database shows: the grant and the index speak of the same keys ----

SEES = [
    ("system/Observation.r", None, True),
    ("patient/Observation.r", "A", True),
    ("patient/Observation.r", "B", False),
    (f"system/Observation.r?category={LAB}", None, True),
    ("system/Observation.r?category=laboratory", None, True),
    ("system/Observation.r?category=LABORATORY", None, True),
    (f"system/Observation.r?category={CATEGORIES}|", None, True),
    ("system/Observation.r?category=vital-signs", None, False),
    ("system/Observation.r?category=vital-signs,laboratory", None, True),
    ("system/Observation.r?category=laboratory&code=8867-4", None, True),
    ("system/Observation.r?category=laboratory&code=0000-0", None, False),
    ("system/Observation.r?category=laboratory&category=vital-signs", None, False),
    ("system/Observation.r?combo-code=8867-4", None, True),
    ("system/Observation.r?combo-code=0000-0", None, False),
    ("system/Observation.r?status=final", None, True),
    ("system/Observation.r?status=http://hl7.org/fhir/observation-status|final", None, True),
    ("system/Observation.r?status=http://other.example|final", None, False),
    ("system/Observation.r?subject=Patient/A", None, True),
    ("system/Observation.r?patient=Patient/A", None, True),
    ("system/Observation.r?patient=BASE/Patient/A", None, True),
    ("system/Observation.r?subject=Patient/B", None, False),
    ("system/Observation.r?subject=Patient/nobody-ever-heard-of", None, False),
    ("system/Observation.r?encounter=http://elsewhere.example/Encounter/1", None, True),
    ("system/Observation.r?identifier=http://ids.example|42", None, True),
    ("system/Observation.r?identifier=http://ids.example|43", None, False),
    ("system/*.r?_tag=http://tags.example|t", None, True),
    ("system/*.r?_tag=http://tags.example|u", None, False),
    ("system/Observation.r?_profile=http://profiles.example/p", None, True),
    ("patient/Observation.r?category=laboratory", "A", True),
    ("patient/Observation.r?category=vital-signs", "A", False),
    ("patient/Observation.r?category=laboratory", "B", False),
]


@pytest.mark.parametrize(("scope", "who", "sees"), SEES, ids=[f"{case[0]} {case[1]}" for case in SEES])
async def test_the_grant_agrees_with_the_index(acting, tenant, scope, who, sees):
    a, b = ids.new_id(), ids.new_id()
    for id_ in (a, b):
        await store(tenant, {"resourceType": "Patient", "id": id_}, IndexRows())
    resource = observation(
        a,
        identifier=[{"system": "http://ids.example", "value": "42"}],
        encounter={"reference": "http://elsewhere.example/Encounter/1"},
        meta={"tag": [{"system": "http://tags.example", "code": "t"}], "profile": ["http://profiles.example/p"]},
    )
    index = extract(tenant, resource)
    assert index.patients == [a]
    id_ = await store(tenant, resource, index)
    text = scope.replace("BASE", tenant.base).replace("/A", f"/{a}").replace("/B", f"/{b}")
    ctx = await acting(text, {"A": a, "B": b, None: None}[who])
    seen = await visibility(ctx, "Observation", "read")
    assert (await read(tenant, "Observation", id_, seen) is not None) == sees
    # The same judgement of content that is yet to be written.
    writing = await acting(text.replace(".r", ".u"), {"A": a, "B": b, None: None}[who])
    if sees:
        await check_write(writing, "Observation", "update", index, id_)
    else:
        with pytest.raises(Forbidden, match="outside"):
            await check_write(writing, "Observation", "update", index, id_)


async def test_a_filter_without_a_system_follows_the_dictionary(acting, tenant, unique):
    def coded(system: str) -> dict[str, Any]:
        return observation("x") | {"code": {"coding": [{"system": system, "code": unique}]}}

    ctx = await acting(f"system/Observation.crs?code={unique}")
    first = extract(tenant, coded("urn:first"))
    await check_write(ctx, "Observation", "create", first)  # the first of its code that was ever written
    with pytest.raises(Forbidden, match="outside"):
        await check_write(ctx, "Observation", "create", extract(tenant, observation("x")))
    for system in ("urn:first", "urn:second"):
        resource = coded(system)
        id_ = await store(tenant, resource, extract(tenant, resource))
        seen = await visibility(ctx, "Observation", "read")
        assert await read(tenant, "Observation", id_, seen) is not None, system


async def test_a_filter_that_means_too_many_codings_closes(acting, tenant, unique):
    categories = [{"coding": [{"system": f"urn:{unique}", "code": str(n)}]} for n in range(filters.MOST_CODINGS + 1)]
    ctx = await acting(f"system/Observation.r?category=urn:{unique}|")
    for some, sees in ((categories[:-1], True), (categories, False)):
        resource = observation("x") | {"category": some}
        id_ = await store(tenant, resource, extract(tenant, resource))
        found = await read(tenant, "Observation", id_, await visibility(ctx, "Observation", "read"))
        assert (found is not None) == sees


WRITES = [
    # content, allowed for patient/Observation.cu of A
    (["A"], True),
    (["B"], False),
    ([], False),
    (["A", "B"], False),
    (["B", "A"], False),
]


@pytest.mark.parametrize(("patients", "allowed"), WRITES)
@pytest.mark.parametrize("interaction", ["create", "update", "patch"])
async def test_a_patient_scope_writes_into_its_own_record_only(acting, patient, patients, allowed, interaction):
    ctx = await acting("patient/Observation.cu", patient)
    index = IndexRows(patients=[{"A": patient, "B": "someone-else"}[each] for each in patients])
    if allowed:
        await check_write(ctx, "Observation", interaction, index, "new")
    else:
        with pytest.raises(Forbidden, match="outside"):
            await check_write(ctx, "Observation", interaction, index, "new")


@pytest.mark.smart(139)
async def test_a_patient_changes_its_own_patient_resource_and_no_other(acting, patient):
    ctx = await acting("patient/Patient.cu", patient)
    await check_write(ctx, "Patient", "update", IndexRows(patients=[patient]), patient)
    await check_write(ctx, "Patient", "update", IndexRows(), patient)
    for other in ("someone-else", ""):
        with pytest.raises(Forbidden):
            await check_write(ctx, "Patient", "create", IndexRows(), other)
    with pytest.raises(Forbidden):  # a link puts the resource into the other one's compartment too
        await check_write(ctx, "Patient", "update", IndexRows(patients=[patient, "someone-else"]), patient)


# ---- labels and Consent: the seam ----

keys = st.sets(st.integers(1, 6), max_size=3).map(lambda s: tuple(sorted(s)))
groups = st.lists(keys, max_size=2).map(tuple)
grants = st.builds(Grant, keys, keys, groups)
sights = st.lists(grants, max_size=3).map(tuple)


@given(sights, sights, st.frozensets(st.integers(1, 6)))
def test_both_sees_what_each_sees(left, right, held):
    assert admits(both(left, right), held) == (admits(left, held) and admits(right, held))


@pytest.mark.parametrize("single", [False, True])
@pytest.mark.parametrize("few", [100, 0])
@pytest.mark.parametrize("sign", [1, -1])
async def test_the_sql_says_what_admits_says(tenant, monkeypatch, few, sign, single):
    """Every small Visibility with groups, asked of PostgreSQL and of memory, for many rows and for a single one."""
    monkeypatch.setattr(sql, "FEW", few)  # many are asked for another way; references and hashes stand in keys alone
    monkeypatch.setattr(sql, "_SINGLE", few)
    monkeypatch.setattr(sql, "_conditions", Memo(1000))
    one, two, three = sign, 2 * sign, 3 * sign
    table = product([(), (one,)], [(), (two,)], [(), ((one, three),), ((one, three), (two, three))])
    shapes = [Grant(a, n, o) for a, n, o in table]
    sights = [NOTHING, EVERYTHING, *((one,) for one in shapes), *((one, shapes[-1]) for one in shapes)]
    held_by = ((), (one,), (two,), (three,), (one, two), (one, three), (two, three), (one, two, three))
    rows = [frozenset(held) for held in held_by]
    for sight, held in product(sights, rows):
        args: list = [sorted(held)]
        text = (
            f"SELECT {visible_sql('r', sight, args, one=single)} FROM (SELECT $1::bigint[] AS keys, $1 AS patients) r"
        )
        assert await tenant.pool.fetchval(text, *args) == admits(sight, held), (sight, held)


async def test_one_row_among_many_patients(tenant):
    """A row's patients are looked for as text: not as parts of other numbers, in any order, and nobody's row is nobody's."""
    group = (12, 105, 1212, 2105, 99999999999)
    rows: list[list[int] | None] = [
        None,
        [],
        [1],
        [5],
        [12],
        [21],
        [121],
        [1212],
        [2105, 7],
        [7, 12],
        [105, 12],
        [12, 105],
        [12, 1212],
    ]
    rows += [[99999999999], [9999999999], [12121], [7, 8], [1051]]
    for patients in rows:
        args: list = [patients]
        text = f"SELECT {visible_sql('r', (Grant(any_of=(group,)),), args, one=True)} FROM (SELECT $1::bigint[] AS patients) r"
        assert bool(await tenant.pool.fetchval(text, *args)) == bool({*(patients or ())} & {*group}), patients


def test_a_single_resource_is_granted_by_sql_alone():
    own = Grant(rids=(7,))
    args: list = []
    assert visible_sql("r", (own,), args) == "(r.rid = ANY($1::bigint[]))"
    assert args == [[7]]
    assert not admits((own,), frozenset({7}))
    assert both((own,), (Grant(rids=(8,)),)) == (Grant(rids=(0,)),)
    assert both((own,), (Grant(none_of=(1,)),)) == (Grant(none_of=(1,), rids=(7,)),)


def test_admits_is_or_of_ands():
    table = product([(), (1,)], [(), (2,)], [frozenset(), frozenset({1}), frozenset({2}), frozenset({1, 2})])
    for all_of, none_of, held in table:
        assert admits((Grant(all_of, none_of),), held) == (set(all_of) <= held and not set(none_of) & held)
    assert not admits(NOTHING, frozenset({1}))
    assert admits(EVERYTHING, frozenset())


async def test_a_limit_narrows_every_answer(acting, tenant, monkeypatch):
    label = tenant.key(R4.params("Observation")["_security"].id, "sc", "http://labels.example", "psythpn")

    async def no_psychotherapy_notes(ctx, type_, interaction):
        return (Grant(none_of=(label,)),)

    ctx = await acting("system/*.cruds")
    assert await visibility(ctx, "Observation", "vread") == EVERYTHING  # what the scopes grant is remembered now
    monkeypatch.setattr(policy, "LIMITS", (no_psychotherapy_notes,))
    hidden = {**observation("x"), "meta": {"security": [{"system": "http://labels.example", "code": "PSYTHPN"}]}}
    shown = observation("x")
    ids_ = [await store(tenant, resource, extract(tenant, resource)) for resource in (hidden, shown)]
    seen = await visibility(ctx, "Observation", "read")
    assert [await read(tenant, "Observation", id_, seen) is not None for id_ in ids_] == [False, True]
    found = await visibilities(ctx, "search-system")
    [told] = found.pop("Provenance")
    assert set(found.values()) == {(Grant(none_of=(label,)),)}
    assert (told.none_of, len(told.through)) == ((label,), 1)
    assert await unrestricted(ctx, "Observation", "update")
    assert kept_from(await visibility(ctx, "Observation", "update")) == (label,)
    with pytest.raises(Forbidden):
        await check_write(ctx, "Observation", "update", extract(tenant, hidden), "x")
    await check_write(ctx, "Observation", "update", extract(tenant, shown), "x")


async def test_a_limit_that_knows_nothing_closes(acting, monkeypatch):
    async def nothing(ctx, type_, interaction):
        return NOTHING

    monkeypatch.setattr(policy, "LIMITS", (nothing,))
    assert await visibility(await acting("system/*.rs"), "Patient", "read") == NOTHING


async def test_an_answer_is_taken_again_for_a_moment_unless_this_process_wrote_what_decides_it(
    acting, tenant, monkeypatch
):
    ctx = await acting("system/*.cruds")
    first = await visibility(ctx, "Observation", "read")

    async def nothing(ctx, type_, interaction):
        return NOTHING

    monkeypatch.setattr(policy, "LIMITS", (nothing,))
    assert await visibility(ctx, "Observation", "read") == first
    tenant.written.update({"Consent": 1})
    assert await visibility(ctx, "Observation", "read") == NOTHING
    monkeypatch.setattr(policy, "LIMITS", ())
    later = clock.monotonic() + policy.SIGHT_SECONDS
    monkeypatch.setattr(clock, "monotonic", lambda: later)
    assert await visibility(ctx, "Observation", "read") == EVERYTHING
