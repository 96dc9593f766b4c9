"""What administrators decide about clients: who asked to be registered, whether they are, and who is none for the time being."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

from fhir_server.auth import clients
from fhir_server.auth.clients import CLIENT_ID, COLUMNS, Asked, Client, ClientError, checked_scopes, client_of
from fhir_server.auth.launch_scopes import written
from fhir_server.auth.scopes import covers
from fhir_server.kit import clock
from fhir_server.storage.tenants import Tenant

Status = Literal["pending", "approved", "disabled", "refused"]
MAX_REASON: Final = 500

_ROW: Final = (
    f"SELECT {COLUMNS}, pending, disabled_at, refusal, registration, contacts, client_uri, asked_from, created_at"
    " FROM {s}.oauth_client"
)
_WAITS: Final = "pending AND refusal IS NULL"
_DISABLE: Final = """
WITH ended AS (UPDATE {s}.oauth_grant SET ended_at = $2 WHERE client_id = $1 AND ended_at IS NULL)
UPDATE {s}.oauth_client SET disabled_at = COALESCE(disabled_at, $2) WHERE client_id = $1 AND NOT pending RETURNING true
"""
_ENABLE: Final = """
UPDATE {s}.oauth_client SET disabled_at = NULL WHERE client_id = $1 AND NOT pending RETURNING true
"""


@dataclass(frozen=True, slots=True)
class Registered:
    """A client whatever was decided about it; `asked` is who registered it, None for one that an administrator added."""

    client: Client
    status: Status
    since: datetime
    asked: Asked | None
    refusal: str | None

    @property
    def pending(self) -> bool:
        """Whether somebody has to decide about it still."""
        return self.status == "pending"


def _registered(row: Mapping[str, Any]) -> Registered:
    status: Status = "disabled" if row["disabled_at"] else "approved"
    if row["pending"]:
        status = "pending" if row["refusal"] is None else "refused"
    token = row["registration"]
    asked = Asked(token, tuple(row["contacts"]), row["client_uri"], row["asked_from"]) if token is not None else None
    return Registered(client_of(row), status, row["created_at"], asked, row["refusal"])


async def registered(tenant: Tenant, client_id: str) -> Registered | None:
    """Return a client that may wait, be refused or be disabled."""
    if not CLIENT_ID.fullmatch(client_id):
        return None
    row = await tenant.pool.fetchrow(tenant.sql(f"{_ROW} WHERE client_id = $1"), client_id)
    return _registered(row) if row else None


async def listed(tenant: Tenant, *, pending: bool = False) -> list[Registered]:
    """Return all clients by id, disabled ones too; `pending` those that wait for an administrator instead, the oldest first."""
    text = (
        f"{_ROW} WHERE {_WAITS} ORDER BY created_at, client_id"
        if pending
        else f"{_ROW} WHERE NOT pending ORDER BY client_id"
    )
    return [_registered(row) for row in await tenant.pool.fetch(tenant.sql(text))]


async def waiting(tenant: Tenant) -> int:
    """Return how many wait."""
    found: int = await tenant.pool.fetchval(tenant.sql(f"SELECT count(*) FROM {{s}}.oauth_client WHERE {_WAITS}"))
    return found


async def approve(tenant: Tenant, client_id: str, scope: str | None = None) -> Client:
    """Make a client of one that waits, perhaps for less than it asked for; ClientError when none waits under this id."""
    found = await registered(tenant, client_id)
    if found is None or not found.pending:
        raise _decided(client_id)
    granted = found.client.scope if scope is None else _within(found.client, scope)
    text = f"UPDATE {{s}}.oauth_client SET pending = false, scope = $2 WHERE client_id = $1 AND {_WAITS} RETURNING true"
    if not await tenant.pool.fetchval(tenant.sql(text), client_id, granted):
        raise _decided(client_id)
    client = await clients.get(tenant, client_id, fresh=True)
    assert client is not None
    return client


def _within(client: Client, scope: str) -> str:
    """Return the scope to be approved; ClientError names what in it was not asked for."""
    resources, special = checked_scopes(scope)
    beyond = [each.text for each in resources if not any(covers(asked, each) for asked in client.scopes)]
    if beyond := [*(word for word in special if word not in client.special), *beyond]:
        raise ClientError(f"it did not ask for {', '.join(beyond)[:500]}; it asked for {client.scope}")
    return written(resources, special)


async def refuse(tenant: Tenant, client_id: str, reason: str | None = None) -> None:
    """Refuse a client that waits; ClientError when none does under this id.

    Without a reason it is forgotten at once; with one, who registered it is told why until the sweep forgets it.
    """
    if reason is not None and not 0 < len(reason) <= MAX_REASON:
        raise ClientError(f"a reason has 1 to {MAX_REASON} characters")
    if reason is None:
        text, values = f"DELETE FROM {{s}}.oauth_client WHERE client_id = $1 AND {_WAITS} RETURNING true", [client_id]
    else:
        text = f"UPDATE {{s}}.oauth_client SET refusal = $2 WHERE client_id = $1 AND {_WAITS} RETURNING true"
        values = [client_id, reason]
    if not await tenant.pool.fetchval(tenant.sql(text), *values):
        raise _decided(client_id)


async def set_disabled(tenant: Tenant, client_id: str, *, disabled: bool) -> None:
    """Make a client none for the time being, or one again; ClientError when none is registered under this id.

    Disabling ends what people have allowed it: enabled again, it has to ask them again.
    """
    text, values = (_DISABLE, [client_id, clock.now()]) if disabled else (_ENABLE, [client_id])
    if not await tenant.pool.fetchval(tenant.sql(text), *values):
        raise ClientError(f"no client {client_id[:64]} is registered")
    await clients.get(tenant, client_id, fresh=True)  # what is remembered of it here


def _decided(client_id: str) -> ClientError:
    return ClientError(f"no client {client_id[:64]} waits for a decision")
