"""`$status`, `$events`, `$topics`, `$webhook-secret`, dead letters: through the API, with a worker beside it."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
from datetime import timedelta
from typing import Any

import pytest

from fhir_server.settings import Settings
from fhir_server.subscriptions import breaker, schedule
from fhir_server.subscriptions.topics import store
from tests.http.client import Caller, caller
from tests.subscriptions import subscribing as given
from tests.subscriptions import topical
from tests.subscriptions.receiver import Receiver
from tests.subscriptions.test_refusals import own_topic
from tests.subscriptions.test_topics import active, told
from tests.subscriptions.topical import Notice


async def events(system: Caller, id_: str, query: str = "") -> Notice:
    answer = await system.get(f"Subscription/{id_}/$events{query}")
    assert answer.status == 200, answer.text
    return Notice(answer.json)


async def observe(system: Caller, patient: str, count: int) -> list[str]:
    return [(await system.post("Observation", given.observation(patient, n))).id for n in range(count)]


async def statuses(system: Caller, query: str) -> dict[str, Notice]:
    answer = await system.get(f"Subscription/$status{query}")
    assert answer.status == 200, answer.text
    assert answer.json["type"] == "searchset"
    found = [Notice({"entry": [entry]}) for entry in answer.json.get("entry", ())]
    assert answer.json["total"] == len(found)
    return {each.value("subscription")["reference"].rsplit("/", 1)[1]: each for each in found}


@pytest.mark.subscription(47, 106, 107, 108, 109, 110, 111, 112, 121)
async def test_status_of_one_and_of_many(system: Caller, served: Settings, hook: Receiver, unique: str) -> None:
    one, two = [
        await active(system, topical.subscription("observation", hook.url, f"patient=Patient/{unique}")) for _ in "ab"
    ]
    off = await system.post("Subscription", topical.subscription("observation", hook.url) | {"status": "off"})
    await observe(system, unique, 2)
    await told(hook, 4)
    answer = await system.get(f"Subscription/{one}/$status?id={two}&status=off")
    [entry] = answer.json["entry"]
    notice = Notice({"entry": [entry]})
    assert notice.value("subscription")["reference"] == f"{system.tenant.base}/Subscription/{one}"
    assert (notice.kind, notice.value("status")) == ("query-status", "active")
    assert notice.value("events-since-subscription-start") == "2"
    assert notice.value("topic") == topical.TOPIC + "observation"
    assert (await statuses(system, f"?id={one}&id={two}&id={off.id}")).keys() == {one, two, off.id}
    assert (await statuses(system, f"?id={one}&id={off.id}&status=off")).keys() == {off.id}
    assert (await statuses(system, f"?id={one}&id={off.id}&status=off&status=active")).keys() == {one, off.id}
    assert {one, two, off.id} <= (await statuses(system, "")).keys()
    body = {"resourceType": "Parameters", "parameter": [{"name": "id", "valueId": one}]}
    assert len((await system.post("Subscription/$status", body)).json["entry"]) == 1
    assert (await system.get("Subscription/nobody/$status")).status == 404


@pytest.mark.subscription(115, 118, 119)
async def test_events_by_number(system: Caller, served: Settings, hook: Receiver, unique: str) -> None:
    id_ = await active(system, topical.subscription("observation", hook.url, f"patient=Patient/{unique}"))
    made = await observe(system, unique, 5)
    await told(hook, 5)
    all_of_them = await events(system, id_)
    assert (all_of_them.kind, all_of_them.bundle["type"], all_of_them.numbers) == (
        "query-event",
        "history",
        [1, 2, 3, 4, 5],
    )
    assert all_of_them.value("events-since-subscription-start") == "5"
    assert [url.rsplit("/", 1)[1] for url in all_of_them.foci] == made
    assert (await events(system, id_, "?eventsSinceNumber=2&eventsUntilNumber=4")).numbers == [2, 3, 4]
    assert (await events(system, id_, "?eventsSinceNumber=6")).numbers == []
    full = await events(system, id_, "?eventsSinceNumber=5&content=full-resource")
    assert full.entries[1]["resource"]["id"] == made[4]
    empty = await events(system, id_, "?content=empty")
    assert (len(empty.entries), empty.foci, empty.numbers) == (1, [], [1, 2, 3, 4, 5])
    for query in ("?eventsSinceNumber=x", "?eventsUntilNumber=-1", "?content=all", "?bogus=1"):
        assert (await system.get(f"Subscription/{id_}/$events{query}")).status == 400


async def test_events_show_what_author_and_caller_may_see_now(
    system: Caller, served: Settings, hook: Receiver, unique: str
) -> None:
    id_ = await active(system, topical.subscription("observation", hook.url, f"patient=Patient/{unique}"))
    [gone, kept] = await observe(system, unique, 2)
    await told(hook, 2)
    await system.delete(f"Observation/{gone}")
    await told(hook, 3)
    blind = await caller(system._http, system.tenant, "system/Subscription.rs system/Patient.rs")
    seen = await events(blind, id_, "?content=full-resource")
    assert (seen.numbers, seen.foci, len(seen.entries)) == ([1, 2, 3], [], 1)
    mine = await events(system, id_, "?content=full-resource")
    assert mine.numbers == [1, 2, 3]
    assert [event.get("focus", {}).get("reference", "").rsplit("/", 1)[-1] for event in mine.events] == ["", kept, gone]
    other = await caller(system._http, system.tenant, "system/Observation.rs")
    assert (await other.get(f"Subscription/{id_}/$events")).status == 403


@pytest.mark.subscription(16, 77, 78, 79)
async def test_while_in_error_events_are_counted_and_told_when_it_is_served_again(
    system: Caller, served: Settings, hook: Receiver, unique: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schedule, "WAITS", (0.01,) * 3)
    monkeypatch.setattr(schedule, "ATTEMPTS", 3)
    monkeypatch.setattr(breaker, "LONGEST", timedelta(milliseconds=20))
    made = topical.subscription("observation", hook.url, f"patient=Patient/{unique}")
    id_ = await active(system, made)
    hook.answer = lambda *_: 503
    await observe(system, unique, 1)
    await given.until_status(system.tenant, id_, "error")
    await observe(system, unique, 2)

    async def counted() -> bool:
        return (await statuses(system, f"?id={id_}"))[id_].value("events-since-subscription-start") == "3"

    await given.until(counted)
    notice = (await statuses(system, f"?id={id_}"))[id_]
    assert (notice.value("status"), notice.value("error")["text"]) == ("error", "endpoint-status-503")
    assert (await events(system, id_)).numbers == [1, 2, 3]
    # The administrator sees what was given up, and lets it wait again.
    letters = (await system.get("Subscription/$dead-letters")).json["parameter"]
    of_it = [
        each for each in letters if each["name"] == "letter"
        and each["part"][0]["valueReference"]["reference"] == f"Subscription/{id_}"
    ]  # fmt: skip
    assert [each["part"][1]["valueString"] for each in of_it] == ["1"]
    other = await caller(system._http, system.tenant, "system/Subscription.cruds")
    assert (await other.get("Subscription/$dead-letters")).status == 403
    assert (await other.post(f"Subscription/{id_}/$replay", None)).status == 403
    replayed = await system.post(f"Subscription/{id_}/$replay", None)
    assert replayed.json["parameter"] == [{"name": "replayed", "valueInteger": 1}]
    hook.answer = lambda *_: 200
    hook.got.clear()
    assert (await system.put(f"Subscription/{id_}", made | {"id": id_})).status == 200
    found = await told(hook, 3)
    assert [number for each in found for number in each.numbers] == [1, 2, 3]


async def test_signatures(system: Caller, served: Settings, hook: Receiver, unique: str) -> None:
    id_ = await active(system, topical.subscription("observation", hook.url, f"patient=Patient/{unique}"))

    async def secrets(**given_: Any) -> list[bytes]:
        body = {"resourceType": "Parameters", "parameter": [{"name": n, "valueBoolean": v} for n, v in given_.items()]}
        answer = await system.post(f"Subscription/{id_}/$webhook-secret", body if given_ else None)
        return [base64.b64decode(each["valueString"].removeprefix("whsec_")) for each in answer.json["parameter"]]

    [first] = await secrets()
    second, before = await secrets(renew=True)
    assert before == first != second
    await observe(system, unique, 1)
    await told(hook, 1)
    for request, keys in zip(hook.got, ([first], [second, first]), strict=True):
        signed = f"{request.id}.{request.headers['webhook-timestamp']}.".encode() + request.body
        wanted = [b"v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)) for key in keys]
        assert request.headers["webhook-signature"].encode().split() == wanted
    assert (await system.get(f"Subscription/{id_}/$webhook-secret")).status == 405
    reader = await caller(system._http, system.tenant, "system/Subscription.rs")
    assert (await reader.post(f"Subscription/{id_}/$webhook-secret", None)).status == 403


async def test_own_topics_live_and_end(system: Caller, served: Settings, hook: Receiver, unique: str) -> None:
    url = f"http://example.org/topics/{unique}"
    crossing = {"previous": "value-quantity=le100", "current": "value-quantity=gt100", "create": "test-passes"}
    kept = await system.post("Basic", own_topic(url, **crossing))
    listed = (await system.get("Subscription/$topics")).json
    assert listed["total"] >= len(store.shipped()) + 1
    assert kept.id in {entry["resource"]["id"] for entry in listed["entry"]}
    await asyncio.sleep(1.1)
    assert url in (await system.get("metadata")).text
    id_ = await active(system, topical.subscription(url, hook.url, f"patient=Patient/{unique}"))
    made = await system.post("Observation", given.observation(unique, 120))
    for value in (130, 90, 140):
        await system.put(f"Observation/{made.id}", given.observation(unique, value) | {"id": made.id})
    found = await told(hook, 2)
    assert [each.entries[1]["response"]["etag"] for each in found] == ['W/"1"', 'W/"4"']
    changed = own_topic(url, path="%current.value.value > 200 and %previous.value.value < 200") | {"id": kept.id}
    assert (await system.put(f"Basic/{kept.id}", changed)).status == 200

    async def judged() -> bool:
        text = system.tenant.sql("SELECT topic_version = 2 FROM {s}.subscription_state WHERE topic = $1")
        return bool(await system.tenant.pool.fetchval(text, url))

    await given.until(judged)
    for value in (150, 210, 220):
        await system.put(f"Observation/{made.id}", given.observation(unique, value) | {"id": made.id})
    found = await told(hook, 3)
    assert found[-1].entries[1]["response"]["etag"] == 'W/"6"'
    assert (await system.delete(f"Basic/{kept.id}")).status == 204
    assert (await given.until_status(system.tenant, id_, "error")).startswith("topic-unknown")


@pytest.mark.subscription(124, 125, 126, 127, 129, 130, 133, 134)
async def test_it_is_a_resource_like_any_other(system: Caller, unique: str) -> None:
    url = f"http://127.0.0.1:9/{unique}"
    made = await system.post("Subscription", topical.subscription("observation", url))
    assert made.status == 201
    read = await system.get(f"Subscription/{made.id}")
    assert read.json["criteria"] == topical.TOPIC + "observation"
    assert read.json["channel"] == made.json["channel"]
    for query in (f"url={url}", f"url={url}&status=requested,active,error"):
        assert [entry["resource"]["id"] for entry in (await system.get(f"Subscription?{query}")).json["entry"]] == [
            made.id
        ]
    patch = [{"op": "replace", "path": "/reason", "value": "another"}]
    answer = await system.send("PATCH", f"Subscription/{made.id}", patch, content_type="application/json-patch+json")
    assert (answer.status, answer.json["reason"]) == (200, "another")
    assert (await system.delete(f"Subscription/{made.id}")).status == 204
    assert (await system.get(f"Subscription/{made.id}")).status == 410
