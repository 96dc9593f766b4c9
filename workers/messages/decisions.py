"""Whether, where and when a message goes: a pure function, each refusal and each wait with its reason."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta, tzinfo
from typing import Any, Final

from workers.messages.contact import Point, ordered
from workers.messages.port import Channel

COMPANY: Final = ("bundling", "quiet-hours", "provider-away")
"""Reasons to wait of messages that may go along with another one to the same place."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What holds for everybody, from the settings."""

    quiet: tuple[time, time] | None
    daily_limit: int
    bundle: timedelta
    channels: frozenset[Channel]
    staff_domains: frozenset[str]


@dataclass(frozen=True, slots=True)
class Case:
    """What is known of one message and its recipient; `points` hold None for what cannot be used as it is written."""

    recipient: Mapping[str, Any] | None
    points: Sequence[Point | None]
    media: tuple[bool, Sequence[Channel]]
    verified: Collection[Point]
    opted_out: Collection[Point]
    """Points whose owners want no messages there."""
    zone: tzinfo
    urgent: bool
    today: int
    last: datetime | None
    created: datetime
    over: bool = False
    """What the message is about has passed, or is off."""
    allowed: bool = True
    """Who wrote the Communication may have messages sent."""
    refused: Collection[Point] = ()
    """Points at which this message was refused for good."""


@dataclass(frozen=True, slots=True)
class Send:
    """It goes now, to this place."""

    point: Point


@dataclass(frozen=True, slots=True)
class Wait:
    """It goes later, and if nothing changes, to this place."""

    reason: str
    until: datetime
    point: Point


@dataclass(frozen=True, slots=True)
class Refuse:
    """It never goes."""

    reason: str


Verdict = Send | Wait | Refuse


def decide(case: Case, rules: Rules, now: datetime) -> Verdict:
    """Return what is to be done; refusals come before waits, so that what waits will go."""
    if not case.allowed:
        return Refuse("not-allowed")
    if case.recipient is None:
        return Refuse("recipient-not-served")
    if reason := _person(case):
        return Refuse(reason)
    found = _place(case, rules)
    if isinstance(found, Refuse):
        return found
    if case.today >= rules.daily_limit and not case.urgent:
        return Refuse("daily-limit")
    if not case.urgent and rules.quiet and (until := quiet_until(now, case.zone, *rules.quiet)):
        return Wait("quiet-hours", until, found)
    return _bundled(case, rules, now, found)


def _person(case: Case) -> str | None:
    assert case.recipient is not None
    if case.over:
        return "too-late"
    if case.recipient.get("active") is False:
        return "recipient-inactive"
    dead = case.recipient.get("deceasedBoolean") is True or "deceasedDateTime" in case.recipient
    return "recipient-deceased" if dead else None


def _place(case: Case, rules: Rules) -> Point | Refuse:
    """Return the first contact point that may be used, or why none may: the reason that comes closest."""
    named, media = case.media
    if named and not media:
        return Refuse("medium-not-served")
    usable = [point for point in case.points if point is not None]
    found = ordered(usable, media)
    if not found:
        return Refuse("address-malformed" if len(usable) < len(case.points) else "no-contact-point")
    served = [point for point in found if point.channel in rules.channels]
    if not served:
        return Refuse("no-transport")
    wanted = [point for point in served if point not in case.opted_out]
    if not wanted:
        return Refuse("opted-out")
    wanted = [point for point in wanted if point not in case.refused]
    if not wanted:
        return Refuse("provider-refused")
    staff = case.recipient is not None and case.recipient.get("resourceType") in ("Practitioner", "PractitionerRole")
    for point in wanted:
        if point in case.verified or (staff and point.domain in rules.staff_domains):
            return point
    return Refuse("not-verified")


def _bundled(case: Case, rules: Rules, now: datetime, point: Point) -> Send | Wait:
    """Return a wait for company: of what is not urgent at first, of anything shortly after another of its reason."""
    until = now if case.urgent else case.created + rules.bundle
    if case.last is not None:
        until = max(until, case.last + rules.bundle)
    return Wait("bundling", until, point) if until > now else Send(point)


def quiet_until(now: datetime, zone: tzinfo, start: time, end: time) -> datetime | None:
    """Return when the quiet hours end that hold now in a zone; None when none do. Equal ends mean none."""
    local = now.astimezone(zone)
    clock = local.timetz().replace(tzinfo=None)
    overnight = start > end
    inside = (clock >= start or clock < end) if overnight else start <= clock < end
    if start == end or not inside:
        return None
    day = local.date() + timedelta(days=1 if overnight and clock >= start else 0)
    return datetime.combine(day, end, zone).astimezone(now.tzinfo)


def quiet_hours(text: str) -> tuple[time, time] | None:
    """Return the hours of the setting."""
    if text == "none":
        return None
    start, _, end = text.partition("-")
    return time.fromisoformat(start), time.fromisoformat(end)
