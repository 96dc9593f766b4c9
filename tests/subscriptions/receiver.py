"""A real HTTP receiver on loopback that does as it is told: takes, fails, delays, hangs up; and remembers what came."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass
class Received:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    at: float
    answered: int | None = None

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def event(self) -> int:
        return int(self.id.rsplit("-", 1)[1])


Answer = int | str | tuple[int, dict[str, str]] | float
"""A status; `hangup` before or `cut` in the middle of the answer; a status with headers; seconds to sleep before a 200."""


@dataclass
class Receiver:
    """`answer` decides about each request; it sees the request and how many came before with the same webhook-id."""

    port: int = 0
    answer: Callable[[Received, int], Answer] = lambda _request, _before: 200
    got: list[Received] = field(default_factory=list)
    taken: asyncio.Condition = field(default_factory=asyncio.Condition)
    serving: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def accepted(self, prefix: str = "") -> list[Received]:
        return [r for r in self.got if r.path.startswith(prefix) and r.answered is not None and 200 <= r.answered < 300]

    async def until(self, condition: Callable[[], bool], seconds: float = 120.0) -> None:
        """Wait for a condition on what came; after `seconds` say what had come by then."""
        try:
            async with asyncio.timeout(seconds), self.taken:
                await self.taken.wait_for(condition)
        except TimeoutError:
            now = time.perf_counter()
            last = [f"{now - r.at:.1f} s ago {r.method} {r.id}: {r.answered}" for r in self.got[-12:]]
            raise AssertionError(f"not in {seconds} s; {len(self.got)} requests came, the last: {last}") from None

    async def until_accepted(self, count: int, prefix: str = "", seconds: float = 120.0) -> list[Received]:
        await self.until(lambda: len({r.id for r in self.accepted(prefix)}) >= count, seconds)
        return self.accepted(prefix)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        self.serving.add(task)
        task.add_done_callback(self.serving.discard)
        try:
            while await self._one(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, path, _ = head[0].split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        request = Received(method, path, headers, body, time.perf_counter())
        before = sum(r.headers.get("webhook-id") == headers.get("webhook-id") for r in self.got)
        self.got.append(request)
        async with self.taken:
            self.taken.notify_all()
        return await self._reply(request, self.answer(request, before), writer)

    async def _reply(self, request: Received, answer: Answer, writer: asyncio.StreamWriter) -> bool:
        if answer == "hangup":
            return False
        if answer == "cut":
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this")
            await writer.drain()
            return False
        if isinstance(answer, float):
            await asyncio.sleep(answer)
            answer = 200
        status, extra = answer if isinstance(answer, tuple) else (int(answer), {})
        lines = "".join(f"{name}: {value}\r\n" for name, value in extra.items())
        writer.write(f"HTTP/1.1 {status} Said\r\nContent-Length: 0\r\n{lines}\r\n".encode())
        await writer.drain()
        request.answered = status
        async with self.taken:
            self.taken.notify_all()
        return True


@asynccontextmanager
async def receiving(port: int = 0) -> AsyncIterator[Receiver]:
    """Run a receiver until the block ends."""
    receiver = Receiver()
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", port)
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        server.close()
        for task in receiver.serving:
            task.cancel()
        await asyncio.gather(*receiver.serving, return_exceptions=True)
        await server.wait_closed()
