"""Channel `email` against a real SMTP server on loopback: no content in the mail, the Bundle attached, refusals understood."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

import pytest
from aiosmtpd.smtp import SMTP

from fhir_server.storage.tenants import Tenant
from fhir_server.subscriptions.channel import Channel
from fhir_server.subscriptions.judge import judge
from fhir_server.subscriptions.send import Notification, Outcome, send
from tests.subscriptions import subscribing as given
from tests.subscriptions import topical
from tests.subscriptions.topical import Notice

WAY = Channel("mailto", "b.example", 0, "a@b.example", "", (), "application/fhir+json", "email", 5.0)


class Mailbox:
    def __init__(self) -> None:
        self.got: list[EmailMessage] = []
        self.answer = "250 OK"

    async def handle_RCPT(self, server, session, envelope, address, options) -> str:  # noqa: N802
        if self.answer.startswith("250"):
            envelope.rcpt_tos.append(address)
        return self.answer

    async def handle_DATA(self, server, session, envelope) -> str:  # noqa: N802
        self.got.append(message_from_bytes(envelope.content, policy=policy.default))
        return "250 OK"


@pytest.fixture
async def mailbox() -> AsyncIterator[tuple[Mailbox, str]]:
    box = Mailbox()
    server = await asyncio.get_running_loop().create_server(lambda: SMTP(box), "127.0.0.1", 0)
    yield box, f"smtp://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()
    await server.wait_closed()


async def test_the_handshake_is_a_mail_without_content(
    tenant: Tenant, tmp_path: Path, mailbox: tuple[Mailbox, str], unique: str
) -> None:
    box, url = mailbox
    settings = given.settings(tmp_path, smtp_url=url, mail_from="clarity@hospital.example")
    who = await given.client(tenant, "system/*.cruds")
    wanted = topical.subscription("observation", "mailto:a@b.example", f"patient=Patient/{unique}", kind="email")
    made = await given.write(tenant, wanted, who)
    await judge(tenant, made.rid, settings)
    assert await given.status_of(tenant, made.id) == ("active", None)
    [mail] = box.got
    assert (mail["To"], mail["From"], mail["Subject"]) == ("a@b.example", "clarity@hospital.example", "Notification")
    assert unique not in mail.get_body().get_content()
    [attached] = list(mail.iter_attachments())
    assert attached.get_content_type() == "application/fhir+json"
    assert Notice(json.loads(attached.get_content())).kind == "handshake"


@pytest.mark.parametrize(
    ("answer", "reason"), [("550 no such user", "recipient-refused"), ("451 later", "mail-deferred")]
)
async def test_refusals(tmp_path: Path, mailbox: tuple[Mailbox, str], answer: str, reason: str) -> None:
    box, url = mailbox
    box.answer = answer
    outcome = await send(None, WAY, Notification("x-1", "", b"{}"), given.settings(tmp_path, smtp_url=url))
    assert outcome == Outcome(None, reason)


async def test_nobody_there_and_nobody_named(tmp_path: Path) -> None:
    message = Notification("x-1", "", b"{}")
    closed = given.settings(tmp_path, smtp_url="smtp://127.0.0.1:9")
    assert await send(None, WAY, message, closed) == Outcome(None, "connection")
    assert await send(None, WAY, message, given.settings(tmp_path)) == Outcome(None, "no-mail-server")
