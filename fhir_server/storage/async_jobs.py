"""Requests that are answered later: what was asked, how far it is, what came of it; the job queue only says that it is due.

Only who asked may look (`agent`), so every function for callers takes it. Requests and results are sealed with the tenant's key; a
place to go on from holds numbers and type names only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from fhir_server.kit import clock, ids, json
from fhir_server.storage import jobs
from fhir_server.storage.tenants import JOBS, Tenant

QUEUE = "async"
"""The kind of job that works on them; its key is the id."""
KEPT = timedelta(hours=24)
"""How long a result can be fetched."""
MOST_OPEN = 20
"""How many requests of one agent may wait for their answer at a time."""
_AAD = b"async job"
_START = """
INSERT INTO {s}.async_job (id, agent, kind, request) SELECT $1, $2, $3, $4
WHERE (SELECT count(*) FROM {s}.async_job WHERE agent = $2 AND state IN ('waiting', 'running')) < $5 RETURNING true
"""
_COLUMNS = "id, agent, kind, request, state, done, total, place::text, status, body, created_at, finished_at"


@dataclass(frozen=True, slots=True)
class AsyncJob:
    """One request; `request` and `result` are JSON, unsealed; `status` is the HTTP status that it came to."""

    id: str
    agent: int
    kind: str
    request: dict[str, Any]
    state: str
    done: int
    total: int | None
    place: dict[str, Any]
    status: int | None
    result: bytes
    created_at: datetime
    finished_at: datetime | None


def _job(tenant: Tenant, row: Any) -> AsyncJob:
    body = row["body"]
    return AsyncJob(
        row["id"], row["agent"], row["kind"], json.decode_trusted(tenant.keystore.open(row["request"], _aad(row["id"]))),
        row["state"], row["done"], row["total"], json.decode_trusted((row["place"] or "{}").encode()), row["status"],
        b"" if body is None else tenant.keystore.open(body, _aad(row["id"])), row["created_at"], row["finished_at"],
    )  # fmt: skip


def _aad(id_: str) -> bytes:
    return _AAD + b" " + id_.encode()


async def start(tenant: Tenant, agent: int, kind: str, request: dict[str, Any]) -> str | None:
    """Keep a request and ask the workers for it; return its id, None when MOST_OPEN of this agent wait already."""
    id_ = ids.new_id()
    sealed = tenant.keystore.seal(json.encode(request), _aad(id_))
    async with tenant.pool.acquire() as connection, connection.transaction():
        if not await connection.fetchval(tenant.sql(_START), id_, agent, kind, sealed, MOST_OPEN):
            return None
        await jobs.add(connection, tenant, [(QUEUE, id_, {}, clock.now())])
    tenant.announce(JOBS)
    return id_


async def find(tenant: Tenant, id_: str, agent: int | None = None) -> AsyncJob | None:
    """Return a request of this agent; without one (for the workers) whosever it is."""
    text = f"SELECT {_COLUMNS} FROM {{s}}.async_job WHERE id = $1 AND ($2::int IS NULL OR agent = $2)"
    row = await tenant.pool.fetchrow(tenant.sql(text), id_, agent)
    return _job(tenant, row) if row else None


async def advance(tenant: Tenant, id_: str, *, done: int, total: int | None, place: dict[str, Any]) -> bool:
    """Note how far it is and where it goes on; False when it was cancelled and the work must end."""
    text = (
        "UPDATE {s}.async_job SET state = 'running', done = $2, total = $3, place = $4::jsonb"
        " WHERE id = $1 AND state IN ('waiting', 'running')"
    )
    done_: str = await tenant.pool.execute(tenant.sql(text), id_, done, total, json.encode(place).decode())
    return done_.endswith(" 1")


async def finish(tenant: Tenant, id_: str, status: int, body: bytes, patients: Sequence[int] = ()) -> None:
    """Keep what came of it, and whom it is about; nothing when it was cancelled."""
    text = (
        "UPDATE {s}.async_job SET state = 'done', status = $2, body = $3, place = $4::jsonb, finished_at = now()"
        " WHERE id = $1 AND state IN ('waiting', 'running')"
    )
    sealed = tenant.keystore.seal(body, _aad(id_))
    place = json.encode({"patients": list(patients)}).decode()
    await tenant.pool.execute(tenant.sql(text), id_, status, sealed, place)


async def cancel(tenant: Tenant, id_: str, agent: int) -> bool:
    """End a request, or forget its result; False when this agent has none of this id."""
    text = (
        "UPDATE {s}.async_job SET state = 'cancelled', body = NULL, finished_at = now()"
        " WHERE id = $1 AND agent = $2 AND state <> 'cancelled'"
    )
    done: str = await tenant.pool.execute(tenant.sql(text), id_, agent)
    return done.endswith(" 1")


async def forget(tenant: Tenant) -> int:
    """Delete what was finished long ago, with its place in the queue; return how many there were."""
    text = """WITH gone AS (DELETE FROM {s}.async_job WHERE finished_at < $1 RETURNING id)
    DELETE FROM {s}.job USING gone WHERE kind = $2 AND key = gone.id"""
    done: str = await tenant.pool.execute(tenant.sql(text), clock.now() - KEPT, QUEUE)
    return int(done.rsplit(" ", 1)[1])
