"""Provenance is seen where what it tells of is seen, and nowhere else; software that computes is seen by who may read Devices."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from fhir_server.auth import care, policy, principals, tokens
from fhir_server.auth.reach import SNOMED, SOFTWARE
from fhir_server.auth.scopes import parse_scopes
from fhir_server.context import RequestContext
from fhir_server.kit import json
from fhir_server.search.extract import extract
from fhir_server.storage import own_index, reindex, traced
from fhir_server.storage.tenants import Tenant
from fhir_server.subscriptions import match
from tests.auth.test_consent import consent
from tests.auth.test_labels import ALL, label
from tests.auth.test_policy import observation
from tests.http.client import Caller, caller, entry

Json = dict[str, Any]


def provenance(*targets: str, **more: Any) -> Json:
    return {
        "resourceType": "Provenance", "recorded": "2026-01-01T00:00:00Z", "agent": [{"who": {"display": "somebody"}}],
        "target": [{"reference": each} for each in targets], **more,
    }  # fmt: skip


async def made(who: Caller, resource: Json) -> str:
    answer = await (
        who.put(f"{resource['resourceType']}/{resource['id']}", resource)
        if "id" in resource
        else who.post(resource["resourceType"], resource)
    )
    assert answer.status == 201, answer.text
    return f"{resource['resourceType']}/{answer.id}"


async def found(who: Caller, query: str) -> set[str]:
    answer = await who.get(query)
    assert answer.status == 200, answer.text
    return {f"{each['resource']['resourceType']}/{each['resource']['id']}" for each in answer.json.get("entry", [])}


async def shown(who: Caller, name: str, patient: str, target: str) -> bool:
    """Tell whether a Provenance is seen: the same on every path."""
    said = {
        (await who.get(name)).status == 200,
        (await who.get(f"{name}/_history/1")).status == 200,
        (await who.get(f"{name}/_history")).status == 200,
        name in await found(who, f"Provenance?target={target}&_total=accurate"),
        name in await found(who, f"Provenance?_id={name.partition('/')[2]}"),
        name in await found(who, f"{patient}/Provenance"),
        (await who.get(f"Provenance?_summary=count&_id={name.partition('/')[2]}")).json["total"] == 1,
    }
    assert len(said) == 1, "every path says the same"
    return said.pop()


@pytest.fixture
async def people(system: Caller) -> list[tuple[str, str]]:
    """Two patients, each with who cares for them."""
    pairs = []
    for _ in range(2):
        doctor = await made(system, {"resourceType": "Practitioner"})
        who: Json = {"resourceType": "Patient", "generalPractitioner": [{"reference": doctor}]}
        pairs.append((await made(system, who), doctor))
    return pairs


@pytest.fixture
def acting(http: Any, tenant: Tenant) -> Callable[..., Any]:
    async def act(scope: str, **context: str) -> Caller:
        care.forget(tenant, context.get("user"))
        return Caller(http, tenant, await tokens.mint(tenant, scope, **context))

    return act


def of(patient: str, **more: Any) -> Json:
    return observation(patient.partition("/")[2], **more)


async def test_who_sees_what_was_computed_sees_how(system, people, acting):
    (one, doctor), (other, stranger) = people
    risk: Json = {"resourceType": "RiskAssessment", "status": "final", "subject": {"reference": one}}
    target = await made(system, risk)
    told = await made(system, provenance(f"{target}/_history/1"))
    about_both = await made(system, provenance(target, await made(system, of(other))))
    for scope, context, expected in (
        ("user/*.rs", {"user": doctor}, True),
        ("user/RiskAssessment.rs user/Provenance.rs", {"user": doctor}, True),
        ("user/*.rs", {"user": one}, True),
        ("patient/*.rs", {"patient": one.partition("/")[2]}, True),
        ("system/Provenance.rs", {}, True),
        ("user/Provenance.rs", {"user": doctor}, False),
        ("user/*.rs", {"user": stranger}, False),
        ("patient/*.rs", {"patient": other.partition("/")[2]}, False),
        ("patient/Provenance.rs patient/Observation.rs", {"patient": one.partition("/")[2]}, False),
    ):
        who = await acting(scope, **context)
        assert await shown(who, told, one, target) is expected, (scope, context)
        if "*" in scope:
            assert (
                told in await found(who, f"RiskAssessment?_id={target[15:]}&_revinclude=Provenance:target")
            ) is expected
            assert told in await found(who, f"{one}/$everything") if expected else True
            assert not await shown(who, about_both, one, target), "one of its targets is somebody else's"
    assert await shown(system, about_both, other, target)


LABELS = [(), ("R",), ("HIV",), ("PSYTHPN",)]


@pytest.mark.parametrize("codes", LABELS)
async def test_a_hidden_target_hides_it(http, system, tenant, people, acting, codes):
    (one, doctor), _ = people
    cleared = await caller(http, tenant, ALL)
    target = await made(cleared, of(one, **({"meta": {"security": [label(code) for code in codes]}} if codes else {})))
    told = await made(cleared, provenance(target, one))
    for who in (cleared, system, await acting("user/*.rs", user=doctor), await acting("user/*.rs", user=one)):
        assert await shown(who, told, one, target) is ((await who.get(target)).status == 200)
    # A label that comes later hides it too, and takes nothing from who is cleared.
    late = {"resourceType": "Parameters", "parameter": [{"name": "meta", "valueMeta": {"security": [label("HIV")]}}]}
    assert (await cleared.post(f"{target}/$meta-add", late)).status == 200
    assert not await shown(system, told, one, target)
    assert await shown(cleared, told, one, target)


async def test_a_consent_hides_it(http, system, tenant, people, acting):
    (one, doctor), _ = people
    target, beside = (
        await made(system, of(one)),
        await made(system, {"resourceType": "Condition", "subject": {"reference": one}}),
    )
    told, other = [await made(system, provenance(each)) for each in (target, beside)]
    who = await acting("user/*.rs", user=doctor)
    assert await shown(who, told, one, target)
    denied = {"system": "http://hl7.org/fhir/resource-types", "code": "Observation"}
    said = consent(one.partition("/")[2], "OPTIN", type="deny", **{"class": [denied]})
    await made(system, said)
    who = await acting("user/*.rs", user=doctor)
    assert not await shown(who, told, one, target)
    assert await shown(who, other, one, beside)


async def test_the_filter_of_a_scope_hides_it(system, people, acting):
    (one, _), _ = people
    patient = one.partition("/")[2]
    named = "http://terminology.hl7.org/CodeSystem/observation-category"
    lab, vital = [await made(system, of(one, category=each)) for each in ("laboratory", "vital-signs")]
    of_lab, of_vital = [await made(system, provenance(each)) for each in (lab, vital)]
    for level, context in (("patient", {"patient": patient}), ("system", {})):
        who = await acting(f"{level}/Observation.rs?category={named}|laboratory {level}/Provenance.rs", **context)
        assert await shown(who, of_lab, one, lab)
        assert not await shown(who, of_vital, one, vital)


async def test_targets_that_come_later_or_change_hands(system, people, acting, unique):
    (one, doctor), (other, stranger) = people
    target = f"Observation/{unique}"
    told = await made(system, provenance(target))
    sides = [(one, "user/*.rs", doctor), (other, "user/*.rs", stranger)]

    async def seen() -> list[bool]:
        return [await shown(await acting(scope, user=user), told, whose, target) for whose, scope, user in sides]

    assert await seen() == [False, False]
    await made(system, of(one, id=unique))
    assert await seen() == [True, False]
    assert (await system.put(target, of(other, id=unique))).status == 200
    assert await seen() == [False, True]
    assert (await system.delete(target)).status == 204
    assert await seen() == [False, True], "who might have seen it sees what was told of it"


async def test_of_what_is_written_together(system, people, acting, tenant):
    (one, doctor), _ = people
    who = await acting("user/*.cruds", user=doctor)
    url = "urn:uuid:00000000-0000-4000-8000-000000000001"
    written = entry("POST", "Observation", of(one)) | {"fullUrl": url}
    answer = await who.transaction(entry("POST", "Provenance", provenance(url)), written)
    assert answer.status == 200, answer.text
    names = [
        each["response"]["location"].split("/_history")[0].removeprefix(f"{tenant.base}/")
        for each in answer.json["entry"]
    ]
    assert await shown(who, names[0], one, names[1])
    header = json.encode({each: value for each, value in provenance().items() if each != "target"}).decode()
    put = await who.put(names[1], of(one, id=names[1][12:], status="amended"), x_provenance=header)
    assert put.status == 200, put.text
    assert len(await found(who, f"Provenance?target={names[1]}")) == 2


async def test_who_writes_one_sees_what_it_tells_of(system, people, acting):
    (one, doctor), (other, _) = people
    theirs, mine = await made(system, of(other)), await made(system, of(one))
    secret = await made(await acting(ALL), of(one, meta={"security": [label("PSYTHPN")]}))
    for who in (
        await acting("user/*.cruds", user=doctor),
        await acting("patient/*.cruds", patient=one.partition("/")[2]),
    ):
        told = await made(who, provenance(mine))
        assert await shown(who, told, one, mine)
        refused = [
            await who.post("Provenance", provenance(mine, each)) for each in (theirs, secret, "Observation/never-was")
        ]
        assert [each.status for each in refused] == [403] * 3
        assert len({each.text for each in refused}) == 1, "what is hidden is not there"
        assert (await who.put(told, provenance(mine, theirs, id=told[11:]))).status == 403


async def test_entries_made_anew_keep_it(system, people, tenant, monkeypatch):
    """What was written before, and what is indexed again, is in the same compartments."""
    (one, _), (other, _) = people
    told = await made(system, provenance(await made(system, of(one)), other))
    rid = tenant.rids[("Provenance", told[11:])]
    look = tenant.sql("SELECT patients, keys FROM {s}.resource WHERE rid = $1")
    before = await tenant.pool.fetchrow(look, rid)
    assert sorted(before["patients"]) == sorted(tenant.rids[("Patient", each[8:])] for each in (one, other))

    async def spoil() -> None:
        kept = "ARRAY(SELECT k FROM unnest(keys) k WHERE k NOT BETWEEN 0 AND (1::bigint << 44))"
        text = f"UPDATE {{s}}.resource SET patients = NULL, keys = {kept} WHERE rid = $1"
        await tenant.pool.execute(tenant.sql(text), rid)
        assert await tenant.pool.fetchrow(look, rid) != before

    def alike(after: Any) -> bool:
        return [sorted(each) for each in after] == [sorted(each) for each in before]

    await spoil()
    for table in ("resource", "history"):  # as migration 0013 does
        statement = traced.again_sql(table, "TRUE", laid_out=False)
        await tenant.pool.execute(tenant.sql(statement))
    assert alike(await tenant.pool.fetchrow(look, rid))
    batch = await own_index.one(tenant, rid)
    assert batch is not None
    index = extract(tenant, json.decode_trusted(batch.rows[0].stored.body))
    assert await own_index.put(tenant, [(batch.rows[0], index)]) == 1
    assert alike(await tenant.pool.fetchrow(look, rid))
    await spoil()
    async with tenant.pool.acquire() as connection, connection.transaction():
        rows = [batch.rows[0].stored]
        record = [{"rid": rid, "patients": [], "last_updated": rows[0].last_updated}]
        await reindex._replace(connection, tenant, record, {rid: index})
    assert alike(await tenant.pool.fetchrow(look, rid))


async def test_subscribers_are_told_of_those_that_they_see(system, people, acting, tenant):
    (one, _), (other, _) = people
    told = [await made(system, provenance(await made(system, of(each)))) for each in (one, other)]
    rids = [tenant.rids[("Provenance", each[11:])] for each in told]
    subject = SimpleNamespace(keys=frozenset())
    changes: Any = [
        SimpleNamespace(place=at, subject=subject, event=SimpleNamespace(rid=rid)) for at, rid in enumerate(rids)
    ]
    patient = one.partition("/")[2]
    principal = await principals.principal(tenant, "x", parse_scopes("patient/*.rs"), patient=patient)
    right = await policy.visibility(RequestContext(tenant, principal, "r", tenant.base), "Provenance", "read")
    assert await match._visible(tenant, "Provenance", changes, right) == changes[:1]


def software(tenant: Tenant, **more: Any) -> Json:
    kind = {"coding": [{"system": SNOMED, "code": SOFTWARE}]}
    return {"resourceType": "Device", "type": kind, "identifier": [{"system": tenant.software, "value": "x"}], **more}


async def test_software_is_for_all_who_read_devices(system, people, acting, tenant):
    (one, doctor), (other, _) = people
    ours = await made(system, software(tenant))
    others = [
        await made(system, software(tenant, identifier=[{"system": "urn:x", "value": "x"}])),
        await made(system, software(tenant, type={"text": "pump"})),
        await made(system, software(tenant, identifier=[{"value": "x"}], patient={"reference": other})),
    ]
    for scope, context in (("user/Device.rs", {"user": doctor}), ("user/*.cruds", {"user": one})):
        who = await acting(scope, **context)
        assert (await who.get(ours)).status == 200
        assert [(await who.get(each)).status for each in others] == [404] * 3
        assert not {*others} & await found(who, "Device?_count=1000")
        assert ours in await found(who, f"Device?identifier={tenant.software}|x")
    assert (await who.put(ours, software(tenant, id=ours[7:], status="active"))).status in (403, 404)
    assert (await who.delete(ours)).status in (403, 404)
    assert (await (await acting("patient/*.rs", patient=one[8:])).get(ours)).status == 403
    hidden = await made(system, software(tenant, meta={"security": [label("R")]}))
    assert (await (await acting("user/Device.rs", user=one)).get(hidden)).status == 200, "a patient is cleared"
    refused = await system.post("Device", software(tenant, patient={"display": "somebody"}))
    assert (refused.status, refused.issue, refused.expressions) == (422, "software-of-a-patient", ["Device.patient"])
