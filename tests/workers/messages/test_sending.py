"""From a Communication in preparation to what came of its message, against providers on loopback."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fhir_server.auth import clients, principals
from fhir_server.kit import logs
from fhir_server.storage import jobs, messages, reads
from fhir_server.storage.tenants import Tenant
from profiles.psych import messages as codes
from tests.workers.messages.conftest import Mailbox
from tests.workers.messages.sending import (
    LEASE,
    Desk,
    communication,
    mail,
    mobile,
    now_hours,
    number,
    patient,
    settings,
    twilio,
)
from tests.workers.messages.test_transports import verified
from tests.workers.messages.twilio_server import Twilio, error
from workers.jobs import dispatch
from workers.jobs.kinds import KINDS
from workers.messages import schedule


@pytest.fixture
def desk(tenants: dict[str, Tenant], tmp_path: Path, sms: Twilio, mailbox: Mailbox) -> Desk:
    more = {"smtp_url": mailbox.url, "mail_from": "clarity@hospital.example"}
    return Desk(tenants["default"], settings(tmp_path, **twilio(sms.url), **more))


@pytest.fixture(autouse=True)
async def nothing_left(tenants: dict[str, Tenant]) -> None:
    for text in (
        "DELETE FROM {s}.endpoint_state",
        "UPDATE {s}.job SET state = 'done' WHERE kind IN ('message', 'remind')",
    ):
        await tenants["default"].pool.execute(tenants["default"].sql(text))


async def someone(desk: Desk, unique: str, to: str, **more: Any) -> str:
    who = await desk.put(patient(unique, mail(to) if "@" in to else mobile(to), **more))
    await desk.verify(who, to)
    return who


async def test_a_message_goes_out_and_the_communication_says_so(desk: Desk, sms: Twilio, unique: str) -> None:
    to = number()
    made = await desk.put(communication(await someone(desk, unique, to)))
    await desk.work()
    [sent] = sms.to(to)
    found = await desk.get(made)
    assert found["status"] == "in-progress"
    assert found["sent"].endswith("Z")
    assert "statusReason" not in found
    [told] = found["recipient"][0]["extension"]
    assert told["url"] == codes.delivery()
    parts = {each["url"]: next(v for k, v in each.items() if k != "url") for each in told["extension"]}
    assert (parts["state"], parts["channel"], parts["transport"]) == ("sent", "sms", "twilio")
    assert sent["Body"].startswith("Clarity: A clinical alert needs your attention.")
    assert sent["Body"].endswith(f"{desk.tenant.base}/{made}")
    await desk.work()
    assert len(sms.to(to)) == 1, "what came of it wakes nothing"


async def test_who_wrote_it_back_is_told(desk: Desk, unique: str) -> None:
    made = await desk.put(communication(await someone(desk, unique, number())))
    await desk.work()
    rid = await desk.rid(made)
    [stored] = await reads.fetch(desk.tenant, [rid])
    text = "SELECT fhir_id FROM {s}.resource WHERE fhir_id LIKE 'messages-%' ORDER BY last_updated DESC LIMIT 1"
    explained = await desk.get(f"Provenance/{await desk.tenant.pool.fetchval(desk.tenant.sql(text))}")
    assert explained["target"] == [{"reference": f"{made}/_history/{stored.version}"}]
    assert explained["agent"][0]["who"] == {"reference": "Device/clarity-messages-1"}
    assert (await desk.get("Device/clarity-messages-1"))["deviceName"]
    kinds = "SELECT interaction FROM {s}.audit WHERE rid = $1 ORDER BY recorded, id"
    found = [row["interaction"] for row in await desk.tenant.pool.fetch(desk.tenant.sql(kinds), rid)]
    assert found == [5, 17, 6], "create, notification, update"


async def test_a_receipt_completes_it(desk: Desk, sms: Twilio, unique: str) -> None:
    to = number()
    made = await desk.put(communication(await someone(desk, unique, to)))
    await desk.work()
    [row] = await desk.rows(made)
    assert await messages.receipt(desk.tenant, row.ref, sms.to(to)[0]["sid"], "received")
    await desk.work()
    found = await desk.get(made)
    assert (found["status"], found["received"] >= found["sent"]) == ("completed", True)
    assert await messages.receipt(desk.tenant, row.ref, sms.to(to)[0]["sid"], "received") is False, (
        "a replay says nothing"
    )
    assert await messages.receipt(desk.tenant, row.ref, sms.to(to)[0]["sid"], "sent") is False, (
        "nor does one that is late"
    )
    assert await messages.receipt(desk.tenant, row.ref, "SMother", "received") is False, "nor one of another message"


async def test_what_was_not_delivered_says_so(desk: Desk, sms: Twilio, unique: str) -> None:
    to = number()
    made = await desk.put(communication(await someone(desk, unique, to)))
    await desk.work()
    [row] = await desk.rows(made)
    await messages.receipt(desk.tenant, row.ref, sms.to(to)[0]["sid"], "undelivered", "undelivered")
    await desk.work()
    assert await desk.state(made) == ("not-done", ["undelivered"])


@pytest.mark.parametrize(
    ("telecom", "more", "asks", "reason"),
    [
        ([], {}, {}, "no-contact-point"),
        ([mobile("555 0100")], {}, {}, "address-malformed"),
        ([mail("a@b")], {}, {}, "address-malformed"),
        ([mobile("+15550100", use="old")], {}, {}, "no-contact-point"),
        ([mobile("+15550100", period={"end": "2020"})], {}, {}, "no-contact-point"),
        ([{"system": "phone", "value": "+15550100"}], {}, {}, "no-contact-point"),
        ([mobile("+15550100")], {}, {}, "not-verified"),
        ([mobile("+15550100")], {"active": False}, {}, "recipient-inactive"),
        ([mobile("+15550100")], {"deceasedBoolean": True}, {}, "recipient-deceased"),
        ([mobile("+15550100")], {"deceasedDateTime": "2026-01-01"}, {}, "recipient-deceased"),
        ([mobile("+15550100")], {}, {"medium": [{"text": "pigeon"}]}, "medium-not-served"),
        ([mobile("+15550100")], {}, {"recipient": [{"reference": "Patient/nobody-at-all"}]}, "recipient-not-served"),
        ([mobile("+15550100")], {}, {"recipient": [{"display": "Ann"}]}, "recipient-not-served"),
        ([mobile("+15550100")], {}, {"recipient": []}, "no-recipient"),
    ],
)
async def test_what_is_not_sent_says_why(
    desk: Desk, sms: Twilio, unique: str, telecom: list[Any], more: Any, asks: Any, reason: str
) -> None:
    who = await desk.put(patient(unique, *telecom, **more))
    asked = {name: value for name, value in (communication(who) | asks).items() if value != []}
    made = await desk.put(asked)
    await desk.work()
    assert await desk.state(made) == ("not-done", [reason])
    assert sms.kept == []


async def test_other_communications_are_left_alone(desk: Desk, sms: Twilio, unique: str) -> None:
    who = await someone(desk, unique, number())
    plain = await desk.put(communication(who, category=[{"text": "alert"}]))
    done = await desk.put(communication(who, status="completed"))
    begun = await desk.put(communication(who, status="in-progress"))
    await desk.work()
    assert await desk.state(begun) == ("in-progress", [])
    assert (await desk.get(plain))["status"] == "preparation"
    assert (await desk.get(done))["status"] == "completed"
    assert sms.kept == []


@pytest.mark.parametrize(
    ("scope", "user", "sent"),
    [
        ("system/Communication.c", None, True),
        ("user/*.cruds", "Practitioner/d", True),
        ("patient/*.cruds", None, False),
        ("user/*.cruds", "Patient/p", False),
        ("user/*.cruds", "RelatedPerson/r", False),
    ],
)
async def test_who_may_have_messages_sent(
    desk: Desk, sms: Twilio, unique: str, scope: str, user: str | None, sent: bool
) -> None:
    who = await someone(desk, unique, to := number())
    made, _ = await clients.add(desk.tenant, name="test", scope=scope)
    patient_of = unique if scope.startswith("patient/") else None
    desk.who = await principals.principal(desk.tenant, made.client_id, made.scopes, patient=patient_of, user=user)
    ordered = await desk.put(communication(who, priority="stat"))
    await desk.work()
    assert len(sms.to(to)) == sent
    assert await desk.state(ordered) == (("in-progress", []) if sent else ("not-done", ["not-allowed"]))


async def test_a_number_that_said_stop_at_twilio_is_remembered(desk: Desk, sms: Twilio, unique: str) -> None:
    who, to = await someone(desk, unique, to := number()), to
    sms.answer = lambda _form: error(400, 21610)
    first = await desk.put(communication(who))
    await desk.work()
    assert await desk.state(first) == ("not-done", ["opted-out"])
    asked = len(sms.asked)
    second = await desk.put(communication(who))
    await desk.work()
    assert await desk.state(second) == ("not-done", ["opted-out"])
    assert len(sms.asked) == asked, "Twilio was not asked again"


async def test_a_provider_that_is_away_is_tried_again_and_then_given_up(desk: Desk, sms: Twilio, unique: str) -> None:
    to = number()
    made = await desk.put(communication(await someone(desk, unique, to)))
    sms.answer = lambda _form: (503, {}, b"")
    await desk.work()
    assert await desk.state(made) == ("preparation", [])
    [row] = await desk.rows(made)
    assert (row.state, row.why, row.attempts) == ("waiting", "provider-away", 1)
    for _ in range(len(schedule.WAITS)):
        await desk.later()
    assert await desk.state(made) == ("not-done", ["gave-up"])
    [row] = await desk.rows(made)
    assert (row.state, row.attempts) == ("dead", len(schedule.WAITS) + 1)
    assert [each.ref for each in await messages.listed(desk.tenant, ["dead"]) if each.ref == row.ref]
    assert sms.kept == []


async def test_retry_after_is_obeyed(desk: Desk, sms: Twilio, unique: str) -> None:
    made = await desk.put(communication(await someone(desk, unique, number())))
    sms.answer = lambda _form: (429, {"Retry-After": "900"}, b"{}")
    await desk.work()
    [row] = await desk.rows(made)
    assert row.started_at is not None
    assert (row.next_at - row.started_at).total_seconds() >= 899


async def test_the_breaker_leaves_a_broken_provider_alone(desk: Desk, sms: Twilio, unique: str) -> None:
    who = await someone(desk, unique, number())
    sms.answer = lambda _form: (500, {}, b"")
    made = [await desk.put(communication(who, priority="urgent")) for _ in range(8)]
    await desk.work()
    assert len([each for each in sms.asked if each[0] == "POST"]) == 5, "five failures in a row"
    assert {(await desk.rows(each))[0].why for each in made} == {"provider-away"}
    sms.answer = lambda _form: "ok"
    await desk.later()
    assert {(await desk.state(each))[0] for each in made} == {"in-progress"}


@pytest.mark.parametrize("answer", ["lost", "garbage"])
async def test_a_connection_that_broke_after_twilio_took_it_doubles_nothing(
    desk: Desk, sms: Twilio, unique: str, answer: str
) -> None:
    to = number()
    made = await desk.put(communication(await someone(desk, unique, to)))
    sms.answer = lambda _form: answer
    await desk.work()
    sms.answer = lambda _form: "ok"
    await desk.later()
    assert len(sms.to(to)) == 1
    [row] = await desk.rows(made)
    assert (row.state, row.provider_id) == ("sent", sms.to(to)[0]["sid"])


async def test_a_connection_that_broke_before_is_tried_again(desk: Desk, sms: Twilio, unique: str) -> None:
    to = number()
    await desk.put(communication(await someone(desk, unique, to)))
    sms.answer = lambda _form: "hangup"
    await desk.work()
    assert sms.to(to) == []
    sms.answer = lambda _form: "ok"
    await desk.later()
    assert len(sms.to(to)) == 1


class Killed(BaseException):
    """A worker that ends in the middle, as by `kill -9`."""


async def killed(desk: Desk, reference: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Do the job up to the call of the provider and stop dead before the note; the lease runs out."""

    async def dead(*_given: Any, **_more: Any) -> bool:
        raise Killed

    while await dispatch.dispatch(desk.tenant, desk.settings):
        pass
    [job] = await jobs.claim(desk.tenant, [messages.JOB], LEASE)
    with monkeypatch.context() as patch:
        patch.setattr(messages, "note", dead)
        with pytest.raises(Killed):
            await KINDS[messages.JOB].run(desk.tenant, job, desk.settings)
    text = "UPDATE {s}.job SET lease_until = now() - interval '1 second' WHERE id = $1"
    await desk.tenant.pool.execute(desk.tenant.sql(text), job.id)


async def test_a_worker_killed_after_twilio_took_it_doubles_nothing(
    desk: Desk, sms: Twilio, unique: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    to = number()
    made = await desk.put(communication(await someone(desk, unique, to)))
    await killed(desk, made, monkeypatch)
    assert (await desk.rows(made))[0].state == "sending"
    await desk.later()
    await desk.later()
    assert len(sms.to(to)) == 1
    assert (await desk.state(made))[0] == "in-progress"


async def test_a_worker_killed_after_the_mail_left_sends_no_second_one(
    desk: Desk, mailbox: Mailbox, unique: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await desk.put(communication(await someone(desk, unique, f"{unique}@b.example")))
    await killed(desk, made, monkeypatch)
    await desk.later()
    assert len(mailbox.got) == 1
    assert await desk.state(made) == ("unknown", ["outcome-unknown"])
    [row] = await desk.rows(made)
    assert await messages.receipt(desk.tenant, row.ref, "an-id", "received"), "and a receipt resolves it"
    await desk.work()
    assert (await desk.state(made))[0] == "completed"


async def test_what_waits_for_the_same_reason_goes_as_one(desk: Desk, sms: Twilio, unique: str) -> None:
    to = number()
    who = await someone(desk, unique, to)
    desk.settings = desk.settings.model_copy(update={"message_bundle_seconds": 60})
    made = [await desk.put(communication(who)) for _ in range(3)]
    await desk.work()
    assert sms.kept == []
    assert {(await desk.rows(each))[0].why for each in made} == {"bundling"}
    other = await desk.put(
        communication(who, reasonCode=[{"coding": [{"system": codes.reason(), "code": "questionnaire"}]}])
    )
    await desk.work()
    text = "UPDATE {s}.message SET created_at = now() - interval '2 minutes' WHERE state = 'waiting'"
    await desk.tenant.pool.execute(desk.tenant.sql(text))
    await desk.later()
    bodies = sorted(each["Body"] for each in sms.to(to))
    assert [" 3 clinical alerts" in bodies[0] or "3 clinical alerts" in bodies[0], "questionnaire" in bodies[1]] == [
        True,
        True,
    ]
    assert len(bodies) == 2
    assert {(await desk.state(each))[0] for each in (*made, other)} == {"in-progress"}
    [row] = await desk.rows(made[0])
    await messages.receipt(desk.tenant, row.carrier, row.provider_id or "", "received")
    await desk.work()
    assert {(await desk.state(each))[0] for each in made} == {"completed"}


async def test_one_that_breaks_off_keeps_its_company(desk: Desk, sms: Twilio, unique: str) -> None:
    to = number()
    who = await someone(desk, unique, to)
    desk.settings = desk.settings.model_copy(update={"message_bundle_seconds": 60})
    made = [await desk.put(communication(who)) for _ in range(3)]
    await desk.work()
    text = "UPDATE {s}.message SET created_at = now() - interval '2 minutes' WHERE state = 'waiting'"
    await desk.tenant.pool.execute(desk.tenant.sql(text))
    sms.answer = lambda _form: "lost"
    await desk.later()
    sms.answer = lambda _form: "ok"
    await desk.later()
    assert len(sms.to(to)) == 1
    assert {(await desk.state(each))[0] for each in made} == {"in-progress"}


async def test_at_night_only_what_is_urgent_goes(desk: Desk, sms: Twilio, unique: str) -> None:
    to = number()
    who = await someone(desk, unique, to)
    desk.settings = desk.settings.model_copy(update={"message_quiet_hours": f"{now_hours(-1)}-{now_hours(1)}"})
    calm, urgent = await desk.put(communication(who)), await desk.put(communication(who, priority="urgent"))
    await desk.work()
    assert await desk.state(urgent) == ("in-progress", [])
    assert len(sms.to(to)) == 1
    assert await desk.state(calm) in [("preparation", ["quiet-hours"]), ("in-progress", [])], "it may have gone along"


async def test_the_daily_limit(desk: Desk, sms: Twilio, unique: str) -> None:
    to = number()
    who = await someone(desk, unique, to)
    desk.settings = desk.settings.model_copy(update={"message_daily_limit": 2})
    made = []
    for _ in range(3):
        made.append(await desk.put(communication(who)))
        await desk.work()
    assert [await desk.state(each) for each in made] == [
        ("in-progress", []), ("in-progress", []), ("not-done", ["daily-limit"])
    ]  # fmt: skip
    urgent = await desk.put(communication(who, priority="stat"))
    await desk.work()
    assert (await desk.state(urgent))[0] == "in-progress"


async def test_several_recipients_each_in_their_way(desk: Desk, sms: Twilio, mailbox: Mailbox, unique: str) -> None:
    to = number()
    one = await someone(desk, unique, to)
    doctor = {"resourceType": "Practitioner", "id": unique, "telecom": [mail(f"{unique}@hospital.example")]}
    two = await desk.put(doctor | {"communication": [{"coding": [{"code": "de-AT"}]}]})
    desk.settings = desk.settings.model_copy(update={"message_staff_domains": ["hospital.example"]})
    role = {"resourceType": "PractitionerRole", "id": unique, "practitioner": {"reference": two}}
    three = await desk.put(role)
    everybody = [{"reference": each} for each in (one, two, three)]
    made = await desk.put(communication(one) | {"recipient": everybody})
    await desk.work()
    assert len(sms.to(to)) == 1
    assert [(row.state, row.why) for row in await desk.rows(made)] == [
        ("sent", None), ("sent", None), ("withdrawn", "same-recipient")
    ]  # fmt: skip
    assert [each["To"] for each in mailbox.got] == [f"{unique}@hospital.example"]
    assert "Ein klinischer Hinweis braucht Sie." in mailbox.got[0].get_content()


async def test_what_is_withdrawn_in_time_is_not_sent(desk: Desk, sms: Twilio, unique: str) -> None:
    who = await someone(desk, unique, number())
    sms.answer = lambda _form: (503, {}, b"")
    asked = communication(who)
    made = await desk.put(asked)
    await desk.work()
    sms.answer = lambda _form: "ok"
    await desk.put(asked | {"id": made.partition("/")[2], "status": "entered-in-error"})
    await desk.work()
    await desk.later()
    assert sms.kept == []
    assert (await desk.rows(made))[0].state == "withdrawn"
    assert (await desk.get(made))["status"] == "entered-in-error"


async def test_without_a_provider(tenants: dict[str, Tenant], tmp_path: Path, unique: str) -> None:
    desk = Desk(tenants["default"], settings(tmp_path))
    made = await desk.put(communication(await someone(desk, unique, number())))
    await desk.work()
    assert await desk.state(made) == ("not-done", ["no-transport"])


@pytest.mark.parametrize("detail", ["none", "content"])
async def test_nothing_of_the_patient_leaves_unless_they_wish_it(
    desk: Desk,
    sms: Twilio,
    unique: str,
    detail: str,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    logs.configure("DEBUG")
    to = number()
    wish = {"url": codes.detail(), "valueCode": detail}
    who = await desk.put(patient(unique, mobile(to, extension=[wish])))
    await desk.verify(who, to)
    made = await desk.put(communication(who, subject={"reference": who}))
    sms.answer = lambda form: error(503, 1, form["Body"] + form["To"])
    await desk.work()
    sms.answer = lambda _form: "ok"
    await desk.later()
    assert ("CANARY-TEXT" in sms.to(to)[0]["Body"]) == (detail == "content")
    if detail == "none":
        assert b"CANARY" not in sms.raw
        assert b"1971" not in sms.raw
        assert unique.encode() not in sms.raw
    logged = caplog.text + "".join(capfd.readouterr())
    tables = ("job", "message", "contact", "message_opt_out")
    kept = ""
    for table in tables:
        kept += str(
            [tuple(row) for row in await desk.tenant.pool.fetch(desk.tenant.sql(f"SELECT * FROM {{s}}.{table}"))]
        )
    logs.configure("CRITICAL")
    for text in ("CANARY", "Ann", to, to[1:], "1971-03-04"):
        assert text not in logged
        assert text not in kept
    assert (await desk.get(made))["status"] == "in-progress"


async def test_nothing_of_the_patient_is_logged_of_a_mail_by_ses(
    tenants: dict[str, Tenant], tmp_path: Path, aws: str, unique: str, capfd: pytest.CaptureFixture[str]
) -> None:
    logs.configure("DEBUG")
    keys = {"aws_access_key_id": "k", "aws_secret_access_key": "s", "aws_endpoint_url": aws}
    verified(aws)
    desk = Desk(tenants["default"], settings(tmp_path, ses_from="clarity@hospital.example", **keys))
    to = f"canary-{unique}@b.example"
    wish = {"url": codes.detail(), "valueCode": "content"}
    who = await desk.put(patient(f"p-{unique}", mail(to, extension=[wish])))
    await desk.verify(who, to)
    made = await desk.put(communication(who, subject={"reference": who}))
    await desk.work()
    [row] = await desk.rows(made)
    assert (row.state, row.transport) == ("sent", "ses")
    logged = "".join(capfd.readouterr())
    assert "botocore" in logged, "it was heard"
    for text in ("CANARY", "canary", to):
        assert text not in logged
    logs.configure("CRITICAL")


async def test_the_wish_of_the_patient_is_of_the_patient_alone(desk: Desk, sms: Twilio, unique: str) -> None:
    to = number()
    wish = {"url": codes.detail(), "valueCode": "content"}
    who = await desk.put(patient(unique, mobile(to, extension=[wish])))
    await desk.verify(who, to)
    await desk.put(communication(who, subject={"reference": "Patient/somebody-else"}))
    await desk.work()
    assert "CANARY" not in sms.to(to)[0]["Body"]
