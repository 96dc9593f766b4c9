"""Topic-based Subscriptions for tests, and what their receivers are told."""

from __future__ import annotations

import json
from typing import Any

from tests.subscriptions.receiver import Received

STEM = "http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition/backport-"
TOPIC = "https://fhir.clarity.example/SubscriptionTopic/"
STATUS = "http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition/backport-subscription-status-r4"
NOTIFICATION = "http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition/backport-subscription-notification-r4"


def extension(name: str, **value: Any) -> dict[str, Any]:
    return {"url": STEM + name} | value


def subscription(
    topic: str,
    endpoint: str | None,
    *filters: str,
    content: str | None = "id-only",
    mime: str | None = "application/fhir+json",
    kind: str = "rest-hook",
    heartbeat: int | None = None,
    timeout: int | None = None,
    most: int | None = None,
    headers: list[str] | None = None,
    **more: Any,
) -> dict[str, Any]:
    channel: dict[str, Any] = {"type": kind}
    if endpoint is not None:
        channel["endpoint"] = endpoint
    if mime:
        channel["payload"] = mime
    if content:
        channel["_payload"] = {"extension": [extension("payload-content", valueCode=content)]}
    numbers = {"heartbeat-period": heartbeat, "timeout": timeout}
    extensions = [extension(name, valueUnsignedInt=number) for name, number in numbers.items() if number is not None]
    extensions += [extension("max-count", valuePositiveInt=most)] if most is not None else []
    if extensions:
        channel["extension"] = extensions
    if headers:
        channel["header"] = headers
    made: dict[str, Any] = {
        "resourceType": "Subscription",
        "meta": {
            "profile": ["http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition/backport-subscription"]
        },
        "status": "requested",
        "reason": "test",
        "criteria": topic if ":" in topic else TOPIC + topic,
        "channel": channel,
    }
    if filters:
        made["_criteria"] = {"extension": [extension("filter-criteria", valueString=each) for each in filters]}
    return made | more


class Notice:
    """A notification Bundle, taken apart."""

    def __init__(self, bundle: dict[str, Any]) -> None:
        self.bundle = bundle
        self.entries = bundle["entry"]
        self.status = self.entries[0]["resource"]
        self.given = {each["name"]: each for each in self.status["parameter"] if each["name"] != "notification-event"}

    @classmethod
    def of(cls, request: Received) -> Notice:
        return cls(json.loads(request.body))

    def value(self, name: str) -> Any:
        found = self.given.get(name)
        return None if found is None else next(value for key, value in found.items() if key.startswith("value"))

    @property
    def kind(self) -> str:
        return self.value("type")

    @property
    def events(self) -> list[dict[str, Any]]:
        """Each event: number, timestamp, focus."""
        found = [each["part"] for each in self.status["parameter"] if each["name"] == "notification-event"]
        return [
            {part["name"]: next(v for k, v in part.items() if k.startswith("value")) for part in each} for each in found
        ]

    @property
    def numbers(self) -> list[int]:
        return [int(event["event-number"]) for event in self.events]

    @property
    def foci(self) -> list[str]:
        return [event["focus"]["reference"] for event in self.events if "focus" in event]


def notices(requests: list[Received], kind: str | None = "event-notification") -> list[Notice]:
    """Return what came, of one kind or all."""
    found = [Notice.of(request) for request in requests if request.body]
    return [each for each in found if kind is None or each.kind == kind]
