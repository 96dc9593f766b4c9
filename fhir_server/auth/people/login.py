"""Signing in: counted, judged in the same time whoever it is, and refused in the same words whatever was wrong."""

from __future__ import annotations

from dataclasses import dataclass

from fhir_server.auth.clients import hash_matches
from fhir_server.auth.people import accounts, failures, totp
from fhir_server.auth.people.accounts import MAX_LOGIN, MAX_PASSWORD, Account
from fhir_server.storage.tenants import Tenant

_STEP = "UPDATE {s}.person SET totp_step = $2 WHERE id = $1 AND totp_step < $2 RETURNING true"


@dataclass
class LoginRefused(Exception):
    """Nobody was let in; `wait` is how many seconds must pass first, when that is why.

    `account` is whose name was given, for the audit alone: an answer never tells whether there is one.
    """

    text: str
    wait: int = 0
    account: Account | None = None


async def sign_in(tenant: Tenant, login: str, password: str, code: str, address: str | None) -> Account:
    """Return the account of a login, its password and (where there is a second factor) the code of the device."""
    login, password = login.strip()[:MAX_LOGIN], password[: MAX_PASSWORD + 1]
    counted = [(failures.ACCOUNT, login.casefold()), (failures.ADDRESS, address or "unknown")]
    account = await accounts.find(tenant, login)
    for limit, name in counted:
        if wait := await failures.attempt(tenant, limit, name):
            raise LoginRefused(f"Too many attempts did not succeed. Try again in {_spoken(wait)}.", wait, account)
    matches = await hash_matches(account.password if account else None, password)
    if account is None or not matches or account.disabled or not await _second_factor(tenant, account, code):
        raise LoginRefused("Name, password or code are not right. Is Caps Lock on?", account=account)
    for limit, name in counted:
        await failures.succeeded(tenant, limit, name)
    return account


async def _second_factor(tenant: Tenant, account: Account, code: str) -> bool:
    """Tell whether the code is one that was not used yet; true where there is no second factor."""
    if account.totp is None:
        return True
    step = totp.step_of(account.totp, code[:20], after=account.totp_step)
    return step is not None and bool(await tenant.pool.fetchval(tenant.sql(_STEP), account.id, step))


def _spoken(seconds: int) -> str:
    return f"{seconds} seconds" if seconds < 90 else f"{round(seconds / 60)} minutes"
