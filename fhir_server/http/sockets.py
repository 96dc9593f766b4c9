"""The websocket of a FHIR base: a client binds it with tokens of `$get-ws-binding-token` and is told of what changes.

    client:  bind-with-token TOKEN        (again for more Subscriptions)
    server:  a notification Bundle as text, of type handshake, event-notification or heartbeat

It carries no cookie and no bearer token: the binding token says everything, works once and for five minutes.
"""

from __future__ import annotations

import asyncio
from typing import Final

from fhir_server.errors import FhirError
from fhir_server.http.edge import Receive, Scope, Send
from fhir_server.http.services import Services
from fhir_server.kit import clock, logs
from fhir_server.storage.tenants import Tenant
from fhir_server.subscriptions import binding
from fhir_server.subscriptions.sockets import BEAT, Pump

_LOG = logs.logger("clarity.sockets")
_WORD: Final = "bind-with-token"
_PATIENCE: Final = 30.0
"""Seconds in which a socket has to be bound."""
_MOST_TEXT: Final = 200
_MOST_BINDINGS: Final = 20
_REFUSED, _GOING_AWAY, _DONE = 1008, 1012, 1000


def tenant_of(services: Services, path: str) -> Tenant | None:
    """Return the tenant whose websocket a path is."""
    for name, tenant in services.tenants.items():
        prefix = "/fhir" if name == "default" else f"/t/{name}/fhir"
        if path == f"{prefix}/{binding.PATH}":
            return tenant
    return None


async def serve(services: Services, scope: Scope, receive: Receive, send: Send) -> None:
    """Serve one socket until either side ends it."""
    if (await receive())["type"] != "websocket.connect":
        return
    tenant = tenant_of(services, scope["path"])
    if tenant is None:
        await send({"type": "websocket.close", "code": _REFUSED})
        return
    await send({"type": "websocket.accept"})

    async def tell(text: str) -> None:
        await send({"type": "websocket.send", "text": text})

    pump = Pump(tenant, tell)
    asked: asyncio.Queue[str | None] = asyncio.Queue(_MOST_BINDINGS)
    listening = asyncio.create_task(_listen(receive, asked))
    try:
        code = await _serve(pump, asked)
        if code is not None:
            await send({"type": "websocket.close", "code": code})
    except FhirError:  # the audit trail cannot be written: nothing may be told
        await send({"type": "websocket.close", "code": _GOING_AWAY})
    except OSError:
        _LOG.info("socket broke off", tenant=tenant.name)
    finally:
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)


async def _listen(receive: Receive, asked: asyncio.Queue[str | None]) -> None:
    """Take what the client says; None is its end."""
    while True:
        message = await receive()
        if message["type"] == "websocket.disconnect":
            await asked.put(None)
            return
        await asked.put(str(message.get("text") or "")[:_MOST_TEXT])


async def _serve(pump: Pump, asked: asyncio.Queue[str | None]) -> int | None:
    """Tell until the client goes (None) or there is nothing left to tell; return the code to close with."""
    until, bindings = clock.monotonic() + _PATIENCE, 0
    while True:
        try:
            text = await asyncio.wait_for(asked.get(), BEAT)
        except TimeoutError:
            text = ""
        if text is None:
            return None
        if text:
            word, _, token = text.partition(" ")
            bindings += 1
            if word != _WORD or bindings > _MOST_BINDINGS or not await pump.bind(token.strip()):
                return _REFUSED
        elif pump.idle:
            if bindings:
                return _DONE
            if clock.monotonic() > until:
                return _REFUSED
        else:
            await pump.look()
