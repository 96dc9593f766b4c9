"""The routes that a browser meets: authorize, sign in, choose, decide, and the person's own page (SMART App Launch 2.2)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl, urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from fhir_server.auth import principals
from fhir_server.auth.body import BodyTooLong, read_body
from fhir_server.auth.flow import own_page, state, steps, style
from fhir_server.auth.flow.records import Ask
from fhir_server.auth.flow.request import MAX_LENGTH, Returned, Shown
from fhir_server.auth.flow.steps import Away, Fields, Next, Screen, Visit
from fhir_server.auth.oauth_errors import MEDIA_TYPE
from fhir_server.auth.pages import frame, screens
from fhir_server.auth.people import sessions
from fhir_server.auth.recording import Record
from fhir_server.auth.tokens import issuer
from fhir_server.errors import FhirError
from fhir_server.kit import json
from fhir_server.storage.tenants import Tenant

MAX_FORM = 65_536
MAX_PARAMS = 100
TenantOf = Callable[[Request], Tenant]
RequestId = Callable[[Request], str]
Step = Callable[[Visit, Fields], Awaitable[Next]]

POSTS: dict[str, Step] = {
    "login": steps.signed_in,
    "patient": steps.patient_chosen,
    "encounter": steps.encounter_chosen,
    "consent": steps.decided,
    "apps": own_page.take_back,
    "logout": own_page.signed_out,
}
GETS: dict[str, Callable[[Visit], Awaitable[Next]]] = {"login": own_page.sign_in, "apps": own_page.show}


@dataclass(frozen=True, slots=True)
class Pages:
    """The pages of all tenants; what stands above auth is handed in."""

    tenant_of: TenantOf
    request_id: RequestId
    record: Record
    ask: Ask

    def routes(self) -> list[tuple[str, Callable[[Request], Awaitable[Response]], list[str]]]:
        """Return path, endpoint and methods of each."""
        names = sorted(POSTS.keys() | GETS.keys())
        found = [(f"/oauth2/{name}", self._endpoint(name), _methods(name)) for name in names]
        found.append(("/oauth2/authorize", self.authorize, ["GET", "POST"]))
        return found

    async def authorize(self, request: Request) -> Response:
        """Answer the authorize endpoint; a POST becomes a GET, for a form of another site comes without our cookie."""
        tenant = self.tenant_of(request)
        form = await _form(request) if request.method == "POST" else None
        if form is not None:
            text = urlencode([(name, value) for name, values in form.items() for value in values])
            return RedirectResponse(f"{issuer(tenant)}/oauth2/authorize?{text}", 303, {"Cache-Control": "no-store"})
        visit = await self._visit(request, tenant)
        return await self._answer(request, visit, await self._guarded(visit, self._begun(request, visit)))

    async def _begun(self, request: Request, visit: Visit) -> Next:
        if request.method == "POST":
            advice = f"Send the parameters as {MEDIA_TYPE} in the body, {MAX_FORM} bytes at most."
            raise Shown("The request of the app cannot be read.", advice)
        query = request.scope["query_string"]
        if len(query) > MAX_LENGTH:
            raise Shown("The request of the app is too long.", f"The query may have {MAX_LENGTH} characters.")
        try:
            params = parse_qsl(
                query.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=MAX_PARAMS
            )
        except ValueError as error:
            advice = f"Send up to {MAX_PARAMS} parameters in percent-encoded UTF-8."
            raise Shown("The request of the app cannot be read.", advice) from error
        return await steps.authorize(visit, params)

    def _endpoint(self, name: str) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            visit = await self._visit(request, self.tenant_of(request))
            if request.method == "POST":
                form = await _form(request)
                if form is None or not _is_ours(request, visit, form):
                    return await self._answer(request, visit, _not_ours())
                return await self._answer(request, visit, await self._guarded(visit, POSTS[name](visit, form)))
            return await self._answer(request, visit, await self._guarded(visit, GETS[name](visit)))

        return endpoint

    async def _visit(self, request: Request, tenant: Tenant) -> Visit:
        cookie = request.cookies.get(cookie_name(tenant), "")
        session = await sessions.current(tenant, cookie)
        address = request.client.host if request.client else None
        kept = cookie if sessions.is_cookie(cookie) else sessions.new_cookie()
        return Visit(tenant, self.ask, kept, session, self.request_id(request), address)

    async def _guarded(self, visit: Visit, step: Awaitable[Next]) -> Next:
        """Return what a step leads to; what ends the flow becomes a page or a redirect."""
        try:
            return await step
        except Shown as error:
            visit.tell("stopped", reason=error.text, client=error.client_id or "")
            return steps.refused(error)
        except Returned as error:
            visit.tell("refused", app=error.client_id, reason=error.description)
            return Away(error.location(visit.tenant))
        except FhirError as error:
            return Screen("Not possible", screens.wrong("Not possible now", error.text), error.status)

    async def _answer(self, request: Request, visit: Visit, made: Next) -> Response:
        status = made.status if isinstance(made, Screen) else 303
        for told in visit.told:
            agent = await principals.agent_at_door(visit.tenant, told.client_id, told.account)
            refused = max(status, 400) if "refused" in told.detail["event"] else 200
            await self.record(
                visit.tenant, agent=agent, status=refused, request=visit.request_id, address=visit.address,
                detail=told.detail,
            )  # fmt: skip
        response = _page(visit, made, status)
        if request.cookies.get(cookie_name(visit.tenant)) != visit.cookie:
            secure = visit.tenant.base.startswith("https://")
            response.set_cookie(
                cookie_name(visit.tenant), visit.cookie, path="/", secure=secure, httponly=True, samesite="lax"
            )
        return response


def cookie_name(tenant: Tenant) -> str:
    """Return the name of a tenant's cookie; over https one that no other site and no plain connection can set."""
    prefix = "__Host-" if tenant.base.startswith("https://") else ""
    return f"{prefix}clarity-{tenant.name}"


def _methods(name: str) -> list[str]:
    return [method for method, steps_ in (("GET", GETS), ("POST", POSTS)) if name in steps_]


def _page(visit: Visit, made: Next, status: int) -> Response:
    if isinstance(made, Away):
        return RedirectResponse(made.url, 303, {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"})
    sheet = f"{issuer(visit.tenant)}/oauth2/pages/{frame.STYLE_NAME}.css"
    headers = frame.headers(made.form_target) | ({"Retry-After": str(made.wait)} if made.wait else {})
    return Response(frame.page(made.title, made.inside, style=sheet), status, headers, media_type="text/html")


async def _form(request: Request) -> Fields | None:
    """Return the fields of a form; None for what is none, or too long."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != MEDIA_TYPE:
        return None
    try:
        text = (await read_body(request, MAX_FORM)).decode("ascii")
        pairs = parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=300)
    except (BodyTooLong, ValueError):
        return None
    fields: Fields = {}
    for name, value in pairs:
        fields.setdefault(name, []).append(value)
    return fields


def _is_ours(request: Request, visit: Visit, form: Fields) -> bool:
    """Tell whether a form was shown by us to this browser, and not sent by another site."""
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return False
    return sessions.form_token_holds(
        request.cookies.get(cookie_name(visit.tenant), ""), steps.first(form, "form_token")
    )


def _not_ours() -> Screen:
    minutes = state.SECONDS // 60
    text = f"This form does not come from a page that this browser was shown in the last {minutes} minutes. Open the app again."
    return Screen("Not possible", screens.wrong("Not possible", text), 403)


async def _css(_request: Request) -> Response:
    return Response(frame.CSS, headers={"Cache-Control": "public, max-age=31536000, immutable"}, media_type="text/css")


async def _style(_request: Request) -> Response:
    headers = {"Cache-Control": "public, max-age=31536000, immutable", "Access-Control-Allow-Origin": "*"}
    return Response(json.encode(style.STYLE), headers=headers, media_type="application/json")


FILES: Final = (
    (f"/oauth2/pages/{frame.STYLE_NAME}.css", _css, ["GET"]),
    (f"/oauth2/style/{style.NAME}.json", _style, ["GET"]),
)
"""What pages need beside themselves; the same for everybody."""

__all__ = ["FILES", "Pages", "Route", "cookie_name"]
