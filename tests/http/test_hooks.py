"""Webhooks: what is signed counts once, what is not changes nothing. Signatures are made here, by the providers' documents."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID
from starlette.applications import Starlette

from fhir_server.app import _fhir_error, application
from fhir_server.errors import FhirError
from fhir_server.http import hooks
from fhir_server.http.services import Services
from fhir_server.kit import ids
from fhir_server.storage import contacts, messages
from fhir_server.storage.tenants import Tenant
from tests.conftest import ORIGIN
from tests.rest_fixtures import services
from tests.workers.messages.sending import number
from tests.workers.messages.twilio_server import TOKEN, signature

__all__ = ["services"]

TOPIC = "arn:aws:sns:eu-central-1:1:clarity"
CERTIFICATE_URL = "https://sns.eu-central-1.amazonaws.com/SimpleNotificationService-abc.pem"


@pytest.fixture(scope="module")
def amazon() -> tuple[rsa.RSAPrivateKey, bytes]:
    return certified()


def certified(days: int = 1) -> tuple[rsa.RSAPrivateKey, bytes]:
    key = rsa.generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sns.amazonaws.com")])
    start = datetime.now(UTC) - timedelta(days=2)
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(7)
        .not_valid_before(start).not_valid_after(datetime.now(UTC) + timedelta(days=days)).sign(key, hashes.SHA256())
    )  # fmt: skip
    return key, made.public_bytes(serialization.Encoding.PEM)


@dataclass
class Hooks:
    client: httpx.AsyncClient
    tenant: Tenant
    other: Tenant

    async def twilio(self, path: str, form: dict[str, str], signed: str | None = None) -> httpx.Response:
        given = signature(ORIGIN + path, form) if signed is None else signed
        headers = {"X-Twilio-Signature": given, "content-type": "application/x-www-form-urlencoded"}
        return await self.client.post(ORIGIN + path, content=urlencode(form), headers=headers)

    async def ses(self, body: Any) -> httpx.Response:
        return await self.client.post(
            f"{ORIGIN}/hooks/ses", content=json.dumps(body), headers={"content-type": "text/plain"}
        )


@pytest.fixture
async def hook(
    services: Services, tenants: dict[str, Tenant], tmp_path: Path, amazon: tuple[Any, bytes]
) -> AsyncIterator[Hooks]:
    pem = tmp_path / "sns.pem"
    pem.write_bytes(amazon[1])
    more = {"twilio_auth_token": TOKEN, "ses_topic_arn": TOPIC, "ses_topic_certificate": pem, "base_url": ORIGIN}
    given = type(services.settings)(_env_file=None, environment="test", data=tmp_path, **more)
    app = application(replace(services, settings=given))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app)) as client:
        yield Hooks(client, tenants["default"], tenants["second"])


async def message(tenant: Tenant, address: int, provider_id: str | None = None) -> messages.Message:
    """A message that was sent, of a Communication that is none of ours to look at."""
    communication = int.from_bytes(ids.new_id().encode()[-6:], "big") + 1_000_000
    await messages.ensure(tenant, communication, [communication], "notice", urgent=False)
    [row] = await messages.of(tenant, communication)
    await messages.take(tenant, row.id, "sms", address, "twilio", ())
    await messages.note(tenant, row.ref, 1, "sent", provider_id=provider_id)
    return (await messages.of(tenant, communication))[0]


async def state(tenant: Tenant, row: messages.Message) -> str:
    return (await messages.of(tenant, row.communication))[0].state


async def test_a_receipt_of_twilio(hook: Hooks) -> None:
    row = await message(hook.tenant, 1, "SM1" + ids.new_id())
    form = {"MessageSid": row.provider_id or "", "MessageStatus": "delivered", "To": "+15550100", "Empty": ""}
    path = f"/hooks/twilio/status?m={row.ref}"
    assert (await hook.twilio(path, form)).status_code == 204
    assert await state(hook.tenant, row) == "received"
    ended = (await messages.of(hook.tenant, row.communication))[0].ended_at
    for status in ("delivered", "sent", "queued", "undelivered", "never-heard-of"):
        assert (await hook.twilio(path, form | {"MessageStatus": status})).status_code == 204
    after = (await messages.of(hook.tenant, row.communication))[0]
    assert (after.state, after.ended_at) == ("received", ended), "replays and late ones change nothing"


async def test_a_receipt_of_another_tenant(hook: Hooks) -> None:
    row = await message(hook.other, 1, "SM2" + ids.new_id())
    form = {"MessageSid": row.provider_id or "", "MessageStatus": "failed", "ErrorCode": "30003"}
    assert (await hook.twilio(f"/hooks/twilio/status?m={row.ref}", form)).status_code == 204
    assert await state(hook.other, row) == "sent", "asked at the wrong door"
    assert (await hook.twilio(f"/t/second/hooks/twilio/status?m={row.ref}", form)).status_code == 204
    assert await state(hook.other, row) == "undelivered"
    assert (await hook.twilio("/t/nobody/hooks/twilio/status", form)).status_code == 404


@pytest.mark.parametrize(
    "forged", ["", "AAAA", "ä", "other-token", "other-form", "other-address", "replayed-elsewhere"]
)
async def test_what_twilio_has_not_signed(hook: Hooks, forged: str) -> None:
    row = await message(hook.tenant, 1, "SM3" + ids.new_id())
    form, path = (
        {"MessageSid": row.provider_id or "", "MessageStatus": "delivered"},
        f"/hooks/twilio/status?m={row.ref}",
    )
    made: dict[str, Callable[[], str]] = {
        "other-token": lambda: signature(ORIGIN + path, form, "x"),
        "other-form": lambda: signature(ORIGIN + path, form | {"MessageStatus": "sent"}),
        "other-address": lambda: signature("https://elsewhere.example" + path, form),
        "replayed-elsewhere": lambda: signature(f"{ORIGIN}/hooks/twilio/inbound", form),
    }
    signed = made[forged]() if forged in made else forged
    headers = {"X-Twilio-Signature": signed.encode("utf-8"), "content-type": "application/x-www-form-urlencoded"}
    answer = await hook.client.post(ORIGIN + path, content=urlencode(form), headers=headers)
    assert (answer.status_code, answer.json()["resourceType"]) == (403, "OperationOutcome")
    assert await state(hook.tenant, row) == "sent"


async def test_bodies_that_are_none(hook: Hooks) -> None:
    url = f"{ORIGIN}/hooks/twilio/status"
    assert (await hook.client.post(url)).status_code == 403
    assert (await hook.client.post(url, content=b"\xff=\xfe")).status_code == 403
    assert (await hook.client.post(url, content=b"&".join(b"a=b" for _ in range(300)))).status_code == 403
    assert (await hook.client.post(url, content=b"a" * 300_000)).status_code == 413
    assert (await hook.client.get(url)).status_code == 405


async def test_stop_and_start(hook: Hooks) -> None:
    sender = number()
    address = {tenant.name: contacts.address_key(tenant, "sms", sender) for tenant in (hook.tenant, hook.other)}

    async def says(word: str, sid: str, **more: str) -> list[bool]:
        form = {"From": sender, "Body": word, "MessageSid": sid} | more
        answer = await hook.twilio("/hooks/twilio/inbound", form)
        assert answer.status_code == 200
        assert answer.text.endswith("<Response/>")
        return [bool(await contacts.opted_out(t, [address[t.name]])) for t in (hook.tenant, hook.other)]

    first, second, third = ids.new_id(), ids.new_id(), ids.new_id()
    assert await says("hello, I feel bad", ids.new_id()) == [False, False]
    assert await says(" Stop. ", first) == [True, True]
    assert await says("START", second) == [False, False]
    assert await says("Stop", first) == [False, False], "a replay"
    assert await says("anything", third, OptOutType="STOP") == [True, True]
    assert await says("START", second) == [True, True], "a replay"


async def test_a_number_that_twilio_knows_as_stopped(hook: Hooks) -> None:
    address = contacts.address_key(hook.tenant, "sms", number())
    row = await message(hook.tenant, address, "SM4" + ids.new_id())
    form = {"MessageSid": row.provider_id or "", "MessageStatus": "undelivered", "ErrorCode": "21610"}
    await hook.twilio(f"/hooks/twilio/status?m={row.ref}", form)
    assert await contacts.opted_out(hook.tenant, [address]) == {address}


# ---- SNS ----


def envelope(key: rsa.RSAPrivateKey, message: Any, version: str = "2", **more: str) -> dict[str, str]:
    made = {
        "Type": "Notification", "MessageId": ids.uuid_(), "TopicArn": TOPIC, "Message": json.dumps(message),
        "Timestamp": "2026-11-25T10:00:00.000Z", "SignatureVersion": version, "SigningCertURL": CERTIFICATE_URL,
    } | more  # fmt: skip
    names = ["Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"]
    if made["Type"] != "Notification":
        names = ["Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"]
    text = "".join(f"{name}\n{made[name]}\n" for name in names if name in made)
    kind = hashes.SHA256() if version == "2" else hashes.SHA1()
    return {"Signature": base64.b64encode(key.sign(text.encode(), padding.PKCS1v15(), kind)).decode()} | made


def event(kind: str, id_: str, ref: str | None = None, **more: Any) -> dict[str, Any]:
    mail: dict[str, Any] = {"messageId": id_, "destination": ["ann@b.example"]}
    if ref is not None:
        return {"eventType": kind, "mail": mail | {"tags": {"clarity-ref": [ref]}}} | more
    return {"notificationType": kind, "mail": mail} | more


@pytest.mark.parametrize("version", ["1", "2"])
async def test_a_delivery_by_ses(hook: Hooks, amazon: Any, version: str) -> None:
    row = await message(hook.other, 1, "ses-" + ids.new_id())
    told = envelope(amazon[0], event("Delivery", row.provider_id or ""), version, Subject="x")
    assert (await hook.ses(told)).status_code == 204
    assert await state(hook.other, row) == "received"
    assert (await hook.ses(told)).status_code == 204


@pytest.mark.parametrize(
    ("kind", "more", "out"),
    [
        ("Bounce", {"bounce": {"bounceType": "Permanent"}}, True),
        ("Bounce", {"bounce": {"bounceType": "Transient"}}, False),
        ("Complaint", {"complaint": {}}, True),
        ("Open", {}, False),
    ],
)
async def test_bounces_and_complaints(hook: Hooks, amazon: Any, kind: str, more: Any, out: bool) -> None:
    address = contacts.address_key(hook.tenant, "email", f"{ids.new_id()}@b.example")
    row = await message(hook.tenant, address, "ses-" + ids.new_id())
    await hook.ses(envelope(amazon[0], event("Delivery", row.provider_id or "")))
    await hook.ses(envelope(amazon[0], event(kind, row.provider_id or "", **more)))
    assert bool(await contacts.opted_out(hook.tenant, [address])) == out


async def test_an_outcome_that_was_unknown_is_told_by_its_tag(hook: Hooks, amazon: Any) -> None:
    row = await message(hook.tenant, 1)
    text = "UPDATE {s}.message SET state = 'unknown', provider_id = NULL WHERE id = $1"
    await hook.tenant.pool.execute(hook.tenant.sql(text), row.id)
    await hook.ses(envelope(amazon[0], event("Send", "ses-" + ids.new_id(), row.ref)))
    assert await state(hook.tenant, row) == "sent"


FORGERIES: dict[str, Callable[[dict[str, str]], dict[str, Any]]] = {
    "another topic": lambda e: e | {"TopicArn": "arn:aws:sns:eu-central-1:666:clarity"},
    "another message": lambda e: e | {"Message": e["Message"].replace("Delivery", "Bounce")},
    "no signature": lambda e: {k: v for k, v in e.items() if k != "Signature"},
    "garbage": lambda e: e | {"Signature": "%%%"},
    "another hash": lambda e: e | {"SignatureVersion": "1"},
    "an unknown hash": lambda e: e | {"SignatureVersion": "9"},
    "a host of a stranger": lambda e: (
        e | {"SigningCertURL": "https://sns.eu-central-1.amazonaws.com.evil.example/a.pem"}
    ),
    "a user before a host": lambda e: (
        e | {"SigningCertURL": "https://sns.eu-central-1.amazonaws.com@evil.example/a.pem"}
    ),
    "a bucket": lambda e: e | {"SigningCertURL": "https://s3.amazonaws.com/sns.eu-central-1.amazonaws.com/a.pem"},
    "another port": lambda e: e | {"SigningCertURL": "https://sns.eu-central-1.amazonaws.com:8443/a.pem"},
    "plain http": lambda e: e | {"SigningCertURL": CERTIFICATE_URL.replace("https", "http")},
    "no certificate": lambda e: e | {"SigningCertURL": CERTIFICATE_URL.replace(".pem", ".txt")},
    "a broken address": lambda e: e | {"SigningCertURL": "https://[sns/a.pem"},
    "a part missing": lambda e: {k: v for k, v in e.items() if k != "Timestamp"},
    "another type": lambda e: e | {"Type": "Other"},
    "numbers": lambda e: e | {"Message": 7},
    "a subject that was not signed": lambda e: e | {"Subject": "x"},
}


@pytest.mark.parametrize("forged", FORGERIES)
async def test_what_sns_has_not_signed(hook: Hooks, amazon: Any, forged: str) -> None:
    row = await message(hook.tenant, 1, "ses-" + ids.new_id())
    told = FORGERIES[forged](envelope(amazon[0], event("Delivery", row.provider_id or "")))
    assert (await hook.ses(told)).status_code == 403
    assert await state(hook.tenant, row) == "sent"


async def test_a_foreign_key_and_no_json(hook: Hooks) -> None:
    assert (await hook.ses(envelope(certified()[0], event("Delivery", "x")))).status_code == 403
    assert (await hook.client.post(f"{ORIGIN}/hooks/ses", content=b"{")).status_code == 403


async def test_events_that_say_nothing(hook: Hooks, amazon: Any) -> None:
    for odd in (  # each of another shape
        [],
        {},
        {"mail": []},
        {"mail": {}, "eventType": "Delivery"},
        "text",
        event("Delivery", "x") | {"mail": {"messageId": 7}},
    ):
        assert (await hook.ses(envelope(amazon[0], odd))).status_code == 204
    told = envelope(amazon[0], {})
    broken = envelope(amazon[0], {}, Message="not json")
    assert told["Message"] != broken["Message"]
    assert (await hook.ses(broken)).status_code == 204


async def test_a_certificate_that_has_run_out(hook: Hooks, tmp_path: Path) -> None:
    key, pem = certified(-1)
    (tmp_path / "sns.pem").write_bytes(pem)
    assert (await hook.ses(envelope(key, event("Delivery", "x")))).status_code == 403
    (tmp_path / "sns.pem").write_bytes(b"no certificate")


async def test_a_subscription_is_confirmed_at_amazon_only(
    services: Services, tenants: dict[str, Tenant], amazon: Any
) -> None:
    got: list[str] = []

    async def fetch(url: str) -> bytes:
        got.append(url)
        return bytes(amazon[1])

    given = type(services.settings)(
        _env_file=None, environment="test", data=services.settings.data, ses_topic_arn=TOPIC
    )

    async def free(*_given: Any) -> None:
        return None

    [*_, route] = [
        each for each in hooks.routes(given, lambda _r: tenants["default"], tenants.values, free, fetch)
        if each.path == "/hooks/ses"
    ]  # fmt: skip
    app = Starlette(routes=[route], exception_handlers={FhirError: _fhir_error})
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url=ORIGIN) as client:
        there = "https://sns.eu-central-1.amazonaws.com/?Action=ConfirmSubscription&Token=t"
        for url, status in ((there, 204), ("https://evil.example/?Action=ConfirmSubscription", 403)):
            told = envelope(amazon[0], "x", Type="SubscriptionConfirmation", Token="t", SubscribeURL=url)
            assert (await client.post("/hooks/ses", content=json.dumps(told))).status_code == status
    assert got == [CERTIFICATE_URL, there], "the certificate is kept"
