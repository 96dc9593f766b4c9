"""Conditional create, update and delete: what matches decides, and races leave one resource."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from tests.http.client import Caller, caller, entry, observation


def measured(value: str, **more: object) -> dict[str, object]:
    return observation(identifier=[{"system": "urn:hub", "value": value}], **more)


async def test_if_none_exist(system: Caller, unique: str) -> None:
    first = await system.post("Observation", measured(unique), if_none_exist=f"identifier=urn:hub|{unique}")
    again = await system.post("Observation", measured(unique), if_none_exist=f"Observation?identifier=urn:hub|{unique}")
    assert (first.status, again.status) == (201, 200)
    assert again.id == first.id
    assert again.headers["content-location"] == first.headers["location"]
    await system.post("Observation", measured(unique))
    several = await system.post("Observation", measured(unique), if_none_exist=f"identifier=urn:hub|{unique}")
    assert (several.status, several.issue) == (412, "multiple-matches")


@pytest.mark.parametrize("criteria", ["", "identifier=", "nonsense=1"])
async def test_criteria_that_select_nothing_are_refused(system: Caller, criteria: str) -> None:
    assert (await system.post("Observation", observation(), if_none_exist=criteria)).status == 400
    assert (await system.delete(f"Observation?{criteria}")).status == 400


async def test_twenty_racing_conditional_creates_make_one(system: Caller, unique: str) -> None:
    criteria = f"identifier=urn:hub|{unique}"
    answers = await asyncio.gather(
        *(system.post("Observation", measured(unique), if_none_exist=criteria) for _ in range(20))
    )
    assert sorted(answer.status for answer in answers) == [200] * 19 + [201]
    assert len({answer.id for answer in answers}) == 1
    found = (await system.get(f"Observation?{criteria}&_total=accurate")).json
    assert found["total"] == 1


async def test_twenty_racing_conditional_updates_make_one(system: Caller, unique: str) -> None:
    path = f"Observation?identifier=urn:hub|{unique}"
    bodies = [measured(unique, note=[{"text": str(number)}]) for number in range(20)]
    answers = await asyncio.gather(*(system.put(path, body) for body in bodies))
    assert sorted(answer.status for answer in answers) == [200] * 19 + [201]
    (id_,) = {answer.id for answer in answers}
    assert len((await system.get(f"Observation/{id_}/_history?_count=50")).json["entry"]) == 20


async def test_the_claim_goes_with_the_resource(system: Caller, unique: str) -> None:
    criteria = f"identifier=urn:hub|{unique}"
    first = await system.post("Observation", measured(unique), if_none_exist=criteria)
    await system.delete(f"Observation/{first.id}")
    second = await system.post("Observation", measured(unique), if_none_exist=criteria)
    assert second.status == 201
    moved = await system.put(f"Observation/{second.id}", measured(unique + "x", id=second.id))
    assert moved.status == 200
    third = await system.post("Observation", measured(unique), if_none_exist=criteria)
    assert third.status == 201


async def test_conditional_update(system: Caller, unique: str) -> None:
    path = f"Observation?identifier=urn:hub|{unique}"
    made = await system.put(path, measured(unique))
    assert made.status == 201
    again = await system.put(path, measured(unique))
    assert (again.status, again.id, again.headers["etag"]) == (200, made.id, 'W/"1"')
    changed = await system.put(path, measured(unique, status="amended"))
    assert (changed.status, changed.id, changed.headers["etag"]) == (200, made.id, 'W/"2"')
    wrong = await system.put(path, measured(unique, id="other"))
    assert (wrong.status, wrong.issue) == (400, "id-mismatch")
    named = await system.put(f"{path}x", measured(unique + "x", id=f"{unique}-own"))
    assert (named.status, named.id) == (201, f"{unique}-own")
    taken = await system.put(f"{path}y", measured(unique + "y", id=made.id))
    assert (taken.status, taken.issue) == (412, "id-mismatch")


async def test_conditional_delete(system: Caller, unique: str) -> None:
    path = f"Observation?identifier=urn:hub|{unique}"
    assert (await system.delete(path)).status == 204
    made = await system.post("Observation", measured(unique))
    assert (await system.delete(path)).status == 204
    assert (await system.get(f"Observation/{made.id}")).status == 410
    for _ in range(2):
        await system.post("Observation", measured(unique))
    assert (await system.delete(path)).issue == "multiple-matches"


async def test_a_hub_that_may_only_create_repeats_itself(system: Caller, http: httpx.AsyncClient, unique: str) -> None:
    hub = await caller(http, system.tenant, "system/Observation.c")
    path = f"Observation?identifier=urn:hub|{unique}"
    first = await hub.put(path, measured(unique))
    again = await hub.put(path, measured(unique))
    assert (first.status, again.status) == (201, 200)
    assert (await hub.put(path, measured(unique, status="amended"))).status == 403
    exists = await hub.post("Observation", measured(unique), if_none_exist=path)
    assert (exists.status, exists.text) == (200, "")
    assert (await hub.get(f"Observation/{first.id}")).status == 403


async def test_the_match_sees_what_the_caller_sees(system: Caller, http: httpx.AsyncClient, unique: str) -> None:
    mine, other = [(await system.post("Patient", {"resourceType": "Patient"})).id for _ in range(2)]
    await system.post("Observation", measured(unique, subject={"reference": f"Patient/{other}"}))
    person = await caller(http, system.tenant, "patient/Observation.cruds", mine)
    made = await person.post(
        "Observation",
        measured(unique, subject={"reference": f"Patient/{mine}"}),
        if_none_exist=f"identifier=urn:hub|{unique}",
    )
    assert made.status == 201


async def test_conditions_that_do_not_go_with_a_write_are_not_passed_over(system: Caller, unique: str) -> None:
    made = await system.post("Observation", observation())
    name, again = f"Observation/{made.id}", made.json | {"status": "amended"}
    criteria = f"identifier=urn:c|{unique}"
    patch = {"content_type": "application/json-patch+json", "if_none_exist": criteria}
    for refused in (
        await system.post("Observation", observation(), if_match='W/"1"'),
        await system.put(name, again, if_none_exist=criteria),
        await system.put(f"Observation?{criteria}", observation(), if_none_exist=criteria),
        await system.send("PATCH", name, [{"op": "replace", "path": "/status", "value": "amended"}], **patch),
        await system.delete(name, if_none_exist=criteria),
        await system.delete(f"Observation?{criteria}", if_none_exist=criteria),
        await system.transaction(entry("POST", "Observation", observation(), ifMatch='W/"1"')),
        await system.transaction(entry("PUT", name, again, ifNoneExist=criteria)),
        await system.transaction(entry("DELETE", name, ifNoneExist=criteria)),
    ):
        assert (refused.status, refused.issue) == (400, "condition-stray"), refused.text
    batch = await system.transaction(entry("PUT", name, again, ifNoneExist=criteria), kind="batch")
    assert batch.json["entry"][0]["response"]["status"][:3] == "400"
    assert (await system.get(name)).headers["etag"] == 'W/"1"'
