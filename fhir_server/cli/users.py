"""`users`: who may sign in, with which roles."""

from __future__ import annotations

import secrets
import sys
from typing import Annotated, Any

import typer
from rich.table import Table

from fhir_server.auth.admin.users import emergency, shown
from fhir_server.auth.people import accounts, totp
from fhir_server.auth.people.accounts import Account, AccountError
from fhir_server.auth.people.roles import ROLES
from fhir_server.cli.options import Data, Json, Port, print_json, read_settings, results, screen
from fhir_server.cli.tenant import TenantName, with_tenant
from fhir_server.settings import Settings
from fhir_server.storage import glass, ident
from fhir_server.storage.tenants import Tenant

app = typer.Typer(no_args_is_help=True, help="List, add, change and disable the people who may sign in.")

Login = Annotated[str, typer.Argument(metavar="LOGIN", help="What the person types to sign in.")]
SomeLogin = Annotated[str | None, typer.Argument(metavar="LOGIN", help="Whose roles are changed.")]
Roles = Annotated[list[str] | None, typer.Option("--role", help="A role. May be given several times.")]
NewRoles = Annotated[list[str], typer.Option("--role", help=f"A role: {', '.join(ROLES)}. May be given several times.")]
Name = Annotated[str, typer.Option("--name", help="What people call them; default the login.")]
FhirUser = Annotated[
    str | None,
    typer.Option("--fhir-user", metavar="REF", help="Their FHIR resource, as in Practitioner/1 or Patient/1."),
]
FromInput = Annotated[
    bool, typer.Option("--password-stdin", help="Read the password from standard input; else one is made up and shown.")
]
SecondFactor = Annotated[bool, typer.Option("--totp", help="Ask for a code of the person's device, too (TOTP).")]
Enable = Annotated[bool, typer.Option("--enable", help="Let them sign in again.")]


@app.command("list")
def list_users(*, tenant: TenantName = "default", as_json: Json = False, data: Data = None, port: Port = None) -> None:
    """List the people."""
    found = _do(read_settings(data, port), tenant, accounts.listed)
    if as_json:
        print_json([shown(account) for account in found])
        return
    table = Table("login", "name", "FHIR resource", "roles", "second factor", "")
    for account in found:
        marks = ("yes" if account.totp else "", "disabled" if account.disabled else "")
        table.add_row(account.login, account.name, account.fhir_user or "", " ".join(sorted(account.roles)), *marks)
    results.print(table)


@app.command("add")
def add_user(
    login: Login,
    *,
    roles: NewRoles,
    name: Name = "",
    fhir_user: FhirUser = None,
    password_stdin: FromInput = False,
    second_factor: SecondFactor = False,
    tenant: TenantName = "default",
    as_json: Json = False,
    data: Data = None,
    port: Port = None,
) -> None:
    """Add a person. A password that is made up is shown this once."""
    password, ours = _password(password_stdin)

    async def add(place: Tenant) -> Account:
        return await accounts.add(
            place,
            login=login,
            password=password,
            roles=roles,
            name=name,
            fhir_user=fhir_user,
            second_factor=second_factor,
        )

    account = _do(read_settings(data, port), tenant, add)
    device = totp.uri(account.totp, account.login, "Clarity") if account.totp else None
    if as_json:
        print_json(shown(account) | ({"password": password} if ours else {}) | ({"totp": device} if device else {}))
        return
    screen.print(f"added {account.login} as {', '.join(sorted(account.roles))}", markup=False, soft_wrap=True)
    if device:
        screen.print(f"for the person's device: {device}", markup=False, soft_wrap=True)
    _show_password(password, ours=ours)


@app.command("passwd")
def change_password(
    login: Login,
    *,
    password_stdin: FromInput = False,
    tenant: TenantName = "default",
    as_json: Json = False,
    data: Data = None,
    port: Port = None,
) -> None:
    """Give a person another password; every session of theirs ends."""
    password, ours = _password(password_stdin)

    async def change(place: Tenant) -> Account:
        account = await _found(place, login)
        await accounts.set_password(place, account, password)
        return account

    account = _do(read_settings(data, port), tenant, change)
    if as_json:
        print_json(shown(account) | ({"password": password} if ours else {}))
    else:
        _show_password(password, ours=ours)


@app.command("roles")
def change_roles(
    login: SomeLogin = None,
    *,
    roles: Roles = None,
    tenant: TenantName = "default",
    as_json: Json = False,
    data: Data = None,
    port: Port = None,
) -> None:
    """Give a person these roles instead of those they have; without a login, list the roles and what each may do at most."""
    settings = read_settings(data, port)
    if login is None:
        _list_roles(as_json=as_json)
        return
    wanted = login

    async def change(place: Tenant) -> Account:
        await accounts.set_roles(place, await _found(place, wanted), roles or [])
        return await _found(place, wanted)

    account = _do(settings, tenant, change)
    if as_json:
        print_json(shown(account))


def _list_roles(*, as_json: bool) -> None:
    if as_json:
        print_json({name: [*role.rights, *sorted(role.named)] for name, role in ROLES.items()})
        return
    table = Table("role", "", "rights")
    for name, role in ROLES.items():
        table.add_row(name, role.text, " ".join((*role.rights, *sorted(role.named))))
    results.print(table)


@app.command("emergencies")
def list_emergencies(
    *,
    most: Annotated[int, typer.Option("--most", min=1, help="The newest so many.")] = 100,
    tenant: TenantName = "default",
    as_json: Json = False,
    data: Data = None,
    port: Port = None,
) -> None:
    """List emergency access that was taken (break-glass): who, whose record, when, why. For the privacy officer."""

    async def look(place: Tenant) -> list[dict[str, Any]]:
        found = await glass.listed(place, most)
        known = await ident.names(place, [each.patient for each in found])
        return [emergency(each, "/".join(known[each.patient])) for each in found]

    found = _do(read_settings(data, port), tenant, look)
    if as_json:
        print_json(found)
        return
    table = Table("from", "until", "who", "app", "record", "reason")
    for each in found:
        table.add_row(*(each[name] for name in ("from", "until", "who", "client", "patient", "reason")))
    results.print(table)


@app.command("disable")
def disable_user(
    login: Login,
    *,
    enable: Enable = False,
    tenant: TenantName = "default",
    as_json: Json = False,
    data: Data = None,
    port: Port = None,
) -> None:
    """Keep a person from signing in; sessions end now, what their apps hold within a minute."""

    async def change(place: Tenant) -> Account:
        await accounts.set_disabled(place, await _found(place, login), disabled=not enable)
        return await _found(place, login)

    account = _do(read_settings(data, port), tenant, change)
    if as_json:
        print_json(shown(account))


async def _found(tenant: Tenant, login: str) -> Account:
    account = await accounts.find(tenant, login)
    if account is None:
        raise AccountError(f"there is nobody with the login {login}")
    return account


def _show_password(password: str, *, ours: bool) -> None:
    if ours:
        screen.print("password, shown this once:")
        typer.echo(password)


def _password(from_input: bool) -> tuple[str, bool]:
    """Return a password, and whether it was made up here."""
    if from_input:
        return sys.stdin.readline().rstrip("\n"), False
    return secrets.token_urlsafe(15), True


def _do(settings: Settings, tenant: str, action: Any) -> Any:
    return with_tenant(settings, tenant, action, AccountError)
