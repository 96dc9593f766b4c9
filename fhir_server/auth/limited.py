"""Rate limits at the endpoints of the authorization server: by network address first, by client once it is known to be it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Final, Protocol

from starlette.requests import Request
from starlette.responses import Response

from fhir_server.auth import bearer, claimed, decisions, token
from fhir_server.auth.body import BodyTooLong, read_body
from fhir_server.auth.flow.endpoints import cookie_name
from fhir_server.auth.oauth_errors import OAuthError
from fhir_server.auth.pages import frame, screens
from fhir_server.auth.people import sessions
from fhir_server.auth.principals import agent_at_door
from fhir_server.auth.recording import Record
from fhir_server.auth.tokens import issuer
from fhir_server.errors import Unauthenticated, Unavailable
from fhir_server.kit import json
from fhir_server.kit.throttle import Throttled, place
from fhir_server.storage.tenants import Tenant

Endpoint = Callable[[Request], Awaitable[Response]]
Refuse = Callable[[Tenant, Throttled], Response]
Who = Callable[[Tenant, Request], Awaitable[int]]
"""By which number the audit names who was refused; asked for the first refusal of a window alone."""
_PRIVATE: Final = {"Cache-Control": "no-store", "Pragma": "no-cache"}


class Charge(Protocol):
    """Counts one request in a budget; handed in, for what is counted with is opened by the application."""

    async def __call__(self, tenant: Tenant, budget: str, who: str) -> None:
        """Raise Throttled when the budget of `who` is used up."""


def as_json(_tenant: Tenant, error: Throttled) -> Response:
    """Return the refusal for a program: OAuth has no word for it, and this one says to come back."""
    body = _said(error).body()
    return Response(json.encode(body), 429, _PRIVATE | error.headers, media_type="application/json")


def as_page(tenant: Tenant, error: Throttled) -> Response:
    """Return the refusal for a browser."""
    inside = screens.wrong("Too many requests", error.text)
    sheet = f"{issuer(tenant)}/oauth2/pages/{frame.STYLE_NAME}.css"
    text = frame.page("Too many requests", inside, style=sheet)
    return Response(text, 429, frame.headers() | error.headers, media_type="text/html")


def _said(error: Throttled) -> OAuthError:
    return OAuthError("temporarily_unavailable", error.text, error.status, headers=error.headers)


async def charge_client(charge: Charge, tenant: Tenant, client_id: str) -> None:
    """Count a token request of a client that has proved who it is: nobody else can use up its budget."""
    try:
        await charge(tenant, "token", f"client/{client_id}")
    except Throttled as error:
        refusal = _said(error)
        refusal.client_id = client_id
        raise refusal from error


async def form_of(request: Request) -> token.Form:
    """Return the parameters of a request to the token endpoint; OAuthError for what is none."""
    if len(request.headers.getlist("authorization")) > 1:
        raise OAuthError("invalid_request", "Authorization is given twice.")
    if request.url.query:
        raise OAuthError("invalid_request", "Send the parameters in the body, none in the URL.")
    try:
        body = await read_body(request, token.MAX_BODY)
    except BodyTooLong as error:
        raise OAuthError("invalid_request", f"The request is refused: {error}.") from error
    return token.parse_form(request.headers.get("content-type", ""), body)


async def program(tenant: Tenant, request: Request) -> int:
    """Return the number of who asks without a browser: the bearer of a token that holds, else a client by what it says."""
    authorization = request.headers.get("authorization", "")
    if authorization[:7].lower() == "bearer ":
        try:
            return (await bearer.authenticate(tenant, authorization)).agent
        except Unauthenticated:
            return 0
    try:
        form = await form_of(request)
    except OAuthError:
        form = {}
    return await claimed.client_number(tenant, claimed.client_of(form, authorization))


async def visitor(tenant: Tenant, request: Request) -> int:
    """Return the number of who uses a browser: who is signed in, with the app that sent the browser here."""
    session = await sessions.current(tenant, request.cookies.get(cookie_name(tenant), ""))
    client_id = request.query_params.get("client_id", "")
    known = await decisions.registered(tenant, client_id) is not None
    return await agent_at_door(tenant, client_id if known else None, session.account if session else None)


def limited(
    tenant_of: Callable[[Request], Tenant],
    request_id: Callable[[Request], str],
    record: Record,
    charge: Charge,
) -> Callable[[str, Endpoint, Refuse, Who], Endpoint]:
    """Return what puts an endpoint under a budget of the network address that asks."""

    def under(budget: str, endpoint: Endpoint, refuse: Refuse, who: Who) -> Endpoint:
        async def answer(request: Request) -> Response:
            if request.method == "OPTIONS":
                return await endpoint(request)
            tenant, address = tenant_of(request), request.client.host if request.client else None
            try:
                await charge(tenant, budget, place(address))
            except Throttled as error:
                if error.first:
                    detail: dict[str, Any] = {"event": "throttled", "budget": budget}
                    with suppress(Unavailable):  # a refusal discloses nothing, and the metric has it
                        await record(
                            tenant, agent=await who(tenant, request), status=429, request=request_id(request),
                            address=address, detail=detail,
                        )  # fmt: skip
                return refuse(tenant, error)
            return await endpoint(request)

        return answer

    return under
