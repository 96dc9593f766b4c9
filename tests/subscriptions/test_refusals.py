"""What is not served is refused when it is written, and says which part it is."""

from __future__ import annotations

from typing import Any

import pytest

from fhir_server.storage.tenants import Tenant
from tests.http.client import Caller, caller
from tests.subscriptions import topical

HOOK = "http://127.0.0.1:9/hook"
R5 = "http://hl7.org/fhir/5.0/StructureDefinition/extension-Subscription.topic"


def made(topic: str = "observation", *filters: str, **more: Any) -> dict[str, Any]:
    return topical.subscription(topic, more.pop("endpoint", HOOK), *filters, **more)


def channel_type(code: str) -> dict[str, Any]:
    resource = made()
    resource["channel"]["_type"] = {"extension": [topical.extension("channel-type", valueCoding={"code": code})]}
    return resource


def twice() -> dict[str, Any]:
    resource = made(heartbeat=10)
    resource["channel"]["extension"] *= 2
    return resource


REFUSED = [
    (made("http://example.org/topics/none"), "topic-unknown", "criteria"),
    (made() | {"criteria": "Observation?patient=1"}, "topic-expected", "criteria"),
    (made("observation", "Observation?performer:missing=true&bodysite=x"), "filter-not-supported", "criteria.extension"),
    (made("observation", "Encounter?patient=Patient/1"), "filter-not-supported", "criteria.extension"),
    (made("observation", "date=notadate"), "filter-invalid", "criteria.extension"),
    (made("observation", "patient.name=x"), "filter-not-supported", "criteria.extension"),
    (made("observation", "Observation?patient"), "filter-invalid", "criteria.extension"),
    (made("alert", "code=x"), "filter-ambiguous", "criteria.extension"),
    (made(kind="sms"), "channel-not-supported", "channel.type"),
    (channel_type("carrier-pigeon"), "channel-not-supported", "channel.type"),
    (made(content=None), "content-not-supported", "channel.payload.extension"),
    (made(content="everything"), "content-not-supported", "channel.payload.extension"),
    (made(mime=None), "payload-not-supported", "channel.payload"),
    (made(mime="text/plain"), "payload-not-supported", "channel.payload"),
    (made(mime="application/fhir+json; fhirVersion=5.0"), "payload-not-supported", "channel.payload"),
    (made(kind="email", endpoint="mailto:a@b.de", content="full-resource"), "content-not-supported", "channel.payload.extension"),
    (made(kind="email", endpoint="mailto:a@b.example"), "channel-not-supported", "channel.type"),
    (made(kind="websocket"), "endpoint-not-expected", "channel.endpoint"),
    (made(endpoint=None), "endpoint-missing", "channel.endpoint"),
    (made(endpoint="http://93.184.216.34/hook"), "endpoint-not-https", "channel.endpoint"),
    (made(endpoint="https://169.254.169.254/latest"), "endpoint-not-public", "channel.endpoint"),
    (made(endpoint="https://10.1.2.3/x"), "endpoint-not-public", "channel.endpoint"),
    (made(heartbeat=0), "extension-invalid", "channel.extension"),
    (made(timeout=0), "extension-invalid", "channel.extension"),
    (twice(), "extension-invalid", "channel.extension"),
    (made() | {"extension": [{"url": R5, "valueUri": "http://example.org/t"}]}, "extension-not-supported", "channel.extension"),
    (made() | {"extension": [topical.extension("notify", valueCode="x")]}, "extension-not-supported", "channel.extension"),
    (made() | {"end": "2020-01-01T00:00:00Z"}, "ended", "end"),
    (made(headers=["Host: other"]), "header-not-allowed", "channel.header"),
]  # fmt: skip


@pytest.mark.parametrize(("resource", "reason", "where"), REFUSED)
@pytest.mark.subscription(8, 9, 10, 11, 12, 13, 32, 36, 60, 63, 66, 75, 90, 137)
async def test_what_cannot_be_served_is_refused(
    system: Caller, resource: dict[str, Any], reason: str, where: str
) -> None:
    answer = await system.post("Subscription", resource)
    assert (answer.status, answer.issue) == (422, f"subscription-{reason}"), answer.text
    assert answer.expressions == [f"Subscription.{where}"]


async def test_so_it_is_in_a_transaction_in_an_update_and_in_a_patch(system: Caller, unique: str) -> None:
    bad = made("http://example.org/topics/none")
    entry = {"resource": bad, "request": {"method": "POST", "url": "Subscription"}}
    other = {
        "resource": {"resourceType": "Patient", "id": unique},
        "request": {"method": "PUT", "url": f"Patient/{unique}"},
    }
    answer = await system.transaction(other, entry)
    assert (answer.status, answer.issue) == (422, "subscription-topic-unknown")
    assert (await system.get(f"Patient/{unique}")).status == 404
    good = await system.post("Subscription", made())
    assert good.status == 201
    assert (await system.put(f"Subscription/{good.id}", bad | {"id": good.id})).status == 422
    patch = [{"op": "replace", "path": "/criteria", "value": "http://example.org/topics/none"}]
    answer = await system.send("PATCH", f"Subscription/{good.id}", patch, content_type="application/json-patch+json")
    assert (answer.status, answer.issue) == (422, "subscription-topic-unknown")
    assert (await system.put(f"Subscription/{good.id}", bad | {"id": good.id, "status": "off"})).status == 200


@pytest.mark.subscription(59, 125)
async def test_what_is_served_is_taken(system: Caller) -> None:
    for resource in (
        made("observation", "patient=Patient/1&code=http://loinc.org|8867-4", "Observation.date=gt2020"),
        made("encounter-start", "Encounter?patient=Patient/1"),
        made("alert", "DetectedIssue?code=x", "patient=Patient/1"),
        made(kind="websocket", endpoint=None),
        made(kind="message", heartbeat=60, timeout=5, most=10),
        channel_type("rest-hook"),
        made(mime="application/fhir+json;fhirVersion=4.0.1"),
    ):
        answer = await system.post("Subscription", resource)
        assert answer.status == 201, answer.text


def own_topic(url: str, **trigger: Any) -> dict[str, Any]:
    stem = "http://hl7.org/fhir/5.0/StructureDefinition/extension-SubscriptionTopic."
    parts = [{"url": "resource", "valueUri": "http://hl7.org/fhir/StructureDefinition/Observation"}]
    parts += [
        {"url": "supportedInteraction", "valueCode": "create"},
        {"url": "supportedInteraction", "valueCode": "update"},
    ]
    query = [{"url": name, "valueString": value} for name, value in trigger.items() if name in ("previous", "current")]
    query += [{"url": "resultForCreate", "valueCode": trigger["create"]}] if "create" in trigger else []
    query += [{"url": "requireBoth", "valueBoolean": True}] if "previous" in trigger and "current" in trigger else []
    if query:
        parts.append({"url": "queryCriteria", "extension": query})
    if "path" in trigger:
        parts.append({"url": "fhirPathCriteria", "valueString": trigger["path"]})
    return {
        "resourceType": "Basic",
        "extension": [
            {"url": stem + "url", "valueUri": url},
            {"url": stem + "status", "valueCode": "active"},
            {"url": stem + "title", "valueString": "Own"},
            {"url": stem + "resourceTrigger", "extension": parts},
            {"url": stem + "canFilterBy", "extension": [{"url": "filterParameter", "valueString": "patient"}]},
        ],
        "code": {"coding": [{"system": "http://hl7.org/fhir/fhir-types", "code": "SubscriptionTopic"}]},
    }


async def test_topics_are_kept_by_administrators(system: Caller, tenant: Tenant, unique: str) -> None:
    url = f"http://example.org/topics/{unique}"
    other = await caller(system._http, tenant, "system/Basic.cruds")
    answer = await other.post("Basic", own_topic(url))
    assert (answer.status, answer.issue) == (403, "topic-administrators")
    assert (await other.post("Basic", {"resourceType": "Basic", "code": {"text": "something else"}})).status == 201
    assert (await system.post("Basic", own_topic(url))).status == 201
    answer = await system.post("Basic", own_topic(url))
    assert (answer.status, answer.issue) == (422, "topic-taken")


@pytest.mark.parametrize(
    ("trigger", "issue"),
    [({"current": "bogus=1"}, "filter-invalid"), ({"current": "patient.name=x"}, "filter-not-supported"),
     ({"current": "_sort=date"}, "filter-invalid"), ({"path": "((("}, "topic-fhirpath"),
     ({"current": "status=final", "create": "never"}, "topic-query")],
)  # fmt: skip
async def test_a_topic_that_cannot_be_served_is_refused(
    system: Caller, unique: str, trigger: dict[str, str], issue: str
) -> None:
    answer = await system.post("Basic", own_topic(f"http://example.org/topics/{unique}", **trigger))
    assert (answer.status, answer.issue) == (422, issue)
