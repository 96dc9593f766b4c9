"""Requests of several people, recorded."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from fhir_server.context import Principal, RequestContext
from fhir_server.kit import ids
from fhir_server.storage.tenants import Tenant

Acting = Callable[..., Awaitable[RequestContext]]


async def agent(tenant: Tenant, client_id: str, person: str | None = None) -> int:
    """Make an agent as `auth/principals.py` does (the rooms do not import each other)."""
    made: int = await tenant.pool.fetchval(
        tenant.sql(
            "INSERT INTO {s}.agent (digest, client_id, person, scope) VALUES ($1, $2, $3, 'system/*.rs') RETURNING id"
        ),
        ids.new_id().encode(), client_id, person,
    )  # fmt: skip
    return made


@pytest.fixture
def acting(tenant: Tenant) -> Acting:
    """Make a RequestContext of a client and perhaps a person."""

    async def make(client_id: str = "client-1", person: str | None = None, address: str | None = "192.0.2.7"):
        number = await agent(tenant, client_id, person)
        principal = Principal(client_id, number, (), None, person, "", 0)
        return RequestContext(tenant, principal, ids.request_id(), tenant.base, address)

    return make
