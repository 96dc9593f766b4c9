"""A load generator that is not the limit: raw connections over uvloop, answers parsed in C, its own share of CPU known."""

from __future__ import annotations

import asyncio
import resource
import statistics
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import cast

import httptools

from fhir_server.kit import clock


@dataclass(slots=True)
class Answer:
    """What came back."""

    status: int
    body: bytes
    location: str | None
    retry_after: str | None = None


class Connection(asyncio.Protocol):
    """One kept-alive HTTP/1.1 connection with one request on its way at a time."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._waiting: asyncio.Future[Answer] | None = None
        self._fresh()

    def _fresh(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._body: list[bytes] = []
        self._location: str | None = None
        self._retry_after: str | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one without saying so

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._waiting and not self._waiting.done():
            self._waiting.set_exception(ConnectionError("the server closed the connection"))

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == b"location":
            self._location = value.decode()
        elif name.lower() == b"retry-after":
            self._retry_after = value.decode()

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        status, body = self._parser.get_status_code(), b"".join(self._body)
        answer = Answer(status, body, self._location, self._retry_after)
        waiting, self._waiting = self._waiting, None
        self._fresh()
        if waiting and not waiting.done():
            waiting.set_result(answer)

    def send(self, request: bytes) -> Awaitable[Answer]:
        """Send a request; the answer comes later."""
        assert self._transport
        assert self._waiting is None
        self._waiting = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return self._waiting

    def close(self) -> None:
        """Close the connection."""
        if self._transport:
            self._transport.close()


@asynccontextmanager
async def connections(port: int, count: int) -> AsyncIterator[list[Connection]]:
    """Open connections to the port of this machine, and close them."""
    loop = asyncio.get_running_loop()
    opened = [(await loop.create_connection(Connection, "127.0.0.1", port))[1] for _ in range(count)]
    try:
        yield opened
    finally:
        for connection in opened:
            connection.close()


def request(method: str, path: str, token: str = "", body: bytes = b"", **headers: str) -> bytes:
    """Return the bytes of a request."""
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", "Accept: application/fhir+json"]
    if token:
        lines.append(f"Authorization: Bearer {token}")
    if body:
        lines += ["Content-Type: application/fhir+json", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


@dataclass(slots=True)
class Measured:
    """How a run went: requests, their durations, statuses, and the generator's share of one core."""

    seconds: float = 0.0
    durations: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    generator_cpu: float = 0.0
    cpu_micros: dict[str, float] = field(default_factory=dict)
    """CPU of the server's processes a request, in µs: what stays the same when other work shares the machine."""

    def cpu_of(self, before: dict[str, float], after: dict[str, float]) -> None:
        """Note how much CPU the requests took, by kind of process."""
        count = max(len(self.durations), 1)
        self.cpu_micros = {kind: round((after[kind] - before[kind]) * 1e6 / count, 1) for kind in after}

    @property
    def rate(self) -> float:
        """Requests a second."""
        return len(self.durations) / self.seconds if self.seconds else 0.0

    def percentile(self, percent: int) -> float:
        """A percentile of the durations, in milliseconds."""
        if len(self.durations) < 2:
            return self.durations[0] * 1000 if self.durations else 0.0
        return statistics.quantiles(self.durations, n=100, method="inclusive")[percent - 1] * 1000

    def summary(self) -> dict[str, object]:
        """Return the figures as JSON."""
        return {
            "rps": round(self.rate, 1),
            "p50_ms": round(self.percentile(50), 3),
            "p99_ms": round(self.percentile(99), 3),
            "requests": len(self.durations),
            "statuses": {str(status): count for status, count in sorted(self.statuses.items())},
            "generator_cpu_of_one_core": round(self.generator_cpu, 3),
            "cpu_us_a_request": self.cpu_micros,
        }


Turn = Callable[[int, int, Connection, Measured], Awaitable[None]]
"""What one connection does again and again: (number of the connection, turn, connection, where to note)."""


async def timed(connection: Connection, data: bytes, measured: Measured) -> Answer:
    """Send a request and note how long it took and how it ended."""
    began = clock.monotonic()
    answer = await connection.send(data)
    measured.durations.append(clock.monotonic() - began)
    measured.statuses[answer.status] += 1
    return answer


async def closed_loop(port: int, count: int, seconds: float, turn: Turn) -> Measured:
    """Let `count` connections take turns for some seconds, each its next when its last is done."""
    measured = Measured()
    async with connections(port, count) as opened:
        spent, began = _cpu(), clock.monotonic()
        ends = began + seconds

        async def keep_on(number: int, connection: Connection) -> None:
            at = 0
            while clock.monotonic() < ends:
                await turn(number, at, connection, measured)
                at += 1

        await asyncio.gather(*(keep_on(number, connection) for number, connection in enumerate(opened)))
        measured.seconds = clock.monotonic() - began
        measured.generator_cpu = (_cpu() - spent) / measured.seconds
    return measured


def _cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime
