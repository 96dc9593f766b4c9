"""Topic-based Subscriptions end to end: written through the API, served by a worker, told to a receiver on loopback."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from fhir_server.settings import Settings
from fhir_server.subscriptions.topics import store
from tests.http.client import Caller, caller
from tests.subscriptions import subscribing as given
from tests.subscriptions import topical
from tests.subscriptions.receiver import Receiver
from tests.subscriptions.topical import Notice, notices

Json = dict[str, Any]


async def active(system: Caller, made: Json) -> str:
    answer = await system.post("Subscription", made)
    assert answer.status == 201, answer.text
    await given.until_status(system.tenant, answer.id, "active")
    return answer.id


async def patient(system: Caller, id_: str) -> str:
    answer = await system.put(f"Patient/{id_}", {"resourceType": "Patient", "id": id_, "active": True})
    assert answer.status == 201
    return f"Patient/{id_}"


async def told(hook: Receiver, count: int) -> list[Notice]:
    await hook.until(lambda: sum(len(each.numbers) for each in notices(hook.got)) >= count)
    return notices(hook.got)


@pytest.mark.subscription(
    7, 14, 15, 20, 25, 26, 27, 28, 29, 30, 47, 49, 50, 51, 53, 54, 69, 70, 72, 73, 74, 94, 103, 133, 135, 136, 138, 139
)
async def test_handshake_then_active_then_events(system: Caller, served: Settings, hook: Receiver, unique: str) -> None:
    seen: list[str] = []
    answer = await system.post(
        "Subscription",
        topical.subscription(
            "observation",
            f"{hook.url}/hook",
            f"Observation?patient=Patient/{unique}",
            headers=["Authorization: Bearer x"],
        ),
    )
    assert answer.json["status"] == "requested"
    hook.answer = lambda request, _: seen.append(Notice.of(request).value("status")) or 200
    await given.until_status(system.tenant, answer.id, "active")
    [hand] = notices(hook.got, None)
    assert (hand.kind, hand.value("events-since-subscription-start"), hand.events) == ("handshake", "0", [])
    assert seen == ["requested"]
    made = await system.post("Observation", given.observation(unique))
    await system.post("Observation", given.observation("somebody-else"))
    [notice] = await told(hook, 1)
    [_, request] = hook.got
    assert (request.method, request.path) == ("POST", "/hook")
    assert request.headers["content-type"] == "application/fhir+json"
    assert request.headers["authorization"] == "Bearer x"
    assert notice.bundle["type"] == "history"
    assert topical.NOTIFICATION in notice.bundle["meta"]["profile"]
    assert topical.STATUS in notice.status["meta"]["profile"]
    assert notice.value("subscription")["reference"].endswith(f"Subscription/{answer.id}")
    assert notice.value("topic") == topical.TOPIC + "observation"
    assert (notice.value("status"), notice.value("events-since-subscription-start")) == ("active", "1")
    assert notice.numbers == [1]
    assert notice.foci == [f"{system.tenant.base}/Observation/{made.id}"]
    assert notice.entries[0]["request"] == {
        "method": "GET", "url": f"{system.tenant.base}/Subscription/{answer.id}/$status",
    }  # fmt: skip
    assert all("request" in each and "response" in each for each in notice.entries)


@pytest.mark.parametrize("content", ["empty", "id-only", "full-resource"])
@pytest.mark.subscription(35, 38, 39, 40, 42, 43, 44, 45, 65, 67, 99, 101)
async def test_payloads(system: Caller, served: Settings, hook: Receiver, unique: str, content: str) -> None:
    await active(system, topical.subscription("observation", hook.url, f"patient=Patient/{unique}", content=content))
    made = await system.post("Observation", given.observation(unique))
    [notice] = await told(hook, 1)
    if content == "empty":
        assert len(notice.entries) == 1
        assert notice.foci == []
        assert notice.value("topic") is None
        assert made.id not in hook.got[-1].body.decode()
        return
    [_, entry] = notice.entries
    assert entry["fullUrl"] == notice.foci[0] == f"{system.tenant.base}/Observation/{made.id}"
    assert entry["request"] == {"method": "POST", "url": "Observation"}
    assert entry["response"]["status"] == "201"
    assert entry.get("resource") == (made.json if content == "full-resource" else None)
    assert notice.value("topic") == topical.TOPIC + "observation"


async def test_xml(system: Caller, served: Settings, hook: Receiver, unique: str) -> None:
    mime = "application/fhir+xml; fhirVersion=4.0"
    await active(system, topical.subscription("observation", hook.url, f"patient=Patient/{unique}", mime=mime))
    [request] = hook.got
    assert request.headers["content-type"] == mime
    assert request.body.startswith(b"<?xml")
    assert b"<Parameters" in request.body


async def test_messages_are_wrapped(system: Caller, served: Settings, hook: Receiver, unique: str) -> None:
    made = topical.subscription(
        "observation", f"{hook.url}/$process-message", f"patient=Patient/{unique}", kind="message"
    )
    await active(system, made)
    message = topical.json.loads(hook.got[0].body)
    assert (message["type"], message["entry"][0]["resource"]["resourceType"]) == ("message", "MessageHeader")
    inner = message["entry"][1]
    assert message["entry"][0]["resource"]["focus"] == [{"reference": inner["fullUrl"]}]
    assert Notice(inner["resource"]).kind == "handshake"


@pytest.mark.subscription(21, 31, 126)
async def test_a_handshake_that_fails_ends_in_error(
    system: Caller, served: Settings, hook: Receiver, unique: str
) -> None:
    hook.answer = lambda *_: 500
    made = await system.post("Subscription", topical.subscription("observation", hook.url, f"patient=Patient/{unique}"))
    error = await given.until_status(system.tenant, made.id, "error")
    assert error.startswith("handshake-status-500")
    await system.post("Observation", given.observation(unique))
    hook.answer = lambda *_: 200
    again = topical.subscription("observation", hook.url, f"patient=Patient/{unique}") | {"id": made.id}
    assert (await system.put(f"Subscription/{made.id}", again)).status == 200
    await given.until_status(system.tenant, made.id, "active")
    await system.post("Observation", given.observation(unique))
    assert (await told(hook, 1))[0].numbers == [1]


@pytest.mark.subscription(45, 95, 136)
async def test_filters_are_anded_and_judge_deletions_by_what_was_there(
    system: Caller, served: Settings, hook: Receiver, unique: str
) -> None:
    filters = [f"Observation?patient=Patient/{unique}", "Observation?value-quantity=gt100"]
    await active(system, topical.subscription("observation", hook.url, *filters))
    await system.post("Observation", given.observation(unique, 80))
    await system.post("Observation", given.observation("somebody-else", 140))
    high = await system.post("Observation", given.observation(unique, 140))
    assert (await system.delete(f"Observation/{high.id}")).status == 204
    last = [each for each in await told(hook, 1) if each.numbers == [2]] or [(await told(hook, 2))[-1]]
    [_, entry] = last[0].entries
    assert entry["request"] == {"method": "DELETE", "url": f"Observation/{high.id}"}
    assert "resource" not in entry


async def test_encounter_start_and_end_tell_of_the_change_of_status(
    system: Caller, served: Settings, hook: Receiver, unique: str
) -> None:
    who = await patient(system, unique)
    for topic in ("encounter-start", "encounter-end"):
        await active(system, topical.subscription(topic, f"{hook.url}/{topic}", f"Encounter?patient={who}"))
    encounter = {
        "resourceType": "Encounter",
        "id": f"e{unique}",
        "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "IMP"},
        "subject": {"reference": who},
    }
    for status, reason in (
        ("planned", "1"),
        ("in-progress", "1"),
        ("in-progress", "2"),
        ("finished", "1"),
        ("finished", "2"),
    ):
        body = encounter | {"status": status, "reasonCode": [{"text": reason}]}
        assert (await system.put(f"Encounter/{encounter['id']}", body)).status in (200, 201)
    await told(hook, 2)
    await asyncio.sleep(0.3)
    versions = {
        each.path: notices([each])[0].entries[1]["response"]["etag"]
        for each in hook.got if Notice.of(each).kind == "event-notification"
    }  # fmt: skip
    assert versions == {"/encounter-start": 'W/"2"', "/encounter-end": 'W/"4"'}


@pytest.mark.subscription(98, 102)
async def test_many_events_in_one_notification_as_max_count_allows(
    system: Caller, served: Settings, hook: Receiver, unique: str
) -> None:
    await active(system, topical.subscription("observation", hook.url, f"patient=Patient/{unique}", most=4))
    entries = [
        {"resource": given.observation(unique, n), "request": {"method": "POST", "url": "Observation"}}
        for n in range(10)
    ]
    assert (await system.transaction(*entries)).status == 200
    found = await told(hook, 10)
    assert [number for each in found for number in each.numbers] == list(range(1, 11))
    assert max(len(each.numbers) for each in found) == 4
    assert {each.value("events-since-subscription-start") for each in found} == {"10"}


@pytest.mark.subscription(93, 102)
async def test_heartbeats_come_and_count_nothing(system: Caller, served: Settings, hook: Receiver, unique: str) -> None:
    id_ = await active(system, topical.subscription("observation", hook.url, f"patient=Patient/{unique}", heartbeat=1))
    await hook.until(lambda: len(notices(hook.got, "heartbeat")) >= 2)
    assert all(each.value("events-since-subscription-start") == "0" for each in notices(hook.got, "heartbeat"))
    beats = [each.at for each in hook.got if Notice.of(each).kind == "heartbeat"]
    assert 0.8 <= beats[1] - beats[0] <= 3
    off = topical.subscription("observation", hook.url, heartbeat=1) | {"id": id_, "status": "off"}
    assert (await system.put(f"Subscription/{id_}", off)).status == 200


@pytest.mark.subscription(97)
async def test_a_timeout_is_kept(system: Caller, served: Settings, hook: Receiver, unique: str) -> None:
    hook.answer = lambda *_: 5.0
    made = topical.subscription("observation", hook.url, f"patient=Patient/{unique}", timeout=1)
    answer = await system.post("Subscription", made)
    assert (await given.until_status(system.tenant, answer.id, "error")).startswith("handshake-timeout")


@pytest.mark.subscription(48, 52, 57, 58, 114, 120, 121)
async def test_the_capability_statement_says_so(system: Caller) -> None:
    statement = (await system.get("metadata")).json
    guide = "http://hl7.org/fhir/uv/subscriptions-backport/"
    assert f"{guide}CapabilityStatement/backport-subscription-server-r4" in statement["instantiates"]
    [resource] = [each for each in statement["rest"][0]["resource"] if each["type"] == "Subscription"]
    assert f"{guide}StructureDefinition/backport-subscription" in resource["supportedProfile"]
    url = f"{guide}StructureDefinition/capabilitystatement-subscriptiontopic-canonical"
    named = {each["valueCanonical"] for each in resource["extension"] if each["url"] == url}
    assert set(store.shipped()) <= named
    assert {"status", "events", "topics", "get-ws-binding-token"} <= {each["name"] for each in resource["operation"]}
    assert {"url", "status"} <= {each["name"] for each in resource["searchParam"]}
    assert {"create", "read", "update", "delete", "patch"} <= {each["code"] for each in resource["interaction"]}


async def test_without_rights_on_the_type_it_is_refused(system: Caller, unique: str) -> None:
    other = await caller(system._http, system.tenant, "system/Subscription.cruds")
    answer = await other.post("Subscription", topical.subscription("observation", "http://127.0.0.1:9/x"))
    assert (answer.status, answer.issue) == (422, "subscription-criteria-not-permitted")
