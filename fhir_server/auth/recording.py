"""How the audit is told of tokens, logins and decisions: by a function handed in, for auth and audit do not know each other."""

from __future__ import annotations

from typing import Protocol

from fhir_server.storage.tenants import Tenant


class Record(Protocol):
    """Makes one event durable; `audit.record.token_event`."""

    async def __call__(
        self, tenant: Tenant, *, agent: int, status: int, request: str, address: str | None, detail: dict[str, str]
    ) -> None:
        """Write the event, or raise Unavailable."""
