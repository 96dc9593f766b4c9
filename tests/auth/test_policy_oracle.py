"""What the policy decides, in SQL and of new content, against a plain statement of it: every kind of token over a small world."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from fhir_server.auth import care, policy, principals
from fhir_server.auth.labels import ACT_CODE
from fhir_server.auth.reach import SNOMED, SOFTWARE, SUBSCRIBER
from fhir_server.auth.scopes import parse_scopes
from fhir_server.context import Clearance, RequestContext
from fhir_server.errors import Forbidden
from fhir_server.kit import clock, ids
from fhir_server.search.extract import extract
from fhir_server.storage import glass
from fhir_server.storage.tenants import Tenant
from fhir_server.storage.visibility import EVERYTHING, visible_types_sql
from tests.auth.conftest import store
from tests.auth.naive_policy import LETTERS, TYPES, Thing, Who, World, opens, sees, writes

Json = dict[str, Any]
NOTE: Json = {"meta": {"security": [{"system": ACT_CODE, "code": "PSYTHPN"}]}}


def ref(name: str) -> Json:
    return {"reference": name}


def coded(system: str, code: str) -> Json:
    return {"coding": [{"system": system, "code": code}]}


class Ward:
    """`a` is in the care of a doctor, `b` of nobody, `c` broke nothing and wrote nothing; a nurse has opened the record of `b`."""

    def __init__(self, tenant: Tenant, word: str) -> None:
        self.tenant, self.word = tenant, word
        self.a, self.b, self.c = [f"{each}{word}" for each in "abc"]
        self.doctor, self.nurse, self.mother = [f"{each}{word}" for each in ("d", "n", "m")]
        self.world: World = {}
        self.rids: dict[str, int] = {}

    def body(self, thing: Thing, **more: Any) -> Json:
        """Return a resource as the thing says."""
        patients = [ref(f"Patient/{id_}") for id_ in sorted(thing.of)]
        content: Json = {"resourceType": thing.type, "id": thing.id}
        match thing.type:
            case "Observation":
                content |= {"status": "final", "code": coded("urn:x", "y"), "performer": patients}
                content |= {"category": [coded("urn:c", "lab" if thing.lab else "vital")]}
            case "Device" if patients:
                content["patient"] = patients[0]
            case "Device" if thing.software:
                content["type"] = coded(SNOMED, SOFTWARE)
                content["identifier"] = [{"system": self.tenant.software, "value": thing.id}]
            case "Task":
                whose = [*patients, *map(ref, thing.names)]
                content |= {"for": whose[0]} if whose else {}
                content["requester"] = ref(f"Patient/{self.a}")  # who asks is not whom it is about
            case "Patient":
                content["generalPractitioner"] = [ref(name) for name in sorted(thing.names)]
            case "Subscription" if thing.owner:
                content["meta"] = {"tag": [{"system": SUBSCRIBER, "code": thing.owner}]}
            case "Provenance":
                content["target"] = [ref(name) for name in thing.targets]
            case "AuditEvent":
                content["agent"] = [{"who": each, "requestor": True} for each in patients]
        return content | (NOTE if thing.note else {}) | more

    async def add(self, *things: Thing) -> None:
        for thing in things:
            resource, name = self.body(thing), f"{thing.type}/{thing.id}"
            await store(self.tenant, resource, extract(self.tenant, resource))
            self.world[name], self.rids[name] = thing, self.tenant.rids[(thing.type, thing.id)]

    async def fill(self) -> None:
        w, a, b = self.word, frozenset({self.a}), frozenset({self.b})
        doctor, nurse = f"Practitioner/{self.doctor}", f"Practitioner/{self.nurse}"
        await self.add(
            Thing("Practitioner", self.doctor),
            Thing("Practitioner", self.nurse),
            Thing("Patient", self.a, a, names=frozenset({doctor})),
            Thing("Patient", self.b, b),
            Thing("Observation", f"la{w}", a, lab=True),
            Thing("Observation", f"va{w}", a),
            Thing("Observation", f"lb{w}", b, lab=True),
            Thing("Observation", f"nb{w}", b, note=True),
            Thing("Observation", f"both{w}", a | b),
            Thing("Observation", f"none{w}"),
            Thing("Device", f"a{w}", a),
            Thing("Device", f"b{w}", b),
            Thing("Device", f"s{w}", software=True),
            Thing("Device", f"none{w}"),
            Thing("Task", f"a{w}", a),
            Thing("Task", f"b{w}", b),
            Thing("Task", f"none{w}"),
            Thing("Bundle", f"x{w}"),
            Thing("Subscription", f"d{w}", owner=doctor),
            Thing("Subscription", f"n{w}", owner=nurse),
            Thing("Provenance", f"l{w}", a, targets=(f"Observation/la{w}",)),
            Thing("Provenance", f"v{w}", a, targets=(f"Observation/va{w}",)),
            Thing("Provenance", f"o{w}", a | b, targets=(f"Observation/la{w}", f"Observation/lb{w}")),
            Thing("Provenance", f"t{w}", targets=(f"Task/b{w}",)),
            Thing("Provenance", f"gone{w}", a, targets=(f"Observation/la{w}", f"Observation/never{w}")),
        )
        mother = {"resourceType": "RelatedPerson", "id": self.mother, "patient": ref(f"Patient/{self.a}")}
        await store(self.tenant, mother, extract(self.tenant, mother))

    def people(self) -> dict[str, Who]:
        a = frozenset({self.a})
        doctor = Who(user=f"Practitioner/{self.doctor}", cares=a)
        nurse = Who(user=f"Practitioner/{self.nurse}", opened=frozenset({self.b}))
        return {
            "a service": Who(),
            "an app of a": Who(patient=self.a),
            "an app of b": Who(patient=self.b),
            "an app of nobody that is known": Who(patient=f"never{self.word}"),
            "a service in the doctor's name": doctor,
            "the doctor": replace(doctor, account=True),
            "the doctor, as fhirUser": replace(doctor, account=True, itself=True),
            "the doctor with a": replace(doctor, account=True, patient=self.a),
            "the doctor with b": replace(doctor, account=True, patient=self.b),
            "a service in the doctor's name with b": replace(doctor, patient=self.b),
            "the nurse": replace(nurse, account=True),
            "the nurse with a": replace(nurse, account=True, patient=self.a),
            "the nurse with b": replace(nurse, account=True, patient=self.b),
            "a, who signed in": Who(user=f"Patient/{self.a}", patient=self.a, account=True, cares=a),
            "the mother of a": Who(user=f"RelatedPerson/{self.mother}", account=True, cares=a),
            "somebody without a resource": Who(account=True, itself=True),
            "somebody whose role opens Tasks": Who(account=True, unlimited=frozenset({"Task", "Bundle"})),
        }

    async def ctx(self, scopes: str, who: Who) -> RequestContext:
        known = who.patient if who.patient in (self.a, self.b) else f"unheard{self.word}" if who.patient else None
        principal = await principals.principal(
            self.tenant, "oracle", parse_scopes(scopes), patient=known, user=who.user,
            special=frozenset({"fhirUser"} if who.itself else ()),
        )  # fmt: skip
        clearance = Clearance(break_glass=bool(who.opened))
        principal = replace(
            principal, account="somebody" if who.account else None, unlimited=who.unlimited, clearance=clearance
        )
        if who.opened:
            now = clock.now()
            [rid] = [self.rids[f"Patient/{id_}"] for id_ in who.opened]
            await glass.add(self.tenant, glass.Glass(principal.agent, rid, now, now + timedelta(hours=1)))
        return RequestContext(self.tenant, principal, ids.request_id(), self.tenant.base)


@pytest.fixture(scope="session")
async def ward(tenants: dict[str, Tenant]) -> Ward:
    """The same for all tests: nobody changes it."""
    found = Ward(tenants["default"], ids.new_id()[:12].lower())
    await found.fill()
    return found


@pytest.fixture(autouse=True)
def scopes_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Labels and Consents only take away from what is decided here; they have oracles of their own."""
    monkeypatch.setattr(policy, "LIMITS", ())


SCOPES = [
    "system/*.cruds",
    "system/Observation.r",
    "system/Observation.cu?category=urn:c|lab patient/Observation.r user/Observation.s",
    "system/Observation.cu?category=urn:c|lab patient/*.cruds",
    "system/Provenance.rs patient/Observation.rs?category=urn:c|lab",
    "patient/*.cruds",
    "patient/Observation.rs patient/Patient.u",
    "patient/*.s user/Provenance.r user/Observation.r",
    "patient/Observation.cu?category=urn:c|lab user/Task.cu",
    "user/*.cruds",
    "user/*.rs",
    "user/Observation.rs?category=urn:c|lab user/Provenance.rs",
    "user/Observation.cu?category=urn:c|lab patient/Observation.u",
    "user/Patient.cu user/Practitioner.u system/Device.d",
    "user/Subscription.cruds patient/*.r system/Task.s",
]


async def shown(ward: Ward, ctx: RequestContext, interaction: str) -> set[str]:
    by_type = await policy.visibilities(ctx, interaction, TYPES)
    args: list[Any] = [list(ward.rids.values())]
    seen = visible_types_sql("r", by_type, args)
    text = ctx.tenant.sql(f"SELECT rid FROM {{s}}.resource r WHERE rid = ANY($1::bigint[]) AND {seen}")
    found = {row["rid"] for row in await ctx.tenant.pool.fetch(text, *args)}
    return {name for name, rid in ward.rids.items() if rid in found}


@pytest.mark.parametrize("scopes", SCOPES)
async def test_what_is_seen(ward, scopes):
    used = {each for each, letter in LETTERS.items() if letter in "".join(s.letters for s in parse_scopes(scopes))}
    for name, given in ward.people().items():
        who = replace(given, patient=None) if name.startswith("an app of nobody") else given
        ctx = await ward.ctx(scopes, given)
        for interaction in sorted(used - {"vread", "patch"} | {"read"}):
            expected = {n for n, thing in ward.world.items() if sees(ward.world, scopes, who, interaction, thing)}
            assert await shown(ward, ctx, interaction) == expected, (name, interaction)
            for type_ in TYPES:
                told = (name, interaction, type_)
                assert await policy.allowed(ctx, type_, interaction) == opens(scopes, who, type_, interaction), told


@pytest.mark.parametrize("scopes", SCOPES)
async def test_one_type_and_many_are_told_the_same(ward, scopes):
    for name in ("a service", "the doctor with b", "the nurse", "somebody without a resource"):
        who = ward.people()[name]
        for interaction in ("read", "update"):
            many = await policy.visibilities(await ward.ctx(scopes, who), interaction, TYPES)
            ctx = await ward.ctx(scopes, who)
            for type_ in TYPES * 2:  # the second answer may be remembered
                told = (name, interaction, type_)
                if type_ not in many:
                    with pytest.raises(Forbidden, match=f"does not allow {interaction} on {type_}"):
                        await policy.visibility(ctx, type_, interaction)
                    assert not await policy.unrestricted(ctx, type_, interaction), told
                else:
                    assert await policy.visibility(ctx, type_, interaction) == many[type_], told
                    if type_ not in ("AuditEvent", "Provenance"):
                        whole = many[type_] == EVERYTHING
                        assert await policy.unrestricted(ctx, type_, interaction) == whole, told


def contents(ward: Ward) -> list[Thing]:
    a, b, c = [frozenset({each}) for each in (ward.a, ward.b, ward.c)]
    doctor, nurse = f"Practitioner/{ward.doctor}", f"Practitioner/{ward.nurse}"
    return [
        *(Thing("Observation", "new", of, lab=lab) for of in (a, b, a | b, c, a | c) for lab in (True, False)),
        Thing("Observation", "new"),
        Thing("Observation", "new", a, lab=True, unseen=True),
        Thing("Device", "new", a),
        Thing("Device", "new", b),
        Thing("Device", "new"),
        Thing("Device", "new", software=True),
        Thing("Task", "new", a),
        Thing("Task", "new", b),
        Thing("Task", "new"),
        Thing("Task", "new", names=frozenset({f"Group/{ward.a}"})),
        Thing("Practitioner", "new"),
        Thing("Observation", "new", frozenset({f"unheard{ward.word}"})),
        Thing("Provenance", "new", a, targets=(f"Patient/{ward.a}",)),
        Thing("Provenance", "new", a, targets=(f"Patient/{ward.a}",), unseen=True),
        Thing("Bundle", "new"),
        Thing("Subscription", "new", owner=doctor),
        Thing("Subscription", "new", owner=nurse),
        Thing("Subscription", "new"),
        Thing("AuditEvent", "new", a),
        *(Thing("Patient", of, frozenset({of}), names=names)
          for of in (ward.a, ward.b, ward.c)
          for names in (frozenset[str](), frozenset({doctor}), frozenset({nurse}), frozenset({nurse, doctor}))),
    ]  # fmt: skip


@pytest.mark.parametrize("scopes", SCOPES)
async def test_what_may_be_written(ward, scopes):
    indexed = []
    for new in contents(ward):
        index = extract(ward.tenant, ward.body(new))
        index.unseen = new.unseen
        indexed.append((new, index))
    for name, given in ward.people().items():
        who = replace(given, patient=None) if name.startswith("an app of nobody") else given
        ctx = await ward.ctx(scopes, given)
        for interaction in ("create", "update"):
            for new, index in indexed:
                told = (name, interaction, new)
                try:
                    await policy.check_write(ctx, new.type, interaction, index, new.id)
                    written = ""
                except Forbidden as refused:
                    written = refused.id
                if writes(scopes, who, interaction, new):
                    assert written == "", told
                elif opens(scopes, who, new.type, interaction):
                    assert written == "write-outside-scope", told
                else:
                    assert written == "insufficient-scope", told


async def test_where_every_patient_is_open_to_caregivers(ward, monkeypatch):
    monkeypatch.setattr(ward.tenant, "every_patient", True)
    whose = Who(user=f"Practitioner/{ward.doctor}", account=True, everybody=True)
    care.forget(ward.tenant, whose.user)
    try:
        for scopes in ("user/*.cruds", "patient/*.cruds", "user/Observation.r?category=urn:c|lab"):
            for who in (whose, replace(whose, patient=ward.b)):
                ctx = await ward.ctx(scopes, who)
                expected = {n for n, thing in ward.world.items() if sees(ward.world, scopes, who, "read", thing)}
                assert await shown(ward, ctx, "read") == expected, (scopes, who.patient)
                for new in contents(ward):
                    index = extract(ward.tenant, ward.body(new))
                    index.unseen = new.unseen
                    try:
                        await policy.check_write(ctx, new.type, "create", index, new.id)
                        written = True
                    except Forbidden:
                        written = False
                    assert written == writes(scopes, who, "create", new), (scopes, who.patient, new)
    finally:
        care.forget(ward.tenant, whose.user)
