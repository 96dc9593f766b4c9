"""From who a token names to a Principal: its number for audit, the rid of its patient."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from weakref import WeakKeyDictionary

from fhir_server.auth import clients, labels
from fhir_server.auth.launch_scopes import split
from fhir_server.auth.people import accounts, roles
from fhir_server.auth.people.accounts import Account
from fhir_server.auth.scopes import join, narrow
from fhir_server.context import Principal, Scope
from fhir_server.errors import Unauthenticated
from fhir_server.storage.ident import known_rid
from fhir_server.storage.tenants import Tenant

_FIND = "SELECT id FROM {s}.agent WHERE digest = $1"
_AGENT = "SELECT client_id, person, patient, scope FROM {s}.agent WHERE id = $1"
_MAKE = """
INSERT INTO {s}.agent (digest, client_id, person, patient, scope) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (digest) DO NOTHING RETURNING id
"""

_known: WeakKeyDictionary[Tenant, dict[bytes, int]] = WeakKeyDictionary()
_agents: WeakKeyDictionary[Tenant, dict[int, tuple[str, str, str | None, str | None]]] = WeakKeyDictionary()
_MOST_AGENTS = 10_000


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


async def agent_at_door(tenant: Tenant, client_id: str | None, account: Account | None) -> int:
    """Return the number by which audit rows name who signs in, or tried to: nobody who is known, and no app, is 0.

    Without an app it is our own page. A person without a FHIR resource is named by the id of the account. The number stands for
    no right at all.
    """
    if client_id is None and account is None:
        return 0
    user = (account.fhir_user or account.id) if account else None
    return await agent_id(tenant, client_id or "clarity-login", user=user, patient=None, scope="")


async def principal(
    tenant: Tenant,
    client_id: str,
    scopes: tuple[Scope, ...],
    *,
    patient: str | None = None,
    user: str | None = None,
    token_id: str = "",
    expires: int = 0,
    account: Account | None = None,
    special: frozenset[str] = frozenset(),
) -> Principal:
    """Return the Principal of a client with these scopes; a patient that nobody ever mentioned gives no patient context."""
    agent = await agent_id(tenant, client_id, user=user, patient=patient, scope=join(scopes))
    rid = await known_rid(tenant, "Patient", patient) if patient else None
    who, unlimited = (account.id, roles.unlimited(account.roles)) if account else (None, frozenset())
    clearance = (
        labels.of_person(roles.named(account.roles), account.fhir_user, special)
        if account
        else labels.of_client(special)
    )
    return Principal(
        client_id, agent, scopes, patient, user, token_id, expires, rid, who, unlimited, special, clearance
    )


async def current_principal(
    tenant: Tenant,
    client_id: str,
    scope: str,
    *,
    patient: str | None = None,
    user: str | None = None,
    token_id: str = "",
    expires: int = 0,
    account: Account | None = None,
) -> Principal:
    """Return the Principal of what was granted earlier, cut to what the client is registered for now, and to what the roles
    of the person behind it allow now.

    For tokens, and for whatever acts later in somebody's name (a Subscription at send time): Unauthenticated when the
    client was removed, the account disabled, or nothing of the scope is left.
    """
    scopes, special, _ = split(scope)
    if client_id not in clients.BUILT_IN:
        client = await clients.get(tenant, client_id)
        if client is None:
            raise Unauthenticated("The client of this token is not registered any more.", "client-gone")
        asked, special = scopes, tuple(word for word in special if word in client.special)
        account = account or await _behind(tenant, user)
        scopes = allowed_to(account, _cut(scopes, client.scopes))
        special = _standing(account, special)
        if not scopes and (asked or not special):
            text = "Nothing is left of what this token allowed: the client or the person may do less than before."
            raise Unauthenticated(text, "client-gone")
    return await principal(
        tenant, client_id, scopes, patient=patient, user=user, token_id=token_id, expires=expires, account=account,
        special=frozenset(special),
    )  # fmt: skip


def allowed_to(account: Account | None, scopes: tuple[Scope, ...]) -> tuple[Scope, ...]:
    """Return what of the scopes the roles of a person allow; without a person, all."""
    if account is None:
        return scopes
    if account.disabled:
        raise Unauthenticated("The account of this token is disabled.", "account-disabled")
    return _cut(scopes, tuple(roles.rights(account.roles)))


@lru_cache(maxsize=4096)
def _cut(asked: tuple[Scope, ...], allowed: tuple[Scope, ...]) -> tuple[Scope, ...]:
    """Return what of the scopes is allowed, worked out once: workers ask it for every change that somebody is told of."""
    return narrow(asked, allowed)[0]


def _standing(account: Account | None, special: tuple[str, ...]) -> tuple[str, ...]:
    """Return what of the special scopes the roles of a person still carry."""
    return tuple(word for word in special if account is None or roles.may_lend(word, account.roles))


async def _behind(tenant: Tenant, user: str | None) -> Account | None:
    """Return the account of a FHIR user: a disabled one only when there is no other."""
    found = await accounts.of_reference(tenant, user) if user else []
    return min(found, key=lambda account: account.disabled, default=None)


async def of_person(tenant: Tenant, account: Account) -> Principal:
    """Return who a person is on our own pages: everything that the roles allow, for whom the person cares for."""
    scopes = tuple(scope for scope in roles.rights(account.roles) if scope.level == "user")
    return await principal(tenant, "clarity-login", scopes, user=account.fhir_user, account=account)


async def of_agent(tenant: Tenant, agent: int) -> Principal:
    """Return who an agent's number stands for, cut to what its client may do now; Unauthenticated when that is nothing."""
    known = _agents.setdefault(tenant, {})
    if agent not in known:  # what a number stands for never changes
        row = await tenant.pool.fetchrow(tenant.sql(_AGENT), agent)
        if row is None:
            raise Unauthenticated("Nobody is known by this number.", "agent-unknown")
        if len(known) > _MOST_AGENTS:
            known.clear()
        known[agent] = (row["client_id"], row["scope"], row["patient"], row["person"])
    client_id, scope, patient, person = known[agent]
    return await current_principal(tenant, client_id, scope, patient=patient, user=person)


async def worker_principal(tenant: Tenant) -> Principal:
    """Return who the server's own workers act as: `clarity-worker`, with every right on every type."""
    return await current_principal(tenant, "clarity-worker", "system/*.cruds")
