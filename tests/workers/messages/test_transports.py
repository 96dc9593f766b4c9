"""Each transport against a server that speaks its protocol: what is taken, what is for later, for never, and not known."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import boto3
import httpx
import pytest

from fhir_server.settings import Settings
from tests.workers.messages import twilio_server
from tests.workers.messages.conftest import Mailbox
from tests.workers.messages.twilio_server import ACCOUNT, FROM, TOKEN, Twilio, error
from workers.messages.port import Failed, Later, Never, Outgoing, Unsure
from workers.messages.transports import transports

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
TEXT = Outgoing("r1", "+15550100", "", "Clarity: read https://c.example/r1", "https://c.example/r1")
MAIL = Outgoing("r2", "a@b.example", "Message from Clarity", "Read https://c.example/r2\n", "https://c.example/r2")


def settings(**more: Any) -> Settings:
    return Settings(_env_file=None, environment="test", **more)


def texting(sms: Twilio, **more: Any) -> Settings:
    account = {"twilio_account_sid": ACCOUNT, "twilio_auth_token": TOKEN, "twilio_from": FROM}
    return settings(**(account | {"twilio_base_url": sms.url} | more))


async def test_a_text_message_goes_out_and_is_found_again(sms: Twilio) -> None:
    way = transports(texting(sms), "https://c.example/fhir")["sms"]
    sid = await way.send(TEXT)
    [kept] = sms.kept
    assert kept == {
        "To": TEXT.to, "From": FROM, "Body": TEXT.text, "sid": sid,
        "StatusCallback": "https://c.example/hooks/twilio/status?m=r1",
    }  # fmt: skip
    assert await way.find(TEXT, LONG_AGO) == sid
    other = Outgoing("r9", TEXT.to, "", "another", "https://c.example/r9")
    assert await way.find(other, LONG_AGO) is None


async def test_a_messaging_service_is_named_as_such(sms: Twilio) -> None:
    await transports(texting(sms, twilio_from="MG" + "2" * 32), "http://c.example/fhir")["sms"].send(TEXT)
    assert sms.kept[0]["MessagingServiceSid"] == "MG" + "2" * 32
    assert "From" not in sms.kept[0]
    assert "StatusCallback" not in sms.kept[0], "Twilio calls back by https only"


@pytest.mark.parametrize(
    ("answer", "kind", "reason", "after"),
    [
        (error(429, 20429), Later, "status-429", None),
        ((429, {"Retry-After": "77"}, b"{}"), Later, "status-429", 77.0),
        ((503, {"Retry-After": "soon"}, b"<html>"), Later, "status-503", None),
        (error(400, 21211), Never, "address-malformed", None),
        (error(400, 21610), Never, "opted-out", None),
        (error(400, 30001), Never, "provider-refused", None),
        ((400, {}, b"\xff\xfe"), Never, "provider-refused", None),
        ((404, {}, b"[1]"), Never, "provider-refused", None),
        ((403, {}, b""), Later, "credentials", None),
        ((200, {}, b"[]"), Unsure, "broken-answer", None),
        ((201, {}, b'{"sid": 7}'), Unsure, "broken-answer", None),
        ("garbage", Unsure, "broken-answer", None),
        ("hangup", Unsure, "connection", None),
        ("lost", Unsure, "connection", None),
    ],
)
async def test_what_twilio_may_answer(sms: Twilio, answer: Any, kind: type, reason: str, after: float | None) -> None:
    sms.answer = lambda _form: answer
    with pytest.raises(Failed) as caught:
        await transports(texting(sms), "https://c.example/fhir")["sms"].send(TEXT)
    assert type(caught.value) is kind
    assert (caught.value.reason, caught.value.retry_after) == (reason, after)
    assert str(caught.value) == reason, "not a word of the provider's, of the number or of the text"


async def test_a_wrong_token_and_nobody_there(sms: Twilio) -> None:
    with pytest.raises(Later, match="credentials"):
        await transports(texting(sms, twilio_auth_token="x"), "https://c.example/fhir")["sms"].send(TEXT)
    way = transports(texting(sms, twilio_base_url="http://127.0.0.1:9"), "https://c.example/fhir")["sms"]
    with pytest.raises(Later, match="connection"):
        await way.send(TEXT)


def by_ses(aws: str, **more: Any) -> Settings:
    keys = {"aws_access_key_id": "k", "aws_secret_access_key": "s", "aws_endpoint_url": aws}
    return settings(**(keys | {"ses_from": "clarity@hospital.example"} | more))


def verified(aws: str) -> None:
    client = boto3.client(
        "sesv2", region_name="us-east-1", endpoint_url=aws, aws_access_key_id="k", aws_secret_access_key="s"
    )
    client.create_email_identity(EmailIdentity="clarity@hospital.example")


async def test_a_mail_goes_out_by_ses(aws: str) -> None:
    verified(aws)
    id_ = await transports(by_ses(aws), "https://c.example/fhir")["email"].send(MAIL)
    async with httpx.AsyncClient() as client:
        sent = (await client.get(f"{aws}/moto-api/data.json")).json()["ses"]["Message"]
    [mine] = [each for each in sent if id_ in str(each)]
    assert "a@b.example" in str(mine)


async def test_ses_refuses_what_it_does_not_know(aws: str) -> None:
    with pytest.raises(Never, match="provider-refused"):
        await transports(by_ses(aws, ses_from="nobody@nowhere.example"), "https://c.example/fhir")["email"].send(MAIL)


async def test_ses_that_is_not_there(sms: Twilio) -> None:
    with pytest.raises(Later, match="connection"):
        await transports(by_ses("http://127.0.0.1:9"), "https://c.example/fhir")["email"].send(MAIL)
    with pytest.raises(Later, match="status-401"):  # another server altogether
        await transports(by_ses(sms.url), "https://c.example/fhir")["email"].send(MAIL)


@pytest.mark.parametrize(
    ("status", "name", "kind"),
    [
        (429, "TooManyRequestsException", Later),
        (400, "LimitExceededException", Later),
        (400, "SendingPausedException", Later),
        (400, "MessageRejected", Never),
        (500, "InternalFailure", Later),
    ],
)
async def test_what_ses_may_answer(canned: Any, status: int, name: str, kind: type) -> None:
    canned.answer = (status, {"x-amzn-ErrorType": name, "Retry-After": "9"}, b'{"message":"no"}')
    with pytest.raises(Failed) as caught:
        await transports(by_ses(canned.url), "https://c.example/fhir")["email"].send(MAIL)
    assert type(caught.value) is kind
    assert len(canned.got) == 1, "boto3 does not try again by itself"


@pytest.mark.parametrize("answer", ["hangup", (200, {}, b"<garbage>"), (200, {}, b"{}")])
async def test_ses_that_breaks_off(canned: Any, answer: Any) -> None:
    canned.answer = answer
    with pytest.raises(Unsure):
        await transports(by_ses(canned.url), "https://c.example/fhir")["email"].send(MAIL)


def by_smtp(box: Mailbox) -> Settings:
    return settings(smtp_url=box.url, mail_from="clarity@hospital.example")


async def test_a_mail_goes_out_by_smtp(mailbox: Mailbox) -> None:
    id_ = await transports(by_smtp(mailbox), "https://c.example/fhir")["email"].send(MAIL)
    [mail] = mailbox.got
    assert (mail["To"], mail["From"], mail["Subject"]) == ("a@b.example", "clarity@hospital.example", MAIL.subject)
    assert mail["Message-ID"] == id_ == "<r2@hospital.example>"
    assert mail.get_content().replace("\r\n", "\n") == MAIL.text
    assert b"\r\n" in mailbox.raw[0]
    assert b"\n" not in mailbox.raw[0].replace(b"\r\n", b"")


@pytest.mark.parametrize(
    ("answers", "kind"),
    [
        ({"RCPT": "550 no such user"}, Never),
        ({"RCPT": "451 greylisted"}, Later),
        ({"DATA": "554 spam"}, Never),
        ({"DATA": "452 full"}, Later),
    ],
)
async def test_what_a_mail_server_may_answer(mailbox: Mailbox, answers: dict[str, str], kind: type) -> None:
    mailbox.answers = answers
    with pytest.raises(Failed) as caught:
        await transports(by_smtp(mailbox), "https://c.example/fhir")["email"].send(MAIL)
    assert type(caught.value) is kind


async def test_a_mail_server_that_hangs_up_after_the_text(mailbox: Mailbox) -> None:
    mailbox.cut = True
    with pytest.raises(Unsure):
        await transports(by_smtp(mailbox), "https://c.example/fhir")["email"].send(MAIL)
    assert len(mailbox.got) == 1


async def test_nothing_is_set_up() -> None:
    assert transports(settings(), "https://c.example/fhir") == {}


def test_the_signature_of_the_test_server_is_twilios() -> None:
    """The example of Twilio's documentation (docs/usage/security)."""
    form = {
        "CallSid": "CA1234567890ABCDE", "Caller": "+14158675310", "Digits": "1234", "From": "+14158675310", "To": "+18005551212"
    }  # fmt: skip
    url = "https://mycompany.com/myapp.php?foo=1&bar=2"
    assert twilio_server.signature(url, form, "12345") == "GvWf1cFY/Q7PnoempGyD5oXAezc="
