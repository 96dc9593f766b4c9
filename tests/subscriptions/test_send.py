"""What the answer of a receiver means, over real sockets, with and without TLS."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from ipaddress import ip_address
from pathlib import Path

import httpcore
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from fhir_server.kit import clock
from fhir_server.subscriptions import channel, egress, send
from fhir_server.subscriptions.channel import Channel
from fhir_server.subscriptions.send import Notification, Outcome
from tests.subscriptions import subscribing as given
from tests.subscriptions.receiver import Receiver, receiving

MESSAGE = Notification("sub-1", "Observation/1", b'{"resourceType":"Observation"}')


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[httpcore.AsyncConnectionPool]:
    async with egress.client(given.settings(tmp_path)) as client:
        yield client


def way(receiver: Receiver, scheme: str = "http") -> Channel:
    endpoint = f"{scheme}://127.0.0.1:{receiver.port}/in"
    return channel.parse({"channel": {"type": "rest-hook", "endpoint": endpoint, "payload": "application/fhir+json"}})


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (200, Outcome(200)),
        (204, Outcome(204)),
        (301, Outcome(301, "redirect")),
        (400, Outcome(400, "status-400")),
        (410, Outcome(410, "status-410")),
        (500, Outcome(500, "status-500")),
        ("hangup", Outcome(None, "broken-answer")),
        ("cut", Outcome(None, "broken-answer")),
        ((503, {"Retry-After": "120"}), Outcome(503, "status-503", 120.0)),
        ((503, {"Retry-After": "soon"}), Outcome(503, "status-503")),
    ],
)
async def test_answers(
    client: httpcore.AsyncConnectionPool, receiver: Receiver, answer: object, outcome: Outcome
) -> None:
    receiver.answer = lambda *_: answer
    assert await send.send(client, way(receiver), MESSAGE) == outcome
    assert outcome.delivered == (outcome.status in (200, 204))


async def test_redirects_are_not_followed(client: httpcore.AsyncConnectionPool, receiver: Receiver) -> None:
    receiver.answer = lambda *_: (307, {"Location": f"{receiver.url}/elsewhere"})
    await send.send(client, way(receiver), MESSAGE)
    assert [r.path for r in receiver.got] == ["/in/Observation/1"]


async def test_a_date_in_retry_after(client: httpcore.AsyncConnectionPool, receiver: Receiver) -> None:
    later = format_datetime(clock.now().astimezone(UTC) + timedelta(seconds=100), usegmt=True)
    receiver.answer = lambda *_: (429, {"Retry-After": later})
    outcome = await send.send(client, way(receiver), MESSAGE)
    assert 90 < outcome.retry_after <= 101


async def test_a_receiver_that_never_answers_is_given_up(
    client: httpcore.AsyncConnectionPool, receiver: Receiver
) -> None:
    receiver.answer = lambda *_: 30.0
    began = clock.monotonic()
    impatient = replace(way(receiver), seconds=0.2)
    assert await send.send(client, impatient, MESSAGE) == Outcome(None, "timeout")
    assert clock.monotonic() - began < 20


async def test_nobody_there(client: httpcore.AsyncConnectionPool, receiver: Receiver) -> None:
    async with receiving() as other:
        closed = way(other)
    assert await send.send(client, closed, MESSAGE) == Outcome(None, "connection")


async def test_a_connection_that_went_stale_is_replaced(
    client: httpcore.AsyncConnectionPool, receiver: Receiver
) -> None:
    assert (await send.send(client, way(receiver), MESSAGE)).delivered
    for task in list(receiver.serving):
        task.cancel()
    await asyncio.sleep(0.05)
    assert (await send.send(client, way(receiver), MESSAGE)).delivered


def certificate(folder: Path) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "receiver")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
        .not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    path = folder / "receiver.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return path


async def test_tls_is_verified(tmp_path: Path) -> None:
    pem = certificate(tmp_path)
    theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    theirs.load_cert_chain(pem)
    receiver = Receiver()
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", 0, ssl=theirs)
    receiver.port = server.sockets[0].getsockname()[1]
    settings = given.settings(tmp_path)
    async with server:
        async with egress.client(settings) as strict:
            assert await send.send(strict, way(receiver, "https"), MESSAGE) == Outcome(None, "tls")
        async with egress.client(settings, ssl.create_default_context(cafile=str(pem))) as trusting:
            assert (await send.send(trusting, way(receiver, "https"), MESSAGE)).delivered
        for task in list(receiver.serving):
            task.cancel()
        await asyncio.gather(*receiver.serving, return_exceptions=True)
    assert [r.body for r in receiver.got] == [MESSAGE.body]
