"""People and their roles by the administration API: what `./clarity users` does."""

from __future__ import annotations

import secrets
from typing import Any, Final

from fhir_server.auth.admin.fields import Field, read
from fhir_server.auth.admin.task import Done, Task
from fhir_server.auth.people import accounts, totp
from fhir_server.auth.people.accounts import Account, AccountError
from fhir_server.auth.people.roles import MANAGE, ROLES, named
from fhir_server.errors import Conflict, NotFound, Unprocessable
from fhir_server.kit import clock
from fhir_server.storage import glass, ident

NEW: Final = {
    "login": Field(str, required=True),
    "roles": Field(list, required=True),
    "name": Field(str),
    "fhirUser": Field(str),
    "password": Field(str),
    "second_factor": Field(bool),
}
CHANGE: Final = {"roles": Field(list), "password": Field(str), "disabled": Field(bool)}
_MOST_EMERGENCIES: Final = 1000


async def listed(task: Task) -> Done:
    """Answer `GET /admin/users`; with `?login=` the one of that login."""
    if "login" in task.query:
        account = await accounts.find(task.tenant, task.query["login"])
        found = [] if account is None else [account]
    else:
        found = await accounts.listed(task.tenant)
    return Done(200, {"users": [shown(account) for account in found]})


async def add(task: Task) -> Done:
    """Answer `POST /admin/users`; a password or second factor that is made up is in the answer, this once."""
    said = read(task.body, NEW)
    password = said["password"] if "password" in said else secrets.token_urlsafe(15)
    if await accounts.find(task.tenant, said["login"]):
        raise Conflict("This login is taken already.", "login-taken", "login")
    try:
        account = await accounts.add(
            task.tenant, login=said["login"], password=password, roles=said["roles"], name=said.get("name", ""),
            fhir_user=said.get("fhirUser"), second_factor=said.get("second_factor", False),
        )  # fmt: skip
    except AccountError as error:
        raise _refused(error) from error
    body = shown(account) | ({} if "password" in said else {"password": password})
    if account.totp:
        body["totp"] = totp.uri(account.totp, account.login, "Clarity")
    return Done(201, body, {"event": "user added", "user": account.id, "roles": " ".join(sorted(account.roles))})


async def look(task: Task) -> Done:
    """Answer `GET /admin/users/{id}`."""
    return Done(200, shown(await _found(task)))


async def change(task: Task) -> Done:
    """Answer `PATCH /admin/users/{id}`: other roles, another password, disabled or not; all of it is checked before any is done."""
    said, account = read(task.body, CHANGE), await _found(task)
    try:
        roles = accounts.check_roles(said["roles"]) if "roles" in said else None
        if "password" in said:
            accounts.check_password(said["password"], account.login)
    except AccountError as error:
        raise _refused(error) from error
    _keeps_access(task, account, roles, disabled=said.get("disabled", False))
    if roles is not None:
        await accounts.set_roles(task.tenant, account, roles)
    if "password" in said:
        await accounts.set_password(task.tenant, account, said["password"])
    if "disabled" in said:
        await accounts.set_disabled(task.tenant, account, disabled=said["disabled"])
    changed = " ".join(sorted(said))
    return Done(200, shown(await _found(task)), {"event": "user changed", "user": account.id, "changed": changed})


def _keeps_access(task: Task, account: Account, roles: list[str] | None, *, disabled: bool) -> None:
    """Raise Conflict where an administrator would lock themselves out."""
    loses = disabled or (roles is not None and MANAGE not in named(roles))
    if loses and account.id == task.principal.account:
        raise Conflict("Nobody takes their own administration away: somebody else has to.", "own-access")


async def roles(task: Task) -> Done:  # noqa: ARG001  the shape of all endpoints
    """Answer `GET /admin/roles`: what each may do at most."""
    found = [
        {"role": name, "text": role.text, "rights": list(role.rights), "named": sorted(role.named)}
        for name, role in ROLES.items()
    ]
    return Done(200, {"roles": found})


async def emergencies(task: Task) -> Done:
    """Answer `GET /admin/emergencies`: emergency access that was taken, the newest first."""
    found = await glass.listed(task.tenant, _MOST_EMERGENCIES)
    known = await ident.names(task.tenant, [each.patient for each in found])
    told = [emergency(each, "/".join(known[each.patient])) for each in found]
    return Done(200, {"emergencies": told}, {"event": "emergencies looked at"})


def emergency(opened: glass.Glass, patient: str) -> dict[str, Any]:
    """Return what is told of emergency access that was taken."""
    return {
        "from": clock.instant(opened.began_at),
        "until": clock.instant(opened.ends_at),
        "who": opened.person or "",
        "client": opened.client_id,
        "patient": patient,
        "reason": opened.reason,
        "notice": f"Communication/{opened.notice}",
    }


async def _found(task: Task) -> Account:
    account = await accounts.get(task.tenant, task.id)
    if account is None:
        raise NotFound("There is no user of this id.", "user-unknown")
    return account


def shown(account: Account) -> dict[str, Any]:
    """Return what is told of a person: never what they sign in with."""
    return {
        "id": account.id,
        "login": account.login,
        "name": account.name,
        "fhirUser": account.fhir_user,
        "roles": sorted(account.roles),
        "second_factor": account.totp is not None,
        "disabled": account.disabled,
    }


def _refused(error: AccountError) -> Unprocessable:
    return Unprocessable(f"The account is refused: {error}.", "user-refused")
