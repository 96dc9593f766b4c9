"""Consents over HTTP: what a patient denies is absent for others on every path, from the next request on."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest

from fhir_server.auth import policy, tokens
from fhir_server.auth.consent import callers, known
from fhir_server.auth.consent.rules import rules_of
from fhir_server.auth.labels import ACT_CODE, CONFIDENTIALITY
from fhir_server.kit import ids
from fhir_server.storage import consents
from fhir_server.storage.tenants import Tenant
from fhir_server.storage.visibility import EVERYTHING, kept_from
from profiles.registry import R4
from tests.auth.test_attacks import clean
from tests.auth.test_labels import labelled, made
from tests.http.client import Caller, entry, observation

SCOPE = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/consentscope", "code": "patient-privacy"}]}
CANARY = "canary5c1e"


def consent(patient: str, rule: str | None = None, status: str = "active", **provision: Any) -> dict[str, Any]:
    found: dict[str, Any] = {
        "resourceType": "Consent", "status": status, "scope": SCOPE, "patient": {"reference": f"Patient/{patient}"},
        "category": [{"coding": [{"system": "http://loinc.org", "code": "59284-0"}]}],
        "policy": [{"uri": "http://policies.example/privacy"}],
    }  # fmt: skip
    if rule:
        found["policyRule"] = {"coding": [{"system": ACT_CODE, "code": rule}]}
    if provision:
        found["provision"] = provision
    return found


def recipient(reference: str) -> list[dict[str, Any]]:
    role = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ParticipationType", "code": "IRCP"}]}
    return [{"role": role, "reference": {"reference": reference}}]


_END = """
UPDATE {s}.resource SET deleted = true, body = NULL, version = version + 1, last_updated = now()
WHERE type = $1 AND version > 0 AND NOT deleted
"""


async def end_all(tenant: Tenant) -> None:
    """End every Consent, for what they keep would be kept from the tests of other files, too."""
    await tenant.pool.execute(tenant.sql(_END), R4.type_id(consents.TYPE))
    tenant.written[consents.TYPE] += 1


@pytest.fixture(autouse=True)
async def ended(tenant: Tenant) -> AsyncIterator[None]:
    yield
    await end_all(tenant)


class Ward:
    a: str
    b: str
    of_a: str
    of_b: str


@pytest.fixture
async def ward(system) -> Ward:
    w = Ward()
    w.a, w.b = [await made(system, {"resourceType": "Patient", "name": [{"family": CANARY}]}) for _ in "ab"]
    w.of_a, w.of_b = [
        await made(system, observation(subject={"reference": f"Patient/{each}"}, valueString=CANARY))
        for each in (w.a, w.b)
    ]
    return w


async def seen(who: Caller, *ids_: str) -> list[bool]:
    return [(await who.get(f"Observation/{id_}")).status == 200 for id_ in ids_]


PATHS = [
    "Observation/{o}", "Observation/{o}/_history", "Observation/{o}/_history/1", "Patient/{p}", "Patient/{p}/_history",
    "Observation?_id={o}&_total=accurate", "Observation?subject=Patient/{p}&_summary=count", "Patient/{p}/$everything",
    "Patient/{p}/Observation", "Observation?subject=Patient/{p}&_include=*&_total=accurate", "Patient?_id={p}&_revinclude=*",
    "Observation?subject.family=" + CANARY + "&_id={o}", "Patient?_id={p}&_has:Observation:subject:code=8867-4&_total=accurate",
    "Observation/$lastn?patient={p}", "Observation?subject=Patient/{p}&code=8867-4&_sort=-date", "Consent?patient={p}",
    "Observation?_id={o}&_text=" + CANARY,
]  # fmt: skip


async def test_who_opted_out_is_absent_on_every_path(system, ward):
    await made(system, consent(ward.a, "OPTOUT"))
    for path in PATHS:
        nobody = ids.new_id()
        about = await system.get(path.format(o=ward.of_a, p=ward.a))
        absent = await system.get(path.format(o=nobody, p=nobody))
        assert clean(about, ward.of_a, ward.a)[::2] == clean(absent, nobody, nobody)[::2], path
    assert await seen(system, ward.of_a, ward.of_b) == [False, True]
    change = observation(id=ward.of_a, subject={"reference": f"Patient/{ward.a}"})
    assert (await system.put(f"Observation/{ward.of_a}", change)).status == 404
    assert (await system.delete(f"Observation/{ward.of_a}")).status == 404
    batch = await system.transaction(entry("GET", f"Observation/{ward.of_a}"), kind="batch")
    assert batch.json["entry"][0]["response"]["status"].startswith("404")


async def test_documenting_goes_on(system, ward):
    await made(system, consent(ward.a, "OPTOUT"))
    answer = await system.post("Observation", observation(subject={"reference": f"Patient/{ward.a}"}))
    assert answer.status == 201
    assert await seen(system, answer.id) == [False]


async def test_a_consent_holds_from_the_next_request_on_and_ends_with_its_status(system, ward):
    assert await seen(system, ward.of_a) == [True]
    draft = await made(system, consent(ward.a, status="draft", type="deny"))
    assert await seen(system, ward.of_a) == [True]
    body = consent(ward.a, type="deny") | {"id": draft}
    assert (await system.put(f"Consent/{draft}", body)).status == 200
    assert await seen(system, ward.of_a) == [False]
    # The Consent is the patient's record too: who may still change it is the patient.
    person = await caller_as(system, ward.a)
    assert (await person.put(f"Consent/{draft}", body | {"status": "inactive"})).status == 200
    assert await seen(system, ward.of_a) == [True]


async def caller_as(system: Caller, patient: str) -> Caller:
    token = await tokens.mint(system.tenant, "patient/*.cruds", patient=patient, user=f"Patient/{patient}")
    return Caller(system._http, system.tenant, token)


async def test_the_patient_is_never_limited(system, ward):
    await made(system, consent(ward.a, "OPTOUT"))
    person = await caller_as(system, ward.a)
    assert await seen(person, ward.of_a, ward.of_b) == [True, False]


async def test_another_process_hears_of_it_within_a_second(system, ward, monkeypatch):
    assert await seen(system, ward.of_a) == [True]
    monkeypatch.setattr(system.tenant, "written", _Deaf(system.tenant.written))
    await made(system, consent(ward.a, "OPTOUT"))
    known._known[system.tenant].until = 0.0  # the second is over
    assert await seen(system, ward.of_a) == [False]


class _Deaf(Counter[str]):
    """Another process's writes are counted elsewhere."""

    def update(self, *_: Any) -> None:
        return None


CASES: list[tuple[str, dict[str, Any], list[bool]]] = [
    # what is given to consent(), then whether N, R, HIV and plain Observations are seen
    ("base permit", {"type": "permit"}, [True, True, True]),
    ("base deny", {"type": "deny"}, [False, False, False]),
    ("opt-in", {"rule": "OPTIN"}, [True, True, True]),
    ("no base", {}, [False, False, False]),
    ("a period that is over", {"rule": "OPTOUT", "period": {"end": "2001-01-01"}}, [True, True, True]),
    ("a period to come", {"type": "deny", "period": {"start": "2999-01-01"}}, [True, True, True]),
    ("deny what is restricted only by its label", {"type": "permit", "provision": [
        {"type": "deny", "securityLabel": [{"system": ACT_CODE, "code": "PSY"}]}]}, [True, True, False]),
    ("permit up to N", {"type": "deny", "provision": [
        {"type": "permit", "securityLabel": [{"system": CONFIDENTIALITY, "code": "N"}]}]}, [True, False, True]),
    ("permit, deny, permit again", {"type": "permit", "provision": [
        {"type": "deny", "code": [{"coding": [{"system": "http://loinc.org", "code": "8867-4"}]}], "provision": [
            {"type": "permit", "securityLabel": [{"system": ACT_CODE, "code": "PSY"}]}]}]}, [False, False, True]),
    ("a class", {"type": "permit", "provision": [
        {"type": "deny", "class": [{"system": "http://hl7.org/fhir/resource-types", "code": "Condition"}]}]}, [True] * 3),
    ("data periods are not understood: deny", {"type": "permit", "provision": [
        {"type": "deny", "dataPeriod": {"end": "2000-01-01"}}]}, [False] * 3),
    ("data periods are not understood: permit", {"type": "deny", "provision": [
        {"type": "permit", "dataPeriod": {"start": "2000-01-01"}}]}, [False] * 3),
    ("to somebody else", {"type": "permit", "provision": [
        {"type": "deny", "actor": recipient("Practitioner/somebody-else")}]}, [True] * 3),
    ("to an organisation that the caller may be of", {"type": "permit", "provision": [
        {"type": "deny", "actor": recipient("Organization/some")}]}, [False] * 3),
    ("collecting is not reading", {"type": "permit", "provision": [
        {"type": "deny", "action": [{"coding": [
            {"system": "http://terminology.hl7.org/CodeSystem/consentaction", "code": "collect"}]}]}]}, [True] * 3),
    ("for research", {"type": "permit", "provision": [
        {"type": "deny", "purpose": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ActReason", "code": "HRESCH"}]}]},
     [True] * 3),
]  # fmt: skip


@pytest.mark.parametrize(("words", "said", "expected"), CASES, ids=[case[0] for case in CASES])
async def test_decisions(system, ward, words, said, expected):
    ref = {"reference": f"Patient/{ward.a}"}
    shown = [ward.of_a, *[await made(system, labelled(code, subject=ref)) for code in ("R", "PSY")]]
    given = dict(said)
    await made(system, consent(ward.a, given.pop("rule", None), **given))
    assert await seen(system, *shown) == expected
    total = (await system.get(f"Observation?subject=Patient/{ward.a}&_summary=count")).json["total"]
    assert total == sum(expected)
    assert await seen(system, ward.of_b) == [True]


async def test_single_resources(system, ward):
    other = await made(system, observation(subject={"reference": f"Patient/{ward.a}"}))
    data = [{"meaning": "instance", "reference": {"reference": f"Observation/{ward.of_a}"}}]
    denied = await made(system, consent(ward.a, type="permit", provision=[{"type": "deny", "data": data}]))
    assert await seen(system, ward.of_a, other) == [False, True]
    person = await caller_as(system, ward.a)
    body = consent(ward.a, type="deny", provision=[{"type": "permit", "data": data}]) | {"id": denied}
    assert (await person.put(f"Consent/{denied}", body)).status == 200
    assert await seen(system, ward.of_a, other) == [True, False]


async def test_recipients_by_role_and_organisation(system, http, tenant, ward):
    organization = await made(system, {"resourceType": "Organization", "name": "House"})
    inside, outside_ = [await made(system, {"resourceType": "Practitioner"}) for _ in "ab"]
    for who, where in (
        (inside, organization),
        (outside_, await made(system, {"resourceType": "Organization", "name": "Else"})),
    ):
        await made(system, {"resourceType": "PractitionerRole", "practitioner": {"reference": f"Practitioner/{who}"},
                            "organization": {"reference": f"Organization/{where}"}})  # fmt: skip
    team = [{"member": {"reference": f"Practitioner/{each}"}} for each in (inside, outside_)]
    await made(system, {"resourceType": "CareTeam", "status": "active", "subject": {"reference": f"Patient/{ward.a}"},
                        "participant": team})  # fmt: skip
    rights = {
        who: Caller(http, tenant, await tokens.mint(tenant, "user/*.cruds", user=f"Practitioner/{who}"))
        for who in (inside, outside_)
    }
    assert [await seen(rights[who], ward.of_a) for who in rights] == [[True], [True]]
    await made(
        system,
        consent(
            ward.a, type="deny", provision=[{"type": "permit", "actor": recipient(f"Organization/{organization}")}]
        ),
    )
    assert [await seen(rights[who], ward.of_a) for who in rights] == [[True], [False]]


async def test_several_all_have_to_permit(system, ward):
    await made(system, consent(ward.a, type="permit"))
    assert await seen(system, ward.of_a) == [True]
    await made(system, consent(ward.a, type="deny"))
    assert await seen(system, ward.of_a) == [False]


async def test_where_consent_is_required_silence_shows_nothing(system, http, tenant, ward, monkeypatch):
    monkeypatch.setattr(tenant, "consent_required", True)
    known._known.pop(tenant, None)
    assert await seen(system, ward.of_a, ward.of_b) == [False, False]
    assert (await system.get("Organization?_summary=count")).status == 200
    await made(system, consent(ward.a, type="permit", provision=[
        {"type": "deny", "securityLabel": [{"system": ACT_CODE, "code": "PSY"}]}]))  # fmt: skip
    hidden = await made(system, labelled("PSY", subject={"reference": f"Patient/{ward.a}"}))
    assert await seen(system, ward.of_a, ward.of_b, hidden) == [True, False, False]
    monkeypatch.undo()
    known._known.pop(tenant, None)


async def test_a_deleted_consent_says_nothing(system, ward):
    id_ = await made(system, consent(ward.a, "OPTOUT"))
    assert await seen(system, ward.of_a) == [False]
    person = await caller_as(system, ward.a)
    assert (await person.delete(f"Consent/{id_}")).status == 204
    assert await seen(system, ward.of_a) == [True]


async def test_what_cannot_be_looked_for_shows_nothing(system, ward, monkeypatch):
    async def away(*_: Any) -> Any:
        raise ConnectionError("the database is away")

    monkeypatch.setattr(known.consents, "changed", away)
    known._known.pop(system.tenant, None)
    assert (await system.get(f"Observation/{ward.of_a}")).status == 503
    monkeypatch.undo()
    assert await seen(system, ward.of_a) == [True]


async def test_what_is_about_no_patient_has_no_consent(acting, tenant):
    ctx = await acting("system/*.rs")
    assert await known.limit(ctx, "Organization", "read") == EVERYTHING
    assert kept_from(await policy.visibility(ctx, "Organization", "read")) is not None


@pytest.mark.parametrize(
    ("change", "understood"),
    [
        ({"scope": {"coding": [{"system": SCOPE["coding"][0]["system"], "code": "treatment"}]}}, None),
        ({"scope": {"coding": [{"system": SCOPE["coding"][0]["system"], "code": "research"}]}}, False),
        ({"status": "rejected"}, None),
        ({"status": "entered-in-error"}, None),
        ({"modifierExtension": [{"url": "x", "valueBoolean": True}]}, False),
        ({"provision": {"type": "deny", "provision": [{"code": [{"text": "x"}]}]}}, False),
        ({"policyRule": {"coding": [{"code": "HIPAA-NPP"}]}}, False),
        ({"policyRule": {"coding": [{"code": "OPTINR"}]}}, True),
        ({"provision": {"type": "permit", "provision": []}}, True),
    ],
)
def test_what_is_understood(change, understood):
    found = rules_of(consent("p") | change, "http://x/fhir")
    assert (found.understood if found else None) is understood
    assert found is None or found.research is ("research" in str(change))


def test_a_consent_that_is_too_deep_denies():
    deep: dict[str, Any] = {"type": "permit"}
    for _ in range(30):
        deep = {"type": "permit", "provision": [deep]}
    found = rules_of(consent("p") | {"provision": deep}, "http://x/fhir")
    assert found is not None
    assert not found.understood


async def test_who_asks(tenant, acting):
    ctx = await acting("system/*.rs")
    found = await callers.asker(tenant, ctx.principal)
    assert (found.names, found.groups, found.patient) == (frozenset(), False, None)
    assert [found.is_named(each) for each in ("Practitioner/1", "Organization/1", "Group/1", "CareTeam/1", "")] == [
        False, None, None, None, None
    ]  # fmt: skip
