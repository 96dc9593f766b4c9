"""Signal blocks at rest: per patient, signal and UTC day, encrypted by the patient's key; what is in one is the twin's affair."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date

import asyncpg

from fhir_server.storage import codec
from fhir_server.storage.tenants import Tenant

BlockId = tuple[int, date]
"""(signal number, UTC day)."""


def _aad(tenant: Tenant, patient: int, block: BlockId) -> bytes:
    return f"{tenant.name}/signal-block/{patient}/{block[0]}/{block[1]}".encode()


async def read(
    connection: asyncpg.Connection | asyncpg.Pool,
    tenant: Tenant,
    patient: int,
    first: date | None = None,
    last: date | None = None,
    signals: Sequence[int] | None = None,
) -> dict[BlockId, bytes]:
    """Return the patient's blocks of the days `first` to `last` and of these signals (all by default), decrypted."""
    text = """SELECT signal, day, key_id, body FROM {s}.signal_block
    WHERE patient = $1 AND day BETWEEN coalesce($2::date, '-infinity') AND coalesce($3::date, 'infinity')
      AND ($4::smallint[] IS NULL OR signal = ANY($4)) ORDER BY signal, day"""
    rows = await connection.fetch(tenant.sql(text), patient, first, last, signals)
    found = {}
    for row in rows:
        block = (row["signal"], row["day"])
        found[block] = codec.decode(row["body"], tenant.keystore.get(row["key_id"]), _aad(tenant, patient, block))
    return found


async def write(
    connection: asyncpg.Connection, tenant: Tenant, patient: int, key_id: int, blocks: Mapping[BlockId, bytes | None]
) -> None:
    """Put blocks in place of what was there; None removes one. In the caller's transaction."""
    gone = [block for block, body in blocks.items() if body is None]
    if gone:
        text = """DELETE FROM {s}.signal_block b USING unnest($2::smallint[], $3::date[]) u(signal, day)
        WHERE b.patient = $1 AND b.signal = u.signal AND b.day = u.day"""
        await connection.execute(tenant.sql(text), patient, [signal for signal, _ in gone], [day for _, day in gone])
    cipher = tenant.keystore.get(key_id)
    rows = [
        (patient, block[0], block[1], key_id, codec.encode(body, cipher, _aad(tenant, patient, block)))
        for block, body in blocks.items()
        if body is not None
    ]
    text = """INSERT INTO {s}.signal_block (patient, signal, day, key_id, body) VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT (patient, signal, day) DO UPDATE SET key_id = excluded.key_id, body = excluded.body"""
    if rows:
        await connection.executemany(tenant.sql(text), rows)


async def key_of(tenant: Tenant, patient: int) -> int | None:
    """Return the patient's data key, None when nothing of the patient was ever stored."""
    if patient not in tenant.patient_keys:
        key_id = await tenant.pool.fetchval(
            tenant.sql("SELECT key_id FROM {s}.patient_key WHERE patient = $1"), patient
        )
        if key_id is None:
            return None
        tenant.patient_keys[patient] = key_id
    return tenant.patient_keys[patient]


async def mark_pending(connection: asyncpg.Connection, tenant: Tenant, pairs: Iterable[tuple[int, int]]) -> None:
    """Note that these (patient, Observation rid) have changed and are not in the blocks yet."""
    wanted = sorted(set(pairs))
    text = "INSERT INTO {s}.signal_pending (patient, rid) SELECT * FROM unnest($1::bigint[], $2::bigint[]) ON CONFLICT DO NOTHING"
    if wanted:
        await connection.execute(tenant.sql(text), [patient for patient, _ in wanted], [rid for _, rid in wanted])


async def take_pending(connection: asyncpg.Connection, tenant: Tenant, patient: int, limit: int) -> list[int]:
    """Remove and return Observations of the patient that wait, in the transaction that will write their blocks."""
    text = """DELETE FROM {s}.signal_pending WHERE patient = $1 AND rid IN (
      SELECT rid FROM {s}.signal_pending WHERE patient = $1 ORDER BY rid LIMIT $2) RETURNING rid"""
    return [row["rid"] for row in await connection.fetch(tenant.sql(text), patient, limit)]


async def sources(connection: asyncpg.Connection, tenant: Tenant, rids: Sequence[int]) -> dict[int, set[BlockId]]:
    """Return in which blocks each Observation has samples now."""
    found: dict[int, set[BlockId]] = {}
    text = "SELECT rid, signal, day FROM {s}.signal_source WHERE rid = ANY($1::bigint[])"
    for row in await connection.fetch(tenant.sql(text), list(rids)):
        found.setdefault(row["rid"], set()).add((row["signal"], row["day"]))
    return found


async def set_sources(
    connection: asyncpg.Connection, tenant: Tenant, patient: int, placed: Mapping[int, set[BlockId]]
) -> None:
    """Note in which blocks each Observation has samples, in place of what was noted."""
    await connection.execute(tenant.sql("DELETE FROM {s}.signal_source WHERE rid = ANY($1::bigint[])"), list(placed))
    rows = [(rid, patient, signal, day) for rid, where in placed.items() for signal, day in sorted(where)]
    if rows:
        await connection.copy_records_to_table(
            "signal_source", schema_name=tenant.schema, records=rows, columns=("rid", "patient", "signal", "day")
        )


async def mark_changed(connection: asyncpg.Connection, tenant: Tenant, patient: int, days: Iterable[date]) -> None:
    """Note that twin states have to be computed from the blocks of these UTC days."""
    text = "INSERT INTO {s}.signal_changed (patient, day) SELECT $1, * FROM unnest($2::date[]) ON CONFLICT DO NOTHING"
    await connection.execute(tenant.sql(text), patient, sorted(days))


async def changed_days(tenant: Tenant, patient: int) -> list[date]:
    """Return the UTC days whose states are not computed yet."""
    text = "SELECT day FROM {s}.signal_changed WHERE patient = $1 ORDER BY day"
    return [row["day"] for row in await tenant.pool.fetch(tenant.sql(text), patient)]


async def days(tenant: Tenant, patient: int) -> list[date]:
    """Return the UTC days of which there are blocks."""
    text = "SELECT DISTINCT day FROM {s}.signal_block WHERE patient = $1 ORDER BY day"
    return [row["day"] for row in await tenant.pool.fetch(tenant.sql(text), patient)]


async def clear_changed(tenant: Tenant, patient: int, days: Sequence[date]) -> None:
    """Forget days whose states are computed."""
    text = "DELETE FROM {s}.signal_changed WHERE patient = $1 AND day = ANY($2::date[])"
    await tenant.pool.execute(tenant.sql(text), patient, list(days))


async def unfinished(tenant: Tenant, patient: int) -> bool:
    """Tell whether anything that was committed about the patient has not reached the twin yet."""
    text = """SELECT EXISTS (SELECT FROM {s}.signal_pending WHERE patient = $1)
      OR EXISTS (SELECT FROM {s}.signal_changed WHERE patient = $1)
      OR EXISTS (SELECT FROM {s}.job WHERE kind = 'twin' AND key = $1::bigint::text AND state IN ('ready', 'running'))"""
    return bool(await tenant.pool.fetchval(tenant.sql(text), patient))


async def erased(tenant: Tenant, patient: int) -> bool:
    """Tell whether the patient's data key was destroyed, and with it everything that blocks and twin were made of."""
    key_id = await key_of(tenant, patient)
    return key_id is not None and tenant.keystore.destroyed(key_id)


async def forget(tenant: Tenant, patient: int) -> None:
    """Drop all blocks of an erased patient and what waits to become one."""
    async with tenant.pool.acquire() as connection, connection.transaction():
        for table in ("signal_pending", "signal_changed", "signal_source", "signal_block", "twin_day", "twin_book"):
            await connection.execute(tenant.sql(f"DELETE FROM {{s}}.{table} WHERE patient = $1"), patient)
