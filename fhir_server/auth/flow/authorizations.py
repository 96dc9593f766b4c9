"""Authorizations: what a person allowed an app, and what is left of it. Everything issued under one ends with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import asyncpg

from fhir_server.auth.jose import TokenError
from fhir_server.auth.people import accounts
from fhir_server.auth.people.accounts import Account
from fhir_server.auth.tokens import Claims
from fhir_server.kit import clock, json
from fhir_server.storage.tenants import Tenant

_COLUMNS = "id, client_id, person, session, scope, patient, context, created_at, ended_at"
_INSERT = """
INSERT INTO {s}.oauth_grant (id, client_id, person, session, scope, patient, context, created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
"""
_STATE = """
SELECT EXISTS (SELECT FROM {s}.oauth_revoked WHERE token_id = $1) AS revoked,
  (SELECT person FROM {s}.oauth_grant WHERE id = $2 AND ended_at IS NULL) AS person
"""
_LIVING = f"""
SELECT {_COLUMNS} FROM {{s}}.oauth_grant g WHERE person = $1 AND ended_at IS NULL AND (created_at > $3 OR EXISTS (
  SELECT FROM {{s}}.oauth_refresh r WHERE r.grant_id = g.id AND r.used_at IS NULL AND r.expires_at > $2))
ORDER BY created_at DESC, id
"""
_SEAL = b"authorization/"


@dataclass(frozen=True, slots=True)
class Authorization:
    """One authorization; `context` is what the app was opened with and what its id_tokens say."""

    id: str
    client_id: str
    person: str
    session: bytes
    scope: str
    patient: str | None
    context: dict[str, Any]
    created_at: datetime
    ended: bool = False


def sealed(tenant: Tenant, id_: str, context: Mapping[str, Any]) -> bytes:
    """Return a launch context as it is kept: sealed, bound to its authorization or launch."""
    return tenant.keystore.seal(json.encode(dict(context)), _SEAL + id_.encode())


def opened(tenant: Tenant, id_: str, data: bytes) -> dict[str, Any]:
    """Return a launch context that `sealed` was given."""
    found: dict[str, Any] = json.decode_trusted(tenant.keystore.open(data, _SEAL + id_.encode()))
    return found


async def insert(connection: asyncpg.Connection, tenant: Tenant, made: Authorization) -> None:
    """Write a new authorization within the transaction that issues its code."""
    values = (
        made.id, made.client_id, made.person, made.session, made.scope, made.patient,
        sealed(tenant, made.id, made.context), made.created_at,
    )  # fmt: skip
    await connection.execute(tenant.sql(_INSERT), *values)


def _authorization(tenant: Tenant, row: Any) -> Authorization:
    return Authorization(
        row["id"], row["client_id"], row["person"], row["session"], row["scope"], row["patient"],
        opened(tenant, row["id"], row["context"]), row["created_at"], row["ended_at"] is not None,
    )  # fmt: skip


async def get(tenant: Tenant, id_: str) -> Authorization | None:
    """Return an authorization, ended or not."""
    row = await tenant.pool.fetchrow(tenant.sql(f"SELECT {_COLUMNS} FROM {{s}}.oauth_grant WHERE id = $1"), id_)
    return _authorization(tenant, row) if row else None


async def of_person(tenant: Tenant, account: Account) -> list[Authorization]:
    """Return what apps hold in a person's name now, the newest first: what has run out of itself is left out."""
    now = clock.now()
    rows = await tenant.pool.fetch(tenant.sql(_LIVING), account.id, now, now - timedelta(hours=1))
    return [_authorization(tenant, row) for row in rows]


async def end(tenant: Tenant, id_: str, *, person: str | None = None) -> bool:
    """End an authorization (of this person only, when given): its refresh tokens at once, its access tokens within a minute."""
    text = "UPDATE {s}.oauth_grant SET ended_at = $2 WHERE id = $1 AND ended_at IS NULL AND ($3::text IS NULL OR person = $3)"
    done: str = await tenant.pool.execute(tenant.sql(text), id_, clock.now(), person)
    return done.endswith(" 1")


async def revoke_token(tenant: Tenant, claims: Claims) -> None:
    """Refuse one access token from now on, until it would have run out."""
    text = "INSERT INTO {s}.oauth_revoked (token_id, expires_at) VALUES ($1, to_timestamp($2)) ON CONFLICT DO NOTHING"
    await tenant.pool.execute(tenant.sql(text), claims.token_id, claims.expires)


async def account_behind(tenant: Tenant, claims: Claims) -> Account | None:
    """Return the account of the person behind an access token, None for a client's own; TokenError when it was revoked."""
    row = await tenant.pool.fetchrow(tenant.sql(_STATE), claims.token_id, claims.grant)
    if row["revoked"]:
        raise TokenError("it was revoked")
    if claims.grant is None:
        return None
    account = await accounts.get(tenant, row["person"]) if row["person"] else None
    if account is None:
        raise TokenError("its authorization has ended")
    return account
