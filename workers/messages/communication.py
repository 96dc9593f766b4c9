"""A Communication as a thing to send: what it asks for, and how what came of it is written back into it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from fhir_server.kit.clock import instant
from fhir_server.storage.messages import Message
from profiles.psych import messages as codes

Resource = dict[str, Any]
URGENT: Final = frozenset({"urgent", "asap", "stat"})
SERVED: Final = ("Patient", "RelatedPerson", "Practitioner", "PractitionerRole")
OURS: Final = frozenset({"preparation", "in-progress", "unknown"})
"""Statuses that are this server's to change."""
_OVER: Final = frozenset({"received", "undelivered", "unknown", "refused", "dead", "withdrawn"})
_PASSING: Final = frozenset({"bundling", "next-contact-point", "provider-away"})
"""Reasons to wait that are over too soon to be worth a version."""
_WENT: Final = frozenset({"sent", "received"})


@dataclass(frozen=True, slots=True)
class Asked:
    """What a Communication asks for: to whom (references as they stand), for what class of reason, how soon."""

    recipients: tuple[str, ...]
    reason: str
    urgent: bool
    category: str
    about: tuple[str, ...]
    subject: str


def asked(resource: Resource, base: str) -> Asked | None:
    """Return what is asked for; None when it is no message of ours to send."""
    category = _code(resource.get("category", ()), codes.category(base))
    if category not in codes.CATEGORIES:
        return None
    reason = _code(resource.get("reasonCode", ()), codes.reason(base))
    return Asked(
        tuple(str(each.get("reference", "")) for each in resource.get("recipient", ())),
        reason if reason in codes.REASONS else "notice",
        resource.get("priority") in URGENT,
        category,
        tuple(str(each.get("reference", "")) for each in resource.get("about", ())),
        str(resource.get("subject", {}).get("reference", "")),
    )


def _code(concepts: Sequence[Resource], system: str) -> str:
    found = (coding for concept in concepts for coding in concept.get("coding", ()) if coding.get("system") == system)
    return next((str(coding.get("code", "")) for coding in found), "")


def content(resource: Resource) -> str:
    """Return the text of the payload."""
    parts = (each.get("contentString", "") for each in resource.get("payload", ()))
    return " ".join(" ".join(part.split()) for part in parts if part)


def status_of(rows: Sequence[Message]) -> str:
    """Return the status that follows from the messages to all recipients."""
    states = {row.state for row in rows}
    if not states <= _OVER:
        return "in-progress" if states & (_WENT | {"undelivered"}) else "preparation"
    if "received" in states:
        return "completed"
    return "unknown" if "unknown" in states else "not-done"


def told(resource: Resource, rows: Sequence[Message], base: str) -> Resource:
    """Return the Communication with what came of its messages: status, reason, sent, received, and of each recipient."""
    made = {name: value for name, value in resource.items() if name not in ("statusReason", "sent", "received")}
    made["status"] = status_of(rows) if rows else "not-done"
    reasons = [row.why for row in rows if row.why and row.why not in _PASSING]
    why = list(dict.fromkeys(reasons)) if rows else ["no-recipient"]
    if why and made["status"] in ("preparation", "not-done", "unknown"):
        system = codes.outcome(base)
        made["statusReason"] = {"coding": [{"system": system, "code": each, "display": _title(each)} for each in why]}
    if sent := [row.sent_at for row in rows if row.sent_at is not None]:
        made["sent"] = instant(min(sent))
    ended = [row.ended_at for row in rows if row.state == "received" and row.ended_at is not None]
    if ended and made["status"] == "completed":
        made["received"] = instant(max(ended))
    by_position = {row.position: row for row in rows if row.state not in ("waiting", "sending")}
    if made.get("recipient"):
        made["recipient"] = [
            _recipient(each, by_position[number], base) if number in by_position else each
            for number, each in enumerate(made["recipient"])
        ]
    return made


def _title(code: str) -> str:
    return codes.OUTCOMES.get(code, code)[:120]


def _recipient(reference: Resource, row: Message, base: str) -> Resource:
    url = codes.delivery(base)
    others = [each for each in reference.get("extension", ()) if each.get("url") != url]
    at = row.ended_at or row.sent_at
    parts: list[Resource] = [{"url": "state", "valueCode": row.state}]
    parts += [{"url": "channel", "valueCode": row.channel}] if row.channel else []
    parts += [{"url": "transport", "valueCode": row.transport}] if row.transport else []
    parts += [{"url": "reason", "valueCode": row.why}] if row.why else []
    parts += [{"url": "at", "valueInstant": instant(at)}] if at else []
    return {**reference, "extension": [*others, {"url": url, "extension": parts}]}
