"""Clients that subscribe and resources that change, written as the REST layer writes them: with the audit row of their author."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fhir_server.audit.partitions import ensure_partitions
from fhir_server.audit.record import audit_row
from fhir_server.auth import clients, principals
from fhir_server.context import Principal, RequestContext
from fhir_server.kit import ids, json, logs
from fhir_server.search.extract import extract
from fhir_server.settings import Settings
from fhir_server.storage import reads
from fhir_server.storage.commands import CLIENT, Command, Written
from fhir_server.storage.commit import commit
from fhir_server.storage.tenants import Tenant
from fhir_server.storage.visibility import EVERYTHING
from fhir_server.subscriptions import egress
from workers.jobs import dispatch
from workers.jobs.kinds import KINDS
from workers.jobs.runner import Kind
from workers.process import Worker

HEART_RATE = {"system": "http://loinc.org", "code": "8867-4"}


def settings(data: Path, **more: Any) -> Settings:
    return Settings(_env_file=None, environment="test", data=data, tenants=["default", "second"], **more)


async def client(tenant: Tenant, scope: str, patient: str | None = None) -> Principal:
    """Register a client and return who its token would be."""
    made, _ = await clients.add(tenant, name="test", scope=scope)
    return await principals.principal(tenant, made.client_id, made.scopes, patient=patient)


async def write(
    tenant: Tenant, resource: dict[str, Any], author: Principal, *, id_: str | None = None, origin: int = CLIENT
) -> Written:
    """Create the resource, or make it the next version of `id_`."""
    current = await reads.read(tenant, resource["resourceType"], id_, EVERYTHING) if id_ else None
    previous = extract(tenant, json.decode_trusted(current.body)) if current else None
    command = Command(
        "update" if current else "create", resource["resourceType"], id_ or ids.new_id(), resource, extract(tenant, resource),
        expected=current.version if current else 0, previous=previous, key_id=current.own_key if current else 0,
        origin=origin, fresh=id_ is None,
    )  # fmt: skip
    ctx = RequestContext(tenant, author, ids.request_id(), tenant.base)
    [done] = await commit(tenant, [command], [audit_row(ctx, command.method, 200, type=command.type)])
    return done


async def remove(tenant: Tenant, type_: str, id_: str, author: Principal) -> None:
    current = await reads.read(tenant, type_, id_, EVERYTHING)
    previous = extract(tenant, json.decode_trusted(current.body))
    command = Command(
        "delete", type_, id_, expected=current.version, previous=previous, key_id=current.own_key, http_method=3
    )
    ctx = RequestContext(tenant, author, ids.request_id(), tenant.base)
    await commit(tenant, [command], [audit_row(ctx, "delete", 204, type=type_)])


def observation(patient: str, value: int | str = 72, **more: Any) -> dict[str, Any]:
    return {
        "resourceType": "Observation",
        "status": "final",
        "code": {"coding": [HEART_RATE]},
        "subject": {"reference": f"Patient/{patient}"},
        "effectiveDateTime": "2026-01-02T10:00:00Z",
        "valueQuantity": {"value": int(value), "unit": "/min", "system": "http://unitsofmeasure.org", "code": "/min"},
    } | more


def subscription(
    criteria: str, endpoint: str, payload: str | None = "application/fhir+json", **more: Any
) -> dict[str, Any]:
    channel: dict[str, Any] = {"type": "rest-hook", "endpoint": endpoint}
    if payload:
        channel["payload"] = payload
    return {
        "resourceType": "Subscription",
        "status": "requested",
        "reason": "test",
        "criteria": criteria,
        "channel": channel | more,
    }


async def status_of(tenant: Tenant, id_: str) -> tuple[str, str | None]:
    stored = await reads.read(tenant, "Subscription", id_, EVERYTHING)
    assert stored is not None
    resource = json.decode_trusted(stored.body)
    return resource["status"], resource.get("error")


async def until(ask: Callable[[], Awaitable[Any]], seconds: float = 120.0) -> Any:
    """Return the first true answer."""
    async with asyncio.timeout(seconds):
        while True:
            if answer := await ask():
                return answer
            await asyncio.sleep(0.02)


async def until_status(tenant: Tenant, id_: str, wanted: str, seconds: float = 120.0) -> str | None:
    async def reached() -> tuple[str, str | None] | None:
        now = await status_of(tenant, id_)
        return now if now[0] == wanted else None

    return (await until(reached, seconds))[1]


async def until_skipped(tenant: Tenant, rid: int) -> None:
    async def skipped() -> bool:
        return (await deliveries(tenant, rid))[0][1] == "skipped"

    await until(skipped)


async def until_ended(tenant: Tenant, rid: int) -> None:
    async def ended() -> bool:
        return all(state not in ("waiting", "sending") for _, state, _ in await deliveries(tenant, rid))

    await until(ended)


async def deliveries(tenant: Tenant, rid: int) -> list[tuple[int, str, int]]:
    text = tenant.sql("SELECT event, state, attempts FROM {s}.delivery WHERE subscription = $1 ORDER BY event")
    return [tuple(row) for row in await tenant.pool.fetch(text, rid)]


async def _no_twin(_tenant: Tenant, _job: object, _settings: Settings) -> None:
    """Stand in for the twin, which has tests of its own."""


WITHOUT_TWIN = dict(KINDS) | {dispatch.TWIN: Kind(_no_twin)}


@asynccontextmanager
async def working(settings: Settings, tenants: dict[str, Tenant], kinds: Any = None) -> AsyncIterator[Worker]:
    """Run a worker in this process until the block ends."""
    logs.configure("CRITICAL")
    for tenant in tenants.values():
        await ensure_partitions(tenant)
        for left_by_others in _ENDED:
            await tenant.pool.execute(tenant.sql(left_by_others))
    async with egress.client(settings) as way_out:
        worker = Worker(settings, tenants, kinds or WITHOUT_TWIN, way_out)
        task = asyncio.create_task(worker.run())
        try:
            yield worker
        finally:
            worker.stop.set()
            await asyncio.wait_for(task, 30)


_ENDED = (
    "UPDATE {s}.subscription_state SET status = 'off' WHERE status = 'active'",
    "UPDATE {s}.subscription_revision SET revision = revision + 1",
    "DELETE FROM {s}.endpoint_state",
)
"""What other files have left in the database that they share: thousands of Subscriptions to match, endpoints found broken."""


def word() -> str:
    return secrets.token_hex(6)
