"""One audit row for every interaction, durable before the first byte of the answer leaves.

Writes put their rows into their own transaction (`storage.commit`); all else comes through `write_audit`, where requests that
come at the same time share one INSERT. What cannot be audited is refused: Unavailable, and the body stays here.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final
from weakref import WeakKeyDictionary

import asyncpg

from fhir_server.audit.codes import BY_NAME, OTHER
from fhir_server.audit.partitions import ensure_partitions
from fhir_server.context import ANONYMOUS, RequestContext
from fhir_server.errors import Unavailable
from fhir_server.kit import clock, json
from fhir_server.kit.logs import logger
from fhir_server.storage.commands import AuditRow
from fhir_server.storage.reads import claimed
from fhir_server.storage.statements import AUDIT_COLUMNS, array
from fhir_server.storage.tenants import Tenant
from profiles.registry import R4

SEAL: Final = b"audit-detail"
MAX_QUERY: Final = 4000
MAX_BATCH: Final = 500
STRANGERS_A_SECOND: Final = 100
_SECONDS: Final = 10.0

# InternalClientError is what asyncpg says of a connection whose server has just been stopped.
_FAILURES: Final = (
    asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, TimeoutError
)  # fmt: skip

_log = logger(__name__)


def _plain(text: str, limit: int) -> str:
    """Return printable ASCII only, cut short: ids and addresses come from outside."""
    if len(text) <= limit and text.isascii() and text.isprintable():
        return text
    return "".join(c for c in text[:limit] if " " <= c <= "~")


def sealed(tenant: Tenant, detail: Mapping[str, Any]) -> bytes:
    """Encrypt what may hold PHI (the text of a query) with the tenant's key."""
    return tenant.keystore.seal(json.encode(dict(detail)), SEAL)


def audit_row(
    ctx: RequestContext,
    interaction: str,
    status: int,
    *,
    type: str | None = None,  # noqa: A002  the word of the specification, as in Command and Stored
    rid: int | None = None,
    version: int | None = None,
    patients: Sequence[int] | None = None,
    query: str | None = None,
) -> AuditRow:
    """Return the row of an interaction; `query` is the request as it came, such as `Observation?code=...`, kept sealed.

    For a write, `commit` fills rid, version and patients. For a search, `patients` are those of the resources returned.
    """
    return AuditRow(
        recorded=clock.now(),
        interaction=BY_NAME.get(interaction, OTHER).number,
        status=status,
        agent=ctx.principal.agent,
        type=R4.type_id(type) if type else None,
        rid=rid,
        version=version,
        patients=sorted(set(patients)) if patients else None,
        request=_plain(ctx.request_id, 64),
        address=_plain(ctx.address, 64) if ctx.address else None,
        detail=sealed(ctx.tenant, {"query": query[:MAX_QUERY]}) if query else None,
    )


async def failure_row(
    ctx: RequestContext,
    interaction: str,
    status: int,
    *,
    type: str | None = None,  # noqa: A002
    id: str | None = None,  # noqa: A002
    query: str | None = None,
) -> AuditRow:
    """Return the row of a refused or failed interaction, with the resource and patients that were claimed, if known.

    The look-up is made whether or not the caller may see the resource and tells the caller nothing.
    """
    rid, patients = await claimed(ctx.tenant, type, id) if type and id and R4.is_type(type) else (None, ())
    known = type if type and R4.is_type(type) else None
    return audit_row(ctx, interaction, status, type=known, rid=rid, patients=patients, query=query)


async def door_event(
    tenant: Tenant,
    interaction: str,
    *,
    request: str,
    address: str | None,
    type: str | None = None,  # noqa: A002
    id: str | None = None,  # noqa: A002
) -> None:
    """Record that somebody without a valid token was turned away (401), with what was claimed, if known.

    A flood of strangers must not fill the disk: beyond 100 a second they are only counted, and the next row says how many.
    """
    door = _doors.setdefault(tenant, _Door())
    if not door.opens():
        return
    ctx = RequestContext(tenant, ANONYMOUS, request, tenant.base, address)
    row = await failure_row(ctx, interaction, 401, type=type, id=id)
    if door.uncounted:
        row.detail, door.uncounted = sealed(tenant, {"also turned away": str(door.uncounted)}), 0
    await write_audit(tenant, [row])


@dataclass(slots=True)
class _Door:
    """How many strangers came this second, and how many were not written down."""

    second: int = 0
    came: int = 0
    uncounted: int = 0

    def opens(self) -> bool:
        """Tell whether one more may be written down."""
        now = int(clock.monotonic())
        if now != self.second:
            self.second, self.came = now, 0
        self.came += 1
        if self.came <= STRANGERS_A_SECOND:
            return True
        self.uncounted += 1
        return False


_doors: WeakKeyDictionary[Tenant, _Door] = WeakKeyDictionary()


async def token_event(
    tenant: Tenant, *, agent: int, status: int, request: str, address: str | None, detail: Mapping[str, str]
) -> None:
    """Record that an access token was issued or refused; durable when it returns, Unavailable when it cannot be."""
    row = AuditRow(clock.now(), BY_NAME["token"].number, status, agent, request=_plain(request, 64))
    row.address = _plain(address, 64) if address else None
    row.detail = sealed(tenant, detail)
    await write_audit(tenant, [row])


# ---- group commit ----

_TYPES = (
    "timestamptz", "smallint", "smallint", "int", "smallint", "bigint", "int", "text", "text", "text", "bytea"
)  # fmt: skip
_ARRAYS = ", ".join(f"${position}::{type_}[]" for position, type_ in enumerate(_TYPES, 1))
# Arrays of arrays cannot be taken apart row by row: the patients of each row travel as text.
_INSERT = (
    f"INSERT INTO {{s}}.audit ({AUDIT_COLUMNS})"
    f" SELECT {AUDIT_COLUMNS.replace('patients', 'patients::bigint[]')} FROM unnest({_ARRAYS}) u({AUDIT_COLUMNS})"
)


@dataclass(slots=True)
class _Writer:
    """The rows of one tenant that wait for the INSERT under way to end, with who waits for them."""

    waiting: list[tuple[Sequence[AuditRow], asyncio.Future[None]]] = field(default_factory=list)
    task: asyncio.Task[None] | None = None

    async def flush(self, tenant: Tenant) -> None:
        """Write until nobody waits; every waiter is told, whatever happens."""
        taken: list[tuple[Sequence[AuditRow], asyncio.Future[None]]] = []
        try:
            while self.waiting:
                taken, self.waiting = self.waiting[:MAX_BATCH], self.waiting[MAX_BATCH:]
                done = await _insert(tenant, [row for rows, _ in taken for row in rows])
                for _, future in taken if done else ():
                    if not future.done():
                        future.set_result(None)
                _refuse(taken)
        finally:
            self.task = None
            _refuse([*taken, *self.waiting])
            self.waiting = []


_writers: WeakKeyDictionary[Tenant, _Writer] = WeakKeyDictionary()


def _refuse(waiters: Sequence[tuple[Sequence[AuditRow], asyncio.Future[None]]]) -> None:
    """Tell those who have no answer yet that their rows are not known to be written."""
    for _, future in waiters:
        if not future.done():
            text = "The audit trail cannot be written now, so nothing is disclosed; try again."
            future.set_exception(Unavailable(text, "audit-unavailable", headers={"Retry-After": "5"}))


async def write_audit(tenant: Tenant, rows: Sequence[AuditRow]) -> None:
    """Write the rows, together with those of other requests that wait; durable when it returns, else Unavailable.

    Cancelling the caller leaves its rows to be written: an event without an answer is allowed, not the reverse.
    """
    if rows:
        await _handed_in(tenant, rows)


@asynccontextmanager
async def audit_written(tenant: Tenant, rows: Sequence[AuditRow]) -> AsyncIterator[None]:
    """Have the rows on their way while the block puts the answer together; durable when it ends, else Unavailable."""
    future = _handed_in(tenant, rows)
    await asyncio.sleep(0)  # the statement leaves now
    try:
        yield
    finally:
        await future


def _handed_in(tenant: Tenant, rows: Sequence[AuditRow]) -> asyncio.Future[None]:
    """Let rows wait for the next INSERT; done when they are durable."""
    writer = _writers.setdefault(tenant, _Writer())
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    writer.waiting.append((rows, future))
    if writer.task is None:
        writer.task = asyncio.create_task(writer.flush(tenant), name=f"audit {tenant.name}")
    return future


async def _insert(tenant: Tenant, rows: Sequence[AuditRow]) -> bool:
    """Write the rows in one statement; False when that failed, logged without a word of their content."""
    try:
        async with asyncio.timeout(_SECONDS):
            try:
                await _execute(tenant, rows)
            except asyncpg.CheckViolationError:  # the month has no partition yet
                await ensure_partitions(tenant)
                await _execute(tenant, rows)
    except _FAILURES:
        _log.error("audit rows not written", tenant=tenant.name, rows=len(rows), exc_info=True)
        return False
    return True


async def _execute(tenant: Tenant, rows: Sequence[AuditRow]) -> None:
    columns = [list(column) for column in zip(*(row.values() for row in rows), strict=True)]
    columns[7] = [None if patients is None else array(patients) for patients in columns[7]]
    await tenant.pool.execute(tenant.sql(_INSERT), *columns)
