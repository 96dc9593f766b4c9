"""What `python -m tests.mutation` found that no test noticed, each small."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from fhir_server.auth import care, glass, labels, policy, tokens, traced
from fhir_server.auth.consent import callers, known
from fhir_server.auth.consent.rules import rules_of
from fhir_server.auth.labels import CONFIDENTIALITY
from fhir_server.context import Clearance
from fhir_server.kit import clock
from fhir_server.search.extract import extract
from fhir_server.storage import glass as storage_of_glass
from fhir_server.storage import layout
from fhir_server.storage import visibility as sql
from fhir_server.storage.commands import Command
from fhir_server.storage.index_keys import COMPARTMENT, pack
from fhir_server.storage.reads import read
from fhir_server.storage.visibility import EVERYTHING, Grant, Through, Unless, compartments, outside, visible_sql
from profiles.registry import R4
from tests.auth.conftest import store
from tests.auth.test_consent import consent, end_all, ended, seen
from tests.auth.test_labels import labelled, made
from tests.auth.test_traced import provenance
from tests.http.client import Caller, caller, entry, observation

__all__ = ["ended"]
CODED = {"type": "deny", "code": [{"coding": [{"system": "http://loinc.org", "code": "8867-4"}]}]}
LATER = {"type": "deny", "period": {"start": "2099-01-01"}}


async def test_a_level_that_nobody_knows_permits_nothing(system, tenant):
    patient = await made(system, {"resourceType": "Patient"})
    id_ = await made(system, observation(subject={"reference": f"Patient/{patient}"}))
    levels = [{"system": CONFIDENTIALITY, "code": code} for code in ("N", "X")]
    for said, shown in (([levels[1]], False), ([levels[0]], True)):
        await made(system, consent(patient, type="deny", provision=[{"type": "permit", "securityLabel": said}]))
        assert (await system.get(f"Observation/{id_}")).status == (200 if shown else 404), said
        await end_all(tenant)


async def test_a_consent_of_nobody_denies_nobody(system):
    """R4 lets the patient be left out."""
    nobody = consent("x", "OPTOUT")
    del nobody["patient"]
    await made(system, nobody)
    patient = await made(system, {"resourceType": "Patient"})
    id_ = await made(system, observation(subject={"reference": f"Patient/{patient}"}))
    assert await seen(system, id_) == [True]


@pytest.mark.parametrize(
    ("provision", "typed"), [(CODED, True), ({"type": "permit", "provision": [LATER, CODED]}, True), (LATER, False)]
)
def test_what_names_codes_depends_on_the_type(provision, typed):
    rules = rules_of(consent("p") | {"provision": provision}, "http://x/fhir")
    assert rules is not None
    assert rules.typed is typed


def test_what_rows_refer_to_has_no_opposite():
    with pytest.raises(ValueError, match="no opposite"):
        outside((Grant(through=(Through(1, ()),)),))


def test_of_two_levels_the_higher_counts(tenant):
    keys = [labels.label_key(tenant, CONFIDENTIALITY, code) for code in ("L", "R")]
    assert labels.LEVELS[labels._level(tenant, frozenset(keys))] == "R"


async def test_only_a_patient_is_a_patient(system, tenant):
    person = await made(system, {"resourceType": "Patient"})
    related = await made(system, {"resourceType": "RelatedPerson", "patient": {"reference": f"Patient/{person}"}})
    for user, patient in ((f"Patient/{person}", person), (f"RelatedPerson/{related}", None)):
        found = await callers._look(tenant, user)
        assert (found.patient, found.groups) == (patient, True)
    device = await callers._look(tenant, f"Device/{person}")
    assert (device.patient, device.groups) == (None, False)


async def test_who_belongs_to_one_organization_belongs_to_no_other(system, tenant, monkeypatch):
    """And what somebody belongs to is asked again when it is time."""
    doctor = await made(system, {"resourceType": "Practitioner"})
    who = f"Practitioner/{doctor}"
    assert not (await callers._look(tenant, who)).groups
    organization = await made(system, {"resourceType": "Organization", "name": "Ward"})
    monkeypatch.setattr(callers, "SECONDS", 0.0)
    principal = type("P", (), {"user": who})()
    before = await callers.asker(tenant, principal)
    role = {"practitioner": {"reference": who}, "organization": {"reference": f"Organization/{organization}"}}
    await made(system, {"resourceType": "PractitionerRole", **role})
    after = await callers.asker(tenant, principal)
    assert not before.groups
    assert after.groups
    assert f"Organization/{organization}" in after.names


def ref(name: str) -> dict[str, str]:
    return {"reference": name}


async def named(tenant, user: str, scope: str = "user/*.cruds") -> str:
    """Return a token in a person's name, whose relations are asked for anew."""
    care.forget(tenant, user)
    return await tokens.mint(tenant, scope, user=user)


# ---- the condition ----


@pytest.mark.parametrize("one", [False, True])
async def test_many_keys_are_looked_for_where_they_stand(tenant, one):
    """Labels and references stand among the keys alone, compartments among a row's patients as well."""
    size = sql.FEW + 10
    hashed, told = list(range(-size, 0)), [pack(9, rid) for rid in range(1, size)]
    records = [pack(COMPARTMENT, rid) for rid in range(1, size)]
    for group in (hashed, told, records, hashed + records, records + told):
        for held in (group[0], group[-1], None):
            keys = [] if held is None else [held]
            args: list[Any] = [keys, [key for key in keys if key in records]]
            seen_ = visible_sql("r", (Grant(any_of=(tuple(group),)),), args, one=one)
            text = f"SELECT {seen_} FROM (SELECT $1::bigint[] AS keys, $2::bigint[] AS patients) r"
            assert await tenant.pool.fetchval(text, *args) is (held is not None), (group[0], held)


def test_the_first_patient_of_all_has_a_record():
    keys = [-1, 0, pack(COMPARTMENT, 1), pack(COMPARTMENT, 2), pack(1, 1)]
    assert compartments(keys) == [pack(COMPARTMENT, 1), pack(COMPARTMENT, 2)]


def test_who_judges_by_keys_is_told_when_they_do_not_say():
    single = (Grant(rids=(1,)), Grant(not_rids=(1,)), Grant(through=(Through(1, ()),)))
    plain = (Grant(), Grant((1,), (2,), ((3,),)), Grant(unless=(Unless((1,), (Grant((2,)),)),)))
    assert [each.by_row for each in (*single, *plain)] == [True] * 3 + [False] * 3
    for each in single:
        assert Grant(unless=(Unless((1,), (Grant(), each)),)).by_row
        assert not each.admits(frozenset({1, 2, 3})), "of what is not known nothing is said"


def test_every_patient_of_a_row_has_to_allow_it():
    less = Grant(unless=(Unless((1,), ()), Unless((2, 3), (Grant((9,)),))))
    shown = {keys for keys in ((), (1,), (2,), (2, 9), (1, 2, 9), (1, 9)) if less.admits(frozenset(keys))}
    assert shown == {(), (2, 9)}
    groups = Grant(any_of=((1, 2), (3,)))
    assert [groups.admits(frozenset(keys)) for keys in ((1,), (3,), (2, 3))] == [False, False, True]


def test_the_opposite_of_a_grant_names_what_it_says_and_no_more():
    """A Consent may come to so many alternatives and no more: none is spent on what no row meets."""
    assert outside((Grant(all_of=(1, 2)),)) == (Grant(none_of=(1,)), Grant(none_of=(2,)))
    assert outside((Grant(none_of=(1, 2), not_rids=(7,)),)) == (Grant(any_of=((1, 2),)), Grant(rids=(7,)))
    assert outside((Grant(rids=(7,)),)) == (Grant(not_rids=(7,)),)
    for said in (Through(1, ()), Unless((1,), ())):
        grant = Grant(through=(said,)) if isinstance(said, Through) else Grant(unless=(said,))
        with pytest.raises(ValueError, match="no opposite"):
            outside((grant,))


# ---- the index ----


async def test_each_of_many_performers_leads_to_it(system):
    doctors = [await made(system, {"resourceType": "Practitioner"}) for _ in range(layout._LONG_FROM + 1)]
    id_ = await made(system, observation(performer=[ref(f"Practitioner/{each}") for each in doctors]))
    for each in doctors:
        found = await system.get(f"Observation?performer=Practitioner/{each}&_total=accurate")
        assert [e["resource"]["id"] for e in found.json["entry"]] == [id_]


async def test_codings_are_looked_up_without_facets(tenant, system, unique):
    await made(system, observation(code={"coding": [{"system": "urn:x", "code": unique}]}))
    param = R4.params("Observation")["code"].id
    asked = tenant.key(param, "c", unique)
    found = await layout.look_up(tenant, [asked], [])
    assert (found.codings, found.blends) == ({asked: (tenant.key(param, "sc", "urn:x", unique),)}, {})


# ---- Consents ----


def test_what_a_consent_says_beyond_r4_makes_it_unclear():
    nested = {"type": "permit", "provision": [{"type": "deny", "provision": [{"class": []}]}]}
    for more in ({"modifierExtension": [{"url": "urn:x", "valueBoolean": True}]}, {"provision": nested}):
        rules = rules_of(consent("p", "OPTIN") | more, "http://x/fhir")
        assert rules is not None
        assert not rules.understood, more
    rules = rules_of(consent("p", "OPTIN", **nested | {"provision": [{"type": "deny"}]}), "http://x/fhir")
    assert rules is not None
    assert rules.understood


async def test_who_keeps_the_records_keeps_those_of_who_opted_out(http, system, tenant):
    patient = await made(system, {"resourceType": "Patient"})
    id_ = await made(system, observation(subject=ref(f"Patient/{patient}")))
    await made(system, consent(patient, "OPTOUT"))
    assert await seen(system, id_) == [False]
    assert await seen(await caller(http, tenant, "system/*.rs __see/V"), id_) == [False], "to be cleared is not enough"
    assert await seen(await caller(http, tenant, "system/*.rs __see/all"), id_) == [True]


@pytest.fixture
def required(tenant, monkeypatch):
    """A site where nothing is shown without a Consent."""
    monkeypatch.setattr(tenant, "consent_required", True)
    known.forget(tenant)
    yield
    known.forget(tenant)


@pytest.mark.usefixtures("required")
async def test_a_consent_that_does_not_speak_of_it_permits_nothing_where_one_is_required(system):
    of_conditions = {"class": [{"system": "http://hl7.org/fhir/resource-types", "code": "Condition"}]}
    past = {"period": {"end": "2001-01-01"}}
    for said, shown in (({}, True), (of_conditions, False), (past, False)):
        patient = await made(system, {"resourceType": "Patient"})
        id_ = await made(system, observation(subject=ref(f"Patient/{patient}")))
        await made(system, consent(patient, type="permit", **said))
        assert await seen(system, id_) == [shown], said
        await made(system, consent(patient, type="permit"))
        assert await seen(system, id_) == [True], "one that speaks of it is enough where the others are silent"


async def test_a_consent_that_does_not_speak_of_it_takes_nothing_where_none_is_required(system):
    patient = await made(system, {"resourceType": "Patient"})
    id_ = await made(system, observation(subject=ref(f"Patient/{patient}")))
    of_conditions = {"class": [{"system": "http://hl7.org/fhir/resource-types", "code": "Condition"}]}
    await made(system, consent(patient, type="permit", **of_conditions))
    assert await seen(system, id_) == [True]


@pytest.mark.usefixtures("required")
async def test_writing_goes_on_where_consent_is_required(http, system, tenant):
    who = f"Practitioner/{await made(system, {'resourceType': 'Practitioner'})}"
    patient = await made(system, {"resourceType": "Patient", "generalPractitioner": [ref(who)]})
    user = Caller(http, tenant, await named(tenant, who))
    id_ = await made(user, observation(subject=ref(f"Patient/{patient}")))
    assert await seen(user, id_) == [False]


@pytest.mark.usefixtures("required")
async def test_patients_see_their_own_record_where_consent_is_required(http, system, tenant):
    mine, other = [await made(system, {"resourceType": "Patient"}) for _ in range(2)]
    ids_ = [await made(system, observation(subject=ref(f"Patient/{each}"))) for each in (mine, other)]
    await made(system, consent(other, "OPTIN", type="permit"))
    scope = "user/Observation.rs system/Observation.rs"
    who = Caller(http, tenant, await named(tenant, f"Patient/{mine}", scope))
    assert await seen(who, *ids_) == [True, True]
    stranger = await made(system, {"resourceType": "Practitioner"})
    assert await seen(Caller(http, tenant, await named(tenant, f"Practitioner/{stranger}", scope)), *ids_) == [
        False,
        True,
    ]


async def test_as_many_alternatives_as_there_may_be_are_shown(system, tenant, acting, monkeypatch):
    patient = await made(system, {"resourceType": "Patient"})
    id_ = await made(system, observation(subject=ref(f"Patient/{patient}")))
    said = [[{"system": CONFIDENTIALITY, "code": "R"}], [{"system": labels.ACT_CODE, "code": "SEX"}]]
    await made(system, consent(patient, "OPTIN", type="deny", provision=[
        {"type": "permit", "securityLabel": said[0]}, {"type": "permit", "securityLabel": said[1]}]))  # fmt: skip
    ctx = await acting("system/*.rs")
    [grant] = await known.limit(ctx, "Observation", "read")
    [size] = [len(each.seen) for each in grant.unless]
    for most, shown in ((size, True), (size - 1, False)):
        monkeypatch.setattr(known, "MOST_GRANTS", most)
        known.forget(tenant)
        tenant.written.update({"Consent"})
        assert await seen(system, id_) == [shown], most


@pytest.mark.parametrize("coding", [{"system": "http://loinc.org"}, {"code": "8867-4"}])
async def test_a_coding_that_lacks_half_may_mean_anything(system, coding):
    patient = await made(system, {"resourceType": "Patient"})
    id_ = await made(system, observation(subject=ref(f"Patient/{patient}")))
    await made(
        system, consent(patient, "OPTIN", type="permit", provision=[{"type": "deny", "code": [{"coding": [coding]}]}])
    )
    assert await seen(system, id_) == [False]


async def test_what_was_worked_out_while_a_consent_came_is_not_kept(system, tenant, acting, monkeypatch):
    patient, other = [await made(system, {"resourceType": "Patient"}) for _ in range(2)]
    await made(system, consent(other, "OPTOUT"))
    ctx, key = await acting("system/*.rs"), frozenset({pack(COMPARTMENT, tenant.rids[("Patient", patient)])})
    work, coming = known._made, [consent(patient, "OPTOUT")]

    async def slowly(*args: Any) -> Any:
        found = await work(*args)
        while coming:
            await made(system, coming.pop())
            await known.known(tenant)
        return found

    monkeypatch.setattr(known, "_made", slowly)
    shown = [policy.admits(await known.limit(ctx, "Observation", "read"), key) for _ in range(2)]
    assert shown == [True, False]


# ---- people ----


async def test_who_has_lost_the_right_sees_no_more_of_an_emergency(system, tenant, acting):
    patient = await made(system, {"resourceType": "Patient"})
    rid = tenant.rids[("Patient", patient)]
    ctx = await acting("user/*.rs")
    now = clock.now()
    await storage_of_glass.add(tenant, storage_of_glass.Glass(ctx.principal.agent, rid, now, now + timedelta(hours=1)))
    glass.forget(tenant, ctx.principal.agent)
    person = replace(ctx.principal, user="Practitioner/1", clearance=Clearance(break_glass=True))
    assert await glass.patients(tenant, person) == [rid]
    for lost in (replace(person, clearance=Clearance()), replace(person, user=None)):
        assert await glass.patients(tenant, lost) == []


async def test_a_care_team_that_ended_an_hour_ago_is_over(http, system, tenant):
    who = f"Practitioner/{await made(system, {'resourceType': 'Practitioner'})}"
    patients = []
    for hours in (1, -1):
        patients.append(await made(system, {"resourceType": "Patient"}))
        end = (clock.now() - timedelta(hours=hours)).isoformat()
        team = {"status": "active", "subject": ref(f"Patient/{patients[-1]}"), "participant": [{"member": ref(who)}]}
        await made(system, {"resourceType": "CareTeam", "period": {"start": "2020-01-01", "end": end}, **team})
    user = Caller(http, tenant, await named(tenant, who))
    assert [(await user.get(f"Patient/{each}")).status for each in patients] == [404, 200]


async def test_what_is_told_of_what_goes_in_the_same_transaction(http, system, tenant):
    who = f"Practitioner/{await made(system, {'resourceType': 'Practitioner'})}"
    patient = await made(system, {"resourceType": "Patient", "generalPractitioner": [ref(who)]})
    id_ = await made(system, observation(subject=ref(f"Patient/{patient}")))
    user = Caller(http, tenant, await named(tenant, who))
    gone = entry("DELETE", f"Observation/{id_}")
    answer = await user.transaction(gone, entry("POST", "Provenance", provenance(f"Observation/{id_}")))
    assert answer.status == 200, answer.text
    [found] = (await user.get(f"Provenance?target=Observation/{id_}")).json["entry"]
    assert (await system.get(f"Patient/{patient}/Provenance")).json["entry"][0]["fullUrl"] == found["fullUrl"]


async def test_of_what_goes_and_nobody_knows_whose_it_was_nothing_is_told(tenant, acting, unique):
    """A row that an older extraction found is deleted without what it was found by."""
    name = ("Observation", unique)
    index = extract(tenant, provenance("/".join(name)) | {"id": unique})
    await traced.settle(await acting("user/*.cruds"), index, {}, {name: Command("delete", *name)})
    assert (index.patients, index.unseen) == ([], False)


async def test_what_a_person_has_just_changed_is_seen_at_once(http, system, tenant, monkeypatch):
    monkeypatch.setattr(policy, "SIGHT_SECONDS", 600.0)
    who = f"Practitioner/{await made(system, {'resourceType': 'Practitioner'})}"
    user = Caller(http, tenant, await named(tenant, who))
    assert (await user.get("Patient")).json["total"] == 0
    patient = await made(user, {"resourceType": "Patient", "generalPractitioner": [ref(who)]})
    assert [e["resource"]["id"] for e in (await user.get("Patient")).json["entry"]] == [patient]


async def test_the_first_consent_of_all_is_noticed_at_once(system, tenant, acting, monkeypatch):
    monkeypatch.setattr(policy, "SIGHT_SECONDS", 600.0)
    said: list[Any] = [EVERYTHING]

    async def limit(*_: Any) -> Any:
        return said[0]

    monkeypatch.setattr(policy, "LIMITS", (limit,))
    for type_, scope in (("Consent", "system/*.rs"), ("Patient", "user/*.rs patient/*.rs")):
        monkeypatch.delitem(tenant.written, type_, raising=False)
        said[0] = EVERYTHING
        ctx = await acting(scope)
        before = await policy.visibility(ctx, "Practitioner", "read")
        said[0] = ()
        assert await policy.visibility(ctx, "Practitioner", "read") == before == EVERYTHING
        tenant.written.update({type_})
        assert await policy.visibility(ctx, "Practitioner", "read") == (), type_


async def test_what_is_first_of_its_code_is_seen_at_once(acting, tenant, unique, monkeypatch):
    """By a filter without a system, with what is told of it: neither waits until an answer is asked anew."""
    monkeypatch.setattr(policy, "SIGHT_SECONDS", 600.0)
    ctx = await acting(f"system/Observation.rs?code=urn:x|y system/Observation.rs?code={unique} system/Provenance.rs")
    for system in ("urn:first", "urn:second"):
        of = observation(code={"coding": [{"system": system, "code": unique}]})
        id_ = await store(tenant, of, extract(tenant, of))
        told = provenance(f"Observation/{id_}")
        for type_, each in (("Observation", id_), ("Provenance", await store(tenant, told, extract(tenant, told)))):
            seen_ = await policy.visibility(ctx, type_, "read")
            assert await read(tenant, type_, each, seen_) is not None, (type_, system)


async def test_a_service_posts_what_it_does_not_see_whatever_else_it_may(http, system, tenant):
    patient = await made(system, {"resourceType": "Patient"})
    who = await caller(http, tenant, "system/Observation.cru patient/Observation.cru", patient)
    id_ = await made(who, labelled("HIV", subject=ref(f"Patient/{patient}")))
    assert await seen(who, id_) == [False]
    plain = await made(who, observation(subject=ref(f"Patient/{patient}")))
    change = labelled("HIV", id=plain, subject=ref(f"Patient/{patient}"))
    assert (await who.put(f"Observation/{plain}", change)).status == 403, "what it sees does not vanish from its sight"
