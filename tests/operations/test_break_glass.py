"""Emergency access (attack 114): who may, what it opens, what it never opens, that it ends and is told."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from fhir_server.auth import glass, tokens
from fhir_server.auth.people import accounts
from fhir_server.auth.principals import current_principal
from fhir_server.errors import Unavailable
from fhir_server.kit import clock
from fhir_server.operations import break_glass
from fhir_server.storage import glass as storage
from fhir_server.storage.tenants import Tenant
from tests.auth.test_consent import consent, end_all
from tests.auth.test_labels import ALL, labelled
from tests.http.client import Answer, Caller, caller, observation

REASON = "Found unconscious, allergies unknown"


async def made(who: Caller, resource: dict[str, Any]) -> str:
    answer = await who.post(resource["resourceType"], resource)
    assert answer.status == 201, answer.text
    return answer.id


@pytest.fixture(autouse=True)
async def ended(tenant: Tenant) -> AsyncIterator[None]:
    yield
    await end_all(tenant)


class Ward:
    """A stranger of a patient, who opted out and has sensitive records."""

    patient: str
    other: str
    plain: str
    hiv: str
    note: str
    nurse: str
    who: Caller


@pytest.fixture
async def ward(http, tenant) -> Ward:
    w = Ward()
    system = await caller(http, tenant, ALL)
    w.patient, w.other = [await made(system, {"resourceType": "Patient"}) for _ in "ab"]
    ref = {"reference": f"Patient/{w.patient}"}
    w.plain = await made(system, observation(subject=ref))
    w.hiv, w.note = [await made(system, labelled(code, subject=ref)) for code in ("HIV", "PSYTHPN")]
    await made(system, consent(w.patient, "OPTOUT"))
    w.nurse = await made(system, {"resourceType": "Practitioner"})
    w.who = await person(http, tenant, w.nurse)
    return w


async def person(http, tenant, nurse: str, scope: str = "user/*.cruds __break-glass") -> Caller:
    return Caller(http, tenant, await tokens.mint(tenant, scope, user=f"Practitioner/{nurse}"))


def asked(reason: str | None = REASON, minutes: int | None = None) -> dict[str, Any]:
    parameter: list[dict[str, Any]] = [] if reason is None else [{"name": "reason", "valueString": reason}]
    if minutes is not None:
        parameter.append({"name": "minutes", "valueInteger": minutes})
    return {"resourceType": "Parameters", "parameter": parameter}


async def broken(w: Ward, body: dict[str, Any] | None = None) -> Answer:
    return await w.who.post(f"Patient/{w.patient}/$break-glass", body or asked())


async def seen(w: Ward) -> list[bool]:
    return [(await w.who.get(f"Observation/{each}")).status == 200 for each in (w.plain, w.hiv, w.note)]


async def test_it_opens_one_record_but_no_notes_and_nothing_to_write(ward):
    assert await seen(ward) == [False, False, False]
    answer = await broken(ward)
    assert answer.status == 200, answer.text
    assert await seen(ward) == [True, True, False]
    found = await ward.who.get(f"Observation?patient={ward.patient}&_total=accurate")
    assert found.json["total"] == 2
    assert (await ward.who.get(f"Patient/{ward.patient}/$everything")).status == 200
    assert (await ward.who.get(f"Patient/{ward.other}")).status == 404
    change = observation(id=ward.plain, subject={"reference": f"Patient/{ward.patient}"})
    assert (await ward.who.put(f"Observation/{ward.plain}", change)).status == 404
    assert (await ward.who.delete(f"Observation/{ward.plain}")).status == 404
    assert (await ward.who.get(f"AuditEvent?patient=Patient/{ward.patient}&_summary=count")).json["total"] == 0


async def test_it_ends_by_itself(ward, monkeypatch):
    answer = await broken(ward, asked(minutes=5))
    until = next(p["valueInstant"] for p in answer.json["parameter"] if p["name"] == "until")
    assert until
    assert (await seen(ward))[0]
    now = clock.now
    monkeypatch.setattr(glass.clock, "now", lambda: now() + timedelta(minutes=4, seconds=50))
    assert (await seen(ward))[0]
    monkeypatch.setattr(glass.clock, "now", lambda: now() + timedelta(minutes=5))
    assert await seen(ward) == [False, False, False]


async def test_the_record_and_the_trail_are_told(ward, system):
    answer = await broken(ward)
    await seen(ward)
    notice = next(p["valueReference"]["reference"] for p in answer.json["parameter"] if p["name"] == "notice")
    token = await tokens.mint(system.tenant, "patient/*.rs", patient=ward.patient, user=f"Patient/{ward.patient}")
    patient = Caller(system._http, system.tenant, token)
    told = (await patient.get(notice)).json
    assert told["reasonCode"][0]["coding"][0]["code"] == "BTG"
    assert told["sender"] == {"reference": f"Practitioner/{ward.nurse}"}
    assert REASON not in json.dumps(told)
    trail = await patient.get(f"AuditEvent?patient=Patient/{ward.patient}&_count=100")
    emergencies = [e["resource"] for e in trail.json["entry"] if "purposeOfEvent" in e["resource"]]
    subtypes = {event["subtype"][0]["code"] for event in emergencies}
    assert {"operation", "read", "create"} <= subtypes
    for event in emergencies:
        assert event["purposeOfEvent"][0]["coding"][0]["code"] == "BTG"
        [purpose] = [agent["purposeOfUse"] for agent in event["agent"] if agent["requestor"]]
        assert purpose[0]["coding"][0]["code"] == "BTG"
    assert REASON not in trail.text
    whole = await system.get(f"AuditEvent?patient=Patient/{ward.patient}&_count=100")
    assert REASON in whole.text, "no patient takes the trail from an auditor"


@pytest.mark.parametrize(
    ("body", "status", "issue"),
    [
        (asked(None, minutes=5), 400, "parameter-missing"),
        (asked("   short   "), 400, "break-glass-reason"),
        (asked("x" * 1001), 400, "break-glass-reason"),
        (asked(minutes=0), 400, "break-glass-minutes"),
        (asked(minutes=241), 400, "break-glass-minutes"),
    ],
)
async def test_what_is_refused(ward, body, status, issue):
    answer = await broken(ward, body)
    assert (answer.status, answer.issue) == (status, issue)
    assert await seen(ward) == [False, False, False]


async def test_a_reason_in_the_address_is_refused(ward):
    answer = await ward.who.post(f"Patient/{ward.patient}/$break-glass?reason=Found+unconscious+there", None)
    assert answer.status == 400
    assert (await ward.who.get(f"Patient/{ward.patient}/$break-glass")).status == 405


async def test_who_may_not(ward, http, tenant):
    for who in (
        await person(http, tenant, ward.nurse, "user/*.cruds"),  # a person without the right
        await caller(http, tenant, "system/*.cruds __break-glass"),  # a service
        await person(http, tenant, ward.nurse, "user/Observation.rs __break-glass"),  # no scope on Patient
    ):
        assert (await who.post(f"Patient/{ward.patient}/$break-glass", asked())).status == 403
    assert (await ward.who.post("Patient/never-was/$break-glass", asked())).status == 404


async def test_it_is_bound_to_the_app_and_its_scopes(ward, http, tenant):
    assert (await broken(ward)).status == 200
    other = await person(http, tenant, ward.nurse, "user/*.rs __break-glass")
    assert (await other.get(f"Observation/{ward.plain}")).status == 404


async def test_scopes_keep_their_types_and_filters(ward, http, tenant):
    ward.who = await person(
        http, tenant, ward.nurse, "user/Patient.rs user/Observation.rs?code=http://loinc.org|1-1 __break-glass"
    )
    assert (await broken(ward)).status == 200
    assert await seen(ward) == [False, False, False]
    assert (await ward.who.get(f"Patient/{ward.patient}")).status == 200
    assert (await ward.who.get(f"Condition?patient={ward.patient}")).status == 403


async def test_what_cannot_be_audited_is_not_opened(ward, monkeypatch):
    async def away(*_: Any) -> None:
        raise Unavailable("The audit trail cannot be written.", "audit-unavailable")

    monkeypatch.setattr(break_glass, "write_audit", away)
    assert (await broken(ward)).status == 503
    monkeypatch.undo()
    assert await seen(ward) == [False, False, False]


@pytest.mark.parametrize(
    ("role", "may"), [("psychiatrist", True), ("clinician", True), ("patient", False), ("auditor", False)]
)
async def test_the_right_comes_with_a_role(tenant, unique, role, may):
    account = await accounts.add(
        tenant, login=unique, password="correct horse battery", roles=[role], fhir_user="Practitioner/x"
    )
    found = await current_principal(tenant, "clarity-cli", "user/*.rs", user="Practitioner/x", account=account)
    assert glass.may(found) is may


async def test_the_list_for_the_privacy_officer(ward, tenant):
    assert (await broken(ward)).status == 200
    newest = next(each for each in await storage.listed(tenant, 10) if each.person == f"Practitioner/{ward.nurse}")
    assert newest.reason == REASON
    assert newest.ends_at - newest.began_at == timedelta(minutes=60)
