"""From who a token names to a Principal: its number for audit, the rid of its patient."""

from __future__ import annotations

import hashlib
from weakref import WeakKeyDictionary

from fhir_server.auth import clients
from fhir_server.auth.scopes import join, narrow, parse_scopes
from fhir_server.context import Principal, Scope
from fhir_server.errors import Unauthenticated
from fhir_server.storage.ident import known_rid
from fhir_server.storage.tenants import Tenant

_FIND = "SELECT id FROM {s}.agent WHERE digest = $1"
_MAKE = """
INSERT INTO {s}.agent (digest, client_id, person, patient, scope) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (digest) DO NOTHING RETURNING id
"""

_known: WeakKeyDictionary[Tenant, dict[bytes, int]] = WeakKeyDictionary()


async def agent_id(tenant: Tenant, client_id: str, *, user: str | None, patient: str | None, scope: str) -> int:
    """Return the number by which audit rows name this combination; made when it is first seen."""
    parts = (client_id, user or "", patient or "", scope)
    digest = hashlib.sha256("\x1f".join(parts).encode()).digest()
    known = _known.setdefault(tenant, {})
    while digest not in known:
        # Looked for first: an INSERT that conflicts would use up a number each time.
        found = await tenant.pool.fetchval(tenant.sql(_FIND), digest)
        if found is None:
            found = await tenant.pool.fetchval(tenant.sql(_MAKE), digest, client_id, user, patient, scope)
        if found is not None:
            known[digest] = found
    return known[digest]


async def principal(
    tenant: Tenant,
    client_id: str,
    scopes: tuple[Scope, ...],
    *,
    patient: str | None = None,
    user: str | None = None,
    token_id: str = "",
    expires: int = 0,
) -> Principal:
    """Return the Principal of a client with these scopes; a patient that nobody ever mentioned gives no patient context."""
    agent = await agent_id(tenant, client_id, user=user, patient=patient, scope=join(scopes))
    rid = await known_rid(tenant, "Patient", patient) if patient else None
    return Principal(client_id, agent, scopes, patient, user, token_id, expires, rid)


async def current_principal(
    tenant: Tenant,
    client_id: str,
    scope: str,
    *,
    patient: str | None = None,
    user: str | None = None,
    token_id: str = "",
    expires: int = 0,
) -> Principal:
    """Return the Principal of what was granted earlier, cut to what the client is registered for now.

    For tokens, and for whatever acts later in somebody's name (a Subscription at send time): Unauthenticated when the
    client was removed or nothing of the scope is left.
    """
    scopes = parse_scopes(scope)
    if client_id not in clients.BUILT_IN:
        client = await clients.get(tenant, client_id)
        scopes = narrow(scopes, client.scopes)[0] if client is not None else ()
        if not scopes:
            raise Unauthenticated("The client of this token is not registered any more.", "client-gone")
    return await principal(tenant, client_id, scopes, patient=patient, user=user, token_id=token_id, expires=expires)


async def worker_principal(tenant: Tenant) -> Principal:
    """Return who the server's own workers act as: `clarity-worker`, with every right on every type."""
    return await current_principal(tenant, "clarity-worker", "system/*.cruds")
