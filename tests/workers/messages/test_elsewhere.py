"""A contact point that refuses for good: the message goes to the next one that may be used, and never to both."""

from __future__ import annotations

from typing import Any

import pytest

from profiles.psych import messages as codes
from tests.workers.messages.conftest import Mailbox
from tests.workers.messages.sending import Desk, communication, mail, mobile, now_hours, number, patient
from tests.workers.messages.test_sending import desk, nothing_left
from tests.workers.messages.twilio_server import Twilio, error
from workers.messages.contact import MEDIA

__all__ = ["desk", "nothing_left"]


def wish(detail: str) -> dict[str, Any]:
    return {"extension": [{"url": codes.detail(), "valueCode": detail}]}


async def both(desk: Desk, unique: str, *, verified: bool = True, **more: Any) -> tuple[str, str, str]:
    """Return somebody with a telephone and a mail address, in this order unless `rank` says otherwise."""
    to, at = number(), f"{unique}@home.example"
    first, second = more.get("phone", {}), more.get("mail", {})
    who = await desk.put(patient(unique, mobile(to, **first), mail(at, **second)))
    await desk.verify(who, to, *([at] if verified else []))
    return who, to, at


def went(mailbox: Mailbox, to: str) -> list[str]:
    return [each.get_content() for each in mailbox.got if each["To"] == to]


async def channel(desk: Desk, made: str) -> str | None:
    [recipient] = (await desk.get(made))["recipient"]
    parts = {each["url"]: each.get("valueCode") for each in recipient["extension"][0]["extension"]}
    return parts.get("channel")


@pytest.mark.parametrize("code", [21610, 21211, 21614, 21612])
async def test_a_number_that_refuses_is_followed_by_the_mail_address(
    desk: Desk, sms: Twilio, mailbox: Mailbox, unique: str, code: int
) -> None:
    who, to, at = await both(desk, unique)
    sms.answer = lambda _form: error(400, code)
    made = await desk.put(communication(who))
    await desk.work()
    assert await desk.state(made) == ("in-progress", [])
    assert await channel(desk, made) == "email"
    [said] = went(mailbox, at)
    assert "CANARY" not in said
    await desk.later()
    assert (len(went(mailbox, at)), sms.to(to), len(sms.asked)) == (1, [], 1), "neither twice nor both"
    [row] = await desk.rows(made)
    assert (row.state, row.attempts, len(row.refused)) == ("sent", 2, 1)


async def test_a_mail_address_that_refuses_is_followed_by_the_number(
    desk: Desk, sms: Twilio, mailbox: Mailbox, unique: str
) -> None:
    who, to, at = await both(desk, unique, mail={"rank": 1}, phone={"rank": 2})
    mailbox.answers["RCPT"] = "550 no such user"
    made = await desk.put(communication(who))
    await desk.work()
    assert (await desk.state(made), await channel(desk, made)) == (("in-progress", []), "sms")
    assert (len(sms.to(to)), went(mailbox, at)) == (1, [])


@pytest.mark.parametrize(
    ("verified", "asks", "refuses"),
    [
        (False, {}, False),
        (True, {"medium": [{"coding": [{"system": MEDIA, "code": "SMSWRIT"}]}]}, False),
        (True, {}, True),
    ],
    ids=["the other is not verified", "text message alone is asked for", "the other refuses too"],
)
async def test_without_another_it_says_why_the_first_refused(
    desk: Desk, sms: Twilio, mailbox: Mailbox, unique: str, verified: bool, asks: Any, refuses: bool
) -> None:
    who, _, at = await both(desk, unique, verified=verified)
    sms.answer = lambda _form: error(400, 21211)
    if refuses:
        mailbox.answers["RCPT"] = "550 no such user"
    made = await desk.put(communication(who, **asks))
    await desk.work()
    assert await desk.state(made) == ("not-done", ["provider-refused" if refuses else "address-malformed"])
    assert went(mailbox, at) == []


async def test_what_may_have_been_taken_is_not_sent_elsewhere(
    desk: Desk, sms: Twilio, mailbox: Mailbox, unique: str
) -> None:
    who, to, at = await both(desk, unique, mail={"rank": 1}, phone={"rank": 2})
    mailbox.cut = True
    made = await desk.put(communication(who))
    await desk.work()
    assert await desk.state(made) == ("unknown", ["outcome-unknown"])
    assert (len(went(mailbox, at)), sms.to(to)) == (1, [])


@pytest.mark.parametrize(("of_phone", "of_mail"), [("content", "none"), ("none", "content")])
async def test_each_point_tells_what_its_owner_wishes_there(
    desk: Desk, sms: Twilio, mailbox: Mailbox, unique: str, of_phone: str, of_mail: str
) -> None:
    who, _, at = await both(desk, unique, phone=wish(of_phone), mail=wish(of_mail))
    asked: list[str] = []

    def refuse(form: dict[str, str]) -> Any:
        asked.append(form["Body"])
        return error(400, 21612)

    sms.answer = refuse
    await desk.put(communication(who, subject={"reference": who}))
    await desk.work()
    [first], [second] = asked, went(mailbox, at)
    assert ("CANARY-TEXT" in first, "CANARY-TEXT" in second) == (of_phone == "content", of_mail == "content")


async def test_what_went_along_goes_along(desk: Desk, sms: Twilio, mailbox: Mailbox, unique: str) -> None:
    who, _, at = await both(desk, unique)
    sms.answer = lambda _form: error(400, 21612)
    desk.settings = desk.settings.model_copy(update={"message_bundle_seconds": 3600})
    made = [await desk.put(communication(who)) for _ in range(3)]
    await desk.work()
    desk.settings = desk.settings.model_copy(update={"message_bundle_seconds": 0})
    await desk.later()
    await desk.later()
    assert [(await desk.state(each))[0] for each in made] == ["in-progress"] * 3
    [said] = went(mailbox, at)
    assert "3" in said
    assert len(sms.asked) == 1


async def test_at_night_it_waits_for_the_morning_there_too(
    desk: Desk, sms: Twilio, mailbox: Mailbox, unique: str
) -> None:
    who, _, at = await both(desk, unique)
    made = await desk.put(communication(who))

    def refuse(_form: dict[str, str]) -> Any:
        desk.settings = desk.settings.model_copy(update={"message_quiet_hours": f"{now_hours(-2)}-{now_hours(3)}"})
        return error(400, 21612)

    sms.answer = refuse
    await desk.work()
    await desk.later()
    assert (await desk.state(made), went(mailbox, at)) == (("preparation", ["quiet-hours"]), [])
