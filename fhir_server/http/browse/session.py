"""A token for a browser: kept in a cookie that only this tenant's pages are read with.

The cookie is HttpOnly, SameSite=Strict, of the path of the base, Secure over https, and as long as the token. It counts for
GET and HEAD of HTML that a person navigates to, never for writes, for JSON or for XML: there is nothing for a forged request to
do. Signing in and out takes a request that the browser itself marks as coming from this site.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from fhir_server.auth.bearer import authenticate
from fhir_server.auth.limited import Charge
from fhir_server.errors import FhirError, Forbidden, TooLarge, Unauthenticated, UnsupportedMedia
from fhir_server.http.browse import outcomes, shell
from fhir_server.http.browse.visit import Visit
from fhir_server.http.negotiate import FORM
from fhir_server.kit import clock
from fhir_server.kit.throttle import place
from fhir_server.storage.tenants import Tenant

MAX_TOKEN: Final = 3800
_MAX_BODY: Final = 16 * 1024
_TOKEN: Final = re.compile(r"[A-Za-z0-9\-._~+/]+=*")
_NEXT: Final = re.compile(r"/[A-Za-z0-9\-._~/$%:@!()*,;|]*(?:\?[A-Za-z0-9\-._~/$%:@!()*,;|&=+]*)?")

TenantOf = Callable[[Request], Tenant]
Turned = Callable[[Tenant, Request], Awaitable[None]]
"""Records that somebody was turned away."""


def cookie_name(tenant: Tenant) -> str:
    """Return the cookie's name; the prefix makes browsers insist on https."""
    return "__Secure-clarity" if _is_https(tenant) else "clarity"


def _is_https(tenant: Tenant) -> bool:
    return tenant.base.startswith("https://")


def may_sign_in(tenant: Tenant, *, production: bool) -> bool:
    """Tell whether a token may be kept in a cookie: not in production over plain http."""
    return _is_https(tenant) or not production


def kept_token(tenant: Tenant, headers: Mapping[str, str]) -> str | None:
    """Return the Authorization that a browser's cookie stands for; None without one, with two, or for a script's request."""
    if (
        headers.get("sec-fetch-mode", "navigate") != "navigate"
        or headers.get("sec-fetch-dest", "document") != "document"
    ):
        return None
    name = cookie_name(tenant)
    pairs = [part.strip().partition("=") for part in headers.get("cookie", "").split(";")]
    found = [value for key, _, value in pairs if key == name]
    return f"Bearer {found[0]}" if len(found) == 1 and _TOKEN.fullmatch(found[0]) else None


def routes(
    tenant_of: TenantOf, request_id: Callable[[Request], str], turned: Turned, charge: Charge, *, production: bool
) -> list[Route]:
    """Return the two addresses that set and clear the cookie, for every tenant."""

    async def sign_in(request: Request) -> Response:
        tenant = tenant_of(request)
        visit = _visit(tenant, request_id(request), production=production)
        try:
            await charge(tenant, "login", place(request.client.host if request.client else None))
            return await _signed_in(tenant, request, production=production)
        except FhirError as error:
            if isinstance(error, Unauthenticated):
                await turned(tenant, request)
            return _refused(visit, error)

    async def sign_out(request: Request) -> Response:
        tenant = tenant_of(request)
        try:
            _check_same_site(request)
        except FhirError as error:
            return _refused(_visit(tenant, request_id(request), production=production), error)
        return _to(urlsplit(tenant.base).path + "/metadata", _cookie(tenant, "", 0))

    return [
        Route(prefix + path, endpoint, methods=["POST"])
        for prefix in ("", "/t/{tenant}")
        for path, endpoint in (("/browse/sign-in", sign_in), ("/browse/sign-out", sign_out))
    ]


async def _signed_in(tenant: Tenant, request: Request, *, production: bool) -> Response:
    _check_same_site(request)
    if not may_sign_in(tenant, production=production):
        raise Forbidden("In production a token is kept over https only.", "sign-in-http")
    form = await _form(request)
    token = form.get("token", "").strip().removeprefix("Bearer ").strip()
    if not _TOKEN.fullmatch(token) or len(token) > MAX_TOKEN:
        raise Unauthenticated("This is not an access token: paste the one line that was printed.", "token-malformed")
    principal = await authenticate(tenant, f"Bearer {token}")
    seconds = max(int(principal.expires - clock.seconds()), 0)
    return _to(_next(tenant, form.get("next", "")), _cookie(tenant, token, seconds))


def _check_same_site(request: Request) -> None:
    """Raise Forbidden unless the browser says that the form was on a page of ours.

    Pages send no referrer, so `Origin` is `null` in their forms: what counts is `Sec-Fetch-Site`, which scripts cannot set.
    """
    if request.headers.get("sec-fetch-site") != "same-origin":
        text = (
            "Sign in and out with the form on a page of this server, in a browser that says where a request comes from."
        )
        raise Forbidden(text, "sign-in-origin")


async def _form(request: Request) -> dict[str, str]:
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != FORM:
        raise UnsupportedMedia(f"Send {FORM}.", "content-type")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MAX_BODY:
            raise TooLarge(f"This form has {_MAX_BODY} bytes at most.", "body-too-large")
    return dict(parse_qsl(body.decode("latin-1"), max_num_fields=8))


def _next(tenant: Tenant, wanted: str) -> str:
    """Return where to go after signing in: a page of this tenant's base, whatever the form says."""
    root = urlsplit(tenant.base).path
    inside = wanted == root or wanted.startswith((f"{root}/", f"{root}?"))
    plain = _NEXT.fullmatch(wanted) and "//" not in wanted.partition("?")[0] and "/." not in wanted.partition("?")[0]
    return wanted if inside and plain else root + "/metadata"


def _cookie(tenant: Tenant, token: str, seconds: int) -> str:
    secure = "; Secure" if _is_https(tenant) else ""
    path = urlsplit(tenant.base).path
    return f"{cookie_name(tenant)}={token}; Path={path}; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}"


def _to(address: str, cookie: str) -> Response:
    headers = {"Location": address, "Set-Cookie": cookie, "Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}
    return Response(status_code=303, headers=headers)


def _visit(tenant: Tenant, request: str, *, production: bool) -> Visit:
    return Visit(tenant.base, request_id=request, signing_in=may_sign_in(tenant, production=production))


def _refused(visit: Visit, error: FhirError) -> Response:
    page = outcomes.page(_with_status(visit, error.status), error.outcome())
    made = Response(
        page,
        error.status,
        {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"},
        "text/html;charset=utf-8",
    )
    made.raw_headers.extend(shell.HEADERS)
    return made


def _with_status(visit: Visit, status: int) -> Visit:
    return Visit(visit.base, status=status, request_id=visit.request_id, signing_in=visit.signing_in)
