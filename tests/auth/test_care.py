"""`user/` scopes: whom a person cares for, and nobody else, on every path and for every kind of person."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import httpx
import pytest

from fhir_server.auth import care, policy
from fhir_server.auth.people import accounts
from fhir_server.auth.principals import current_principal
from fhir_server.auth.reach import about_patients, held_back, in_patient_compartment, shared
from fhir_server.auth.tokens import mint
from fhir_server.context import RequestContext
from fhir_server.kit import clock
from fhir_server.storage import visibility as sql
from fhir_server.storage.tenants import Tenant
from fhir_server.storage.visibility import kept_from
from profiles.registry import R4
from tests.http.client import Caller, observation
from tests.http.client import caller as client


def reference(text: str) -> dict[str, str]:
    return {"reference": text}


async def made(system: Caller, type_: str, **content: Any) -> str:
    answer = await system.post(type_, {"resourceType": type_, **content})
    assert answer.status == 201, answer.text
    return answer.id


async def seen(user: Caller, type_: str = "Patient") -> set[str]:
    bundle = (await user.get(f"{type_}?_count=1000")).json
    return {entry["resource"]["id"] for entry in bundle.get("entry", [])}


@pytest.fixture
def acting(http: httpx.AsyncClient, tenant: Tenant):
    """Return a client in the name of a person, whose relations are asked for anew."""

    async def act(user: str, scope: str = "user/*.cruds") -> Caller:
        care.forget(tenant, user)
        return Caller(http, tenant, await mint(tenant, scope, user=user))

    return act


def team(patient: str, member: str, status: str = "active") -> dict[str, Any]:
    return {
        "status": status,
        "subject": reference(f"Patient/{patient}"),
        "participant": [{"member": reference(member)}],
    }


def visit(patient: str, member: str, status: str = "finished") -> dict[str, Any]:
    return {
        "status": status, "class": {"code": "AMB"}, "subject": reference(f"Patient/{patient}"),
        "participant": [{"individual": reference(member)}],
    }  # fmt: skip


@pytest.mark.smart(140, 368)
@pytest.mark.parametrize("few", [100, 1])
async def test_three_ways_to_care_and_no_other(system, acting, monkeypatch, few):
    monkeypatch.setattr(sql, "FEW", few)
    who = f"Practitioner/{await made(system, 'Practitioner')}"
    by_name = await made(system, "Patient", generalPractitioner=[reference(who)])
    by_team, by_visit, stranger = [await made(system, "Patient") for _ in range(3)]
    await made(system, "CareTeam", **team(by_team, who))
    await made(system, "Encounter", **visit(by_visit, who))
    # to have written or signed something is no care relationship
    await made(
        system, "Observation", **observation(subject=reference(f"Patient/{stranger}"), performer=[reference(who)])
    )
    user = await acting(who)
    assert await seen(user) == {by_name, by_team, by_visit}
    assert (await user.get(f"Patient/{stranger}")).status == 404
    assert (await user.get(f"Patient/{stranger}/_history")).status == 404
    assert (await user.get(f"Patient?_id={stranger}&_total=accurate")).json["total"] == 0
    assert (await user.get("Patient?_total=accurate&_count=1")).json["total"] == 3
    assert {entry["resource"]["id"] for entry in (await user.get("Patient/_history")).json["entry"]} == await seen(user)


@pytest.mark.parametrize("status", ["proposed", "suspended", "inactive", "entered-in-error"])
async def test_a_team_that_is_not_active_does_not_count(system, acting, status):
    who = f"Practitioner/{await made(system, 'Practitioner')}"
    await made(system, "CareTeam", **team(await made(system, "Patient"), who, status))
    assert await seen(await acting(who)) == set()


@pytest.mark.parametrize("status", ["cancelled", "entered-in-error"])
async def test_a_visit_that_was_not_does_not_count(system, acting, status):
    who = f"Practitioner/{await made(system, 'Practitioner')}"
    await made(system, "Encounter", **visit(await made(system, "Patient"), who, status))
    assert await seen(await acting(who)) == set()


async def test_a_role_of_a_practitioner_counts_while_it_is_active(system, acting):
    who = await made(system, "Practitioner")
    role = await made(system, "PractitionerRole", practitioner=reference(f"Practitioner/{who}"))
    over = await made(system, "PractitionerRole", practitioner=reference(f"Practitioner/{who}"), active=False)
    patient, other = await made(system, "Patient"), await made(system, "Patient")
    await made(system, "CareTeam", **team(patient, f"PractitionerRole/{role}"))
    await made(system, "CareTeam", **team(other, f"PractitionerRole/{over}"))
    assert await seen(await acting(f"Practitioner/{who}")) == {patient}
    assert await seen(await acting(f"PractitionerRole/{role}")) == {patient}


async def test_a_relationship_that_ends_is_over(system, acting):
    who = f"Practitioner/{await made(system, 'Practitioner')}"
    patient = await made(system, "Patient")
    id_ = await made(system, "CareTeam", **team(patient, who))
    assert await seen(await acting(who)) == {patient}
    await system.put(f"CareTeam/{id_}", {"resourceType": "CareTeam", "id": id_, **team(patient, who, "inactive")})
    assert await seen(await acting(who)) == set()
    await system.put(f"CareTeam/{id_}", {"resourceType": "CareTeam", "id": id_, **team(patient, who)})
    assert await seen(await acting(who)) == {patient}
    await system.delete(f"CareTeam/{id_}")
    assert await seen(await acting(who)) == set()


async def test_without_anybody_in_care_searches_are_empty_and_reads_are_404(system, acting):
    patient = await made(system, "Patient")
    user = await acting("Practitioner/never-mentioned")
    assert (await user.get("Patient")).json["total"] == 0
    hidden, absent = await user.get(f"Patient/{patient}"), await user.get("Patient/never-there")
    assert (hidden.status, absent.status) == (404, 404)
    assert hidden.text.replace(patient, "X") == absent.text.replace("never-there", "X")


async def test_a_patient_sees_their_own_record(system, acting):
    mine, other = await made(system, "Patient"), await made(system, "Patient")
    own = await made(system, "Observation", **observation(subject=reference(f"Patient/{mine}")))
    await made(system, "Observation", **observation(subject=reference(f"Patient/{other}")))
    user = await acting(f"Patient/{mine}")
    assert await seen(user) == {mine}
    assert await seen(user, "Observation") == {own}


async def test_a_related_person_sees_the_patient_while_active(system, acting):
    child, other = await made(system, "Patient"), await made(system, "Patient")
    mother = await made(system, "RelatedPerson", patient=reference(f"Patient/{child}"))
    former = await made(system, "RelatedPerson", patient=reference(f"Patient/{other}"), active=False)
    assert await seen(await acting(f"RelatedPerson/{mother}")) == {child}
    assert await seen(await acting(f"RelatedPerson/{former}")) == set()


async def test_a_person_sees_several(system, acting):
    one, two, _ = [await made(system, "Patient") for _ in range(3)]
    links = [{"target": reference(f"Patient/{id_}")} for id_ in (one, two)]
    person = await made(system, "Person", link=links)
    assert await seen(await acting(f"Person/{person}")) == {one, two}


async def test_what_is_about_nobody_and_what_names_a_patient_elsewhere(system, acting):
    who = f"Practitioner/{await made(system, 'Practitioner')}"
    patient = await made(system, "Patient", generalPractitioner=[reference(who)])
    stranger = await made(system, "Patient")
    place = await made(system, "Location", name="Ward")
    mine = await made(system, "Device", patient=reference(f"Patient/{patient}"))
    others = {await made(system, "Device", **about) for about in ({"patient": reference(f"Patient/{stranger}")}, {})}
    user = await acting(who)
    assert (await user.get(f"Location/{place}")).status == 200
    assert await seen(user, "Device") & {mine, *others} == {mine}
    assert (await user.get("Binary/x")).status == 404
    for type_ in ("Bundle", "Parameters", "MessageHeader"):
        assert (await user.get(f"{type_}/x")).status == 403


@pytest.mark.smart(119, 140)
async def test_writing_stays_in_care(system, acting):
    who = f"Practitioner/{await made(system, 'Practitioner')}"
    mine = await made(system, "Patient", generalPractitioner=[reference(who)])
    other = await made(system, "Patient")
    user = await acting(who)
    subject = reference(f"Patient/{mine}")
    assert (await user.post("Observation", observation(subject=subject))).status == 201
    assert (await user.post("Observation", observation(subject=reference(f"Patient/{other}")))).status == 403
    assert (await user.post("Observation", observation(subject=reference("Patient/never-there")))).status == 403
    assert (await user.post("Observation", observation())).status == 403
    both = observation(subject=subject, performer=[reference(f"Patient/{other}")])
    assert (await user.post("Observation", both)).status == 403
    assert (await user.post("CareTeam", {"resourceType": "CareTeam", **team(other, who)})).status == 403
    assert (await user.post("Encounter", {"resourceType": "Encounter", **visit(other, who)})).status == 403
    assert (await user.post("Device", {"resourceType": "Device", "patient": subject})).status == 201
    assert (await user.post("Device", {"resourceType": "Device"})).status == 403
    assert (
        await user.post("Device", {"resourceType": "Device", "patient": reference(f"Patient/{other}")})
    ).status == 403
    theirs = {"resourceType": "Patient", "id": other, "generalPractitioner": [reference(who)]}
    assert (await user.put(f"Patient/{other}", theirs)).status in (403, 404)
    assert (await system.get(f"Patient/{other}")).json["meta"]["versionId"] == "1"


async def test_a_new_patient_is_taken_into_care_by_naming_oneself(system, acting):
    who = f"Practitioner/{await made(system, 'Practitioner')}"
    another = f"Practitioner/{await made(system, 'Practitioner')}"
    user = await acting(who)
    assert (await user.post("Patient", {"resourceType": "Patient"})).status == 403
    named = {"resourceType": "Patient", "generalPractitioner": [reference(another)]}
    assert (await user.post("Patient", named)).status == 403
    done = await user.post("Patient", {"resourceType": "Patient", "generalPractitioner": [reference(who)]})
    assert done.status == 201
    assert await seen(user) == {done.id}


async def test_the_filters_of_a_scope_hold_beside_care(system, acting):
    who = f"Practitioner/{await made(system, 'Practitioner')}"
    mine = await made(system, "Patient", generalPractitioner=[reference(who)])
    heart = await made(system, "Observation", **observation(subject=reference(f"Patient/{mine}")))
    final = await acting(who, "user/Observation.rs?code=http://loinc.org|8867-4")
    none = await acting(who, "user/Observation.rs?code=http://loinc.org|other")
    assert await seen(final, "Observation") == {heart}
    assert await seen(none, "Observation") == set()


@pytest.mark.parametrize(("days", "reached"), [(None, True), (400, True), (300, False), (0, False)])
async def test_an_encounter_counts_so_long_after_its_end(system, acting, tenant, monkeypatch, days, reached):
    monkeypatch.setattr(tenant, "care_after", None if days is None else timedelta(days=days))
    who = f"Practitioner/{await made(system, 'Practitioner')}"
    old, open_, undated = [await made(system, "Patient") for _ in range(3)]
    end = (clock.now() - timedelta(days=350)).isoformat()
    await made(system, "Encounter", **visit(old, who), period={"start": end, "end": end})
    await made(system, "Encounter", **visit(open_, who, "in-progress"), period={"start": end})
    await made(system, "Encounter", **visit(undated, who))
    assert await seen(await acting(who)) == {open_, undated, *([old] if reached else [])}


async def test_a_care_team_counts_as_long_as_its_period(system, acting):
    who = f"Practitioner/{await made(system, 'Practitioner')}"
    now, was = [await made(system, "Patient") for _ in range(2)]
    later, before = [(clock.now() + timedelta(days=d)).isoformat() for d in (1, -1)]
    await made(system, "CareTeam", **team(now, who), period={"start": "2020-01-01", "end": later})
    await made(system, "CareTeam", **team(was, who), period={"start": "2020-01-01", "end": before})
    assert await seen(await acting(who)) == {now}


async def test_small_sites_may_open_every_patient_to_caregivers_only(system, acting, tenant, monkeypatch):
    monkeypatch.setattr(tenant, "every_patient", True)
    stranger = await made(system, "Patient")
    mine = await made(system, "Patient")
    assert (await (await acting("Practitioner/anybody")).get(f"Patient/{stranger}")).status == 200
    assert (await (await acting(f"Patient/{mine}")).get(f"Patient/{stranger}")).status == 404


async def test_more_than_can_be_held_is_nobody(system, acting, monkeypatch):
    who = f"Practitioner/{await made(system, 'Practitioner')}"
    for _ in range(3):
        await made(system, "Patient", generalPractitioner=[reference(who)])
    assert len(await seen(await acting(who))) == 3
    monkeypatch.setattr(care, "MOST", 2)
    assert await seen(await acting(who)) == set()


async def test_an_auditor_sees_the_trail_of_everybody_and_nothing_else(system, http, tenant, unique):
    patient = await made(system, "Patient")
    account = await accounts.add(tenant, login=unique, password="correct horse battery", roles=["auditor"])
    principal = await current_principal(tenant, "clarity-cli", "user/AuditEvent.rs user/Patient.rs", account=account)
    ctx = RequestContext(tenant, principal, "r", tenant.base)
    assert kept_from(await policy.visibility(ctx, "AuditEvent", "search-type")) is not None
    assert patient
    with pytest.raises(policy.Forbidden):
        await policy.visibility(ctx, "Patient", "read")
    with pytest.raises(policy.Forbidden):
        await policy.visibility(ctx, "AuditEvent", "create")


async def test_the_trail_of_those_in_care(system, acting):
    who = f"Practitioner/{await made(system, 'Practitioner')}"
    mine = await made(system, "Patient", generalPractitioner=[reference(who)])
    other = await made(system, "Patient")
    for id_ in (mine, other):
        await system.get(f"Patient/{id_}")
    user = await acting(who)
    assert (await user.get(f"AuditEvent?patient=Patient/{mine}&_total=accurate")).json["total"] >= 2
    assert (await user.get(f"AuditEvent?patient=Patient/{other}&_total=accurate")).json["total"] == 0


async def test_user_scopes_need_a_person(http, tenant, system):
    patient = await made(system, "Patient")
    token = await mint(tenant, "user/*.rs system/Observation.rs", user="Practitioner/1")
    assert (await Caller(http, tenant, token).get(f"Patient/{patient}")).status == 404
    nobody = await current_principal(tenant, "clarity-cli", "user/*.rs")
    with pytest.raises(policy.Forbidden):
        await policy.visibility(RequestContext(tenant, nobody, "r", tenant.base), "Patient", "read")
    assert client


# ---- what types are ----


def test_every_type_is_one_of_four():
    for type_ in R4.types:
        kinds = [in_patient_compartment(type_), bool(about_patients(type_)), held_back(type_), shared(type_)]
        assert sum(map(bool, kinds)) == 1, type_


def test_what_is_shared_refers_to_no_patient():
    for type_ in filter(shared, R4.types):
        for param in R4.params(type_).values():
            assert not (
                param.kind == "reference" and "Patient" in param.targets and param.name in ("patient", "subject")
            )


def test_types_outside_the_compartment_that_name_their_patient():
    assert {type_ for type_ in R4.types if about_patients(type_)} == {"Contract", "Device", "GuidanceResponse", "Task"}
