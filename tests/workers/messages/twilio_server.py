"""A server that follows Twilio's documented Messages API and webhook signature, and misbehaves as it is told."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

ACCOUNT, TOKEN, FROM = "AC" + "1" * 32, "t0ken-of-the-account", "+15550109999"

Answer = str | tuple[int, dict[str, str], bytes]
"""`ok`; `hangup` before anything is kept; `lost`: kept, and the connection closed; `garbage`: kept; or status, headers, body."""


def error(status: int, code: int, text: str = "no") -> tuple[int, dict[str, str], bytes]:
    body = {"code": code, "message": text, "more_info": f"https://www.twilio.com/docs/errors/{code}", "status": status}
    return status, {}, json.dumps(body).encode()


def signature(url: str, form: dict[str, str], token: str = TOKEN) -> str:
    """The documented one: the URL, then each name and value in the order of names, HMAC-SHA1, base64."""
    text = url + "".join(name + form[name] for name in sorted(form))
    return base64.b64encode(hmac.digest(token.encode(), text.encode(), hashlib.sha1)).decode()


@dataclass
class Twilio:
    port: int = 0
    answer: Callable[[dict[str, str]], Answer] = lambda _form: "ok"
    kept: list[dict[str, str]] = field(default_factory=list)
    asked: list[tuple[str, str]] = field(default_factory=list)
    raw: bytes = b""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def to(self, number: str) -> list[dict[str, str]]:
        return [each for each in self.kept if each["To"] == number]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            method, target, _ = head.decode().split("\r\n")[0].split(" ")
            headers = {n.lower(): v.strip() for n, _, v in (x.partition(":") for x in head.decode().split("\r\n")[1:])}
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            self.raw += head + body
            self.asked.append((method, target))
            writer.write(self._respond(method, target, headers, body))
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    def _respond(self, method: str, target: str, headers: dict[str, str], body: bytes) -> bytes:
        expected = base64.b64encode(f"{ACCOUNT}:{TOKEN}".encode()).decode()
        if headers.get("authorization") != f"Basic {expected}":
            return _http(error(401, 20003, "Authenticate"))
        if urlsplit(target).path != f"/2010-04-01/Accounts/{ACCOUNT}/Messages.json":
            return _http(error(404, 20404))
        if method == "GET":
            asked = parse_qs(urlsplit(target).query)
            found = [_resource(each) for each in self.kept if each["To"] == asked["To"][0]]
            return _http((200, {}, json.dumps({"messages": found, "next_page_uri": None}).encode()))
        form = {name: values[0] for name, values in parse_qs(body.decode()).items()}
        return self._create(form)

    def _create(self, form: dict[str, str]) -> bytes:
        for name in ("To", "Body"):
            if name not in form:
                return _http(error(400, 21604 if name == "To" else 21602))
        answer = self.answer(form)
        if isinstance(answer, tuple):
            return _http(answer)
        if answer == "hangup":
            return b""
        made = form | {"sid": "SM" + hashlib.md5(f"{len(self.kept)}".encode()).hexdigest()}
        self.kept.append(made)
        if answer == "lost":
            return b""
        return _http((201, {}, b"<html>" if answer == "garbage" else json.dumps(_resource(made)).encode()))


def _resource(form: dict[str, str]) -> dict[str, str | None]:
    return {"sid": form["sid"], "status": "queued", "to": form["To"], "body": form["Body"], "error_code": None}


def _http(answer: tuple[int, dict[str, str], bytes]) -> bytes:
    status, headers, body = answer
    lines = [
        f"HTTP/1.1 {status} X",
        "Content-Type: application/json",
        "Connection: close",
        f"Content-Length: {len(body)}",
    ]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


@asynccontextmanager
async def twilio() -> AsyncIterator[Twilio]:
    made = Twilio()
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    yield made
    server.close()
    await server.wait_closed()
