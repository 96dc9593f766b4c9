"""Where strangers may make this server connect: attacks by address, by name and by rebinding (security reference §2.3, 87)."""

from __future__ import annotations

import pytest

from fhir_server.kit import addresses
from fhir_server.kit.addresses import Closed, Reach

INSIDE = """
127.0.0.1 127.1.2.3 0.0.0.0 0.1.2.3 10.0.0.1 172.16.0.1 172.31.255.255 192.168.1.1 169.254.169.254 100.64.0.1 192.0.2.1
192.88.99.1 198.18.0.1 198.51.100.1 203.0.113.1 224.0.0.1 240.0.0.1 255.255.255.255 ::1 :: fe80::1 fe80::1%eth0 fc00::1
fd12::1 fec0::1 ff02::1 ff0e::1 ::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:169.254.169.254 ::ffff:0:7f00:1 ::ffff:0:a9fe:a9fe
64:ff9b::a9fe:a9fe 64:ff9b:1::7f00:1 2002:7f00:1:: 2001::1 2001:db8::1 3fff::1 5f00::1 100::1 ::7f00:1
"""


@pytest.mark.parametrize("address", INSIDE.split())
def test_addresses_that_no_stranger_may_name(address: str) -> None:
    assert not addresses.is_public(addresses.plain(address))
    with pytest.raises(Closed):
        Reach().judge("example.org", [address])


@pytest.mark.parametrize("address", ["8.8.8.8", "93.184.216.34", "2001:4860:4860::8888", "::ffff:8.8.8.8"])
def test_addresses_of_the_internet(address: str) -> None:
    assert Reach().judge("example.org", [address, address]) == [address]


def test_one_bad_address_closes_all_and_none_is_no_way_in() -> None:
    for found in (["8.8.8.8", "10.0.0.1"], ["10.0.0.1", "8.8.8.8"], []):
        with pytest.raises(Closed):
            Reach().judge("example.org", found)


def test_a_listed_host_may_be_private_but_never_link_local() -> None:
    reach = Reach(private_hosts=frozenset({"ehr.local"}))
    assert reach.judge("EHR.local", ["10.0.0.1", "127.0.0.1"]) == ["10.0.0.1", "127.0.0.1"]
    for host, address in (("ehr.local", "169.254.169.254"), ("ehr.local", "fe80::1"), ("third", "10.0.0.1")):
        with pytest.raises(Closed):
            reach.judge(host, [address])


def test_the_desk_opens_loopback_and_nothing_else() -> None:
    reach = Reach(loopback=True)
    assert reach.judge("localhost", ["127.0.0.1", "::1"]) == ["127.0.0.1", "::1"]
    for address in ("10.0.0.1", "0.0.0.0", "169.254.169.254", "64:ff9b::7f00:1"):
        with pytest.raises(Closed):
            reach.judge("localhost", [address])


@pytest.mark.parametrize(
    ("loopback", "scheme", "host", "allowed"),
    [
        (False, "https", "example.org", True),
        (False, "http", "example.org", False),
        (False, "http", "127.0.0.1", False),
        (True, "http", "127.0.0.1", True),
        (True, "http", "::1", True),
        (True, "http", "LOCALHOST", True),
        (True, "http", "example.org", False),
        (True, "http", "127.0.0.1.example.org", False),
        (True, "ftp", "127.0.0.1", False),
        (True, "file", "", False),
    ],
)
def test_schemes(loopback: bool, scheme: str, host: str, allowed: bool) -> None:
    assert Reach(loopback=loopback).permits(scheme, host) is allowed


async def test_names() -> None:
    assert set(await addresses.resolve("localhost", 80)) & {"127.0.0.1", "::1"}
    for name in ("no-such-name.invalid", "a" * 64 + ".example", "a..b"):
        with pytest.raises(OSError):
            await addresses.resolve(name, 80)


async def test_what_connects_judges_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    async def inside(_host: str, _port: int) -> list[str]:
        return ["169.254.169.254"]

    monkeypatch.setattr(addresses, "resolve", inside)
    async with addresses.connections(Reach(loopback=True)) as client:
        with pytest.raises(Closed):
            await client.request("GET", "https://innocent.example/")
