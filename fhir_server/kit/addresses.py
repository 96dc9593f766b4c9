"""Where this server may connect to because a stranger named it: the one guard of notifications and of JWK sets by URL.

A name is resolved here, every address of it is judged, and the connection is made to the very address that was judged: a name
that answers differently a moment later (DNS rebinding) gains nothing. Connections made here follow no redirects and use no
proxies of the environment.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import certifi
import httpcore

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_GLOBAL_UNICAST: Final = ipaddress.IPv6Network("2000::/3")
"""Nothing outside of it is an address of the Internet; translated and mapped IPv4 addresses lie outside."""
_NOT_PUBLIC: Final = tuple(
    ipaddress.ip_network(text) for text in ("192.88.99.0/24", "2001::/23", "2002::/16", "3fff::/20", "2001:db8::/32")
)
"""Relays and tunnels, which lead to an address inside the address, and what only documents use."""


class Closed(Exception):
    """A stranger may not make this server connect there; says nothing of where that is."""


@dataclass(frozen=True, slots=True)
class Reach:
    """What this installation lets strangers' names lead to, beside the Internet."""

    loopback: bool = False
    """This very machine, by plain HTTP too: for development and tests."""
    private_hosts: frozenset[str] = frozenset()
    """Names, in lower case, whose addresses may be private ones."""

    def permits(self, scheme: str, host: str) -> bool:
        """Tell whether the scheme may be used: https, and plain HTTP to this very machine where somebody develops."""
        return scheme == "https" or (scheme == "http" and self.loopback and is_loopback_name(host))

    def judge(self, host: str, addresses: Iterable[str]) -> list[str]:
        """Return the addresses, if every one of them is allowed for this host; one bad one closes all."""
        found = list(dict.fromkeys(addresses))
        if not found or not all(self._allowed(host, text) for text in found):
            raise Closed
        return found

    def _allowed(self, host: str, text: str) -> bool:
        address = plain(text)
        listed = host.lower() in self.private_hosts
        if address.is_loopback:
            return self.loopback or listed
        if address.is_multicast or address.is_unspecified or address.is_link_local:
            return False  # link-local is where clouds keep their machines' credentials: no setting opens it
        return listed or is_public(address)


def plain(text: str) -> Address:
    """Return the address of a text, without its zone; an IPv4 address written as IPv6 is the IPv4 address."""
    address = ipaddress.ip_address(text.partition("%")[0])
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def is_public(address: Address) -> bool:
    """Tell whether an address is one that anybody on the Internet can reach."""
    if isinstance(address, ipaddress.IPv6Address) and address not in _GLOBAL_UNICAST:
        return False
    if any(address in network for network in _NOT_PUBLIC if network.version == address.version):
        return False
    return address.is_global and not (address.is_multicast or address.is_reserved)


def is_loopback_name(host: str) -> bool:
    """Tell whether a host, as it stands in a URL, is this machine without asking anybody."""
    try:
        return plain(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


async def resolve(host: str, port: int) -> list[str]:
    """Return the addresses of a host; OSError when it has none."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(
            host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP
        )
    except UnicodeError as error:  # a label that is empty or too long
        raise OSError("not a name") from error
    return [str(entry[4][0]) for entry in found]


class _GuardedBackend(httpcore.AsyncNetworkBackend):
    """Connects to addresses within reach, and to nothing else."""

    def __init__(self, reach: Reach) -> None:
        self._reach = reach
        self._plain = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109  the interface of httpcore
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect to the first address of `host` that answers; Closed when one of them is not allowed."""
        try:
            addresses = self._reach.judge(host, await resolve(host, port))
        except OSError as error:
            raise httpcore.ConnectError("name not resolved") from error
        failure: Exception = httpcore.ConnectError("no address")
        for address in addresses:
            try:
                return await self._plain.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure


def authorities() -> ssl.SSLContext:
    """Return the TLS context for servers of others: the authorities of the system and of certifi."""
    trust = ssl.create_default_context()
    trust.load_verify_locations(certifi.where())
    return trust


def connections(
    reach: Reach, *, trust: ssl.SSLContext | None = None, most: int = 10, kept: int = 0
) -> httpcore.AsyncConnectionPool:
    """Return a pool of connections within reach: `most` at a time, of which `kept` stay open for 30 seconds."""
    return httpcore.AsyncConnectionPool(
        ssl_context=trust or authorities(),
        max_connections=most,
        max_keepalive_connections=kept,
        keepalive_expiry=30.0,
        network_backend=_GuardedBackend(reach),
    )
