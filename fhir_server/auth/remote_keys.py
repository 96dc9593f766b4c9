"""JWK sets that clients publish at a URL: fetched without following redirects, from public addresses only, as long as told.

The guard of `kit/addresses.py` judges every address that is connected to. In development a loopback address may be used,
also by http.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

import httpcore

from fhir_server.auth.client_keys import KeySetError, import_keys
from fhir_server.auth.jose import Key
from fhir_server.errors import FhirError
from fhir_server.kit import addresses, clock, json
from fhir_server.kit.addresses import Closed, Reach

MAX_BYTES: Final = 65_536
MAX_AGE: Final = 3600.0
_SECONDS: Final = 5.0
"""How long all of a fetch may take, from the name to the last byte."""
_MAX_AGE = re.compile(r"max-age=(\d{1,9})")
_REMEMBERED = 1000
_FAILURES: Final = (
    httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException, httpcore.UnsupportedProtocol,
    httpcore.ConnectionNotAvailable, OSError, TimeoutError, UnicodeError,
)  # fmt: skip


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


@dataclass(slots=True)
class RemoteKeys:
    """Fetches and keeps the JWK sets of clients; `loopback` is for development and tests."""

    loopback: bool = False
    _kept: dict[str, _Kept] = field(default_factory=dict)
    _trust: ssl.SSLContext | None = None

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
        reach = Reach(loopback=self.loopback)
        if not reach.permits(parts.scheme, parts.hostname or ""):
            raise KeySetError("the registered URL of the JWK set must be https")
        if self._trust is None:
            self._trust = addresses.authorities()
        try:
            async with (
                asyncio.timeout(_SECONDS),
                addresses.connections(reach, trust=self._trust, most=1) as client,
                client.stream("GET", url, headers={"Accept": "application/json", "User-Agent": "Clarity"}) as answer,
            ):
                return await _body(answer), lifetime(_header(answer, b"cache-control"))
        except Closed:
            text = "the registered URL of the JWK set leads to an address that is not public"
            raise KeySetError(text) from None
        except _FAILURES as error:
            raise KeySetError("the JWK set at the registered URL cannot be fetched") from error


def _header(answer: httpcore.Response, name: bytes) -> str:
    values = (value.decode("latin-1") for key, value in answer.headers if key.lower() == name)
    return ", ".join(values)


async def _body(answer: httpcore.Response) -> bytes:
    if answer.status != 200:
        raise KeySetError(f"the registered URL of the JWK set answers {answer.status}; redirects are not followed")
    body = bytearray()
    async for chunk in answer.aiter_stream():
        body += chunk
        if len(body) > MAX_BYTES:
            raise KeySetError(f"the JWK set at the registered URL has more than {MAX_BYTES} bytes")
    return bytes(body)
