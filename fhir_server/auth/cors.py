"""Cross-origin requests (SMART App Launch 2.2 "Considerations for CORS support"): scripts of registered apps may use tokens here.

Any origin may read discovery and metadata. Tokens and FHIR are for the origins of registered redirect URIs. Credentials of the
browser (cookies) are never allowed across origins: our pages are not for scripts of others.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final
from weakref import WeakKeyDictionary

from starlette.requests import Request
from starlette.responses import Response

from fhir_server.auth import clients
from fhir_server.auth.redirects import origin
from fhir_server.kit import clock
from fhir_server.storage.tenants import Tenant

_SECONDS = 30.0
EXPOSED: Final = ", ".join(
    ("Content-Location", "ETag", "Last-Modified", "Location", "RateLimit", "RateLimit-Policy", "Retry-After", "WWW-Authenticate",
     "X-Request-Id")
)  # fmt: skip
_ALLOWED_HEADERS: Final = ", ".join(
    ("Accept", "Authorization", "Content-Type", "If-Match", "If-Modified-Since", "If-None-Exist", "If-None-Match", "Prefer",
     "X-Request-Id")
)  # fmt: skip
_origins: WeakKeyDictionary[Tenant, tuple[float, frozenset[str]]] = WeakKeyDictionary()

Endpoint = Callable[[Request], Awaitable[Response]]


async def registered(tenant: Tenant) -> frozenset[str]:
    """Return the origins of registered apps, as they were at most half a minute ago."""
    until, known = _origins.get(tenant, (0.0, frozenset()))
    if clock.monotonic() >= until:
        urls = [url for client in await clients.listed(tenant) for url in client.redirect_uris]
        known = frozenset(found for url in urls if (found := origin(url)))
        _origins[tenant] = (clock.monotonic() + _SECONDS, known)
    return known


def forget(tenant: Tenant) -> None:
    """Ask for the origins anew: a client was just approved, changed or removed."""
    _origins.pop(tenant, None)


async def headers(tenant: Tenant, asking: str, *, public: bool = False) -> dict[str, str]:
    """Return the headers that let a script of this origin read the answer; none for a stranger."""
    if public:
        return {"Access-Control-Allow-Origin": "*", "Access-Control-Expose-Headers": EXPOSED}
    if asking not in await registered(tenant):
        return {"Vary": "Origin"}
    return {"Access-Control-Allow-Origin": asking, "Access-Control-Expose-Headers": EXPOSED, "Vary": "Origin"}


async def preflight(tenant: Tenant, asking: str, *, public: bool = False) -> dict[str, str]:
    """Return the headers of an answer to OPTIONS: what a script of this origin may send."""
    found = await headers(tenant, asking, public=public)
    if "Access-Control-Allow-Origin" not in found:
        return found
    methods = "GET, HEAD, OPTIONS" if public else "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT"
    return found | {
        "Access-Control-Allow-Methods": methods,
        "Access-Control-Allow-Headers": _ALLOWED_HEADERS,
        "Access-Control-Max-Age": "600",
    }


def allowing(tenant_of: Callable[[Request], Tenant], endpoint: Endpoint, *, public: bool = False) -> Endpoint:
    """Return the endpoint with what browsers ask before and after a request of a script; `public`: of any origin."""

    async def answer(request: Request) -> Response:
        asking = request.headers.get("origin")
        if request.method == "OPTIONS":
            found = await preflight(tenant_of(request), asking, public=public) if asking else {}
            return Response(None, 204, found)
        response = await endpoint(request)
        if asking:
            response.headers.update(await headers(tenant_of(request), asking, public=public))
        return response

    return answer
