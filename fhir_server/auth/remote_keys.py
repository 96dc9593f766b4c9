"""JWK sets that clients publish at a URL: fetched without following redirects, from public addresses only, as long as told.

The host is resolved once and the connection made to the address that was checked, so that a second answer of the DNS
cannot lead inside. TLS verifies the name. In development a loopback address may be used, also by http.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

import httpx

from fhir_server.auth.client_keys import KeySetError, import_keys
from fhir_server.auth.jose import Key
from fhir_server.errors import FhirError
from fhir_server.kit import clock, json

MAX_BYTES: Final = 65_536
MAX_AGE: Final = 3600.0
_TIMEOUT = httpx.Timeout(5.0, connect=3.0)
_MAX_AGE = re.compile(r"max-age=(\d{1,9})")
_REMEMBERED = 1000
# IPv6 addresses that lead to an IPv4 address inside them: no name of a client needs one, every one is a way around.
_EMBEDDING = tuple(ipaddress.ip_network(text) for text in ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16"))


@dataclass(frozen=True, slots=True)
class _Kept:
    keys: Sequence[Key]
    until: float


def lifetime(cache_control: str) -> float:
    """Return for how many seconds an answer may be kept (SMART: never beyond its Cache-Control; none means not at all)."""
    directives = cache_control.lower()
    if "no-store" in directives or "no-cache" in directives:
        return 0.0
    match = _MAX_AGE.search(directives)
    return min(float(match[1]), MAX_AGE) if match else 0.0


def permitted(address: str, *, loopback: bool) -> bool:
    """Tell whether an IP address may be fetched from: globally routable, or loopback where that is allowed."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is not None:
            return permitted(str(ip.ipv4_mapped), loopback=loopback)
        if any(ip in network for network in _EMBEDDING):
            return False
    return (loopback and ip.is_loopback) or (ip.is_global and not (ip.is_multicast or ip.is_reserved))


@dataclass(slots=True)
class RemoteKeys:
    """Fetches and keeps the JWK sets of clients; `loopback` is for development and tests."""

    loopback: bool = False
    _kept: dict[str, _Kept] = field(default_factory=dict)

    async def get(self, url: str) -> Sequence[Key]:
        """Return the keys at `url`; KeySetError when they cannot be had."""
        kept = self._kept.get(url)
        if kept is not None and clock.monotonic() < kept.until:
            return kept.keys
        body, seconds = await self._fetch(url)
        try:
            keys = import_keys(json.decode(body))
        except FhirError as error:
            raise KeySetError("the JWK set at the registered URL is not JSON") from error
        if len(self._kept) > _REMEMBERED:
            self._kept.clear()
        self._kept[url] = _Kept(keys, clock.monotonic() + seconds)
        return keys

    async def _fetch(self, url: str) -> tuple[bytes, float]:
        parts = urlsplit(url)
        host = parts.hostname or ""
        address = await self._resolve(host, parts.port or (443 if parts.scheme == "https" else 80))
        if parts.scheme != "https" and not (self.loopback and ipaddress.ip_address(address).is_loopback):
            raise KeySetError("the registered URL of the JWK set must be https")
        target = httpx.URL(url).copy_with(host=address)
        headers = {"Host": parts.netloc, "Accept": "application/json"}
        extensions = {"sni_hostname": host}
        try:
            async with (
                httpx.AsyncClient(follow_redirects=False, timeout=_TIMEOUT, trust_env=False) as client,
                client.stream("GET", target, headers=headers, extensions=extensions) as answer,
            ):
                return await _body(answer), lifetime(answer.headers.get("cache-control", ""))
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
            raise KeySetError("the JWK set at the registered URL cannot be fetched") from error

    async def _resolve(self, host: str, port: int) -> str:
        try:
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise KeySetError("the host of the registered JWK set URL has no address") from error
        addresses = [str(info[4][0]) for info in found]
        if not addresses or not all(permitted(address, loopback=self.loopback) for address in addresses):
            raise KeySetError("the registered URL of the JWK set leads to an address that is not public")
        return addresses[0]


async def _body(answer: httpx.Response) -> bytes:
    if answer.status_code != 200:
        raise KeySetError(f"the registered URL of the JWK set answers {answer.status_code}; redirects are not followed")
    body = bytearray()
    async with asyncio.timeout(5.0):
        async for chunk in answer.aiter_bytes():
            body += chunk
            if len(body) > MAX_BYTES:
                raise KeySetError(f"the JWK set at the registered URL has more than {MAX_BYTES} bytes")
    return bytes(body)
