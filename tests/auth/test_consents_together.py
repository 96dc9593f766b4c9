"""The Consents of many patients in one condition: what is of several, by every way in which the condition is written as SQL."""

from __future__ import annotations

from itertools import combinations
from types import SimpleNamespace
from typing import Any

import pytest

from fhir_server.auth import policy
from fhir_server.auth.consent import known
from fhir_server.storage import visibility
from fhir_server.storage.index_keys import COMPARTMENT, pack
from fhir_server.subscriptions import match
from tests.auth.test_consent import consent, ended, seen
from tests.auth.test_labels import made
from tests.http.client import entry, observation

__all__ = ["ended"]
KEPT = {"coding": [{"system": "http://loinc.org", "code": "44249-1"}]}
NOT_THIS = {"type": "permit", "provision": [{"type": "deny", "code": [KEPT]}]}


@pytest.fixture(params=[(100, 4), (1, 0)], ids=["few", "many"])
def forms(request, monkeypatch):
    """Groups as lists, and as the tables and texts that thousands become."""
    for name, value in zip(("FEW", "_SINGLE"), request.param, strict=True):
        monkeypatch.setattr(visibility, name, value)


async def patients(system, count: int) -> list[str]:
    """Make patients: the first permits nothing, the second all but one code, the third said so too, the others nothing."""
    found = [await made(system, {"resourceType": "Patient"}) for _ in range(count)]
    said = [{"type": "deny"}, NOT_THIS, NOT_THIS | {"period": {"start": "2020-02-03"}}]
    for patient, provision in zip(found, said, strict=False):
        await made(system, consent(patient, "OPTIN", **provision))
    return found


def of(*of_: str, sensitive: bool = False, **more):
    subject, *others = [{"reference": f"Patient/{each}"} for each in of_]
    also = {"performer": others} if others else {}
    return observation(subject=subject, **also, **({"code": KEPT} if sensitive else {}), **more)


@pytest.mark.usefixtures("forms")
async def test_what_is_of_several_is_seen_as_far_as_all_allow(system):
    denies, less, also_less, silent = await patients(system, 4)
    plain = {pair: await made(system, of(*pair)) for pair in combinations((denies, less, also_less, silent), 2)}
    shown = {pair for pair, id_ in plain.items() if (await seen(system, id_)) == [True]}
    assert shown == {pair for pair in plain if denies not in pair}
    found = await system.get(f"Observation?_id={','.join(plain.values())}&_total=accurate")
    assert {e["resource"]["id"] for e in found.json["entry"]} == {plain[pair] for pair in shown}
    assert found.json["total"] == 3
    counted = await system.get(f"Observation?performer=Patient/{silent}&_summary=count")
    assert counted.json["total"] == 2
    entries = await system.transaction(*(entry("GET", f"Observation/{id_}") for id_ in plain.values()), kind="batch")
    statuses = [each["response"]["status"][:3] for each in entries.json["entry"]]
    assert statuses == ["200" if pair in shown else "404" for pair in plain]


@pytest.mark.usefixtures("forms")
async def test_what_one_of_them_does_not_allow_is_not_seen(system):
    denies, less, _, silent = await patients(system, 4)
    sensitive = [await made(system, of(each, sensitive=True)) for each in (denies, less, silent)]
    shared = await made(system, of(silent, less, sensitive=True))
    assert await seen(system, *sensitive, shared) == [False, False, True, False]


@pytest.mark.usefixtures("forms")
async def test_a_version_is_judged_by_whose_it_is_now_as_well(system):
    denies, less, _, silent = await patients(system, 4)
    moved = {each: await made(system, of(silent)) for each in (denies, less)}
    for to, id_ in moved.items():
        assert (await system.put(f"Observation/{id_}", of(to, id=id_))).status == 200
    assert (await system.get(f"Observation/{moved[denies]}/_history/1")).status == 404
    assert (await system.get(f"Observation/{moved[less]}/_history/1")).status == 200
    back = moved[less]
    assert (await system.put(f"Observation/{back}", of(less, id=back, sensitive=True))).status == 200
    for number in (1, 2, 3):
        assert (await system.get(f"Observation/{back}/_history/{number}")).status == 404, number


async def test_those_who_signed_the_same_are_one_group(tenant, system, acting):
    """What the condition holds grows with the patients, not with their square, and what is worked out with the texts."""
    ctx = await acting("system/*.rs")
    parts = []
    for count in (3, 9):
        for number in range(count):
            patient = await made(system, {"resourceType": "Patient"})
            provision = NOT_THIS | {"period": {"start": f"2020-01-{number + 1:02}"}}
            await made(system, consent(patient, "OPTIN", **provision))
        [grant] = await known.limit(ctx, "Observation", "read")
        parts.append((len(grant.unless), sum(len(each.group) for each in grant.unless)))
    assert parts == [(1, 3), (1, 12)]


async def test_a_subscriber_is_not_told_of_what_is_kept_by_its_id(tenant, system, acting):
    """Keys do not say which resource it is: the database is asked."""
    patient = await made(system, {"resourceType": "Patient"})
    kept, told = [await made(system, of(patient)) for _ in range(2)]
    data = [{"meaning": "instance", "reference": {"reference": f"Observation/{kept}"}}]
    await made(system, consent(patient, "OPTIN", type="permit", provision=[{"type": "deny", "data": data}]))
    right = await policy.visibility(await acting("system/*.rs"), "Observation", "search-type")
    subject = SimpleNamespace(keys=frozenset({pack(COMPARTMENT, tenant.rids[("Patient", patient)])}))
    changes: Any = [
        SimpleNamespace(place=at, subject=subject, event=SimpleNamespace(rid=tenant.rids[("Observation", id_)]))
        for at, id_ in enumerate((kept, told))
    ]
    assert await match._visible(tenant, "Observation", changes, right) == changes[1:]
    assert await seen(system, kept, told) == [False, True]


async def test_a_look_opens_what_is_new_alone(system, monkeypatch):
    denies, *_ = await patients(system, 3)
    await known.known(system.tenant)
    opened: list[int] = []
    whole = known.consents._kept

    def kept(tenant: Any, row: Any) -> Any:
        opened.append(row["rid"])
        return whole(tenant, row)

    monkeypatch.setattr(known.consents, "_kept", kept)
    before = len((await known.known(system.tenant)).seen)
    await made(system, consent(denies, "OPTIN", type="permit"))
    assert len((await known.known(system.tenant)).seen) == before + 1
    assert len(opened) == 1
