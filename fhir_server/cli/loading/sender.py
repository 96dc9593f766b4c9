"""Posts Bundles to a running instance, patiently: waits when told to, mints a new token before the old one ends."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import httpx

from fhir_server.cli.loading.sources import Part, as_batch
from fhir_server.errors import FhirError
from fhir_server.kit import clock, json

Mint = Callable[[], Awaitable[str]]
TOKEN_AGE = 1500.0
_TRIES = 8
_AGAIN = {429, 502, 503, 504}


class Unreachable(Exception):
    """The instance does not answer; what was acknowledged is kept, the same command goes on from there."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """One resource or Bundle that the server did not take."""

    status: int
    text: str
    entry: int | None = None


class Sender:
    """A connection to one base URL with a token that is always fresh."""

    def __init__(self, base: str, mint: Mint, jobs: int, prefer: str = "return=minimal") -> None:
        """Take the base, the way to get a token, how many requests run at once, and what they prefer."""
        limits = httpx.Limits(max_connections=jobs, max_keepalive_connections=jobs)
        self._client = httpx.AsyncClient(timeout=httpx.Timeout(600, connect=10), limits=limits, trust_env=False)
        self._base = base
        self._mint = mint
        self._prefer = prefer
        self._token = ""
        self._minted = float("-inf")
        self._minting = asyncio.Lock()

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def send(self, part: Part) -> list[Refusal]:
        """Post one part; return what was refused of it."""
        answer = await self.post(part.body)
        if answer.status_code < 400:
            return _refused_entries(answer.content)
        if part.entire or answer.status_code in (401, 403):
            return [refusal(answer.status_code, answer.content)]
        answer = await self.post(as_batch(part))
        if answer.status_code >= 400:
            return [refusal(answer.status_code, answer.content)]
        return _refused_entries(answer.content)

    async def post(self, body: bytes) -> httpx.Response:
        """Return the answer to a body, once the instance is not busy."""
        for attempt in range(_TRIES):
            try:
                answer = await self._client.post(self._base, content=body, headers=await self._headers())
            except httpx.ConnectError as error:
                if attempt == _TRIES - 1:
                    raise Unreachable(f"{self._base} does not answer: is `./clarity up` running?") from error
                await asyncio.sleep(min(2**attempt * 0.2, 5))
                continue
            except httpx.TransportError as error:
                raise Unreachable(f"{self._base} broke off ({type(error).__name__}) before it answered.") from error
            if answer.status_code not in _AGAIN or attempt == _TRIES - 1:
                return answer
            await asyncio.sleep(min(float(answer.headers.get("retry-after", 2**attempt * 0.2)), 30))
        raise Unreachable(f"{self._base} stays busy.")

    async def _headers(self) -> dict[str, str]:
        async with self._minting:
            if clock.monotonic() - self._minted > TOKEN_AGE:
                self._token = await self._mint()
                self._minted = clock.monotonic()
        return {
            "Authorization": f"Bearer {self._token}",
            "Content-Type": "application/fhir+json",
            "Accept": "application/fhir+json",
            "Prefer": self._prefer,
        }


def _refused_entries(body: bytes) -> list[Refusal]:
    entries: list[dict[str, Any]] = json.decode_trusted(body).get("entry", []) if body else []
    refused = []
    for number, entry in enumerate(entries):
        response = entry.get("response", {})
        status = int(str(response.get("status", "0"))[:3])
        if status >= 400:
            refused.append(Refusal(status, _text(response.get("outcome", {})), number))
    return refused


def refusal(status: int, body: bytes) -> Refusal:
    """Return what an answer says that took nothing."""
    try:
        decoded = json.decode(body)
    except FhirError:
        return Refusal(status, "the answer is no OperationOutcome")
    return Refusal(status, _text(decoded if isinstance(decoded, dict) else {}))


def _text(outcome: dict[str, Any]) -> str:
    """Return the first issues of an OperationOutcome with their places; the server keeps PHI out of them."""
    issues = outcome.get("issue", [])
    said = [
        f"{issue.get('details', {}).get('text') or issue.get('diagnostics', '')} ({', '.join(issue.get('expression', []))})"
        for issue in issues[:3]
    ]
    more = f" and {len(issues) - 3} more" if len(issues) > 3 else ""
    return "; ".join(said).replace(" ()", "") + more
