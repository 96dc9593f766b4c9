"""The endpoints of the authorization server for Starlette: tokens, keys, discovery, and the pages of `flow/`, for every tenant."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from fhir_server.auth import bearer, claimed, cors, discovery, registration, token
from fhir_server.auth.admin.routes import PATHS, Administration
from fhir_server.auth.body import BodyTooLong, read_body
from fhir_server.auth.clients import Client
from fhir_server.auth.flow import asking, launches
from fhir_server.auth.flow.answers import MAX_SECONDS
from fhir_server.auth.flow.endpoints import FILES, Pages, RequestId, TenantOf
from fhir_server.auth.flow.records import Ask
from fhir_server.auth.keys import public_jwks
from fhir_server.auth.launch_scopes import INTROSPECT, START_LAUNCH
from fhir_server.auth.limited import Charge, as_json, as_page, charge_client, form_of, limited, program, visitor
from fhir_server.auth.oauth_errors import OAuthError
from fhir_server.auth.recording import Record
from fhir_server.auth.registration import RegistrationError
from fhir_server.auth.remote_keys import RemoteKeys
from fhir_server.auth.token import Form, TokenAnswer
from fhir_server.errors import BadRequest, FhirError, Unauthenticated, Unavailable
from fhir_server.kit import json
from fhir_server.storage.tenants import Tenant

_ANY_ORIGIN = {"Access-Control-Allow-Origin": "*"}
"""Discovery is for scripts of any origin; the token endpoint is for those of registered apps."""
_PUBLIC = {"Cache-Control": "max-age=60"} | _ANY_ORIGIN
_PRIVATE = {"Cache-Control": "no-store", "Pragma": "no-cache"}

_NO_FORM: Form = {}

Endpoint = Callable[[Request], Awaitable[Response]]


def routes(
    tenant_of: TenantOf,
    request_id: RequestId,
    record: Record,
    ask: Ask,
    charge: Charge,
    *,
    loopback: bool = False,
    seconds: int = MAX_SECONDS,
) -> list[Route]:
    """Return the routes; `tenant_of` raises NotFound for a tenant that is not there, `ask` performs a FHIR interaction.

    `loopback` lets clients in development publish their keys at a loopback address; `seconds` is how long apps' tokens hold.
    """
    pages = Pages(tenant_of, request_id, record, ask)
    server = Server(tenant_of, request_id, record, charge, RemoteKeys(loopback=loopback), seconds)
    admin = Administration(tenant_of, request_id, record)
    under = limited(tenant_of, request_id, record, charge)

    def counted(budget: str, endpoint: Endpoint) -> Endpoint:
        return under(budget, endpoint, as_json, program)

    def public(endpoint: Endpoint) -> Endpoint:
        return cors.allowing(tenant_of, counted("anonymous", endpoint), public=True)

    def scripted(budget: str, endpoint: Endpoint) -> Endpoint:
        return cors.allowing(tenant_of, counted(budget, endpoint))

    paths: list[tuple[str, Endpoint, list[str]]] = [
        ("/oauth2/token", scripted("token", server.token), ["POST", "OPTIONS"]),
        ("/oauth2/introspect", scripted("token", server.introspect), ["POST", "OPTIONS"]),
        ("/oauth2/revoke", scripted("token", server.revoke), ["POST", "OPTIONS"]),
        ("/oauth2/launch", counted("token", server.launch), ["POST"]),
        ("/oauth2/register", counted("register", server.register), ["POST"]),
        ("/oauth2/register/{client_id}", counted("token", server.registration), ["GET", "DELETE"]),
        ("/oauth2/jwks", public(server.jwks), ["GET", "OPTIONS"]),
        ("/fhir/.well-known/smart-configuration", public(server.smart_configuration), ["GET", "OPTIONS"]),
        ("/.well-known/openid-configuration", public(server.openid_configuration), ["GET", "OPTIONS"]),
        *((path, counted("token", admin.at(path)), list(methods)) for path, methods in PATHS.items()),
        *((path, under("login", page, as_page, visitor), methods) for path, page, methods in pages.routes()),
        *FILES,
    ]
    return [
        Route(prefix + path, endpoint, methods=methods)
        for prefix in ("", "/t/{tenant}")
        for path, endpoint, methods in paths
    ]


@dataclass(frozen=True, slots=True)
class Server:
    """What programs ask of the authorization server."""

    tenant_of: TenantOf
    request_id: RequestId
    record: Record
    charge: Charge
    remote: RemoteKeys
    seconds: int

    async def token(self, request: Request) -> Response:
        """Answer a token request; nothing leaves before the audit has it."""
        tenant, form, authorization = self.tenant_of(request), _NO_FORM, request.headers.get("authorization")
        try:
            form = await form_of(request)
            charge = partial(charge_client, self.charge, tenant)
            answer = await token.answer(tenant, self.remote, form, authorization, seconds=self.seconds, charge=charge)
        except OAuthError as error:
            answer = await token.refusal(tenant, error, form, authorization)
        return await self._recorded(request, tenant, answer)

    async def introspect(self, request: Request) -> Response:
        """Tell what a token means: any, to a bearer of `__introspect`; its own, to a client that authenticates itself."""
        tenant, form, authorization = self.tenant_of(request), _NO_FORM, request.headers.get("authorization")
        try:
            form = await form_of(request)
            only_of = await self._asker(tenant, request, form)
            if "token" not in form:
                raise OAuthError("invalid_request", "Send token.", client_id=only_of)
            said = await asking.introspect(tenant, form["token"], only_of=only_of)
        except OAuthError as error:
            refusal = await token.refusal(tenant, error, form, authorization)
            return await self._recorded(request, tenant, refusal)
        except FhirError as error:
            return await self._refused(request, tenant, "introspection refused", error)
        return _json(200, said, _PRIVATE)

    async def _asker(self, tenant: Tenant, request: Request, form: Form) -> str | None:
        """Return the client that may ask about its own tokens only, None for one that may ask about all."""
        authorization = request.headers.get("authorization", "")
        if authorization[:7].lower() == "bearer ":
            bearer.need(await bearer.authenticate(tenant, authorization), INTROSPECT)
            return None
        client: Client = await token.authenticate(tenant, self.remote, form, authorization or None)
        if client.method == "none":
            text = "A public client cannot introspect: anybody can say its id."
            raise OAuthError("unauthorized_client", text, client_id=client.client_id)
        return client.client_id

    async def revoke(self, request: Request) -> Response:
        """End a token of the client that asks; 200 whatever the token was (RFC 7009 §2.2)."""
        tenant, form, authorization = self.tenant_of(request), _NO_FORM, request.headers.get("authorization")
        try:
            form = await form_of(request)
            client = await token.authenticate(tenant, self.remote, form, authorization)
            if "token" not in form:
                raise OAuthError("invalid_request", "Send token.", client_id=client.client_id)
            ended = await asking.revoke(tenant, client, form["token"])
        except OAuthError as error:
            refusal = await token.refusal(tenant, error, form, authorization)
            return await self._recorded(request, tenant, refusal)
        agent = await claimed.client_number(tenant, client.client_id)
        detail = {"event": "revoked" if ended else "nothing to revoke", "client": client.client_id, "what": ended or ""}
        return await self._recorded(request, tenant, TokenAnswer(200, {}, _PRIVATE, agent, detail))

    async def launch(self, request: Request) -> Response:
        """Make a launch handle for the EHR: a bearer of `__launch` says app, patient and what else is in context.

        One that is asked for in a person's name is for that person alone.
        """
        tenant = self.tenant_of(request)
        try:
            principal = await bearer.authenticate(tenant, request.headers.get("authorization"))
            bearer.need(principal, START_LAUNCH)
            asked = json.decode(await read_body(request, token.MAX_BODY))
            if not isinstance(asked, dict):
                raise BadRequest("Send a JSON object.", "launch-malformed")
            made = await launches.make(tenant, asked, person=principal.account)
        except (BodyTooLong, launches.LaunchError) as error:
            refused = BadRequest(f"The launch is refused: {error}.", "launch-refused")
            return await self._refused(request, tenant, "launch refused", refused)
        except FhirError as error:
            return await self._refused(request, tenant, "launch refused", error)
        detail = {"event": "launch", "client": principal.client_id, "app": str(asked["client_id"])}
        body = {"launch": made.handle, "launch_url": made.url, "expires_in": launches.SECONDS, "iss": tenant.base}
        return await self._recorded(request, tenant, TokenAnswer(201, body, _PRIVATE, principal.agent, detail))

    async def register(self, request: Request) -> Response:
        """Take a registration request (RFC 7591): it waits for an administrator."""
        tenant = self.tenant_of(request)
        try:
            if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
                raise RegistrationError("invalid_client_metadata", "Send application/json.")
            body = await read_body(request, registration.MAX_BODY)
            address = request.client.host if request.client else None
            made = await registration.ask(tenant, body, loopback=self.remote.loopback, address=address)
        except BodyTooLong as error:
            text = f"The registration is refused: {error}."
            return await self._unregistered(request, tenant, RegistrationError("invalid_client_metadata", text))
        except RegistrationError as error:
            return await self._unregistered(request, tenant, error)
        detail = {"event": "registration asked", "client": str(made["client_id"]), "scope": str(made["scope"])}
        return await self._recorded(request, tenant, TokenAnswer(201, made, _PRIVATE, 0, detail))

    async def registration(self, request: Request) -> Response:
        """Show a client to who registered it, or remove it (RFC 7592)."""
        tenant, client_id = self.tenant_of(request), request.path_params["client_id"]
        authorization = request.headers.get("authorization")
        try:
            if request.method == "GET":
                return _json(200, await registration.look(tenant, client_id, authorization), _PRIVATE)
            agent = await claimed.client_number(tenant, client_id)
            await registration.take_back(tenant, client_id, authorization)
        except RegistrationError as error:
            return await self._unregistered(request, tenant, error, client_id)
        answer = TokenAnswer(204, {}, _PRIVATE, agent, {"event": "registration taken back", "client": client_id})
        told = await self._recorded(request, tenant, answer)
        return told if told.status_code != 204 else Response(None, 204, _PRIVATE)

    async def _unregistered(
        self, request: Request, tenant: Tenant, error: RegistrationError, client_id: str | None = None
    ) -> Response:
        detail = {"event": "registration refused", "reason": error.description[:500]}
        agent = await claimed.client_number(tenant, client_id)
        answer = TokenAnswer(error.status, error.body(), _PRIVATE | error.headers, agent, detail)
        return await self._recorded(request, tenant, answer)

    async def jwks(self, request: Request) -> Response:
        """Return the public keys."""
        return _json(200, await public_jwks(self.tenant_of(request)), _PUBLIC)

    async def smart_configuration(self, request: Request) -> Response:
        """Return the SMART configuration."""
        return _json(200, discovery.smart_configuration(self.tenant_of(request)), _PUBLIC)

    async def openid_configuration(self, request: Request) -> Response:
        """Return the OpenID Connect configuration."""
        return _json(200, discovery.openid_configuration(self.tenant_of(request)), _PUBLIC)

    async def _refused(self, request: Request, tenant: Tenant, event: str, error: FhirError) -> Response:
        """Refuse a bearer as RFC 6750 has it."""
        code = "invalid_token" if isinstance(error, Unauthenticated) else "insufficient_scope"
        body = {"error": "invalid_request" if isinstance(error, BadRequest) else code, "error_description": error.text}
        detail = {"event": event, "why": error.id}
        agent = await program(tenant, request)
        answer = TokenAnswer(error.status, body, _PRIVATE | error.headers, agent, detail)
        return await self._recorded(request, tenant, answer)

    async def _recorded(self, request: Request, tenant: Tenant, answer: TokenAnswer) -> Response:
        address = request.client.host if request.client else None
        try:
            await self.record(
                tenant, agent=answer.agent, status=answer.status, request=self.request_id(request),
                address=address, detail=answer.detail,
            )  # fmt: skip
        except Unavailable:
            body = {"error": "temporarily_unavailable", "error_description": "The audit trail cannot be written."}
            return _json(503, body, {"Cache-Control": "no-store", "Retry-After": "5"})
        return _json(answer.status, answer.body, answer.headers)


def _json(status: int, body: dict[str, Any], headers: dict[str, str]) -> Response:
    """Return JSON whatever `Accept` says, as SMART asks of discovery."""
    return Response(json.encode(body), status, headers, media_type="application/json")
