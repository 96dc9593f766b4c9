"""A page of events acted on with care, after acting on it as usual has failed: what fails is found, and all else goes on.

Each consequence has a savepoint of its own. One that fails is tried again for each half of the events, in order, until the event
that it fails for is alone: that is set aside (`storage/aside.py`). What may pass by itself sets nothing aside: the whole page is
tried again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import asyncpg

from fhir_server.kit import logs
from fhir_server.settings import Settings
from fhir_server.storage import aside, outbox
from fhir_server.storage.aside import Failed
from fhir_server.storage.outage import passing
from fhir_server.storage.outbox import Event
from fhir_server.storage.tenants import Tenant
from fhir_server.subscriptions import closing
from fhir_server.subscriptions.isolate import Isolated
from fhir_server.subscriptions.state import Watch

Consequence: TypeAlias = Callable[[asyncpg.Connection, Tenant, Sequence[Event], Settings], Awaitable[Isolated | None]]
"""What follows from events; one that finds by itself for which of them it fails returns these, and is not halved for them."""
Consequences: TypeAlias = Mapping[str, Consequence]
_LOG = logs.logger("clarity.worker")


@dataclass(slots=True)
class Findings:
    """What was found broken: consequences of events, and Subscriptions."""

    failed: list[Failed] = field(default_factory=list)
    broken: list[Watch] = field(default_factory=list)


async def act(
    connection: asyncpg.Connection,
    tenant: Tenant,
    events: Sequence[Event],
    settings: Settings,
    consequences: Consequences,
) -> Findings:
    """Do all that follows from the events, as far as it can be done, in the caller's transaction."""
    found = Findings()
    for name, consequence in consequences.items():
        if events:
            await _halved(connection, tenant, events, settings, (name, consequence), found)
    return found


async def _halved(
    connection: asyncpg.Connection,
    tenant: Tenant,
    events: Sequence[Event],
    settings: Settings,
    what: tuple[str, Consequence],
    found: Findings,
) -> None:
    name, consequence = what
    try:
        async with connection.transaction():
            isolated = await consequence(connection, tenant, events, settings) or Isolated()
    except Exception as error:
        if passing(error):
            raise
        if len(events) == 1:
            _LOG.error("event set aside", tenant=tenant.name, task=name, exc_info=True)
            found.failed.append(Failed(events[0], name, type(error).__name__))
            return
    else:
        found.failed += [Failed(event, name, error) for event, error in isolated.failed]
        found.broken += isolated.broken
        return
    middle = len(events) // 2
    for half in (events[:middle], events[middle:]):
        await _halved(connection, tenant, half, settings, what, found)


async def tell(tenant: Tenant, found: Findings) -> None:
    """Stop serving the Subscriptions that cannot be served, once what was found is committed."""
    for watch in {each.rid: each for each in found.broken}.values():
        await closing.break_off(tenant, watch)


async def again(tenant: Tenant, settings: Settings, consequences: Consequences, consumer: str) -> bool:
    """Try the next row that is to be tried again, which is gone when that goes well; False when there is none."""
    async with tenant.pool.acquire() as connection, connection.transaction():
        await outbox.hold(connection, tenant, consumer)
        row = await aside.take(connection, tenant)
        if row is None:
            return False
        name, found = row.failed.consequence, Findings([row.failed])  # which stays when nobody knows such a consequence
        if name in consequences:
            found = await act(connection, tenant, [row.failed.event], settings, {name: consequences[name]})
        await aside.put(connection, tenant, found.failed)
    await tell(tenant, found)
    return True
