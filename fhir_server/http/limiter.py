"""Which budget a FHIR request draws on, and in whose name: a client with the person who uses it, or (nobody known) an address."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from fhir_server.auth.clients import BUILT_IN
from fhir_server.context import Principal, RequestContext
from fhir_server.kit.throttle import Allowance, Throttle, place
from fhir_server.storage.tenants import Tenant

_READS: Final = frozenset({
    "read", "vread", "search-type", "search-system", "history-instance", "history-type", "history-system", "capabilities",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Limiter:
    """The limits on FHIR requests."""

    throttle: Throttle

    async def request(self, ctx: RequestContext, interaction: str, method: str) -> Allowance | None:
        """Count a request of a known caller; Throttled when its budget is used up."""
        return await self.throttle.charge(_budget(ctx.principal, interaction, method), _who(ctx))

    async def entries(self, ctx: RequestContext, interaction: str, method: str, more: int) -> None:
        """Count what a Bundle that was let in holds beyond its first entry."""
        await self.throttle.charge(_budget(ctx.principal, interaction, method), _who(ctx), more, begun=True)

    async def stranger(self, tenant: Tenant, address: str | None) -> None:
        """Count a request of nobody known."""
        await self.throttle.charge("anonymous", f"{tenant.name}/{place(address)}")

    def refuse_spent(self, tenant: Tenant, address: str | None) -> None:
        """Raise Throttled for an address from which too many strangers came, before a token is looked at."""
        self.throttle.refuse_spent("anonymous", f"{tenant.name}/{place(address)}")


def _who(ctx: RequestContext) -> str:
    return f"{ctx.tenant.name}/{ctx.principal.client_id}/{ctx.principal.account or ''}"


def _budget(principal: Principal, interaction: str, method: str) -> str:
    if principal.client_id in BUILT_IN:
        return "operator"
    if principal.account is None and all(scope.letters == "c" for scope in principal.scopes):
        return "devices"
    if interaction == "batch":
        return "bundles"
    return "reads" if interaction in _READS or (interaction == "operation" and method == "GET") else "writes"
