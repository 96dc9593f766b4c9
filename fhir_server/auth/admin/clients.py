"""Clients by the administration API: what `./clarity clients` does."""

from __future__ import annotations

from typing import Any, Final

from fhir_server.auth import clients
from fhir_server.auth.admin.fields import Field, read
from fhir_server.auth.admin.task import Done, Task
from fhir_server.auth.clients import Client, ClientError
from fhir_server.errors import Conflict, NotFound, Unprocessable
from fhir_server.kit import json

NEW: Final = {
    "client_id": Field(str),
    "name": Field(str, required=True),
    "scope": Field(str, required=True),
    "jwks": Field(dict),
    "jwks_uri": Field(str),
    "public": Field(bool),
    "redirect_uris": Field(list),
    "launch_url": Field(str),
}
DECISION: Final = {"scope": Field(str)}


async def listed(task: Task) -> Done:
    """Answer `GET /admin/clients`; with `?pending=true` those that wait for a decision."""
    pending = task.query.get("pending") == "true"
    found = await clients.listed(task.tenant, pending=pending)
    return Done(200, {"clients": [shown(client) for client in found]})


async def add(task: Task) -> Done:
    """Answer `POST /admin/clients`; a secret that is made is in the answer, this once."""
    said = read(task.body, NEW)
    keys = json.encode(said["jwks"]) if "jwks" in said else None
    if "client_id" in said and await clients.registered(task.tenant, said["client_id"]):
        raise Conflict(
            f"The client {said['client_id']} is there already; remove it first.", "client-exists", "client_id"
        )
    try:
        client, secret = await clients.add(
            task.tenant, name=said["name"], scope=said["scope"], client_id=said.get("client_id"), jwks=keys,
            jwks_uri=said.get("jwks_uri"), public=said.get("public", False),
            redirect_uris=said.get("redirect_uris", ()), launch_url=said.get("launch_url"),
        )  # fmt: skip
    except ClientError as error:
        raise _refused(error) from error
    body = shown(client) | ({"client_secret": secret} if secret else {})
    return Done(201, body, {"event": "client added", "client": client.client_id, "scope": client.scope})


async def look(task: Task) -> Done:
    """Answer `GET /admin/clients/{id}`."""
    found = await clients.registered(task.tenant, task.id)
    if found is None:
        raise _absent(task)
    return Done(200, shown(found.client) | {"pending": found.pending})


async def remove(task: Task) -> Done:
    """Answer `DELETE /admin/clients/{id}`: its tokens end within a minute and a half in every process."""
    if task.id == task.principal.client_id:
        raise Conflict("A client does not remove itself: nobody could undo it.", "own-access")
    if not await clients.remove(task.tenant, task.id):
        raise _absent(task)
    return Done(204, None, {"event": "client removed", "client": task.id})


async def approve(task: Task) -> Done:
    """Answer `POST /admin/clients/{id}/approve`: one that waits is registered, for what it asked for or for less."""
    said = read(task.body, DECISION)
    await _waiting(task)
    try:
        client = await clients.approve(task.tenant, task.id, said.get("scope"))
    except ClientError as error:
        raise _refused(error) from error
    return Done(200, shown(client), {"event": "client approved", "client": task.id, "scope": client.scope})


async def refuse(task: Task) -> Done:
    """Answer `POST /admin/clients/{id}/refuse`: one that waits is forgotten."""
    read(task.body, {})
    await _waiting(task)
    try:
        await clients.refuse(task.tenant, task.id)
    except ClientError as error:
        raise _refused(error) from error
    return Done(204, None, {"event": "client refused", "client": task.id})


async def _waiting(task: Task) -> None:
    found = await clients.registered(task.tenant, task.id)
    if found is None:
        raise _absent(task)
    if not found.pending:
        raise Conflict("This client does not wait for a decision.", "client-decided")


def shown(client: Client) -> dict[str, Any]:
    """Return what is told of a client: never its secret."""
    return {
        "client_id": client.client_id,
        "name": client.name,
        "method": client.method,
        "scope": client.scope,
        "jwks_uri": client.jwks_uri,
        "redirect_uris": list(client.redirect_uris),
        "launch_url": client.launch_url,
    }


def _absent(task: Task) -> NotFound:
    return NotFound(f"There is no client {task.id[:64]}.", "client-unknown")


def _refused(error: ClientError) -> Unprocessable:
    return Unprocessable(f"The client is refused: {error}.", "client-refused")
