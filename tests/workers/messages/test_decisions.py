"""Whether, where and when: the order of reasons, hours that cross midnight and the change of the clock, contact points."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.messages import schedule, templates
from workers.messages.contact import Point, asked_media, language_of, normal, points
from workers.messages.decisions import Case, Refuse, Rules, Send, Wait, decide, quiet_hours, quiet_until

NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)
PHONE, MAIL = Point("sms", "+15550100"), Point("email", "a@b.example")
RULES = Rules((time(21), time(8)), 3, timedelta(seconds=60), frozenset({"sms", "email"}), frozenset({"staff.example"}))
CASE = Case(
    {"resourceType": "Patient"}, (PHONE, MAIL), (False, ()), {PHONE, MAIL}, (), UTC, False, 0, None,
    NOW - timedelta(hours=1),
)  # fmt: skip


@pytest.mark.parametrize(
    ("change", "verdict"),
    [
        ({}, Send(PHONE)),
        ({"media": (True, ("email",))}, Send(MAIL)),
        ({"opted_out": {PHONE}}, Send(MAIL)),
        ({"opted_out": {PHONE, MAIL}}, Refuse("opted-out")),
        ({"verified": {MAIL}}, Send(MAIL)),
        ({"verified": {MAIL}, "opted_out": {MAIL}}, Refuse("not-verified")),
        ({"verified": ()}, Refuse("not-verified")),
        ({"refused": {PHONE}}, Send(MAIL)),
        ({"refused": {PHONE}, "verified": {PHONE}}, Refuse("not-verified")),
        ({"refused": {PHONE}, "media": (True, ("sms",))}, Refuse("provider-refused")),
        ({"refused": {PHONE, MAIL}}, Refuse("provider-refused")),
        ({"refused": {PHONE}, "opted_out": {MAIL}}, Refuse("provider-refused")),
        ({"refused": {PHONE}, "today": 3}, Refuse("daily-limit")),
        (
            {"refused": {PHONE}, "zone": ZoneInfo("Asia/Tokyo")},
            Wait("quiet-hours", datetime(2026, 3, 4, 23, tzinfo=UTC), MAIL),
        ),
        ({"over": True}, Refuse("too-late")),
        ({"today": 3}, Refuse("daily-limit")),
        ({"today": 99, "urgent": True}, Send(PHONE)),
        ({"created": NOW}, Wait("bundling", NOW + timedelta(seconds=60), PHONE)),
        ({"created": NOW, "urgent": True}, Send(PHONE)),
        ({"last": NOW - timedelta(seconds=20), "urgent": True}, Wait("bundling", NOW + timedelta(seconds=40), PHONE)),
        ({"zone": ZoneInfo("Asia/Tokyo")}, Wait("quiet-hours", datetime(2026, 3, 4, 23, tzinfo=UTC), PHONE)),
        ({"zone": ZoneInfo("Asia/Tokyo"), "urgent": True}, Send(PHONE)),
        ({"zone": ZoneInfo("Asia/Tokyo"), "today": 3}, Refuse("daily-limit")),
        ({"points": (Point("email", "d@staff.example"),), "verified": ()}, Refuse("not-verified")),
    ],
)
def test_the_order_of_reasons(change: dict[str, Any], verdict: Any) -> None:
    assert decide(replace(CASE, **change), RULES, NOW) == verdict


def test_staff_by_the_domain_of_their_address() -> None:
    point = Point("email", "d@staff.example")
    case = replace(CASE, recipient={"resourceType": "Practitioner"}, points=(point,), verified=())
    assert decide(case, RULES, NOW) == Send(point)
    near = replace(case, points=(Point("email", "d@not-staff.example"), Point("email", "d@staff.example.org")))
    assert decide(near, RULES, NOW) == Refuse("not-verified")


@given(
    now=st.integers(0, 366 * 86_400).map(lambda seconds: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)),
    zone=st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe"]),
    start=st.times(),
    end=st.times(),
)
def test_quiet_hours_end_when_they_end(now: datetime, zone: str, start: time, end: time) -> None:
    where, start, end = ZoneInfo(zone), start.replace(second=0, microsecond=0), end.replace(second=0, microsecond=0)
    until = quiet_until(now, where, start, end)
    local = now.astimezone(where).time()
    inside = start <= local < end if start < end else (local >= start or local < end) and start != end
    assert (until is not None) == inside
    if until is not None:
        assert until <= now + timedelta(hours=25)
        assert until > now - timedelta(hours=1), "an hour that is there twice"


def test_the_setting() -> None:
    assert quiet_hours("none") is None
    assert quiet_hours("21:30-07:00") == (time(21, 30), time(7))


@pytest.mark.parametrize(
    ("channel", "text", "wanted"),
    [
        ("sms", "+1-555-010-0100", "+15550100100"),
        ("sms", "0049 (30) 123456", "+4930123456"),
        ("sms", "tel:+49 30 123456", "+4930123456"),
        ("sms", "555 0100", None),
        ("sms", "+0123456789", None),
        ("sms", "+1555010010012345", None),
        ("sms", "+1555\n0100100", "+15550100100"),
        ("sms", "+1555x0100", None),
        ("email", "Ann.O'Hara+x@B.Example", "Ann.O'Hara+x@b.example"),
        ("email", "a@b", None),
        ("email", "a@b.example\nBcc: c@d.example", None),
        ("email", "a b@c.example", None),
        ("email", "ä@b.example", None),
    ],
)
def test_addresses(channel: Any, text: str, wanted: str | None) -> None:
    assert normal(channel, text) == wanted


def test_rank_goes_first() -> None:
    telecom = [
        {"system": "email", "value": "a@b.example"},
        {"system": "sms", "value": "+15550100", "rank": 2},
        {"system": "phone", "use": "mobile", "value": "+15550101", "rank": 1},
        {"system": "fax", "value": "+15550102"},
    ]
    assert [p and p.value for p in points({"telecom": telecom}, NOW, "b")] == ["+15550101", "+15550100", "a@b.example"]


def test_media() -> None:
    system = "http://terminology.hl7.org/CodeSystem/v3-ParticipationMode"
    asked = [{"coding": [{"system": system, "code": code}]} for code in ("EMAILWRIT", "FAXWRIT", "SMSWRIT")]
    assert asked_media({"medium": asked}) == (True, ["email", "sms"])
    assert asked_media({}) == (False, [])
    assert asked_media({"medium": asked[1:2]}) == (True, [])


def test_languages() -> None:
    german, english = ({"language": {"coding": [{"code": code}]}} for code in ("de-CH", "en"))
    patient = {"resourceType": "Patient", "communication": [english, german | {"preferred": True}]}
    assert language_of(patient) == "de-CH"
    assert language_of({"resourceType": "Practitioner", "language": "de"}) == "de"
    assert templates.language("fr") == "en"


@given(st.sampled_from(["clinical-alert", "device-alert", "appointment", "questionnaire", "notice", "other"]),
       st.integers(1, 99), st.sampled_from(["en", "de"]), st.sampled_from(["sms", "email"]))  # fmt: skip
def test_every_message_has_its_link_and_fits(reason: str, count: int, lang: str, channel: Any) -> None:
    made = templates.render("r", "x", channel, templates.Said(reason, "https://c.example/1", count), lang)
    assert made.mark in made.text
    assert "{" not in made.text
    assert len(made.text) <= 160, "one text message"
    assert (count > 1) == (str(count) in made.text.replace("https://c.example/1", ""))


def test_an_appointment_is_named_where_that_is_wished() -> None:
    at = datetime(2026, 3, 4, 9, 30, tzinfo=ZoneInfo("Europe/Berlin"))
    said = templates.Said("appointment", "https://c.example/1", 1, at)
    assert "04.03.2026 um 09:30" in templates.render("r", "x", "sms", said, "de").text
    assert "2026" not in templates.render("r", "x", "sms", replace(said, count=2), "de").text


@given(st.integers(1, 20), st.floats(0, 1e9))
def test_waits_grow_and_end(attempts: int, asked: float) -> None:
    wait = schedule.wait_after(attempts, asked)
    assert (wait is None) == (attempts > len(schedule.WAITS))
    if wait is not None:
        assert wait.total_seconds() >= max(schedule.WAITS[attempts - 1], min(asked, 14_400))
        assert wait.total_seconds() <= max(schedule.WAITS[attempts - 1] * 1.2, 14_400)
