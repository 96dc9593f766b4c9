"""What a first start shows: demo patients, loaded through the server's own API, and two clients to try it with."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import timedelta

import msgspec
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from fhir_server.auth import clients, tokens
from fhir_server.cli.loading.sender import Sender, Unreachable
from fhir_server.cli.loading.sources import Part
from fhir_server.cli.options import screen
from fhir_server.cli.stack import nearest
from fhir_server.cli.supervise import Supervisor
from fhir_server.cli.tenant import opened
from fhir_server.kit import clock, json
from fhir_server.kit.files import write_once
from fhir_server.settings import Settings

SCOPES = {"demo-hub": "system/Observation.c system/Device.c", "demo-app": "system/*.rs"}
SEED = 1
_JOBS = 4


class DemoClient(msgspec.Struct, frozen=True):
    """A client that the first start registered; its secret lies in the data folder, readable by its owner only."""

    client_id: str
    secret: str
    scope: str


class DemoFailed(Exception):
    """Demo data that the server refused; the text says what it said."""


def prepare(settings: Settings, supervisor: Supervisor) -> list[DemoClient]:
    """Load the demo patients and register the demo clients unless an earlier start did; return the clients."""
    kept, marker = settings.data / "demo-clients.json", settings.data / "demo-loaded"
    if not marker.exists():
        asyncio.run(_load(settings, supervisor))
        marker.touch()
    if not kept.exists():
        made = asyncio.run(_register(settings))
        write_once(kept, json.encode(msgspec.to_builtins(made)))
    return msgspec.convert(json.decode_trusted(kept.read_bytes()), list[DemoClient])


async def _register(settings: Settings) -> list[DemoClient]:
    made = []
    async with opened(settings, settings.tenants[0]) as tenant:
        for client_id, scope in SCOPES.items():
            await clients.remove(tenant, client_id)
            _, secret = await clients.add(tenant, name=client_id, scope=scope, client_id=client_id)
            made.append(DemoClient(client_id, secret or "", scope))
    return made


async def _load(settings: Settings, supervisor: Supervisor) -> None:
    from workers.demo import generate

    end = clock.now().date() - timedelta(days=1)
    bundles = map(json.encode, generate.generate(SEED, end=end))
    async with opened(settings, settings.tenants[0]) as tenant:
        sender = Sender(nearest(settings, tenant.base), lambda: tokens.mint(tenant, "system/*.cruds"), _JOBS)
        columns = (TextColumn("demo patients"), BarColumn(), TaskProgressColumn(), TextColumn("{task.fields[said]}"))
        try:
            with Progress(*columns, TimeRemainingColumn(), console=screen, transient=True) as progress:
                await _send_all(sender, bundles, progress, supervisor)
        except Unreachable as error:
            raise DemoFailed(f"{error} The demo patients are loaded at the next start.") from error
        finally:
            await sender.close()
    (settings.data / "demo-truth.json").write_bytes(json.encode(generate.truth(SEED, end=end)))


async def _send_all(sender: Sender, bundles: Iterator[bytes], progress: Progress, supervisor: Supervisor) -> None:
    """Post the Bundles, a few at a time; the first one, which others refer to, alone."""
    waiting = list(bundles)
    bar = progress.add_task("", total=len(waiting), said="")

    async def send(body: bytes) -> None:
        supervisor.look()
        if supervisor.asked_to_end():
            raise DemoFailed("Ended while demo patients were loaded; the next start goes on.")
        if refusals := await sender.send(Part(body, 1, 0, entire=True)):
            raise DemoFailed(f"The server refused demo data: {refusals[0].status} {refusals[0].text}")
        progress.advance(bar)

    async def keep_on() -> None:
        while waiting:
            await send(waiting.pop(0))

    await send(waiting.pop(0))
    senders = [asyncio.create_task(keep_on()) for _ in range(_JOBS)]
    try:
        await asyncio.gather(*senders)
    finally:
        for task in senders:
            task.cancel()
        await asyncio.gather(*senders, return_exceptions=True)
