"""The SMART apps of this project (`smart_apps/dist`) under `/apps/`: files read once, sent with a strict policy.

They are HTTP clients like any other: nothing here knows a tenant, a token or a patient.
"""

from __future__ import annotations

import gzip
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

BUILT: Final = Path(__file__).resolve().parents[2] / "smart_apps" / "dist"
FIRST: Final = "ehr"
"""The app that `/apps/` leads to."""

POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; frame-src 'self';"
    " form-action 'self'; base-uri 'none'; frame-ancestors 'self'"
)
_HEADERS: Final = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Vary": "Accept-Encoding",
}
_TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
}
_FOR_EVER: Final = "public, max-age=31536000, immutable"
"""For names with a hash of the content in them; a page is asked for again each time, and answered 304."""


@dataclass(frozen=True, slots=True)
class File:
    """A file as it leaves: plain, and compressed where that is shorter."""

    body: bytes
    packed: bytes | None
    etag: str
    media_type: str
    hashed: bool


def read(folder: Path = BUILT) -> dict[str, File]:
    """Return the built files by their path below `/apps/`; none where nothing was built."""
    return {
        path.relative_to(folder).as_posix(): _file(path, hashed=path.parent.name == "assets")
        for path in sorted(folder.rglob("*"))
        if path.suffix in _TYPES
    }


def _file(path: Path, *, hashed: bool) -> File:
    body = path.read_bytes()
    packed = gzip.compress(body, 9, mtime=0)
    etag = f'W/"{sha256(body).hexdigest()[:20]}"'
    return File(body, packed if len(packed) < len(body) else None, etag, _TYPES[path.suffix], hashed)


def routes(folder: Path = BUILT) -> list[Route]:
    """Return the routes of the apps."""
    return [
        Route("/apps", _first, methods=["GET"]),
        Route("/apps/{path:path}", _endpoint(read(folder)), methods=["GET"]),
    ]


async def _first(_request: Request) -> Response:
    return RedirectResponse(f"/apps/{FIRST}/", 307)


def _endpoint(files: dict[str, File]) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        path: str = request.path_params["path"]
        if not path:
            return await _first(request)
        if f"{path}/index.html" in files:
            query = f"?{request.url.query}" if request.url.query else ""
            return RedirectResponse(f"/apps/{path}/{query}", 307)
        found = files.get(f"{path}index.html" if path.endswith("/") else path)
        return _sent(request, found) if found else _absent()

    return endpoint


def _sent(request: Request, file: File) -> Response:
    headers = _HEADERS | {"ETag": file.etag, "Cache-Control": _FOR_EVER if file.hashed else "no-cache"}
    if file.etag in request.headers.get("if-none-match", ""):
        return Response(None, 304, headers)
    body = file.body
    if file.packed is not None and "gzip" in request.headers.get("accept-encoding", ""):
        body, headers = file.packed, headers | {"Content-Encoding": "gzip"}
    return Response(body, 200, headers, media_type=file.media_type)


def _absent() -> Response:
    text = "There is no app at this address. /apps/ehr/ opens the EHR simulator."
    return Response(text, 404, _HEADERS | {"Cache-Control": "no-store"}, media_type="text/plain")
