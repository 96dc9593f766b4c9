"""The accounts of people: made by an administrator, found by the keyed hash of their login, named in sealed form only.

An account that was disabled loses its sessions at once, and its tokens with the next look at them (a minute at most).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import asyncpg

from fhir_server.auth.clients import hashed
from fhir_server.auth.oauth_errors import is_plain
from fhir_server.auth.people import totp
from fhir_server.auth.people.roles import ROLES
from fhir_server.kit import clock, ids, json
from fhir_server.model.references import Local, parse_reference
from fhir_server.storage.tenants import Tenant

FHIR_USERS: Final = ("Practitioner", "PractitionerRole", "Patient", "RelatedPerson", "Person")
"""What SMART lets `fhirUser` be."""
MIN_PASSWORD: Final = 12
MAX_PASSWORD: Final = 256
MAX_LOGIN: Final = 120
MAX_NAME: Final = 200
_ID = re.compile(r"[0-9a-z]{1,64}")
_COLUMNS = "id, profile, fhir_user, roles, password, totp_step, disabled_at IS NOT NULL AS disabled"
_SEAL = b"person/"


class AccountError(ValueError):
    """An account that cannot be made or changed; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Account:
    """A person who may sign in; `totp` is the secret of the second factor, if there is one."""

    id: str
    login: str
    name: str
    fhir_user: str | None
    roles: frozenset[str]
    password: str
    totp: str | None
    totp_step: int
    disabled: bool


def _account(tenant: Tenant, row: Mapping[str, Any]) -> Account:
    profile = json.decode_trusted(tenant.keystore.open(row["profile"], _SEAL + row["id"].encode()))
    roles = frozenset(name for name in row["roles"] if name in ROLES)
    return Account(
        row["id"], profile["login"], profile["name"], row["fhir_user"], roles, row["password"], profile.get("totp"),
        row["totp_step"], row["disabled"],
    )  # fmt: skip


def _sealed(tenant: Tenant, id_: str, login: str, name: str, secret: str | None) -> bytes:
    profile = {"login": login, "name": name} | ({"totp": secret} if secret else {})
    return tenant.keystore.seal(json.encode(profile), _SEAL + id_.encode())


def login_key(tenant: Tenant, login: str) -> bytes:
    """Return what a login is found by: upper and lower case are one."""
    return tenant.claim_key("login", login.strip().casefold())


async def find(tenant: Tenant, login: str) -> Account | None:
    """Return the account of a login."""
    text = f"SELECT {_COLUMNS} FROM {{s}}.person WHERE login = $1"
    row = await tenant.pool.fetchrow(tenant.sql(text), login_key(tenant, login))
    return _account(tenant, row) if row else None


async def get(tenant: Tenant, id_: str) -> Account | None:
    """Return the account of an id; what cannot be one is nobody's, and PostgreSQL is not asked."""
    if not _ID.fullmatch(id_):
        return None
    row = await tenant.pool.fetchrow(tenant.sql(f"SELECT {_COLUMNS} FROM {{s}}.person WHERE id = $1"), id_)
    return _account(tenant, row) if row else None


async def of_reference(tenant: Tenant, fhir_user: str) -> list[Account]:
    """Return the accounts of the person whom a FHIR resource stands for."""
    text = f"SELECT {_COLUMNS} FROM {{s}}.person WHERE fhir_user = $1"
    return [_account(tenant, row) for row in await tenant.pool.fetch(tenant.sql(text), fhir_user)]


async def listed(tenant: Tenant) -> list[Account]:
    """Return all accounts, the oldest first."""
    rows = await tenant.pool.fetch(tenant.sql(f"SELECT {_COLUMNS} FROM {{s}}.person ORDER BY created_at, id"))
    return [_account(tenant, row) for row in rows]


# ---- making and changing ----


def check_password(password: str, login: str) -> str:
    """Return the password; AccountError when it is too short, too long or the login itself."""
    if not MIN_PASSWORD <= len(password) <= MAX_PASSWORD:
        raise AccountError(f"a password has {MIN_PASSWORD} to {MAX_PASSWORD} characters")
    if len(login) >= 4 and login.casefold() in password.casefold():  # a shorter one is in any password by chance
        raise AccountError("a password does not hold the login")
    return password


def check_roles(roles: Sequence[str]) -> list[str]:
    """Return the roles, each once; AccountError names one that is not there."""
    if unknown := sorted(set(roles) - ROLES.keys()):
        raise AccountError(f"there is no role {unknown[0]}: choose from {', '.join(ROLES)}")
    if not roles:
        raise AccountError(f"an account needs a role: choose from {', '.join(ROLES)}")
    return sorted(set(roles))


def check_fhir_user(tenant: Tenant, reference: str | None) -> str | None:
    """Return the reference as `Type/id`; AccountError unless it is of a type that can be a user."""
    if reference is None:
        return None
    parsed = parse_reference(reference, tenant.base)
    if not isinstance(parsed, Local) or parsed.type not in FHIR_USERS:
        raise AccountError(f"the FHIR resource of a user is Type/id, of one of {', '.join(FHIR_USERS)}")
    return f"{parsed.type}/{parsed.id}"


async def add(
    tenant: Tenant,
    *,
    login: str,
    password: str,
    roles: Sequence[str],
    name: str = "",
    fhir_user: str | None = None,
    second_factor: bool = False,
) -> Account:
    """Make an account; with `second_factor` its `totp` is a new secret that the person's device has to be told."""
    login = login.strip()
    if not 0 < len(login) <= MAX_LOGIN or not login.isprintable():
        raise AccountError(f"a login has 1 to {MAX_LOGIN} printable characters")
    if not is_plain(name or login, MAX_NAME):
        raise AccountError(f"a name has {MAX_NAME} visible characters at most")
    check_password(password, login)
    id_, secret = ids.new_id(), totp.new_secret() if second_factor else None
    values = (
        id_, login_key(tenant, login), _sealed(tenant, id_, login, name or login, secret),
        check_fhir_user(tenant, fhir_user), check_roles(roles), await hashed(password),
    )  # fmt: skip
    text = "INSERT INTO {s}.person (id, login, profile, fhir_user, roles, password) VALUES ($1, $2, $3, $4, $5, $6)"
    try:
        await tenant.pool.execute(tenant.sql(text), *values)
    except asyncpg.UniqueViolationError as error:
        raise AccountError("this login is taken already") from error
    made = await get(tenant, id_)
    assert made is not None
    return made


async def set_password(tenant: Tenant, account: Account, password: str) -> None:
    """Change the password; every session ends."""
    check_password(password, account.login)
    text = "UPDATE {s}.person SET password = $2 WHERE id = $1"
    await tenant.pool.execute(tenant.sql(text), account.id, await hashed(password))
    await _end_sessions(tenant, account)


async def set_roles(tenant: Tenant, account: Account, roles: Sequence[str]) -> None:
    """Change the roles; tokens that are out are cut to them within a minute."""
    text = "UPDATE {s}.person SET roles = $2 WHERE id = $1"
    await tenant.pool.execute(tenant.sql(text), account.id, check_roles(roles))


async def set_disabled(tenant: Tenant, account: Account, *, disabled: bool) -> None:
    """Disable or enable; disabling ends sessions now, and what apps hold with the next look at it."""
    text = "UPDATE {s}.person SET disabled_at = CASE WHEN $2 THEN $3::timestamptz END WHERE id = $1"
    await tenant.pool.execute(tenant.sql(text), account.id, disabled, clock.now())
    if disabled:
        await _end_sessions(tenant, account)


async def _end_sessions(tenant: Tenant, account: Account) -> None:
    text = "UPDATE {s}.session SET ended_at = $2 WHERE person = $1 AND ended_at IS NULL"
    await tenant.pool.execute(tenant.sql(text), account.id, clock.now())
