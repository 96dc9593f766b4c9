"""What a topic-based Subscription asks for, read strictly: everything that is not served is named (Backport 1.1, R4 profile).

criteria            the canonical of a topic; extension backport-filter-criteria, ANDed: [Type?]param[:modifier]=value&...
channel.payload     MIME type; extension backport-payload-content: empty | id-only | full-resource
channel             extensions backport-heartbeat-period, backport-timeout, backport-max-count; type's backport-channel-type
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final, Literal

from fhir_server.subscriptions.refusal import Refusal
from fhir_server.subscriptions.topics.topic import Filter, Params, Topic, parameters, search
from profiles.registry import R4

STEM: Final = "http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition/backport-"
PROFILE: Final = "http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition/backport-subscription"
CHANNELS: Final = frozenset({"rest-hook", "websocket", "email", "message"})
_R5: Final = "http://hl7.org/fhir/5.0/StructureDefinition/extension-Subscription."
_MIMES: Final = frozenset({"application/fhir+json", "application/json", "application/fhir+xml", "application/xml"})
_CANONICAL: Final = re.compile(r"(?:https?://|urn:)[^\s?]{1,2000}")
_PREFIXES: Final = frozenset({"eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap"})
_KNOWN: Final = frozenset(
    {"filter-criteria", "payload-content", "heartbeat-period", "timeout", "max-count", "channel-type"}
)
_LONGEST: Final = 86_400

Content = Literal["empty", "id-only", "full-resource"]
Filters = dict[str, Params]


@dataclass(frozen=True, slots=True)
class Wants:
    """What is asked for, apart from the endpoint."""

    topic: str
    channel: str
    content: Content
    mime: str
    heartbeat: int | None = None
    timeout: int | None = None
    most: int | None = None


def topical(subscription: dict[str, Any]) -> bool:
    """Tell whether a Subscription is topic-based, or tries to be one."""
    criteria = str(subscription.get("criteria", ""))
    profiles = subscription.get("meta", {}).get("profile", ())
    claims = any(str(each).split("|")[0] == PROFILE for each in profiles)
    used = any(url.startswith((STEM, _R5)) for url in _urls(subscription))
    return bool(_CANONICAL.match(criteria)) or claims or used


def read(subscription: dict[str, Any]) -> Wants:
    """Return what a topic-based Subscription asks for; Refusal says which part is not served."""
    criteria, channel = subscription.get("criteria", ""), subscription.get("channel", {})
    _refuse_unknown(subscription)
    if not _CANONICAL.fullmatch(criteria):
        raise Refusal("topic-expected", "criteria is the canonical URL of a topic; filters are extensions of it.")
    kind = _one(channel.get("_type"), "channel-type")
    code = (kind.get("code") if isinstance(kind, dict) else kind) or channel.get("type")
    if code not in CHANNELS:
        raise Refusal("channel-not-supported", f"Channels are {', '.join(sorted(CHANNELS))}.")
    content = _one(channel.get("_payload"), "payload-content")
    if content not in ("empty", "id-only", "full-resource"):
        text = "channel.payload needs the extension backport-payload-content: empty, id-only or full-resource."
        raise Refusal("content-not-supported", text)
    if code == "email" and content == "full-resource":
        raise Refusal("content-not-supported", "Full resources are not sent by e-mail: ask for empty or id-only.")
    return Wants(
        criteria,
        code,
        content,
        _mime(channel.get("payload")),
        _number(channel, "heartbeat-period"),
        _number(channel, "timeout"),
        _number(channel, "max-count"),
    )


def filters(subscription: dict[str, Any], topic: Topic, base: str) -> Filters:
    """Return the filter of each type of the topic; a type that a filter is not about is told without it."""
    found: Filters = dict.fromkeys(topic.types, ())
    for text in _all(subscription.get("_criteria"), "filter-criteria"):
        if not isinstance(text, str) or not text:
            raise Refusal(
                "filter-invalid", "backport-filter-criteria is a valueString such as Encounter?patient=Patient/1."
            )
        type_, params = _split(text, topic)
        types = [each for each in topic.types if _allows(topic, each, params)] if type_ is None else [type_]
        if not types or not all(_allows(topic, each, params) for each in types):
            named = ", ".join(sorted({each.parameter for each in topic.filters}))
            raise Refusal("filter-not-supported", f"The topic does not define this filter; it has {named}.")
        if type_ is None and len(types) < len(topic.types):
            text = (
                "The topic has several types and not all have this filter: name the type, as in Type?parameter=value."
            )
            raise Refusal("filter-ambiguous", text)
        for each in types:
            search(each, params, base)
            found[each] += params
    return found


def _split(text: str, topic: Topic) -> tuple[str | None, Params]:
    """Return the type that a filter names, None for every one, and its parameters."""
    head, mark, rest = text.partition("?")
    if mark and R4.is_type(head):
        if head not in topic.types:
            raise Refusal(
                "filter-not-supported", f"The topic is not about this type, but about {', '.join(topic.types)}."
            )
        return head, parameters(rest)
    head, mark, rest = text.partition(".")
    if mark and R4.is_type(head) and head in topic.types:
        return head, parameters(rest)
    params = parameters(text)
    if not params:
        raise Refusal("filter-invalid", "backport-filter-criteria is [Type?]parameter=value.")
    return None, params


def _allows(topic: Topic, type_: str, params: Params) -> bool:
    return all(any(_fits(each, type_, name, value) for each in topic.filters) for name, value in params)


def _fits(filter_: Filter, type_: str, name: str, value: str) -> bool:
    plain, _, modifier = name.partition(":")
    if filter_.parameter != plain or filter_.type not in ("", type_) or plain not in R4.params(type_):
        return False
    if modifier and filter_.modifiers is not None and modifier not in filter_.modifiers:
        return False
    kind = R4.params(type_)[plain].kind
    if filter_.comparators is None or kind not in ("date", "number", "quantity"):
        return True
    return all((part[:2] if part[:2] in _PREFIXES else "eq") in filter_.comparators for part in value.split(","))


def _mime(text: str | None) -> str:
    if not text:
        raise Refusal(
            "payload-not-supported", "A topic-based Subscription says channel.payload, such as application/fhir+json."
        )
    kind, *given = [part.strip() for part in text.split(";")]
    if kind.lower() not in _MIMES:
        raise Refusal("payload-not-supported", "channel.payload is application/fhir+json or application/fhir+xml.")
    for each in given:
        name, _, value = each.partition("=")
        if name.lower() == "fhirversion" and value.strip('"') not in ("4.0", "4.0.1"):
            raise Refusal("payload-not-supported", "Notifications are FHIR 4.0.")
        if not each.isascii() or not each.isprintable():
            raise Refusal("payload-not-supported", "channel.payload is a MIME type.")
    return text


def _number(channel: dict[str, Any], name: str) -> int | None:
    value = _one(channel, name)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value <= _LONGEST:
        raise Refusal("extension-invalid", f"backport-{name} is a whole number from 1 to {_LONGEST}.")
    return value


def _refuse_unknown(subscription: dict[str, Any]) -> None:
    for url in _urls(subscription):
        if url.startswith(_R5):
            raise Refusal(
                "extension-not-supported", "Extensions of R5 itself are not understood: use those of the backport."
            )
        if url.startswith(STEM) and url.removeprefix(STEM) not in _KNOWN:
            raise Refusal(
                "extension-not-supported", f"Extensions of the backport that are served: {', '.join(sorted(_KNOWN))}."
            )


def _urls(value: Any) -> set[str]:
    """Return the URLs of all extensions, however deep."""
    if isinstance(value, list):
        return {url for each in value for url in _urls(each)}
    if not isinstance(value, dict):
        return set()
    own = {str(each.get("url", "")) for name in ("extension", "modifierExtension") for each in value.get(name, ())}
    return own | {url for each in value.values() for url in _urls(each)}


def _all(element: dict[str, Any] | None, name: str) -> list[Any]:
    given = (element or {}).get("extension", ())
    found = [each for each in given if each.get("url") == STEM + name]
    return [next((v for k, v in each.items() if k.startswith("value")), None) for each in found]


def _one(element: dict[str, Any] | None, name: str) -> Any:
    found = _all(element, name)
    if len(found) > 1:
        raise Refusal("extension-invalid", f"backport-{name} is given once.")
    return found[0] if found else None
