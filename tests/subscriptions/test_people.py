"""Subscriptions of people: their own by a tag, told by websocket alone, and for as long as their access is looked at again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from fhir_server.auth.reach import SUBSCRIBER
from fhir_server.auth.tokens import mint
from fhir_server.settings import Settings
from fhir_server.subscriptions import binding as bindings
from tests.http.client import Caller
from tests.subscriptions import subscribing as given
from tests.subscriptions import topical
from tests.subscriptions.test_sockets import bound, heard, port
from tests.subscriptions.test_topics import active

__all__ = ["port"]


def wanted(who: str, **more: Any) -> dict[str, Any]:
    made = topical.subscription("observation", None, kind="websocket", **more)
    made["meta"]["tag"] = [{"system": SUBSCRIBER, "code": who}]
    return made


@pytest.fixture
async def person(system: Caller) -> Callable[..., Any]:
    """Return clients in the name of practitioners who care for somebody."""

    async def make(name: str, scope: str = "user/*.cruds") -> tuple[Caller, str]:
        who = f"Practitioner/{name}"
        await system.put(who, {"resourceType": "Practitioner", "id": name})
        patient = {"resourceType": "Patient", "id": f"of-{name}", "generalPractitioner": [{"reference": who}]}
        await system.put(f"Patient/of-{name}", patient)
        return Caller(system._http, system.tenant, await mint(system.tenant, scope, user=who)), who

    return make


async def test_a_person_reaches_their_own_subscriptions_alone(system: Caller, person: Any, unique: str) -> None:
    (one, mine), (other, theirs) = await person(f"one-{unique}"), await person(f"two-{unique}")
    made = await one.post("Subscription", wanted(mine))
    assert made.status == 201, made.text
    id_ = made.id
    assert (await one.get(f"Subscription/{id_}")).status == 200
    assert (await other.get(f"Subscription/{id_}")).status == 404
    assert (await other.get("Subscription?_count=100")).json.get("entry", []) == []
    for sent in (wanted(mine), topical.subscription("observation", None, kind="websocket")):
        refused = await other.post("Subscription", sent)
        assert (refused.status, refused.issue) == (403, "write-outside-scope")
    assert (await other.put(f"Subscription/{id_}", wanted(theirs) | {"id": id_})).status in (403, 404, 409)
    assert (await other.delete(f"Subscription/{id_}")).status in (204, 404)
    assert (await other.get(f"Subscription/{id_}/$get-ws-binding-token")).status == 404
    assert (await one.put(f"Subscription/{id_}", wanted(theirs) | {"id": id_})).status == 403
    assert (await system.get(f"Subscription/{id_}")).json["meta"]["versionId"] == made.json["meta"]["versionId"]
    assert (await one.delete(f"Subscription/{id_}")).status == 204


@pytest.mark.parametrize("how", ["rest-hook", "email", "criteria"])
async def test_a_person_is_told_by_websocket_alone(person: Any, unique: str, how: str) -> None:
    one, mine = await person(f"{how}-{unique}")
    made = {
        "rest-hook": topical.subscription("observation", "https://example.org/hook"),
        "email": topical.subscription("observation", "mailto:someone@example.org", kind="email"),
        "criteria": {"meta": {}} | given.subscription("Observation?code=x", "https://example.org/hook"),
    }[how]
    made["meta"]["tag"] = [{"system": SUBSCRIBER, "code": mine}]
    refused = await one.post("Subscription", made)
    assert (refused.status, refused.issue) == (403, "subscription-person")
    assert refused.expressions == ["Subscription.channel.type"]


async def test_a_person_is_told_of_whom_they_care_for(
    system: Caller, person: Any, served: Settings, port: int, unique: str
) -> None:
    one, mine = await person(f"cares-{unique}")
    await person(f"else-{unique}")
    id_ = await active(one, wanted(mine))
    async with bound(one, port, id_) as connection:
        assert (await heard(connection)).kind == "handshake"
        await system.post("Observation", given.observation(f"of-else-{unique}"))
        hers = await system.post("Observation", given.observation(f"of-cares-{unique}"))
        notice = await heard(connection)
        assert (notice.numbers, notice.foci[0].split("/")[-1]) == ([1], hers.id)


async def test_whoever_was_admitted_a_moment_ago_is_told_of_and_whoever_left_is_not(
    system: Caller, person: Any, served: Settings, port: int, unique: str
) -> None:
    """For requests it may take seconds until a care relationship counts; an alert that comes in these seconds is not lost."""
    one, mine = await person(f"ward-{unique}")
    id_ = await active(one, wanted(mine))
    team = {"resourceType": "CareTeam", "status": "active", "participant": [{"member": {"reference": mine}}]}
    async with bound(one, port, id_) as connection:
        assert (await heard(connection)).kind == "handshake"
        known = await system.post("Observation", given.observation(f"of-ward-{unique}"))
        assert (await heard(connection)).foci[0].split("/")[-1] == known.id  # whom they care for is remembered now
        admitted = await system.post("CareTeam", team | {"subject": {"reference": f"Patient/{unique}"}})
        new = await system.post("Observation", given.observation(unique))
        assert (await heard(connection)).foci[0].split("/")[-1] == new.id
        await system.put(f"CareTeam/{admitted.id}", admitted.json | {"status": "inactive"})
        await system.post("Observation", given.observation(unique))
        last = await system.post("Observation", given.observation(f"of-ward-{unique}"))
        notice = await heard(connection)
        assert (notice.numbers, notice.foci[0].split("/")[-1]) == ([3], last.id)


async def test_a_socket_of_a_person_ends_and_is_bound_anew(
    system: Caller, person: Any, served: Settings, port: int, unique: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bindings, "PERSONAL_SECONDS", 1)
    one, mine = await person(f"ends-{unique}")
    id_ = await active(one, wanted(mine))
    async with bound(one, port, id_) as connection:
        assert (await heard(connection)).kind == "handshake"
        async for _ in connection:
            pass
        assert connection.close_code == 1000
    missed = await system.post("Observation", given.observation(f"of-ends-{unique}"))
    monkeypatch.undo()
    async with bound(one, port, id_) as connection:
        assert (await heard(connection)).kind == "handshake"
        assert (await heard(connection)).foci[0].split("/")[-1] == missed.id
