"""The one renderer: a Result or an error becomes status, headers and bytes."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass

import msgspec

from fhir_server.errors import FhirError
from fhir_server.http.edge import Send
from fhir_server.http.headers import http_date
from fhir_server.http.negotiate import JSON, Face
from fhir_server.interactions.call import Result
from fhir_server.kit import json

_FIXED = [(b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff"), (b"vary", b"accept")]
_WORTH_PACKING = 1400
_SLOW_PACKING = 128 * 1024

Headers = list[tuple[bytes, bytes]]


@dataclass(slots=True)
class Response:
    """What goes over the wire."""

    status: int
    headers: Headers
    body: bytes
    stream: AsyncIterator[bytes] | None = None
    """What goes out in place of `body`, piece by piece."""


def render_result(result: Result, request_id: str, face: Face = JSON, *, pretty: bool = False) -> Response:
    """Return the response for a Result."""
    headers = [*_FIXED, (b"x-request-id", request_id.encode())]
    if result.version is not None:
        headers.append((b"etag", b'W/"%d"' % result.version))
    if result.last_modified is not None:
        headers.append((b"last-modified", http_date(result.last_modified).encode()))
    if result.location is not None:
        # Location is for what was made (RFC 9110 §10.2.2), Content-Location for the version that was met or written.
        name = b"location" if result.status == 201 else b"content-location"
        headers.append((name, result.location.encode()))
    headers.extend((name.lower().encode(), value.encode("latin-1")) for name, value in result.headers.items())
    if (content := result.content) is not None:
        headers.append((b"content-type", content.media.encode("latin-1", "replace")))
        headers.append((b"content-length", b"%d" % content.size))
        return Response(result.status, headers, b"", content.pieces)
    return _response(result.status, headers, result.body, face, pretty=pretty)


def render_error(error: FhirError, request_id: str, face: Face = JSON, *, pretty: bool = False) -> Response:
    """Return the response for an error: an OperationOutcome and the headers that it asks for."""
    headers = [*_FIXED, (b"x-request-id", request_id.encode())]
    headers.extend((name.lower().encode(), value.encode("latin-1", "replace")) for name, value in error.headers.items())
    return _response(error.status, headers, json.encode(error.outcome()), face, pretty=pretty)


def _response(status: int, headers: Headers, body: bytes, face: Face, *, pretty: bool) -> Response:
    if body:
        if pretty and face.kind == "json":
            body = msgspec.json.format(body, indent=2)
        headers.append((b"content-type", face.content_type))
    if status not in (204, 304):
        headers.append((b"content-length", str(len(body)).encode()))
    return Response(status, headers, body)


def with_body(response: Response, body: bytes) -> Response:
    """Return the response with another body."""
    kept = [header for header in response.headers if header[0] != b"content-length"]
    return Response(response.status, [*kept, (b"content-length", b"%d" % len(body))], body)


async def packed(response: Response, accept_encoding: str) -> Response:
    """Return the response gzipped where the caller takes that and it is worth it; large bodies in a thread."""
    if len(response.body) < _WORTH_PACKING or not takes_gzip(accept_encoding):
        return response
    if len(response.body) < _SLOW_PACKING:
        body = _gzip(response.body)
    else:
        body = await asyncio.to_thread(_gzip, response.body)
    made = with_body(response, body)
    made.headers += [(b"content-encoding", b"gzip"), (b"vary", b"accept-encoding")]
    return made


def takes_gzip(accept_encoding: str) -> bool:
    """Tell whether an Accept-Encoding header takes gzip."""
    return any(_is_gzip(part) for part in accept_encoding.split(","))


def _is_gzip(part: str) -> bool:
    name, _, quality = part.replace(" ", "").partition(";")
    return name in ("gzip", "*") and quality.rstrip("0.") != "q="


def _gzip(body: bytes) -> bytes:
    packer = zlib.compressobj(level=1, wbits=31)
    return packer.compress(body) + packer.flush()


async def transmit(send: Send, response: Response, *, head: bool = False) -> None:
    """Send the response; without its body for HEAD."""
    await send({"type": "http.response.start", "status": response.status, "headers": response.headers})
    if response.stream is not None and not head:
        async for piece in response.stream:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b"" if head else response.body})


def allow(methods: Iterable[str]) -> dict[str, str]:
    """Return the Allow header for these methods."""
    given = set(methods)
    return {"Allow": ", ".join(sorted(given | {"HEAD"} if "GET" in given else given))}
