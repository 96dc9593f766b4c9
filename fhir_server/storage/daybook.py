"""Daybooks at rest: of each patient and local day a page and what was made of it, encrypted; what is in them is the twin's affair.

Nothing here asks who may see it: workers write, and `operations/timeline` shows only what rests on resources that the caller sees.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date

import asyncpg

from fhir_server.storage import blocks, codec
from fhir_server.storage.keystore import KeyDestroyed
from fhir_server.storage.tenants import Tenant


@dataclass(frozen=True, slots=True)
class Kept:
    """One local day: its page, and its state where one was computed."""

    page: bytes
    state: bytes | None


def _aad(tenant: Tenant, patient: int, day: date | str, part: str) -> bytes:
    return f"{tenant.name}/twin-{part}/{patient}/{day}".encode()


async def read(tenant: Tenant, patient: int, first: date, last: date) -> dict[date, Kept]:
    """Return what is kept of the days `first` to `last`, decrypted; nothing of a patient whose key was destroyed."""
    text = "SELECT day, key_id, page, state FROM {s}.twin_day WHERE patient = $1 AND day BETWEEN $2 AND $3 ORDER BY day"
    found = {}
    for row in await tenant.pool.fetch(tenant.sql(text), patient, first, last):
        try:
            key, day = tenant.keystore.get(row["key_id"]), row["day"]
            page = codec.decode(row["page"], key, _aad(tenant, patient, day, "page"))
            state = row["state"] and codec.decode(row["state"], key, _aad(tenant, patient, day, "state"))
        except KeyDestroyed:
            return {}
        found[day] = Kept(page, state)
    return found


async def span(tenant: Tenant, patient: int) -> tuple[date, date] | None:
    """Return the first and the last day that has a state."""
    text = "SELECT min(day) AS first, max(day) AS last FROM {s}.twin_day WHERE patient = $1 AND state IS NOT NULL"
    row = await tenant.pool.fetchrow(tenant.sql(text), patient)
    return (row["first"], row["last"]) if row and row["first"] else None


async def patients(tenant: Tenant, after: int, most: int) -> list[int]:
    """Return the patients that have pages, in order from beyond `after`."""
    text = "SELECT DISTINCT patient FROM {s}.twin_day WHERE patient > $1 ORDER BY patient LIMIT $2"
    return [row["patient"] for row in await tenant.pool.fetch(tenant.sql(text), after, most)]


async def write_pages(
    connection: asyncpg.Connection, tenant: Tenant, patient: int, pages: Mapping[date, bytes], gone: Iterable[date]
) -> None:
    """Put pages in place of what was there and remove those of days that are gone. In the caller's transaction."""
    key_id = await _key(tenant, patient)
    cipher = tenant.keystore.get(key_id)
    await connection.execute(
        tenant.sql("DELETE FROM {s}.twin_day WHERE patient = $1 AND day = ANY($2::date[])"), patient, sorted(gone)
    )
    text = """INSERT INTO {s}.twin_day (patient, day, key_id, page) VALUES ($1, $2, $3, $4)
    ON CONFLICT (patient, day) DO UPDATE SET key_id = excluded.key_id, page = excluded.page,
      state = CASE WHEN twin_day.key_id = excluded.key_id THEN twin_day.state END"""
    rows = [
        (patient, day, key_id, codec.encode(body, cipher, _aad(tenant, patient, day, "page")))
        for day, body in pages.items()
    ]
    if rows:
        await connection.executemany(tenant.sql(text), rows)


async def write_states(
    connection: asyncpg.Connection, tenant: Tenant, patient: int, states: Mapping[date, bytes | None]
) -> None:
    """Put states beside their pages. In the caller's transaction."""
    key_id = await _key(tenant, patient)
    cipher = tenant.keystore.get(key_id)
    text = "UPDATE {s}.twin_day SET state = $4 WHERE patient = $1 AND day = $2 AND key_id = $3"
    rows = [
        (patient, day, key_id, body and codec.encode(body, cipher, _aad(tenant, patient, day, "state")))
        for day, body in states.items()
    ]
    if rows:
        await connection.executemany(tenant.sql(text), rows)


async def stamp(tenant: Tenant, patient: int) -> str:
    """Return by what the patient's pages were made, "" when there are none."""
    text = tenant.sql("SELECT key_id, stamp FROM {s}.twin_book WHERE patient = $1")
    row = await tenant.pool.fetchrow(text, patient)
    if row is None:
        return ""
    key = tenant.keystore.get(row["key_id"])
    return codec.decode(row["stamp"], key, _aad(tenant, patient, "", "book")).decode()


async def write_stamp(connection: asyncpg.Connection, tenant: Tenant, patient: int, made_by: str) -> None:
    """Note by what the patient's pages are made from now on."""
    key_id = await _key(tenant, patient)
    body = codec.encode(made_by.encode(), tenant.keystore.get(key_id), _aad(tenant, patient, "", "book"))
    text = """INSERT INTO {s}.twin_book (patient, key_id, stamp) VALUES ($1, $2, $3)
    ON CONFLICT (patient) DO UPDATE SET key_id = excluded.key_id, stamp = excluded.stamp"""
    await connection.execute(tenant.sql(text), patient, key_id, body)


async def _key(tenant: Tenant, patient: int) -> int:
    key_id = await blocks.key_of(tenant, patient)
    if key_id is None:
        raise LookupError(f"patient rid {patient} has signals but no data key")
    return key_id
