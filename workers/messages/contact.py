"""The contact points of a recipient, in a normal form, in the order in which they are to be used."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from profiles.psych import messages as codes
from workers.messages.port import Channel

Resource = dict[str, Any]
MEDIA: Final = "http://terminology.hl7.org/CodeSystem/v3-ParticipationMode"
_CHANNELS: Final[dict[str, Channel]] = {"SMSWRIT": "sms", "EMAILWRIT": "email"}
_NUMBER: Final = re.compile(r"\+[1-9]\d{6,14}")
_MAIL: Final = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.)+[A-Za-z0-9-]{2,63}")
_LAST: Final = 1 << 16


@dataclass(frozen=True, slots=True)
class Point:
    """One contact point; `detail` is how much a message there may tell the patient."""

    channel: Channel
    value: str = field(repr=False)
    detail: str = "none"

    @property
    def domain(self) -> str:
        """The domain of a mail address."""
        return self.value.rpartition("@")[2]


def normal(channel: Channel, text: str) -> str | None:
    """Return a number as E.164, an address with its domain in lower case; None when it is neither.

    A number needs its country: one without `+` or `00` says nothing of where it is.
    """
    text = text.strip()
    if channel == "email":
        local, _, domain = text.removeprefix("mailto:").rpartition("@")
        found = f"{local}@{domain.lower()}"
        return found if _MAIL.fullmatch(found) else None
    digits = re.sub(r"[\s().\-/]", "", text.removeprefix("tel:"))
    digits = f"+{digits[2:]}" if digits.startswith("00") else digits
    return digits if _NUMBER.fullmatch(digits) else None


def channel_of(text: str) -> Channel:
    """Return the channel that somebody means by an address."""
    return "email" if "@" in text else "sms"


def asked_media(communication: Resource) -> tuple[bool, list[Channel]]:
    """Return whether the Communication asks for media, and the channels that these are, in their order."""
    asked = [coding for concept in communication.get("medium", ()) for coding in concept.get("coding", ())]
    named = [_CHANNELS[each["code"]] for each in asked if each.get("system") == MEDIA and each.get("code") in _CHANNELS]
    return bool(communication.get("medium")), list(dict.fromkeys(named))


def points(holder: Resource, now: datetime, base: str) -> Iterator[Point | None]:
    """Yield the contact points by rank, text messages before mail; None for one that cannot be used as it is written."""
    telecom = [each for each in holder.get("telecom", ()) if _current(each, now)]
    for each in sorted(telecom, key=lambda one: int(one.get("rank", _LAST))):
        channel = _channel(each)
        if channel is not None:
            value = normal(channel, each.get("value", ""))
            yield None if value is None else Point(channel, value, _detail(each, base))


def _channel(point: Resource) -> Channel | None:
    """Return how messages go there: a telephone only where it is said to be a mobile one."""
    system = point.get("system")
    if system == "email":
        return "email"
    mobile = system == "sms" or (system == "phone" and point.get("use") == "mobile")
    return "sms" if mobile else None


def _current(point: Resource, now: datetime) -> bool:
    if point.get("use") == "old":
        return False
    end, today = str(point.get("period", {}).get("end", ""))[:10], now.date().isoformat()
    return not end or end >= today[: len(end)]


def _detail(point: Resource, base: str) -> str:
    said = [each.get("valueCode") for each in point.get("extension", ()) if each.get("url") == codes.detail(base)]
    return said[0] if said and said[0] in codes.DETAILS else "none"


def ordered(found: Sequence[Point], wanted: Sequence[Channel]) -> list[Point]:
    """Return the points of some channels, in the order of the channels, or as they stand when none is wanted."""
    if not wanted:
        return list(found)
    return [point for channel in wanted for point in found if point.channel == channel]


def language_of(holder: Resource) -> str | None:
    """Return the language that somebody is to be written to in: the preferred one first."""
    spoken = holder.get("communication", [])
    if holder.get("resourceType") in ("Patient", "RelatedPerson"):
        first = sorted(spoken, key=lambda each: not each.get("preferred"))
        spoken = [each.get("language", {}) for each in first]
    tags = [coding.get("code") for concept in spoken for coding in concept.get("coding", ())]
    return next((tag for tag in tags if tag), None) or holder.get("language")
