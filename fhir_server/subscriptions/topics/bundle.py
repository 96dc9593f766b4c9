"""Notifications as Bundles of type history, headed by the Subscription's status (Backport 1.1: notifications.html, payloads.html).

R4 has no SubscriptionStatus: it is a Parameters resource of the profile backport-subscription-status-r4.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal

from fhir_server.kit import clock, ids, json
from fhir_server.kit.clock import instant
from fhir_server.model.xml.write import to_xml
from fhir_server.storage.commands import DELETE, POST
from fhir_server.storage.reads import Stored
from fhir_server.subscriptions.topics.wants import Content

Json = dict[str, Any]
Kind = Literal["handshake", "heartbeat", "event-notification", "query-status", "query-event"]

_STEM: Final = "http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition/"
STATUS: Final = _STEM + "backport-subscription-status-r4"
NOTIFICATION: Final = _STEM + "backport-subscription-notification-r4"
_ISSUE: Final = "https://fhir.clarity.example/issue"


@dataclass(frozen=True, slots=True)
class About:
    """The Subscription that a notification is of, as it stands."""

    base: str
    id: str
    status: str
    events: int
    topic: str | None
    content: Content
    error: str | None = None

    @property
    def url(self) -> str:
        """The address of the Subscription."""
        return f"{self.base}/Subscription/{self.id}"


@dataclass(frozen=True, slots=True)
class Told:
    """One event: its number, when it happened, and what it is about; `focus` is None where that may not be seen (any more)."""

    number: int
    moment: datetime
    method: int = 0
    focus: Stored | None = field(default=None, repr=False)


def status(about: About, kind: Kind, told: Sequence[Told] = ()) -> Json:
    """Return the Parameters that say how the Subscription stands and which events are told."""
    parameters: list[Json] = [_reference("subscription", about.url)]
    if about.topic and (about.content != "empty" or kind == "query-status"):
        parameters.append({"name": "topic", "valueCanonical": about.topic})
    parameters += [
        {"name": "status", "valueCode": about.status},
        {"name": "type", "valueCode": kind},
        {"name": "events-since-subscription-start", "valueString": str(about.events)},
    ]
    parameters += [{"name": "notification-event", "part": _event(about, each)} for each in told]
    if about.error:
        error = {"coding": [{"system": _ISSUE, "code": about.error}], "text": about.error}
        parameters.append({"name": "error", "valueCodeableConcept": error})
    return {
        "resourceType": "Parameters", "id": ids.uuid_(), "meta": {"profile": [STATUS]}, "parameter": parameters,
    }  # fmt: skip


def notification(about: About, kind: Kind, told: Sequence[Told] = ()) -> Json:
    """Return the Bundle of a notification."""
    head = status(about, kind, told)
    entries: list[Json] = [
        {
            "fullUrl": f"urn:uuid:{head['id']}",
            "resource": head,
            "request": {"method": "GET", "url": f"{about.url}/$status"},
            "response": {"status": "200"},
        }
    ]
    seen: set[tuple[str, int]] = set()
    for each in told:
        if about.content == "empty" or each.focus is None:
            continue
        at = (f"{each.focus.type}/{each.focus.id}", each.focus.version)
        if at not in seen:
            seen.add(at)
            entries.append(_entry(about, each, each.focus))
    return {
        "resourceType": "Bundle",
        "id": ids.uuid_(),
        "meta": {"profile": [NOTIFICATION]},
        "type": "history",
        "timestamp": instant(clock.now()),
        "entry": entries,
    }


def message(about: About, inner: Json, destination: str) -> Json:
    """Return the message that carries a notification (channel `message`): MessageHeader first, the notification as its focus."""
    header = {
        "resourceType": "MessageHeader",
        "id": ids.uuid_(),
        "eventUri": "http://hl7.org/fhir/uv/subscriptions-backport/notification",
        "destination": [{"endpoint": destination}],
        "source": {"name": "Clarity", "endpoint": about.base},
        "focus": [{"reference": f"urn:uuid:{inner['id']}"}],
    }
    return {
        "resourceType": "Bundle",
        "id": ids.uuid_(),
        "type": "message",
        "timestamp": inner["timestamp"],
        "entry": [
            {"fullUrl": f"urn:uuid:{header['id']}", "resource": header},
            {"fullUrl": f"urn:uuid:{inner['id']}", "resource": inner},
        ],
    }


def encoded(resource: Json, mime: str) -> bytes:
    """Return the bytes of a resource in the MIME type that was asked for."""
    body = json.encode(resource)
    return to_xml(body, pretty=False) if "xml" in mime.split(";")[0].lower() else body


def _event(about: About, told: Told) -> list[Json]:
    parts: list[Json] = [
        {"name": "event-number", "valueString": str(told.number)},
        {"name": "timestamp", "valueInstant": instant(told.moment)},
    ]
    if told.focus is not None and about.content != "empty":
        parts.append(_reference("focus", f"{about.base}/{told.focus.type}/{told.focus.id}"))
    return parts


def _reference(name: str, url: str) -> Json:
    return {"name": name, "valueReference": {"reference": url}}


def _entry(about: About, told: Told, focus: Stored) -> Json:
    """Return the entry of what changed: with the resource only where full resources are asked for and one is left."""
    path = f"{focus.type}/{focus.id}"
    entry: Json = {"fullUrl": f"{about.base}/{path}"}
    if told.method == DELETE:
        return entry | {"request": {"method": "DELETE", "url": path}, "response": {"status": "204"}}
    if about.content == "full-resource":
        entry["resource"] = json.decode_trusted(focus.body)
    created = told.method == POST
    request = {"method": "POST", "url": focus.type} if created else {"method": "PUT", "url": path}
    response = {
        "status": "201" if created or focus.version == 1 else "200",
        "etag": f'W/"{focus.version}"',
        "lastModified": instant(focus.last_updated),
    }
    return entry | {"request": request, "response": response}
