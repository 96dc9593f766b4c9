"""The edge: what happens to a request before its meaning is looked at: headers, request id, the body within its limit."""

from __future__ import annotations

import re
import zlib
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from fhir_server.errors import BadRequest, TooLarge, UnsupportedMedia
from fhir_server.kit.ids import request_id as new_request_id

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_REQUEST_ID = re.compile(r"[A-Za-z0-9._\-]{1,64}")
_ONCE = frozenset({"if-none-exist", "content-type", "x-provenance"})
"""Headers that have one value: joined by a comma, several would mean something else."""


def read_headers(scope: Scope) -> dict[str, str]:
    """Return the headers by lower-case name; those that come several times are joined by a comma."""
    headers: dict[str, str] = {}
    for raw_name, raw_value in scope["headers"]:
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
        if name in headers:
            value = f"{headers[name]}, {value}"
        headers[name] = value
    return headers


def refuse_repeated(scope: Scope, headers: dict[str, str]) -> None:
    """Raise BadRequest when a header that has one value is given several times."""
    if len(headers) == len(scope["headers"]):
        return
    names = [name.decode("latin-1") for name, _ in scope["headers"]]
    for name in _ONCE:
        if names.count(name) > 1:
            raise BadRequest(f"The header {name} may be given once.", "header-repeated")


def request_id(headers: dict[str, str]) -> str:
    """Return the caller's `X-Request-Id` if it is harmless, else one of ours."""
    given = headers.get("x-request-id")
    return given if given and _REQUEST_ID.fullmatch(given) else new_request_id()


async def read_body(receive: Receive, headers: dict[str, str], limit: int) -> bytes:
    """Return the body, unpacked; TooLarge as soon as it is known to be over the limit."""
    length = headers.get("content-length", "")
    if length.isdigit() and int(length[:18]) > limit:
        raise too_large(limit)
    encoding = headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("identity", "gzip"):
        raise UnsupportedMedia("Bodies are sent plain or with Content-Encoding: gzip.", "content-encoding")
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Disconnected
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > limit:
            raise too_large(limit)
        chunks.append(chunk)
        if not message.get("more_body"):
            break
    body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
    return _unpack(body, limit) if encoding == "gzip" and body else body


class Disconnected(Exception):
    """The caller went away before its request was whole."""


def too_large(limit: int) -> TooLarge:
    """Return the refusal of a body over the limit."""
    return TooLarge(f"A request body may have {limit} bytes at most.", "body-too-large")


def _unpack(body: bytes, limit: int) -> bytes:
    unpacker = zlib.decompressobj(wbits=31)
    try:
        data = unpacker.decompress(body, limit + 1)
    except zlib.error as error:
        raise BadRequest("The body is not gzip, as its Content-Encoding says.", "gzip-malformed") from error
    if len(data) > limit:
        raise too_large(limit)
    if not unpacker.eof or unpacker.unused_data:
        raise BadRequest("The gzip body ends too early or goes on after its end.", "gzip-malformed")
    return data
