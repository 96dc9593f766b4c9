"""`clients`: who may ask the token endpoint for tokens, and for which scopes at most."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from joserfc.jwk import ECKey
from rich.table import Table

from fhir_server.auth import clients as store
from fhir_server.auth import decisions
from fhir_server.auth.admin.clients import shown
from fhir_server.cli.options import Data, Json, Port, fail, print_json, read_settings, results, screen
from fhir_server.cli.tenant import TenantName, with_tenant
from fhir_server.kit import json
from fhir_server.settings import Settings
from fhir_server.storage.tenants import Tenant

T = TypeVar("T")

app = typer.Typer(no_args_is_help=True, help="List, add and remove the clients of the token endpoint.")

Id = Annotated[str, typer.Argument(metavar="ID", help="The client's id.")]
NewId = Annotated[str | None, typer.Option("--id", help="The client's id; made up when not given.")]
Name = Annotated[str, typer.Option("--name", help="What people call it.")]
Scope = Annotated[str, typer.Option("--scope", help="The most it may be granted, separated by spaces.")]
LessScope = Annotated[str | None, typer.Option("--scope", help="What it may be granted instead of what it asked for.")]
Reason = Annotated[str | None, typer.Option("--reason", help="What who asked is told.")]
Jwks = Annotated[Path | None, typer.Option("--jwks", exists=True, dir_okay=False, help="File with its public JWK set.")]
JwksUri = Annotated[str | None, typer.Option("--jwks-uri", help="Address of its public JWK set.")]
Public = Annotated[bool, typer.Option("--public", help="An app that can keep no secret (browser, phone): PKCE only.")]
RedirectUri = Annotated[
    list[str] | None,
    typer.Option("--redirect-uri", help="Where the app waits for its code. May be given several times."),
]
LaunchUrl = Annotated[str | None, typer.Option("--launch-url", help="Where the app is opened from here (EHR launch).")]
Generate = Annotated[
    Path | None, typer.Option("--generate", metavar="FILE", help="Make an ES384 key and write it here.")
]


@app.command("list")
def list_clients(
    *, tenant: TenantName = "default", as_json: Json = False, data: Data = None, port: Port = None
) -> None:
    """List the clients."""
    settings = read_settings(data, port)
    found = _with_tenant(settings, tenant, store.listed)
    if as_json:
        print_json([shown(client) for client in found])
        return
    table = Table("id", "name", "method", "scope")
    for client in found:
        table.add_row(client.client_id, client.name, client.method, client.scope)
    results.print(table)


@app.command("add")
def add_client(
    *,
    name: Name,
    scope: Scope,
    client_id: NewId = None,
    jwks: Jwks = None,
    jwks_uri: JwksUri = None,
    generate: Generate = None,
    public: Public = False,
    redirect_uri: RedirectUri = None,
    launch_url: LaunchUrl = None,
    tenant: TenantName = "default",
    as_json: Json = False,
    data: Data = None,
    port: Port = None,
) -> None:
    """Add a client by its JWK set, by the set's address, by a key made here, as a public one, or (none of them) with a secret."""
    if sum((jwks is not None, jwks_uri is not None, generate is not None, public)) > 1:
        fail("Give one of --jwks, --jwks-uri, --generate and --public.", code=2)
    settings = read_settings(data, port)
    private, keys = _generated(generate) if generate else (b"", jwks.read_bytes() if jwks else None)

    async def add(tenant: Tenant) -> tuple[store.Client, str | None]:
        return await store.add(
            tenant, name=name, scope=scope, client_id=client_id, jwks=keys, jwks_uri=jwks_uri, public=public,
            redirect_uris=redirect_uri or (), launch_url=launch_url,
        )  # fmt: skip

    with _kept(generate, private):
        client, secret = _with_tenant(settings, tenant, add)
    if as_json:
        print_json(shown(client) | ({"client_secret": secret} if secret else {}))
        return
    screen.print(f"added {client.client_id} for {client.scope}", markup=False, soft_wrap=True)
    if generate:
        screen.print(f"private key: {generate} (readable by you only)", markup=False, soft_wrap=True)
    if secret:
        screen.print("client secret, shown this once:")
        typer.echo(secret)


@app.command("pending")
def list_pending(
    *, tenant: TenantName = "default", as_json: Json = False, data: Data = None, port: Port = None
) -> None:
    """List the clients that have asked to be registered and wait for a decision."""

    async def pending(place: Tenant) -> list[store.Client]:
        return [each.client for each in await decisions.listed(place, pending=True)]

    found = _with_tenant(read_settings(data, port), tenant, pending)
    if as_json:
        print_json([shown(client) for client in found])
        return
    table = Table("id", "name", "method", "redirect URIs", "scope")
    for client in found:
        table.add_row(client.client_id, client.name, client.method, " ".join(client.redirect_uris), client.scope)
    results.print(table)


@app.command("approve")
def approve_client(
    client_id: Id,
    *,
    scope: LessScope = None,
    tenant: TenantName = "default",
    as_json: Json = False,
    data: Data = None,
    port: Port = None,
) -> None:
    """Register a client that waits, for what it asked for or for less."""

    async def approve(place: Tenant) -> store.Client:
        return await decisions.approve(place, client_id, scope)

    client = _with_tenant(read_settings(data, port), tenant, approve)
    if as_json:
        print_json(shown(client))
        return
    screen.print(f"approved {client.client_id} for {client.scope}", markup=False, soft_wrap=True)


@app.command("refuse")
def refuse_client(
    client_id: Id,
    *,
    reason: Reason = None,
    tenant: TenantName = "default",
    as_json: Json = False,
    data: Data = None,
    port: Port = None,
) -> None:
    """Refuse a client that waits; it is forgotten, or who asked is told the reason first."""

    async def refuse(place: Tenant) -> None:
        await decisions.refuse(place, client_id, reason)

    _with_tenant(read_settings(data, port), tenant, refuse)
    if as_json:
        print_json({"client_id": client_id, "refused": True})


@app.command("disable")
def disable_client(
    client_id: Id, *, tenant: TenantName = "default", as_json: Json = False, data: Data = None, port: Port = None
) -> None:
    """Make a client none until it is enabled; what people have allowed it ends."""
    _set_disabled(read_settings(data, port), tenant, client_id, disabled=True, as_json=as_json)


@app.command("enable")
def enable_client(
    client_id: Id, *, tenant: TenantName = "default", as_json: Json = False, data: Data = None, port: Port = None
) -> None:
    """Let a disabled client ask for tokens again."""
    _set_disabled(read_settings(data, port), tenant, client_id, disabled=False, as_json=as_json)


def _set_disabled(settings: Settings, tenant: str, client_id: str, *, disabled: bool, as_json: bool) -> None:
    async def change(place: Tenant) -> None:
        await decisions.set_disabled(place, client_id, disabled=disabled)

    _with_tenant(settings, tenant, change)
    if as_json:
        print_json({"client_id": client_id, "disabled": disabled})


@app.command("remove")
def remove_client(
    client_id: Id, *, tenant: TenantName = "default", as_json: Json = False, data: Data = None, port: Port = None
) -> None:
    """Remove a client; its tokens are refused soon after."""
    settings = read_settings(data, port)

    async def remove(tenant: Tenant) -> bool:
        return await store.remove(tenant, client_id)

    removed = _with_tenant(settings, tenant, remove)
    if as_json:
        print_json({"client_id": client_id, "removed": removed})
    if not removed:
        fail(f"There is no client {client_id}.")


def _with_tenant(settings: Settings, name: str, action: Callable[[Tenant], Awaitable[T]]) -> T:
    return with_tenant(settings, name, action, store.ClientError)


def _generated(path: Path) -> tuple[bytes, bytes]:
    """Return a new private key and its public set; the key goes to `path`, where none may be yet."""
    if path.exists():
        fail(f"{path} exists already: a key is never overwritten.")
    key = ECKey.generate_key("P-384", {"alg": "ES384"}, auto_kid=True)
    # key_ops, not use: tools of SMART Health IT look for the key that may sign
    sets = (
        {"keys": [key.as_dict(private=private) | {"key_ops": [may]}]}
        for private, may in ((True, "sign"), (False, "verify"))
    )
    private, public = map(json.encode, sets)
    return private, public


@contextmanager
def _kept(path: Path | None, private: bytes) -> Iterator[None]:
    """Write a private key for its owner's eyes only, and leave none behind for a client that was refused."""
    if path is None:
        yield
        return
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        fail(f"{path}: {error.strerror}.")
    with os.fdopen(handle, "wb") as file:
        file.write(private)
    try:
        yield
    except BaseException:
        path.unlink(missing_ok=True)
        raise
