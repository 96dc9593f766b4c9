"""The administration API for Starlette: who asks, what the audit is told, and how the answer looks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from fhir_server.auth import bearer, cors
from fhir_server.auth.admin import clients, events, users
from fhir_server.auth.admin.task import Endpoint, Task
from fhir_server.auth.body import BodyTooLong, read_body
from fhir_server.auth.launch_scopes import ADMIN
from fhir_server.auth.recording import Record
from fhir_server.context import Principal
from fhir_server.errors import BadRequest, FhirError, TooLarge
from fhir_server.kit import json
from fhir_server.storage.tenants import Tenant

MAX_BODY: Final = 256 * 1024
_PRIVATE: Final = {"Cache-Control": "no-store", "Pragma": "no-cache"}

PATHS: Final[dict[str, dict[str, Endpoint]]] = {
    "/admin/clients": {"GET": clients.listed, "POST": clients.add},
    "/admin/clients/{id}": {"GET": clients.look, "PATCH": clients.change, "DELETE": clients.remove},
    "/admin/clients/{id}/approve": {"POST": clients.approve},
    "/admin/clients/{id}/refuse": {"POST": clients.refuse},
    "/admin/users": {"GET": users.listed, "POST": users.add},
    "/admin/users/{id}": {"GET": users.look, "PATCH": users.change},
    "/admin/roles": {"GET": users.roles},
    "/admin/events": {"GET": events.listed},
    "/admin/events/replay": {"POST": events.replay},
    "/admin/emergencies": {"GET": users.emergencies},
}
QUERIES: Final = {"/clients": ("pending",), "/users": ("login",)}
"""The parameters of paths below `/admin`."""


@dataclass(frozen=True, slots=True)
class Administration:
    """Answers the paths of PATHS for who holds the scope `__admin`."""

    tenant_of: Callable[[Request], Tenant]
    request_id: Callable[[Request], str]
    record: Record

    def at(self, path: str) -> Callable[[Request], Awaitable[Response]]:
        """Return what answers a path, by the method of the request."""

        async def answer(request: Request) -> Response:
            return await self.answer(request, PATHS[path][request.method if request.method != "HEAD" else "GET"])

        return answer

    async def answer(self, request: Request, endpoint: Endpoint) -> Response:
        """Let an administrator's request be done, and what it changed be recorded before the answer leaves."""
        tenant, agent = self.tenant_of(request), 0
        try:
            principal = await bearer.authenticate(tenant, request.headers.get("authorization"))
            agent = principal.agent
            bearer.need(principal, ADMIN)
            done = await endpoint(await _task(request, tenant, principal))
        except FhirError as error:
            detail = {"event": "administration refused", "why": error.id}
            await self._record(request, tenant, agent, error.status, detail)
            raise
        if done.event is not None:
            bearer.forget(tenant)
            cors.forget(tenant)
            await self._record(request, tenant, agent, done.status, done.event)
        body = None if done.body is None else json.encode(done.body)
        return Response(body, done.status, _PRIVATE, media_type="application/json" if body else None)

    async def _record(self, request: Request, tenant: Tenant, agent: int, status: int, detail: dict[str, str]) -> None:
        address = request.client.host if request.client else None
        await self.record(
            tenant, agent=agent, status=status, request=self.request_id(request), address=address, detail=detail
        )


async def _task(request: Request, tenant: Tenant, principal: Principal) -> Task:
    try:
        body = await read_body(request, MAX_BODY)
    except BodyTooLong as error:
        raise TooLarge(f"The request is refused: {error}.", "admin-too-long") from error
    return Task(tenant, principal, body, request.path_params.get("id", ""), _query(request))


def _query(request: Request) -> dict[str, str]:
    """Return the parameters of a request; BadRequest for one that its path does not know, or that comes twice."""
    known, said = QUERIES.get(request.url.path.rpartition("/admin")[2], ()), request.query_params.multi_items()
    for name, _ in said:
        if name not in known:
            text = f"There is no parameter {name[:100]} here; known are: {', '.join(known) or 'none'}."
            raise BadRequest(text, "admin-unknown-parameter")
    if len(dict(said)) < len(said):
        raise BadRequest(f"{said[0][0]} is given twice.", "admin-parameter-twice")
    return dict(said)
