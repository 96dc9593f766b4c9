"""Which patients are to have a prediction tonight; asks for ids only, so nothing here needs a visibility."""

from __future__ import annotations

from datetime import datetime

from fhir_server.storage.tenants import Tenant

KIND = "predict"


async def due(tenant: Tenant, since: datetime, most: int) -> list[int]:
    """Return patients with a daybook whose last prediction ended before `since` and that wait for none."""
    text = """SELECT b.patient FROM {s}.twin_book b WHERE NOT EXISTS (
      SELECT 1 FROM {s}.job j WHERE j.kind = $1 AND j.key = b.patient::text
        AND (j.finished_at >= $2 OR j.state IN ('ready', 'running', 'dead') AND j.run_at >= $2))
    ORDER BY b.patient LIMIT $3"""
    return [row["patient"] for row in await tenant.pool.fetch(tenant.sql(text), KIND, since, most)]


async def finished(tenant: Tenant, patient: int, since: datetime) -> bool:
    """Tell whether a prediction of the patient ended after a moment of the database's clock."""
    text = "SELECT true FROM {s}.job WHERE kind = $1 AND key = $2 AND state = 'done' AND finished_at > $3"
    return bool(await tenant.pool.fetchval(tenant.sql(text), KIND, str(patient), since))


async def now(tenant: Tenant) -> datetime:
    """Return the database's clock, by which jobs note when they ended."""
    found: datetime = await tenant.pool.fetchval("SELECT clock_timestamp()")
    return found
