"""Providers on loopback, people with contact points, and the worker's steps done one by one."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

from tests.workers.messages.twilio_server import Twilio, _http, twilio


@pytest.fixture
async def sms() -> AsyncIterator[Twilio]:
    async with twilio() as server:
        yield server


class Mailbox:
    """An SMTP server: `answers` by command, 250 where it says nothing; `cut` hangs up after the text."""

    def __init__(self) -> None:
        self.got: list[EmailMessage] = []
        self.raw: list[bytes] = []
        self.answers: dict[str, str] = {}
        self.cut = False
        self.url = ""

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:  # noqa: N802
        if "RCPT" not in self.answers:
            envelope.rcpt_tos.append(address)
        return self.answers.get("RCPT", "250 OK")

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        self.raw.append(envelope.content)
        self.got.append(message_from_bytes(envelope.content, policy=policy.default))
        if self.cut:
            server.transport.close()
        return self.answers.get("DATA", "250 OK")


@pytest.fixture
async def mailbox() -> AsyncIterator[Mailbox]:
    box = Mailbox()
    server = await asyncio.get_running_loop().create_server(lambda: SMTP(box), "127.0.0.1", 0)
    box.url = f"smtp://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    yield box
    server.close()
    await server.wait_closed()


@pytest.fixture(scope="session")
def aws() -> Iterator[str]:
    """moto's AWS."""
    server = make_server("127.0.0.1", 0, DomainDispatcherApplication(create_backend_app), threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


class Canned:
    """An HTTP server that gives every request the same answer, or none."""

    def __init__(self) -> None:
        self.url = ""
        self.answer: str | tuple[int, dict[str, str], bytes] = "hangup"
        self.got: list[bytes] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            size = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
            body = await reader.readexactly(int(size[0].partition(b":")[2])) if size else b""
            self.got.append(head + body)
            if isinstance(self.answer, tuple):
                writer.write(_http(self.answer))
                await writer.drain()
        finally:
            writer.close()


@pytest.fixture
async def canned() -> AsyncIterator[Canned]:
    made = Canned()
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    yield made
    server.close()
    await server.wait_closed()
