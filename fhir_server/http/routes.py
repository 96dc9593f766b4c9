"""The FHIR endpoint as one raw ASGI application: one path for every type, no framework between the socket and the handler.

/fhir/...             the tenant `default`
/t/{tenant}/fhir/...  the others
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial

from fhir_server.audit.record import door_event
from fhir_server.auth.bearer import authenticate
from fhir_server.context import Principal, RequestContext
from fhir_server.errors import BadRequest, FhirError, MethodNotAllowed, NotFound, Unauthenticated
from fhir_server.http import browsers, edge, faces, raw, render
from fhir_server.http.browse.session import kept_token, may_sign_in
from fhir_server.http.browse.visit import VIEWS, Visit, visit_of
from fhir_server.http.edge import Disconnected, Receive, Scope, Send
from fhir_server.http.headers import Prefer, parse_conditions, parse_prefer
from fhir_server.http.limiter import Limiter
from fhir_server.http.metadata import metadata
from fhir_server.http.negotiate import (
    JSON,
    Face,
    accepted,
    asked_format,
    check_content_type,
    is_xml,
    not_acceptable,
    patch_media,
)
from fhir_server.http.perform import perform
from fhir_server.http.services import Services
from fhir_server.interactions.address import Address, Params, parse_address, parse_query
from fhir_server.interactions.call import Call, Result
from fhir_server.interactions.codes import interaction_of
from fhir_server.interactions.failures import audit_failure, unforeseen
from fhir_server.kit import metrics
from fhir_server.kit.clock import monotonic
from fhir_server.kit.throttle import Allowance, Throttled
from fhir_server.search import parameters
from fhir_server.storage.tenants import Tenant
from fhir_server.subscriptions.topics import store

_NO_PREFERENCE = Prefer()
_NOWHERE = Visit("")
_MAX_PATH = 1024
_SEARCHES = ("search-type", "search-compartment", "search-system")


def is_fhir(path: str) -> bool:
    """Tell whether a path belongs to a FHIR base, discovery aside."""
    if path.startswith("/t/"):
        _, _, path = path[3:].partition("/")
        path = "/" + path
    return (path == "/fhir" or path.startswith("/fhir/")) and not path.startswith("/fhir/.well-known/")


class Fhir:
    """The ASGI application of all FHIR bases."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._limiter = Limiter(services.throttle) if services.throttle is not None else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; every error becomes an OperationOutcome here and nowhere else."""
        started = monotonic()
        headers = edge.read_headers(scope)
        request = _Request(self._services, self._limiter, scope, headers, edge.request_id(headers))
        try:
            if scope["method"] == "OPTIONS" and "origin" in headers:
                response = await browsers.preflight(self._services, scope["path"], headers["origin"])
            else:
                response = await request.respond(receive)
        except FhirError as error:  # of a preflight
            response = render.render_error(error, request.id)
        except Disconnected:
            return
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001  the last line, should an answer not be writable in its format
            response = render.render_error(unforeseen(error, request.id), request.id)
        if request.allowance is not None and response.status != 429:
            response.headers.extend((n.lower().encode(), v.encode()) for n, v in request.allowance.headers().items())
        if "origin" in headers:
            await browsers.allow(self._services, scope["path"], headers["origin"], response)
        response = await render.packed(response, headers.get("accept-encoding", ""))
        metrics.observe_request(request.interaction, request.type, response.status, monotonic() - started)
        await render.transmit(send, response, head=scope["method"] == "HEAD")


class _Request:
    """One request between its bytes and its Result; holds what the answer to an error needs too."""

    __slots__ = (
        "_headers", "_limiter", "_scope", "_services", "_visit", "allowance", "face", "id", "interaction", "pretty", "type"
    )  # fmt: skip

    def __init__(
        self, services: Services, limiter: Limiter | None, scope: Scope, headers: dict[str, str], id_: str
    ) -> None:
        self._services = services
        self._limiter = limiter
        self.allowance: Allowance | None = None
        self._scope = scope
        self._headers = headers
        self.id = id_
        self.interaction = "unknown"
        self.type = ""
        self.pretty = False
        self.face: Face | None = accepted(headers.get("accept", ""))
        self._visit = _NOWHERE

    async def respond(self, receive: Receive) -> render.Response:
        """Answer in the format that is asked for, refusals too; in JSON when there is no such format."""
        try:
            result = await self.answer(receive)
        except FhirError as error:
            return await self._refused(error)
        except (Disconnected, asyncio.CancelledError):
            raise
        except Exception as error:  # noqa: BLE001  the caller learns the request id and nothing else
            return await self._refused(unforeseen(error, self.id))
        try:
            response = render.render_result(result, self.id, self.face or JSON, pretty=self.pretty)
            return response if response.stream is not None else await self._dressed(response)
        except FhirError as error:
            return await self._refused(error)

    async def _refused(self, error: FhirError) -> render.Response:
        return await self._dressed(render.render_error(error, self.id, self.face or JSON, pretty=self.pretty))

    async def _dressed(self, response: render.Response) -> render.Response:
        if self.face is None or self.face.kind == "json":
            return response
        if self.face.kind == "html":
            visit = replace(self._visit, request_id=self.id, interaction=self.interaction, type=self.type)
            return await faces.as_page(response, replace(visit, status=response.status))
        return await faces.as_xml(response, pretty=self.pretty, lasting=self.interaction == "capabilities")

    async def answer(self, receive: Receive) -> Result:
        """Find out what is asked, by whom, and have it performed."""
        edge.refuse_repeated(self._scope, self._headers)
        params = self._shape_params(parse_query(self._scope["query_string"].decode("latin-1")))
        tenant, path = self._place()
        parameters.use(tenant.own)
        if self._is_page:
            self._open_page(tenant, path, params)
        method = "GET" if self._scope["method"] == "HEAD" else self._scope["method"]
        if path == "metadata":
            self.interaction = "capabilities"
            self._check_face()
            if self._limiter is not None:
                await self._limiter.stranger(tenant, self._client())
            return await self._metadata(tenant, method, params)
        principal = await self._authenticated(tenant, method, path)
        prefer = parse_prefer(self._headers["prefer"]) if "prefer" in self._headers else _NO_PREFERENCE
        ctx = RequestContext(tenant, principal, self.id, tenant.base, self._client(), prefer.lenient)
        address = parse_address(path)
        self.interaction, self.type = interaction_of(method, address.kind), address.type or ""
        call = Call(method, address, params, parse_conditions(self._headers), prefer.returns)
        call.perform, call.limits = perform, self._services.limits
        if self._limiter is not None:
            await self._charge(self._limiter, ctx, call)
        if "x-provenance" in self._headers:
            call.provenance = self._headers["x-provenance"].encode("latin-1")
        call.statement = partial(metadata, self._services, tenant)
        if self._is_page:
            self._visit = visit_of(self._visit, principal)
        await self._read_body(call, receive)
        if address.type == raw.TYPE and method == "GET":
            raw.ask(call, self._headers, self._scope)
        if not call.native:
            self._check_face()
        call.later = path if prefer.respond_async else None
        if call.address.kind in _SEARCHES and self._is_page:  # what it is called for, it says only now
            self._open_page(tenant, path, call.params)
            self._visit = visit_of(self._visit, principal)
        return await perform(ctx, call)

    async def _charge(self, limiter: Limiter, ctx: RequestContext, call: Call) -> None:
        """Count the request, and let a Bundle count its entries; the first refusal of a window is recorded."""
        call.charge = partial(limiter.entries, ctx, self.interaction, call.method)
        try:
            self.allowance = await limiter.request(ctx, self.interaction, call.method)
        except Throttled as error:
            if error.first:
                await audit_failure(ctx, call, error.status)
            raise

    @property
    def _is_page(self) -> bool:
        return self.face is not None and self.face.kind == "html"

    def _open_page(self, tenant: Tenant, path: str, params: Params) -> None:
        """Note where a page is: what it shows around the answer, a refusal too."""
        kept = kept_token(tenant, self._headers) is not None
        production = self._services.settings.environment == "production"
        may = may_sign_in(tenant, production=production)
        where = path.removesuffix("_search").rstrip("/")
        self._visit = replace(self._visit, base=tenant.base, path=where, params=params, signed_in=kept, signing_in=may)

    def _credentials(self, tenant: Tenant, method: str) -> str | None:
        """Return the Authorization header, or for a page that is only read the one that a browser's cookie stands for."""
        given = self._headers.get("authorization")
        if given is None and self._is_page and method == "GET":
            return kept_token(tenant, self._headers)
        return given

    def _client(self) -> str | None:
        client = self._scope.get("client")
        return client[0] if client else None

    async def _authenticated(self, tenant: Tenant, method: str, path: str) -> Principal:
        """Return who asks; that a stranger was turned away is recorded, with what was asked for."""
        if self._limiter is not None:
            self._limiter.refuse_spent(tenant, self._client())
        try:
            return await authenticate(tenant, self._credentials(tenant, method))
        except Unauthenticated:
            if self._limiter is not None:
                await self._limiter.stranger(tenant, self._client())
            try:
                asked = parse_address(path)
            except FhirError:
                asked = Address("system")
            interaction = interaction_of(method, asked.kind)
            await door_event(tenant, interaction, request=self.id, address=self._client(), type=asked.type, id=asked.id)
            raise

    def _place(self) -> tuple[Tenant, str]:
        """Return the tenant and the path below its base."""
        path = self._scope["path"]
        if len(path) > _MAX_PATH:
            raise BadRequest(f"A path may have {_MAX_PATH} characters at most.", "path-too-long")
        if b"%2f" in self._scope.get("raw_path", b"").lower():
            raise BadRequest("An encoded slash has no meaning in a FHIR path.", "path-encoding")
        name = "default"
        if path.startswith("/t/"):
            name, _, path = path[3:].partition("/")
            path = "/" + path
        tenant = self._services.tenants.get(name)
        if tenant is None:
            raise NotFound("There is no FHIR base at this address.", "unknown-address")
        return tenant, path[6:].removesuffix("/") if path.startswith("/fhir/") else ""

    def _shape_params(self, params: Params) -> Params:
        """Take out what says how the answer looks: `_format` goes before Accept (R4 `http.html#parameters`)."""
        if not self._is_page and not any(name in ("_format", "_pretty") for name, _ in params):
            return params
        for face in [asked_format(value) for name, value in params if name == "_format"]:
            self.face = face
            self._check_face()
        self.pretty = self.pretty or any(name == "_pretty" and value == "true" for name, value in params)
        params = [(name, value) for name, value in params if name not in ("_format", "_pretty")]
        return self._page_params(params) if self._is_page else params

    def _page_params(self, params: Params) -> Params:
        """Take out what only pages know: `_view`, and the fields of a form that were left empty."""
        views = [value for name, value in params if name == "_view" and value in VIEWS]
        self._visit = replace(self._visit, view=views[-1] if views else self._visit.view)
        return [(name, value) for name, value in params if value and name != "_view"]

    def _check_face(self) -> None:
        if self.face is None:
            raise not_acceptable()

    async def _metadata(self, tenant: Tenant, method: str, params: Params) -> Result:
        if method != "GET":
            raise MethodNotAllowed("The CapabilityStatement is read by GET.", "method", headers=render.allow(["GET"]))
        await store.refresh(tenant)
        return metadata(self._services, tenant, params)

    async def _read_body(self, call: Call, receive: Receive) -> None:
        if call.method not in ("POST", "PUT", "PATCH"):
            return
        body = await edge.read_body(receive, self._headers, self._services.limits.body_bytes)
        kind = self._headers.get("content-type", "")
        if call.address.kind in _SEARCHES:
            check_content_type(kind, form=True)
            call.params = call.params + self._shape_params(_form(body))
        else:
            if call.method == "PATCH":
                call.media = patch_media(kind)
            elif raw.is_raw(call, kind, body):
                call.body, kind = raw.wrapped(call, body, self._headers, self._services.settings), ""
            elif body:
                check_content_type(kind)
            call.body = call.body or (await faces.json_of(body) if body and is_xml(kind) else body)
            _require_body(call.address, body)


def _form(body: bytes) -> Params:
    try:
        return parse_query(body.decode("ascii"))
    except UnicodeDecodeError as error:
        raise BadRequest("A form is percent-encoded ASCII.", "query-encoding") from error


def _require_body(address: Address, body: bytes) -> None:
    if not body and address.kind != "operation":
        raise BadRequest("The request needs a resource as its body.", "body-missing", code="required")
