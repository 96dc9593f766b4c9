"""Scripts of other origins at the FHIR endpoint (CORS): any origin at `metadata`, registered apps everywhere else."""

from __future__ import annotations

from fhir_server.auth import cors
from fhir_server.http.render import Response
from fhir_server.http.services import Services
from fhir_server.storage.tenants import Tenant


def _place(services: Services, path: str) -> tuple[Tenant | None, bool]:
    """Return the tenant of a path, and whether it is public."""
    name = path[3:].partition("/")[0] if path.startswith("/t/") else "default"
    return services.tenants.get(name), path.rstrip("/").endswith("/fhir/metadata")


async def preflight(services: Services, path: str, origin: str) -> Response:
    """Answer OPTIONS: what a script of this origin may send here."""
    tenant, public = _place(services, path)
    found = await cors.preflight(tenant, origin, public=public) if tenant else {}
    return Response(204, [(name.lower().encode(), value.encode()) for name, value in found.items()], b"")


async def allow(services: Services, path: str, origin: str, response: Response) -> None:
    """Add to an answer what lets a script of this origin read it."""
    tenant, public = _place(services, path)
    if tenant is None or any(name == b"access-control-allow-origin" for name, _ in response.headers):
        return
    found = await cors.headers(tenant, origin, public=public)
    response.headers.extend((name.lower().encode(), value.encode()) for name, value in found.items())
