"""Of what somebody is to be reminded, and when: appointments, and questionnaires that a Task, ServiceRequest or CarePlan asks for.

    Appointment                                   `booked`; REMINDER_HOURS before `start`, its patient and relatives
    Task                                          `focus` or an input is a Questionnaire; due at restriction.period.start, else
                                                  executionPeriod.start, else authoredOn
    ServiceRequest (questionnaireRequest)         due at occurrence[x]
    CarePlan.activity.detail                      instantiatesCanonical is a Questionnaire; due at scheduled[x]

What recurs does so by days, weeks or months on the patient's clock (`repeat.period`, once each); at a time of day that is stated,
else at nine in the morning. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, tzinfo
from decimal import Decimal
from typing import Any, Final

Resource = dict[str, Any]
REQUESTED: Final = "http://hl7.org/fhir/StructureDefinition/servicerequest-questionnaireRequest"
FRESH: Final = timedelta(days=2)
"""What has been due for longer is not reminded of any more: the next occurrence is."""
_MORNING: Final = time(9)
_OPEN: Final = {
    "Task": ("requested", "received", "accepted", "ready", "in-progress"),
    "ServiceRequest": ("active",),
    "CarePlan": ("active",),
}
_ACTIVE: Final = ("not-started", "scheduled", "in-progress")
_MOST: Final = 5000
_PEOPLE: Final = ("Patient/", "RelatedPerson/")


@dataclass(frozen=True, slots=True)
class Due:
    """One occurrence: when to remind whom. `questionnaire` is what would answer it: a canonical URL, or Questionnaire/id."""

    at: datetime
    recipients: tuple[str, ...]
    subject: str
    reason: str
    part: str = ""
    questionnaire: str = ""


def dues(resource: Resource, now: datetime, zone: tzinfo, hours: int) -> Iterator[Due]:
    """Yield what is due now (or was within two days), and the next one of each kind that will be."""
    if resource["resourceType"] == "Appointment":
        yield from _appointment(resource, hours)
    elif resource.get("status") in _OPEN.get(resource["resourceType"], ()):
        subject = str((resource.get("for") or resource.get("subject") or {}).get("reference", ""))
        if subject.startswith("Patient/"):
            for part, canonical, timing in _questionnaires(resource):
                for at in _near(timing, now, zone):
                    yield Due(at, (subject,), subject, "questionnaire", part, canonical)


def _appointment(resource: Resource, hours: int) -> Iterator[Due]:
    start = resource.get("start")
    if resource.get("status") != "booked" or not start:
        return
    coming = [each for each in resource.get("participant", ()) if each.get("status") != "declined"]
    actors = [str(each.get("actor", {}).get("reference", "")) for each in coming]
    people = tuple(actor for actor in actors if actor.startswith(_PEOPLE))
    if people:
        subject = next((each for each in people if each.startswith("Patient/")), "")
        yield Due(datetime.fromisoformat(start) - timedelta(hours=hours), people, subject, "appointment")


def _questionnaires(resource: Resource) -> Iterator[tuple[str, str, Resource]]:
    """Yield (part, questionnaire, what says when) of everything that is asked for."""
    type_ = resource["resourceType"]
    if type_ == "Task":
        period = resource.get("restriction", {}).get("period") or resource.get("executionPeriod") or {}
        start = period.get("start") or resource.get("authoredOn")
        named = [str(resource.get("focus", {}).get("reference", ""))]
        named += [str(each.get("valueCanonical", "")) for each in resource.get("input", ())]
        for each in [name for name in named if _is_questionnaire(name)][:1]:
            yield "", each, {"event": [start]} if start else {}
    elif type_ == "ServiceRequest":
        asked = [each for each in resource.get("extension", ()) if each.get("url") == REQUESTED]
        for number, each in enumerate(asked):
            yield str(number), str(each.get("valueReference", {}).get("reference", "")), _timing(resource, "occurrence")
    else:
        for number, activity in enumerate(resource.get("activity", ())):
            detail = activity.get("detail", {})
            named = [str(each) for each in detail.get("instantiatesCanonical", ()) if _is_questionnaire(str(each))]
            if named and detail.get("status") in _ACTIVE:
                yield str(number), named[0], _timing(detail, "scheduled")


def _is_questionnaire(name: str) -> bool:
    return "Questionnaire" in name.partition("|")[0].split("/")


def _timing(holder: Resource, stem: str) -> Resource:
    """Return an element of choice as a Timing."""
    if f"{stem}Timing" in holder:
        return dict(holder[f"{stem}Timing"])
    start = holder.get(f"{stem}DateTime") or holder.get(f"{stem}Period", {}).get("start")
    return {"event": [start]} if start else {}


def _near(timing: Resource, now: datetime, zone: tzinfo) -> Iterator[datetime]:
    """Yield the last occurrence that is due and fresh, and the first that is not due yet."""
    last = None
    for at in _occurrences(timing, now, zone):
        if at > now:
            if last is not None and now - last <= FRESH:
                yield last
            yield at
            return
        last = at
    if last is not None and now - last <= FRESH:
        yield last


def _occurrences(timing: Resource, now: datetime, zone: tzinfo) -> Iterator[datetime]:
    yield from sorted(_moment(each, zone, _MORNING) for each in timing.get("event", ()) if each)
    repeat = timing.get("repeat", {})
    start = repeat.get("boundsPeriod", {}).get("start")
    period = repeat.get("period")
    plain = repeat.get("frequency", 1) == 1 and repeat.get("periodUnit") in ("d", "wk", "mo")
    if not start or not period or not plain or Decimal(period) != int(period) or int(period) < 1:
        return
    end = repeat["boundsPeriod"].get("end")
    stated = [time.fromisoformat(each) for each in repeat.get("timeOfDay", ())]
    first = _moment(start, zone, stated[0] if stated else _MORNING)
    if stated:
        first = datetime.combine(first.date(), stated[0], zone)
    unit = repeat["periodUnit"]
    until = _moment(end, zone, time(23, 59, 59)) if end else max(now, first) + timedelta(days=800)
    skipped = max(0, int((now - first) / timedelta(days=int(period) * _DAYS[unit])) - 2)
    count = repeat.get("count")
    for number in range(skipped, skipped + _MOST):
        at = _later(first, number * int(period), unit)
        if at > until or (count is not None and number >= int(count)):
            return
        yield at


_DAYS: Final = {"d": 1, "wk": 7, "mo": 31}


def _later(first: datetime, count: int, unit: str) -> datetime:
    """Return the same time of day so many days, weeks or months later; a month that is too short ends earlier."""
    if unit != "mo":
        return first + timedelta(days=count * _DAYS[unit])
    year, month = divmod(first.year * 12 + first.month - 1 + count, 12)
    following = date(year + (month == 11), (month + 1) % 12 + 1, 1)
    return first.replace(year=year, month=month + 1, day=min(first.day, (following - timedelta(days=1)).day))


def _moment(text: str, zone: tzinfo, at: time) -> datetime:
    """Return the moment of a dateTime on the patient's clock; a date is at a time of its day, a month or year at its first day."""
    if "T" in text:
        return datetime.fromisoformat(text).astimezone(zone)
    day = date.fromisoformat(text + "-01" * (3 - len(text.split("-"))))
    return datetime.combine(day, at, zone)
