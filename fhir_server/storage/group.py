"""Creates that come at the same time share a commit.

Each waits for the statement under way to end and goes with the next one; a create that comes alone waits for nobody. Only what
cannot be refused is put together (new ids of ours, no claims), so no caller can spoil another's: should the database refuse
the statement all the same, each is written by itself and gets its own answer. Nothing is acknowledged before it is durable.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

import asyncpg

from fhir_server.storage.commands import AuditRow
from fhir_server.storage.inserts import insert
from fhir_server.storage.prepare import Prepared
from fhir_server.storage.tenants import Tenant

_MOST = 32
_AT_ONCE = 2
"""Statements under way at a time: while one waits for the disk, the next one is being written."""

Item = tuple[Prepared, AuditRow | None, "asyncio.Future[None]"]


@dataclass(slots=True)
class _Group:
    """The creates of one tenant that wait, and how many statements are under way."""

    waiting: list[Item] = field(default_factory=list)
    running: set[asyncio.Task[None]] = field(default_factory=set)

    def start(self, tenant: Tenant) -> None:
        """Send what waits, unless enough is under way: what ends starts the next."""
        while self.waiting and len(self.running) < _AT_ONCE:
            taken, self.waiting = self.waiting[:_MOST], self.waiting[_MOST:]
            task = asyncio.create_task(_send(tenant, taken), name=f"creates {tenant.name}")
            self.running.add(task)
            task.add_done_callback(lambda done: self._ended(done, tenant))

    def _ended(self, task: asyncio.Task[None], tenant: Tenant) -> None:
        self.running.discard(task)
        self.start(tenant)


_groups: WeakKeyDictionary[Tenant, _Group] = WeakKeyDictionary()


async def _send(tenant: Tenant, items: Sequence[Item]) -> None:
    try:
        await insert(tenant, [row for row, _, _ in items], [line for _, line, _ in items if line is not None])
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
        await _one_by_one(tenant, items, error)
        return
    except BaseException as error:
        _tell(items, error)
        raise
    _tell(items, None)


async def _one_by_one(tenant: Tenant, items: Sequence[Item], error: BaseException) -> None:
    """Write each by itself after all were refused together; alone there is nobody else to blame."""
    if len(items) == 1:
        _tell(items, error)
        return
    for item in items:
        await _send(tenant, [item])


def _tell(items: Sequence[Item], error: BaseException | None) -> None:
    for _, _, future in items:
        if not future.done():
            if error is None:
                future.set_result(None)
            else:
                future.set_exception(error)


async def create(tenant: Tenant, row: Prepared, audit: AuditRow | None) -> None:
    """Write one new resource, with others that wait; durable when it returns.

    Cancelling the caller leaves the row to be written: it may exist without having been acknowledged, not the reverse.
    """
    group = _groups.setdefault(tenant, _Group())
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    group.waiting.append((row, audit, future))
    group.start(tenant)
    await future
