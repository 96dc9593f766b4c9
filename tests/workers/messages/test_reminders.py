"""Reminders: once for an occurrence, none of what is over, cancelled or answered; the patient's clock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.kit import clock, json
from fhir_server.storage import reads
from fhir_server.storage.tenants import Tenant
from fhir_server.storage.visibility import EVERYTHING
from tests.workers.messages.sending import Desk, mobile, number, patient, settings, twilio
from tests.workers.messages.twilio_server import Twilio
from workers.jobs.remind import reminder
from workers.messages.due import REQUESTED, dues

NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)
BERLIN = ZoneInfo("Europe/Berlin")
PHQ9 = "https://fhir.clarity.example/Questionnaire/phq-9"
Json = dict[str, Any]


def appointment(start: datetime, *people: str, **more: Any) -> Json:
    return {
        "resourceType": "Appointment",
        "status": "booked",
        "start": clock.instant(start),
        "end": clock.instant(start + timedelta(minutes=50)),
        "participant": [{"actor": {"reference": each}, "status": "accepted"} for each in people],
    } | more


def plan(start: str, **repeat: Any) -> Json:
    timing = {"repeat": {"boundsPeriod": {"start": start}, "frequency": 1, "period": 1, "periodUnit": "wk"} | repeat}
    detail = {"status": "scheduled", "instantiatesCanonical": [f"{PHQ9}|1.0.0"], "scheduledTiming": timing}
    return {
        "resourceType": "CarePlan", "status": "active", "intent": "plan", "subject": {"reference": "Patient/p"},
        "activity": [{"detail": detail}],
    }  # fmt: skip


def moments(resource: Json, now: datetime = NOW, zone: Any = UTC) -> list[datetime]:
    return [due.at for due in dues(resource, now, zone, 24)]


def test_an_appointment_is_due_a_day_before() -> None:
    start = NOW + timedelta(days=3)
    [due] = dues(appointment(start, "Patient/p", "Practitioner/d", "RelatedPerson/r"), NOW, UTC, 24)
    assert (due.at, due.recipients, due.subject) == (
        start - timedelta(days=1), ("Patient/p", "RelatedPerson/r"), "Patient/p"
    )  # fmt: skip
    for status in ("cancelled", "proposed", "fulfilled", "noshow", "entered-in-error"):
        assert moments(appointment(start, "Patient/p", status=status)) == []
    declined = {"participant": [{"actor": {"reference": "Patient/p"}, "status": "declined"}]}
    assert moments(appointment(start, **declined)) == []


@pytest.mark.parametrize(
    ("start", "repeat", "now", "wanted"),
    [
        ("2026-03-02", {}, "2026-03-04T12:00:00Z", ["2026-03-09T08:00:00Z"]),
        ("2026-03-02", {}, "2026-03-03T12:00:00Z", ["2026-03-02T08:00:00Z", "2026-03-09T08:00:00Z"]),
        ("2026-03-02T18:30:00+01:00", {}, "2026-03-04T12:00:00Z", ["2026-03-02T17:30:00Z", "2026-03-09T17:30:00Z"]),
        ("2026-03-02", {"timeOfDay": ["20:00:00"]}, "2026-03-04T20:00:00Z", ["2026-03-09T19:00:00Z"]),
        ("2026-01-31", {"periodUnit": "mo"}, "2026-02-27T12:00:00Z", ["2026-02-28T08:00:00Z"]),
        ("2026-03-02", {"boundsPeriod": {"start": "2026-03-02", "end": "2026-03-08"}}, "2026-03-06T12:00:00Z", []),
        ("2026-03-02", {"count": 2}, "2026-03-20T12:00:00Z", []),
        ("2026-03-02", {"frequency": 3}, "2026-03-04T12:00:00Z", []),
        ("2026-03-02", {"period": 1.5}, "2026-03-04T12:00:00Z", []),
        ("2006-03-06", {}, "2026-03-04T12:00:00Z", ["2026-03-09T08:00:00Z"]),
        ("2026-03-23", {}, "2026-03-24T12:00:00Z", ["2026-03-23T08:00:00Z", "2026-03-30T07:00:00Z"]),
    ],
)
def test_what_recurs(start: str, repeat: Json, now: str, wanted: list[str]) -> None:
    found = moments(plan(start, **repeat), datetime.fromisoformat(now), BERLIN)
    assert found == [datetime.fromisoformat(each) for each in wanted]


@given(st.integers(0, 4000), st.integers(1, 9), st.sampled_from(["d", "wk", "mo"]), st.integers(0, 3000))
def test_there_is_always_one_next_occurrence(day: int, period: int, unit: str, hours: int) -> None:
    start = datetime(2024, 1, 1, tzinfo=UTC) + timedelta(days=day)
    now = NOW + timedelta(hours=hours)
    found = moments(plan(start.date().isoformat(), period=period, periodUnit=unit), now, BERLIN)
    later = [each for each in found if each > now]
    assert len(later) == 1
    assert all(now - each <= timedelta(days=2) for each in found if each <= now)


def test_tasks_and_requests() -> None:
    task = {
        "resourceType": "Task", "status": "requested", "intent": "order", "for": {"reference": "Patient/p"},
        "focus": {"reference": "Questionnaire/phq-9"}, "restriction": {"period": {"start": "2026-03-05"}},
    }  # fmt: skip
    [due] = dues(task, NOW, BERLIN, 24)
    assert (due.at, due.questionnaire) == (datetime(2026, 3, 5, 8, tzinfo=UTC), "Questionnaire/phq-9")
    given_by_input = task | {
        "focus": {"reference": "Patient/p"},
        "input": [{"type": {"text": "q"}, "valueCanonical": PHQ9}],
    }
    assert [each.questionnaire for each in dues(given_by_input, NOW, BERLIN, 24)] == [PHQ9]
    assert moments(task | {"status": "completed"}) == []
    assert moments(task | {"focus": {"reference": "Patient/p"}}) == []
    asked = [{"url": REQUESTED, "valueReference": {"reference": "Questionnaire/phq-9"}}]
    request = {
        "resourceType": "ServiceRequest", "status": "active", "intent": "order", "subject": {"reference": "Patient/p"},
        "occurrenceDateTime": "2026-03-04T10:00:00Z", "extension": asked,
    }  # fmt: skip
    assert moments(request) == [NOW - timedelta(hours=2)]
    assert moments(request, NOW + timedelta(days=3)) == []
    assert moments({name: value for name, value in request.items() if name != "extension"}) == []


@pytest.fixture
def desk(tenants: dict[str, Tenant], tmp_path: Path, sms: Twilio) -> Desk:
    return Desk(tenants["default"], settings(tmp_path, **twilio(sms.url)))


async def someone(desk: Desk, unique: str) -> tuple[str, str]:
    to = number()
    who = await desk.put(patient(unique, mobile(to)))
    await desk.verify(who, to)
    return who, to


async def reminders(desk: Desk, source: str, start: datetime) -> Json:
    [due] = dues(appointment(start, "Patient/p"), NOW, UTC, 24)
    stored = await reads.read(desk.tenant, "Communication", reminder(source, due, "b")["id"], EVERYTHING)
    return json.decode_trusted(stored.body) if stored else {}


async def test_an_appointment_is_reminded_of_once(desk: Desk, sms: Twilio, unique: str) -> None:
    who, to = await someone(desk, unique)
    start = clock.now() + timedelta(hours=20)
    made = await desk.put(appointment(start, who))
    await desk.work()
    [sent] = sms.to(to)
    assert sent["Body"].startswith("Clarity: You have an appointment soon.")
    assert str(start.year) not in sent["Body"]
    told = await reminders(desk, made, start)
    assert (told["status"], told["about"], told["subject"]) == (
        "in-progress",
        [{"reference": made}],
        {"reference": who},
    )
    id_ = made.partition("/")[2]
    await desk.put(appointment(start, who, id=id_, description="changed"))
    await desk.work()
    assert len(sms.to(to)) == 1


async def test_one_that_is_far_off_waits(desk: Desk, sms: Twilio, unique: str) -> None:
    who, to = await someone(desk, unique)
    made = await desk.put(appointment(clock.now() + timedelta(days=9), who))
    await desk.work()
    assert sms.to(to) == []
    text = "SELECT run_at, payload::text FROM {s}.job WHERE kind = 'remind' AND key = $1"
    row = await desk.tenant.pool.fetchrow(desk.tenant.sql(text), str(await desk.rid(made)))
    assert timedelta(days=7, hours=23) < row["run_at"] - clock.now() < timedelta(days=8, hours=1)
    assert row["payload"] == "{}"


@pytest.mark.parametrize(
    "change", [{"status": "cancelled"}, {"start": clock.instant(clock.now() + timedelta(days=20))}]
)
async def test_what_is_cancelled_or_moved_is_not_reminded_of(
    desk: Desk, sms: Twilio, unique: str, change: Json
) -> None:
    who, to = await someone(desk, unique)
    start = clock.now() + timedelta(hours=20)
    sms.answer = lambda _form: (503, {}, b"")
    made = await desk.put(appointment(start, who))
    await desk.work()
    sms.answer = lambda _form: "ok"
    later = appointment(start, who, id=made.partition("/")[2]) | change
    await desk.put({name: value for name, value in later.items() if name != "end"})
    await desk.work()
    await desk.later()
    assert sms.to(to) == []
    told = await reminders(desk, made, start)
    assert (told["status"], told["statusReason"]["coding"][0]["code"]) == ("not-done", "too-late")


async def test_a_questionnaire_that_was_answered_is_not_asked_for(desk: Desk, sms: Twilio, unique: str) -> None:
    who, to = await someone(desk, unique)
    weekly = plan(clock.now().date().isoformat(), timeOfDay=["00:00:00"]) | {"subject": {"reference": who}}
    await desk.put(weekly)
    await desk.work()
    [sent] = sms.to(to)
    assert "A questionnaire waits for you." in sent["Body"]
    assert "phq" not in sent["Body"].lower()
    answer = {"resourceType": "QuestionnaireResponse", "status": "completed", "questionnaire": f"{PHQ9}|1.0.0",
              "subject": {"reference": who}, "authored": clock.instant(clock.now())}  # fmt: skip
    await desk.put(answer)
    await desk.put(weekly)  # another plan that asks for the same
    await desk.work()
    assert len(sms.to(to)) == 1


async def test_a_reference_to_a_questionnaire_here_means_its_url(desk: Desk, sms: Twilio, unique: str) -> None:
    who, to = await someone(desk, unique)
    asked = {
        "resourceType": "Questionnaire",
        "id": f"q-{unique}",
        "status": "active",
        "url": f"https://q.example/{unique}",
    }
    await desk.put(asked)
    answer = {"resourceType": "QuestionnaireResponse", "status": "completed", "questionnaire": asked["url"],
              "subject": {"reference": who}, "authored": clock.instant(clock.now())}  # fmt: skip
    await desk.put(answer)
    task = {"resourceType": "Task", "status": "requested", "intent": "order", "for": {"reference": who},
            "focus": {"reference": f"Questionnaire/q-{unique}"}, "authoredOn": clock.instant(clock.now())}  # fmt: skip
    await desk.put(task)
    await desk.work()
    assert sms.to(to) == []


async def test_switched_off(tenants: dict[str, Tenant], tmp_path: Path, sms: Twilio, unique: str) -> None:
    desk = Desk(tenants["default"], settings(tmp_path, **twilio(sms.url), reminder_hours=0))
    who, to = await someone(desk, unique)
    await desk.put(appointment(clock.now() + timedelta(hours=2), who))
    await desk.work()
    assert sms.to(to) == []
