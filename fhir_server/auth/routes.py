"""The endpoints of the authorization server for Starlette: token, JWKS and SMART discovery, for every tenant."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from fhir_server.auth import token
from fhir_server.auth.discovery import smart_configuration
from fhir_server.auth.keys import public_jwks
from fhir_server.auth.oauth_errors import OAuthError
from fhir_server.auth.remote_keys import RemoteKeys
from fhir_server.auth.token import TokenAnswer
from fhir_server.errors import Unavailable
from fhir_server.kit import json
from fhir_server.storage.tenants import Tenant


class Record(Protocol):
    """Makes one token event durable; `audit.record.token_event`, handed in because auth and audit do not know each other."""

    async def __call__(
        self, tenant: Tenant, *, agent: int, status: int, request: str, address: str | None, detail: dict[str, str]
    ) -> None:
        """Write the event, or raise Unavailable."""


_ANY_ORIGIN = {"Access-Control-Allow-Origin": "*"}
"""Discovery is for scripts of any origin; the token endpoint, which takes secrets, is for none."""

TenantOf = Callable[[Request], Tenant]
RequestId = Callable[[Request], str]


def routes(tenant_of: TenantOf, request_id: RequestId, record: Record, *, loopback: bool = False) -> list[Route]:
    """Return the routes; `tenant_of` raises NotFound for a tenant that is not there.

    `loopback` lets clients in development publish their keys at a loopback address.
    """
    remote = RemoteKeys(loopback=loopback)

    async def token_endpoint(request: Request) -> Response:
        tenant = tenant_of(request)
        answer = await _token_answer(tenant, remote, request)
        address = request.client.host if request.client else None
        try:
            await record(
                tenant, agent=answer.agent, status=answer.status, request=request_id(request),
                address=address, detail=answer.detail,
            )  # fmt: skip
        except Unavailable:
            body = {"error": "temporarily_unavailable", "error_description": "The audit trail cannot be written."}
            return _json(503, body, {"Cache-Control": "no-store", "Retry-After": "5"})
        return _json(answer.status, answer.body, answer.headers)

    async def jwks(request: Request) -> Response:
        return _json(200, await public_jwks(tenant_of(request)), {"Cache-Control": "max-age=60"} | _ANY_ORIGIN)

    async def configuration(request: Request) -> Response:
        return _json(200, smart_configuration(tenant_of(request)), {"Cache-Control": "max-age=60"} | _ANY_ORIGIN)

    paths: list[tuple[str, Callable[[Request], Awaitable[Response]], str]] = [
        ("/oauth2/token", token_endpoint, "POST"),
        ("/oauth2/jwks", jwks, "GET"),
        ("/fhir/.well-known/smart-configuration", configuration, "GET"),
    ]
    return [
        Route(prefix + path, endpoint, methods=[method])
        for prefix in ("", "/t/{tenant}")
        for path, endpoint, method in paths
    ]


async def _token_answer(tenant: Tenant, remote: RemoteKeys, request: Request) -> TokenAnswer:
    headers = request.headers
    try:
        if len(headers.getlist("authorization")) > 1:
            raise OAuthError("invalid_request", "Authorization is given twice.")
        if request.url.query:
            raise OAuthError("invalid_request", "Send the parameters in the body, none in the URL.")
        form = token.parse_form(headers.get("content-type", ""), await _body(request))
    except OAuthError as error:
        return await token.refusal(tenant, error)
    return await token.answer(tenant, remote, form, headers.get("authorization"))


async def _body(request: Request) -> bytes:
    """Read the body as far as a token request may go."""
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > token.MAX_BODY:
                break
    except ClientDisconnect as error:
        raise OAuthError("invalid_request", "The body ended early.") from error
    return bytes(body)


def _json(status: int, body: dict[str, Any], headers: dict[str, str]) -> Response:
    """Return JSON whatever `Accept` says, as SMART asks of discovery."""
    return Response(json.encode(body), status, headers, media_type="application/json")
