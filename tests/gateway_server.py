"""A server on loopback that speaks as much of the OpenAI protocol as a client can meet: streams, errors, limits, garbage, silence.

    async with model_server() as model:
        model.says({"statements": []})          # the next answers, in order; the last one again and again
        model.fails(429, after="0.05")
        ... settings(openai_base_url=model.url) ...
        model.requests[0]["messages"]           # what came

Written against the API reference of OpenAI's chat completions, not against the client.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

Behaviour = Callable[["ModelServer", dict[str, Any], asyncio.StreamWriter], Any]


@dataclass
class ModelServer:
    """What it was asked, and what it will do next."""

    url: str = ""
    requests: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    hung_up: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when a client went away in the middle of an answer."""
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the first piece of an answer is on its way to a client that will wait for more."""
    _next: list[Behaviour] = field(default_factory=list)

    def clear(self) -> None:
        """Forget what was and what is to come."""
        self.requests.clear()
        self.headers.clear()
        self._next.clear()
        self.hung_up.clear()

    def does(self, behaviour: Behaviour) -> None:
        """Add to what comes next."""
        self._next.append(behaviour)

    def says(self, content: Any, *, piece: int = 7, usage: bool = True, finish: str | None = "stop") -> None:
        """Stream an answer in pieces: a dict as JSON, or text as it is, or what a function makes of the request."""

        async def answer(server: ModelServer, asked: dict[str, Any], writer: asyncio.StreamWriter) -> None:
            said = content(asked) if callable(content) else content
            text = said if isinstance(said, str) else json.dumps(said)
            await _stream(writer, asked, [text[i : i + piece] for i in range(0, len(text), piece)], usage, finish)

        self.does(answer)

    def fails(self, status: int, *, after: str | None = None, code: str = "error", message: str = "no") -> None:
        """Answer an error, with Retry-After where `after` says so."""

        async def error(server: ModelServer, asked: dict[str, Any], writer: asyncio.StreamWriter) -> None:
            body = json.dumps({"error": {"message": message, "type": code, "code": code, "param": None}}).encode()
            await _plain(writer, status, body, {"retry-after": after} if after is not None else {})

        self.does(error)

    def redirects(self, status: int, where: str) -> None:
        """Answer a redirect."""

        async def moved(server: ModelServer, asked: dict[str, Any], writer: asyncio.StreamWriter) -> None:
            await _plain(writer, status, b"{}", {"location": where})

        self.does(moved)

    def sends(self, raw: bytes, *, content_type: str = "text/event-stream") -> None:
        """Answer 200 with these bytes, then close."""

        async def garbage(server: ModelServer, asked: dict[str, Any], writer: asyncio.StreamWriter) -> None:
            await _plain(writer, 200, raw, {}, content_type)

        self.does(garbage)

    def breaks_off(self) -> None:
        """Begin an answer and close the connection."""

        async def half(server: ModelServer, asked: dict[str, Any], writer: asyncio.StreamWriter) -> None:
            await _begin(writer)
            await _event(writer, _chunk(asked, '{"half":'))

        self.does(half)

    def hangs(self, *, begun: bool = False) -> None:
        """Say nothing (more) until the client goes away."""

        async def silence(server: ModelServer, asked: dict[str, Any], writer: asyncio.StreamWriter) -> None:
            if begun:
                await _begin(writer)
                await _event(writer, _chunk(asked, '{"half":'))
            self.begun.set()
            await asyncio.Event().wait()

        self.does(silence)

    def never_ends(self) -> None:
        """Stream for ever."""

        async def endless(server: ModelServer, asked: dict[str, Any], writer: asyncio.StreamWriter) -> None:
            await _begin(writer)
            while True:
                await _event(writer, _chunk(asked, "and so on " * 50))

        self.does(endless)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request, then close: nothing is pooled, so every try is a connection."""
        gone: asyncio.Task[bytes] | None = None
        try:
            asked = await _request(reader, self.headers)
            self.requests.append(asked)
            behaviour = self._next.pop(0) if len(self._next) > 1 else self._next[0]
            gone = asyncio.create_task(reader.read(1))  # a client sends nothing while it listens: this is its end
            work = asyncio.create_task(behaviour(self, asked, writer))
            await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
            if gone.done():
                self.hung_up.set()
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)
        except (ConnectionError, asyncio.IncompleteReadError):
            self.hung_up.set()
        finally:
            if gone is not None:
                gone.cancel()
                await asyncio.gather(gone, return_exceptions=True)
            writer.close()


async def _request(reader: asyncio.StreamReader, headers: list[dict[str, str]]) -> dict[str, Any]:
    head = await reader.readuntil(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    found = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:] if line)}
    headers.append(found | {":path": lines[0].split()[1]})
    body = await reader.readexactly(int(found.get("content-length", "0")))
    return json.loads(body)


async def _plain(
    writer: asyncio.StreamWriter, status: int, body: bytes, more: dict[str, str], kind: str = "application/json"
) -> None:
    lines = [f"HTTP/1.1 {status} X", f"content-type: {kind}", f"content-length: {len(body)}", "connection: close"]
    lines += [f"{name}: {value}" for name, value in more.items()]
    writer.write("\r\n".join([*lines, "", ""]).encode() + body)
    await writer.drain()


async def _begin(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n")
    await writer.drain()


async def _event(writer: asyncio.StreamWriter, data: dict[str, Any] | str) -> None:
    text = data if isinstance(data, str) else json.dumps(data)
    writer.write(f"data: {text}\n\n".encode())
    await writer.drain()


def _chunk(asked: dict[str, Any], piece: str | None, finish: str | None = None) -> dict[str, Any]:
    delta = {} if piece is None else {"role": "assistant", "content": piece}
    choice = {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}
    return {
        "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": asked["model"], "choices": [choice],
    }  # fmt: skip


async def _stream(
    writer: asyncio.StreamWriter, asked: dict[str, Any], pieces: list[str], usage: bool, finish: str | None
) -> None:
    await _begin(writer)
    for piece in pieces:
        await _event(writer, _chunk(asked, piece))
    if finish is not None:
        await _event(writer, _chunk(asked, None, finish))
    if usage and asked.get("stream_options", {}).get("include_usage"):
        counted = {"prompt_tokens": 321, "completion_tokens": 45, "total_tokens": 366}
        await _event(writer, _chunk(asked, None) | {"choices": [], "usage": counted})
    await _event(writer, "[DONE]")


@asynccontextmanager
async def model_server() -> AsyncIterator[ModelServer]:
    """Serve on a free port of 127.0.0.1."""
    model = ModelServer()
    server = await asyncio.start_server(model.serve, "127.0.0.1", 0)
    model.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    try:
        yield model
    finally:
        server.close()
