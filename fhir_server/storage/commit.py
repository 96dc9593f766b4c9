"""The one writer. `commit` makes every change of every resource, with its index, outbox and audit, in one transaction.

What is new is one SQL statement (`inserts.py`), shared by creates that come at the same time (`group.py`); one update or delete
is one statement (`statements.py`); more are a transaction that locks what exists in the order of `rid` (so that two bundles
cannot wait for each other), and copies in what is new. Version numbers are gap-free because they move only under that lock.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from typing import Any

import asyncpg

from fhir_server.errors import Unavailable
from fhir_server.kit import metrics
from fhir_server.storage import group, inserts, statements, tally, traced
from fhir_server.storage.commands import AuditRow, Command, IndexRows, Written
from fhir_server.storage.errors import claim_taken, version_conflict
from fhir_server.storage.prepare import Prepared, prepare
from fhir_server.storage.tenants import OUTBOX, Tenant

_EMPTY = IndexRows()
_TRIES = 5
_BREATH = 64
_KINDS = ("dates", "numbers", "strings", "series")
_FINDS: dict[str, Callable[[Any], tuple[Any, ...]]] = {
    "dates": lambda row: row[:2],
    "numbers": lambda row: row[:3],
    "strings": lambda row: row,
}
"""What of an index row finds it again."""


def _changes(kind: str, row: Prepared) -> tuple[list[Any], list[Any]]:
    """Return the index rows to delete and to insert: only what differs between the two versions."""
    if kind == "series":  # every row says when its resource has last changed
        return sorted({found[:3] for found in row.old_series}), sorted(set(row.series))
    old, new = getattr(row.command.previous or _EMPTY, kind), getattr(row.command.index or _EMPTY, kind)
    if not old:
        return [], sorted(set(new))
    before, after = set(old), set(new)
    # A row is deleted by what finds it, which may also find an equal-keyed row that stays: that one is written again.
    gone = {_FINDS[kind](row) for row in before - after}
    return sorted(gone), sorted(row for row in after if row not in before or _FINDS[kind](row) in gone)


def _columns(rows: Sequence[Any]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]


def _written(row: Prepared, patients: Iterable[int] | None) -> Written:
    command = row.command
    created = command.expected == 0 or command.method == "create"
    return Written(
        row.rid, command.type, command.id, row.version, row.last_updated, row.body, tuple(patients or ()), created
    )


def _sections(row: Prepared, audit: AuditRow | None) -> tuple[tuple[str, ...], list[Any]]:
    """Return which sections the statement needs, and their arguments."""
    command = row.command
    names: list[str] = []
    args: list[Any] = []
    for kind in _KINDS:
        old, new = _changes(kind, row)
        for name, rows in ((f"old_{kind}", old), (kind, new)):
            if rows:
                names.append(name)
                args += _columns(rows)
    if command.claims:
        names.append("claims")
        args.append(list(command.claims))
    if command.method == "delete":
        names.append("old_claims")
    names += ["tally", "outbox"]
    args.append(command.origin)
    if audit is not None:
        names.append("audit")
        args += audit.beside()
    return tuple(names), args


async def _replace_one(tenant: Tenant, row: Prepared, audit: AuditRow | None) -> Written:
    sections, args = _sections(row, audit)
    text = tenant.sql(statements.replace(sections))
    done = await tenant.pool.fetchrow(text, *row.row(), row.command.seen, row.command.write, *args)
    if done is None:
        raise version_conflict(0)
    return _written(row, done["patients"])


def _slow(row: Prepared) -> bool:
    """True when the index rows of the old version are not known and must be looked for."""
    return row.command.expected > 0 and row.command.previous is None


async def _lock(connection: asyncpg.Connection, tenant: Tenant, rows: Sequence[Prepared]) -> dict[int, Any]:
    """Lock what exists; VersionConflict when a row is not at the version that its command expects."""
    existing = {row.rid: position for position, row in enumerate(rows) if not row.inserts}
    if not existing:
        return {}
    locked = {row["rid"]: row for row in await connection.fetch(tenant.sql(statements.LOCK), list(existing))}
    for rid, position in existing.items():
        command, found = rows[position].command, locked.get(rid)
        if found is None or found["version"] != command.expected:
            raise version_conflict(position)
        if command.seen not in (None, found["index_version"]) or command.write not in (None, found["xmin"]):
            raise version_conflict(position)
    return locked


async def _delete_index(connection: asyncpg.Connection, tenant: Tenant, rows: Sequence[Prepared]) -> None:
    slow = [row.rid for row in rows if _slow(row)]
    for kind in _KINDS:
        if slow:
            await connection.execute(tenant.sql(statements.delete_all(kind)), slow)
        gone = [(row.rid, *found) for row in rows for found in _changes(kind, row)[0]]
        if gone:
            await connection.execute(tenant.sql(statements.delete_narrow(kind)), *_columns(gone))
    deleted = [row.rid for row in rows if row.command.method == "delete"]
    if deleted:
        await connection.execute(tenant.sql("DELETE FROM {s}.claim WHERE rid = ANY($1::bigint[])"), deleted)


def _copies(rows: Sequence[Prepared], audit: Sequence[AuditRow]) -> Iterator[tuple[str, list[tuple[Any, ...]]]]:
    """Yield what is copied into each table, one table at a time."""
    yield "resource", [row.row() for row in rows if row.inserts]
    for kind in _KINDS:
        yield statements.NARROW[kind][0], [(row.rid, *new) for row in rows for new in _changes(kind, row)[1]]
    yield "tally_new", tally.of_new([row for row in rows if row.inserts])
    yield "claim", [(row.rid, key) for row in rows for key in row.command.claims]
    yield "outbox", [inserts.event(row) for row in rows]
    yield "audit", [line.values() for line in audit]


async def _paced(records: Sequence[tuple[Any, ...]]) -> AsyncIterator[tuple[Any, ...]]:
    """Yield records for COPY and let other requests run in between: encoding thousands takes a while."""
    for number, record in enumerate(records, 1):
        yield record
        if number % _BREATH == 0:
            await asyncio.sleep(0)


async def _replace(
    connection: asyncpg.Connection, tenant: Tenant, rows: Sequence[Prepared], locked: dict[int, Any]
) -> None:
    replaced = [row for row in rows if not row.inserts]
    if not replaced:
        return
    for row in replaced:
        if row.command.method == "delete":  # what it was found by stays, so that who might have seen it is told 410
            found = locked[row.rid]
            row.patients, row.keys = list(found["patients"] or ()), list(found["keys"] or ())
            row.unsought = found["unsought"]
    await connection.execute(tenant.sql(statements.KEEP_HISTORY), [row.rid for row in replaced])
    await connection.executemany(tenant.sql(statements.REPLACE), [row.row() for row in replaced])


async def _commit_many(tenant: Tenant, rows: Sequence[Prepared], audit: Sequence[AuditRow]) -> list[Written]:
    async with tenant.pool.acquire() as connection, connection.transaction():
        locked = await _lock(connection, tenant, rows)
        await tally.add(connection, tenant, list(locked), -1)
        await _replace(connection, tenant, rows, locked)
        if locked:
            await _delete_index(connection, tenant, rows)
            await tally.add(connection, tenant, list(locked), 1)
        _complete(audit, rows)
        for table, records in _copies(rows, audit):
            if records:
                columns = statements.COPY_COLUMNS[table]
                await connection.copy_records_to_table(
                    table, schema_name=tenant.schema, records=_paced(records), columns=columns
                )
        if telling := sorted({rid for row in rows for rid in row.telling}):
            await traced.again(connection, tenant, telling)
    return [_written(row, row.patients) for row in rows]


def _refusal(error: asyncpg.UniqueViolationError, rows: Sequence[Prepared]) -> Exception:
    """Say which promise was broken: a claim that somebody holds, or an id that somebody has just made."""
    if error.table_name == "claim":
        return claim_taken(next(position for position, row in enumerate(rows) if row.command.claims))
    return version_conflict(next((p for p, row in enumerate(rows) if row.inserts and not row.command.fresh), 0))


async def _write_once(tenant: Tenant, rows: Sequence[Prepared], audit: Sequence[AuditRow]) -> list[Written]:
    """Choose how: with others, as one statement, or as a transaction of several."""
    if len(rows) <= inserts.MOST and all(row.inserts for row in rows):
        _complete(audit, rows)
        if len(rows) == 1 and rows[0].command.fresh and not rows[0].command.claims:
            await group.create(tenant, rows[0], audit[0] if audit else None)
        else:
            await inserts.insert(tenant, rows, audit)
        return [_written(row, row.patients) for row in rows]
    if len(rows) == 1 and not _slow(rows[0]) and not rows[0].telling:
        return [await _replace_one(tenant, rows[0], audit[0] if audit else None)]
    return await _commit_many(tenant, rows, audit)


def _complete(audit: Sequence[AuditRow], rows: Sequence[Prepared]) -> None:
    """Fill in what the audit lines of commands could not know."""
    for line, row in zip(audit, rows, strict=False):
        line.rid, line.version, line.patients = row.rid, row.version, row.patients or None


async def _write(tenant: Tenant, rows: Sequence[Prepared], audit: Sequence[AuditRow]) -> list[Written]:
    """Write, again when PostgreSQL broke a deadlock between two bundles; the second try finds the lock free."""
    for attempt in range(_TRIES):
        try:
            return await _write_once(tenant, rows, audit)
        except (asyncpg.DeadlockDetectedError, asyncpg.SerializationError) as error:
            metrics.COMMIT_RETRIES.labels(type(error).__name__).inc()
            await asyncio.sleep(0.01 * (attempt + 1) * (1 + secrets.randbelow(8)))
    raise Unavailable(
        "Too many writers want the same resources; try again.", "commit-contended", headers={"Retry-After": "1"}
    )


async def commit(tenant: Tenant, commands: Sequence[Command], audit: Sequence[AuditRow] = ()) -> list[Written]:
    """Write all commands or none, and return the versions as they now stand, in the order of the commands.

    `audit` is empty or one line per command. Raises VersionConflict or ClaimTaken (storage/errors.py) with the position of the
    command that somebody else came before; nothing is written then, and the caller reads again and decides again.
    """
    if not commands:
        return []
    rows = await prepare(tenant, commands)
    try:
        written = await _write(tenant, rows, audit)
    except asyncpg.UniqueViolationError as error:
        for row in rows:
            tenant.rids.pop((row.command.type, row.command.id), None)
        raise _refusal(error, rows) from error
    tenant.remember(((done.type, done.id), done.rid) for done in written)
    tenant.written.update({command.type for command in commands})
    tenant.announce(OUTBOX)
    tally.written(tenant, len(commands))
    return written
