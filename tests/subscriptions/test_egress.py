"""Where notifications may go: 2.3 of the security reference, attacks by address, name and rebinding."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fhir_server.settings import Settings
from fhir_server.subscriptions import channel, egress
from fhir_server.subscriptions.refusal import Refusal
from fhir_server.subscriptions.send import Notification, send
from tests.subscriptions import subscribing as given
from tests.subscriptions.receiver import Receiver, receiving

CLOSED = """
127.0.0.1 127.1.2.3 0.0.0.0 10.0.0.1 172.16.0.1 172.31.255.255 192.168.1.1 169.254.169.254 100.64.0.1 192.0.2.1 198.18.0.1 224.0.0.1
240.0.0.1 255.255.255.255 ::1 :: fe80::1 fc00::1 fd12::1 fec0::1 ff02::1 ::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:169.254.169.254
64:ff9b::a9fe:a9fe 2002:7f00:1:: 2001:db8::1 ::7f00:1
"""


def rules(environment: str = "production", **more: object) -> egress.Rules:
    return egress.Rules(Settings(_env_file=None, environment=environment, **more))


@pytest.mark.parametrize("address", CLOSED.split())
def test_addresses_that_no_stranger_may_name(address: str) -> None:
    assert not egress.is_public(ipaddress.ip_address(address))
    with pytest.raises(Refusal, match="endpoint-not-public"):
        rules().judge("example.org", [address])


@pytest.mark.parametrize("address", ["8.8.8.8", "1.1.1.1", "2001:4860:4860::8888", "::ffff:8.8.8.8"])
def test_addresses_of_the_internet(address: str) -> None:
    assert rules().judge("example.org", [address]) == [address]


def test_one_bad_address_refuses_all() -> None:
    with pytest.raises(Refusal):
        rules().judge("example.org", ["8.8.8.8", "10.0.0.1"])


def test_a_listed_host_may_be_private_but_never_link_local() -> None:
    open_ = rules(notify_private_hosts="ehr.local,other")
    assert open_.judge("EHR.local", ["10.0.0.1", "127.0.0.1"]) == ["10.0.0.1", "127.0.0.1"]
    for host, address in (("ehr.local", "169.254.169.254"), ("ehr.local", "fe80::1"), ("third", "10.0.0.1")):
        with pytest.raises(Refusal):
            open_.judge(host, [address])


@pytest.mark.parametrize(
    ("environment", "endpoint", "allowed"),
    [
        ("production", "https://example.org", True),
        ("production", "http://example.org", False),
        ("production", "http://127.0.0.1", False),
        ("development", "http://example.org", False),
        ("development", "http://127.0.0.1:9", True),
        ("test", "http://localhost:9", True),
        ("test", "http://[::1]:9", True),
        ("test", "http://127.0.0.1.example.org", False),
    ],
)
def test_plain_http_stays_on_this_machine(environment: str, endpoint: str, allowed: bool) -> None:
    way = channel.parse({"channel": {"type": "rest-hook", "endpoint": endpoint}})
    if allowed:
        rules(environment).check_scheme(way)
    else:
        with pytest.raises(Refusal, match="endpoint-not-https"):
            rules(environment).check_scheme(way)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


async def test_a_name_that_leads_elsewhere_at_the_moment_of_connecting_is_refused(
    receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    async def rebinding(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["169.254.169.254" if len(asked) > 1 else "127.0.0.1"]

    monkeypatch.setattr(egress, "resolve", rebinding)
    settings = given.settings(tmp_path)
    way = channel.parse({"channel": {"type": "rest-hook", "endpoint": f"http://receiver.test:{receiver.port}"}})
    async with egress.client(settings) as client:
        assert (await send(client, way, Notification("a-1"))).delivered
        receiver.answer = lambda *_: (200, {"Connection": "close"})
        assert (await send(client, way, Notification("a-2"))).delivered
        outcome = await send(client, way, Notification("a-3"))
    assert (outcome.status, outcome.reason) == (None, "endpoint-not-public")
    assert [r.id for r in receiver.got] == ["a-1", "a-2"]


async def test_production_does_not_reach_loopback(receiver: Receiver) -> None:
    settings = Settings(_env_file=None, environment="production")
    way = channel.parse({"channel": {"type": "rest-hook", "endpoint": receiver.url}})
    async with egress.client(settings) as client:
        assert (await send(client, way, Notification("a-1"))).reason == "endpoint-not-public"
    assert receiver.got == []


async def test_a_name_resolves_to_addresses() -> None:
    assert "127.0.0.1" in await egress.resolve("localhost", 80) or "::1" in await egress.resolve("localhost", 80)
    with pytest.raises(OSError):
        await egress.resolve("no-such-name.invalid", 80)
    assert socket.AF_INET
