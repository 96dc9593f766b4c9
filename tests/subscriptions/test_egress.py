"""Where notifications may go: 2.3 of the security reference, attacks by address, name and rebinding."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fhir_server.kit import addresses
from fhir_server.settings import Settings
from fhir_server.subscriptions import channel, egress
from fhir_server.subscriptions.refusal import Refusal
from fhir_server.subscriptions.send import Notification, send
from tests.subscriptions import subscribing as given
from tests.subscriptions.receiver import Receiver, receiving


def settings_of(environment: str, **more: object) -> Settings:
    return Settings(_env_file=None, environment=environment, **more)


async def test_a_listed_host_may_be_private_but_never_link_local(monkeypatch: pytest.MonkeyPatch) -> None:
    given_: dict[str, str] = {"ehr.local": "10.0.0.1", "cloud": "169.254.169.254", "third": "10.0.0.1"}

    async def resolve(host: str, _port: int) -> list[str]:
        return [given_[host]]

    monkeypatch.setattr(addresses, "resolve", resolve)
    listed = settings_of("production", notify_private_hosts="EHR.local,cloud")
    for host, allowed in (("ehr.local", True), ("cloud", False), ("third", False)):
        way = channel.parse({"channel": {"type": "rest-hook", "endpoint": f"https://{host}/"}})
        if allowed:
            await egress.check(way, listed)
        else:
            with pytest.raises(Refusal, match="endpoint-not-public"):
                await egress.check(way, listed)


@pytest.mark.parametrize(
    ("environment", "endpoint", "refusal"),
    [
        ("production", "https://93.184.216.34", None),
        ("production", "http://93.184.216.34", "endpoint-not-https"),
        ("production", "http://127.0.0.1", "endpoint-not-https"),
        ("production", "https://127.0.0.1", "endpoint-not-public"),
        ("production", "https://[64:ff9b::a9fe:a9fe]", "endpoint-not-public"),
        ("development", "http://93.184.216.34", "endpoint-not-https"),
        ("development", "http://127.0.0.1:9", None),
        ("test", "http://localhost:9", None),
        ("test", "http://[::1]:9", None),
        ("test", "http://127.0.0.1.example.org", "endpoint-not-https"),
        ("test", "https://169.254.169.254", "endpoint-not-public"),
    ],
)
async def test_where_an_endpoint_may_be(environment: str, endpoint: str, refusal: str | None) -> None:
    way = channel.parse({"channel": {"type": "rest-hook", "endpoint": endpoint}})
    if refusal is None:
        await egress.check(way, settings_of(environment))
    else:
        with pytest.raises(Refusal, match=refusal):
            await egress.check(way, settings_of(environment))


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

    monkeypatch.setattr(addresses, "resolve", rebinding)
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
