"""The way out for notifications: connections only to addresses that a stranger may make us connect to.

A name is resolved here, every address is judged, and the connection is made to the very address that was judged: a name
that answers differently a moment later (DNS rebinding) gains nothing. There are no redirects and no proxies of the
environment, and what a receiver says is read no further than its status needs.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Iterable
from typing import Any, Final

import certifi
import httpcore

from fhir_server.settings import Settings
from fhir_server.subscriptions.channel import Channel
from fhir_server.subscriptions.refusal import Refusal

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_EMBEDDING: Final = tuple(
    ipaddress.ip_network(text) for text in ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "::/96")
)
"""IPv6 networks whose addresses lead to an IPv4 address inside them: never needed by a name, always a way around."""


class Rules:
    """What this installation lets notifications connect to."""

    def __init__(self, settings: Settings) -> None:
        self._development = settings.environment in ("development", "test")
        self._private_hosts = frozenset(host.lower() for host in settings.notify_private_hosts)

    def check_scheme(self, channel: Channel) -> None:
        """Refuse plain HTTP, except to this very machine where somebody develops."""
        if channel.scheme == "https":
            return
        if not self._development or not _is_loopback_name(channel.host):
            raise Refusal("endpoint-not-https", "channel.endpoint must be https.")

    def judge(self, host: str, addresses: Iterable[str]) -> list[str]:
        """Return the addresses, if every one of them is allowed for this host; one bad one refuses all."""
        found = list(dict.fromkeys(addresses))
        for text in found:
            if not self._allowed(host, ipaddress.ip_address(text.split("%")[0])):
                raise Refusal(
                    "endpoint-not-public", "channel.endpoint leads to an address that notifications may not reach."
                )
        return found

    def _allowed(self, host: str, given: Address) -> bool:
        address = _plain(given)
        listed = host.lower() in self._private_hosts
        if address.is_loopback:
            return self._development or listed
        if address.is_multicast or address.is_unspecified or address.is_link_local:
            return False  # link-local is where clouds keep their machines' credentials: no setting opens it
        return listed or is_public(address)


def is_public(address: Address) -> bool:
    """Tell whether an address is one that anybody on the Internet can reach."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return is_public(address.ipv4_mapped)
        if address.is_site_local or any(address in network for network in _EMBEDDING):
            return False
    return address.is_global and not (address.is_multicast or address.is_reserved)


def _plain(address: Address) -> Address:
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _is_loopback_name(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


async def resolve(host: str, port: int) -> list[str]:
    """Return the addresses of a host; OSError when it has none."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    return [str(entry[4][0]) for entry in found]


class _GuardedBackend(httpcore.AsyncNetworkBackend):
    """Connects to addresses that the rules allow."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._plain = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109  the interface of httpcore
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect to the first address of `host` that answers; Refusal when one of them is not allowed."""
        try:
            addresses = self._rules.judge(host, await resolve(host, port))
        except OSError as error:
            raise httpcore.ConnectError("name not resolved") from error
        failure: Exception = httpcore.ConnectError("no address")
        for address in addresses:
            try:
                return await self._plain.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure


def client(settings: Settings, trust: ssl.SSLContext | None = None) -> httpcore.AsyncConnectionPool:
    """Return the connections of this process; `trust` in place of the authorities of the system and of certifi."""
    if trust is None:
        trust = ssl.create_default_context()
        trust.load_verify_locations(certifi.where())
    return httpcore.AsyncConnectionPool(
        ssl_context=trust,
        max_connections=settings.worker_deliveries * 2,
        max_keepalive_connections=settings.worker_deliveries,
        keepalive_expiry=30.0,
        network_backend=_GuardedBackend(Rules(settings)),
    )
