"""New resources, many in one statement: a small Bundle's, or those of requests that came at the same time.

Every table takes its rows from arrays; which tables there are decides the text, so PostgreSQL sees few and keeps them prepared.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from fhir_server.storage import tally
from fhir_server.storage.commands import AuditRow
from fhir_server.storage.prepare import Prepared
from fhir_server.storage.statements import COPY_COLUMNS, array
from fhir_server.storage.tenants import Tenant

MOST = 128
"""Rows in one statement at most; more are better copied."""

# table -> array type of each column, in the order of COPY_COLUMNS. Arrays of arrays cannot be taken apart row by row: they
# travel as text.
_TYPES: dict[str, tuple[str, ...]] = {
    "resource": (
        "bigint", "timestamptz", "smallint", "smallint", "int", "int", "smallint", "bool", "text", "text", "text", "int",
        "bytea"
    ),
    "ix_date": ("bigint", "smallint", "timestamptz", "timestamptz"),
    "ix_number": ("bigint", "smallint", "bigint", "numeric", "numeric", "bigint", "bigint", "numeric", "numeric"),
    "ix_string": ("bigint", "smallint", "text"),
    "series": ("bigint", "bigint", "bigint", "timestamptz", "timestamptz"),
    "tally_new": ("smallint", "bigint", "bigint"),
    "claim": ("bigint", "bytea"),
    "outbox": ("bigint", "timestamptz", "int", "smallint", "smallint", "smallint", "text"),
    "audit": ("timestamptz", "smallint", "smallint", "int", "smallint", "bigint", "int", "text", "text", "text", "bytea"),
}  # fmt: skip
_LISTS = frozenset({"patients", "keys"})

Tables = dict[str, list[tuple[Any, ...]]]


def _insert(table: str, first: int) -> str:
    names = COPY_COLUMNS[table]
    arrays = ", ".join(f"${first + i}::{type_}[]" for i, type_ in enumerate(_TYPES[table]))
    taken = ", ".join(f"u.{name}::bigint[]" if name in _LISTS else f"u.{name}" for name in names)
    columns = ", ".join(names)
    return f"INSERT INTO {{s}}.{table} ({columns}) SELECT {taken} FROM unnest({arrays}) u({columns})"


@cache
def _text(tables: tuple[str, ...]) -> str:
    """Return the statement that fills these tables, the last one outermost."""
    parts, first = [], 1
    for table in tables:
        parts.append(_insert(table, first))
        first += len(_TYPES[table])
    inner = ", ".join(f"i{number} AS ({part})" for number, part in enumerate(parts[:-1]))
    return f"WITH {inner} {parts[-1]}"


def _columns(table: str, records: Sequence[tuple[Any, ...]]) -> list[list[Any]]:
    columns = [list(column) for column in zip(*records, strict=True)]
    for name, column in zip(COPY_COLUMNS[table], columns, strict=True):
        if name in _LISTS:
            column[:] = [None if keys is None else array(keys) for keys in column]
    return columns


async def insert(tenant: Tenant, rows: Sequence[Prepared], audit: Sequence[AuditRow]) -> None:
    """Write all rows, all of which are new, or none: one statement, one round trip."""
    filled = {table: records for table, records in new_rows(rows, audit).items() if records}
    args = [column for table, records in filled.items() for column in _columns(table, records)]
    await tenant.pool.execute(tenant.sql(_text(tuple(filled))), *args)


def new_rows(rows: Sequence[Prepared], audit: Sequence[AuditRow]) -> Tables:
    """Return what goes into which table for rows that are new."""
    indexes = [(row.rid, row.command.index) for row in rows if row.command.index is not None]
    return {
        "resource": [row.row() for row in rows],
        "ix_date": [(rid, *date) for rid, index in indexes for date in set(index.dates)],
        "ix_number": [(rid, *number) for rid, index in indexes for number in set(index.numbers)],
        "ix_string": [(rid, *string) for rid, index in indexes for string in set(index.strings)],
        "series": [(row.rid, *point) for row in rows for point in set(row.series)],
        "tally_new": tally.of_new(rows),
        "claim": [(row.rid, key) for row in rows for key in row.command.claims],
        "outbox": [event(row) for row in rows],
        "audit": [line.values() for line in audit],
    }


def event(row: Prepared) -> tuple[Any, ...]:
    """Return the outbox row of a written version."""
    values = row.row()
    return (row.rid, row.last_updated, row.version, values[2], values[3], row.command.origin, row.patients or None)
