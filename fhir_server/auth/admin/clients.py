"""Clients by the administration API: what `./clarity clients` does."""

from __future__ import annotations

from typing import Any, Final

from fhir_server.auth import clients, decisions
from fhir_server.auth.admin.fields import Field, read
from fhir_server.auth.admin.task import Done, Task
from fhir_server.auth.clients import Client, ClientError
from fhir_server.auth.decisions import Registered
from fhir_server.errors import BadRequest, Conflict, NotFound, Unprocessable
from fhir_server.kit import clock, json

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
REFUSAL: Final = {"reason": Field(str)}
CHANGE: Final = {"disabled": Field(bool, required=True)}


async def listed(task: Task) -> Done:
    """Answer `GET /admin/clients`; with `?pending=true` those that wait for a decision."""
    pending = {"true": True, "false": False}.get(task.query.get("pending", "false"))
    if pending is None:
        raise BadRequest("pending is true or false.", "admin-wrong-type", "pending")
    found = await decisions.listed(task.tenant, pending=pending)
    return Done(200, {"clients": [told(each) for each in found]})


async def add(task: Task) -> Done:
    """Answer `POST /admin/clients`; a secret that is made is in the answer, this once."""
    said = read(task.body, NEW)
    keys = json.encode(said["jwks"]) if "jwks" in said else None
    if "client_id" in said and await decisions.registered(task.tenant, said["client_id"]):
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
    return Done(200, await _now(task))


async def change(task: Task) -> Done:
    """Answer `PATCH /admin/clients/{id}`: disabled, so that it is none until it is enabled again."""
    disabled, found = read(task.body, CHANGE)["disabled"], await decisions.registered(task.tenant, task.id)
    if found is None:
        raise _absent(task)
    if task.id == task.principal.client_id:
        raise Conflict("A client does not disable itself: nobody could undo it.", "own-access")
    if found.status in ("pending", "refused"):
        raise Conflict("This client is not registered yet: approve it or refuse it.", "client-undecided")
    try:
        await decisions.set_disabled(task.tenant, task.id, disabled=disabled)
    except ClientError as error:
        raise _refused(error) from error
    event = "client disabled" if disabled else "client enabled"
    return Done(200, await _now(task), {"event": event, "client": task.id})


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
        client = await decisions.approve(task.tenant, task.id, said.get("scope"))
    except ClientError as error:
        raise _refused(error) from error
    return Done(200, shown(client), {"event": "client approved", "client": task.id, "scope": client.scope})


async def refuse(task: Task) -> Done:
    """Answer `POST /admin/clients/{id}/refuse`: one that waits is forgotten; with a `reason` who asked is told it first."""
    reason = read(task.body, REFUSAL).get("reason")
    await _waiting(task)
    try:
        await decisions.refuse(task.tenant, task.id, reason)
    except ClientError as error:
        raise _refused(error) from error
    why = {} if reason is None else {"reason": reason}
    return Done(204, None, {"event": "client refused", "client": task.id} | why)


async def _waiting(task: Task) -> None:
    found = await decisions.registered(task.tenant, task.id)
    if found is None:
        raise _absent(task)
    if not found.pending:
        raise Conflict("This client does not wait for a decision.", "client-decided")


async def _now(task: Task) -> dict[str, Any]:
    found = await decisions.registered(task.tenant, task.id)
    if found is None:
        raise _absent(task)
    return told(found)


def told(found: Registered) -> dict[str, Any]:
    """Return what is told of a client and of who asked for it, with its public keys."""
    by, client = found.asked, found.client
    return shown(client) | {
        "status": found.status,
        "pending": found.pending,
        "since": clock.instant(found.since),
        "jwks": json.decode_trusted(client.jwks.encode()) if client.jwks else None,
        "asked": by is not None,
        "contacts": list(by.contacts) if by else [],
        "client_uri": by.uri if by else None,
        "address": by.address if by else None,
    }


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
