"""Emergency access: rows of who took it, to whose record, until when. Numbers and sealed reasons, no resources."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from fhir_server.storage.tenants import Tenant

_SEAL = b"glass/reason"


@dataclass(frozen=True, slots=True)
class Glass:
    """One opening: half-open in time, as everything here."""

    agent: int
    patient: int
    began_at: datetime
    ends_at: datetime
    client_id: str = ""
    person: str | None = None
    reason: str = ""
    notice: str = ""


async def add(tenant: Tenant, glass: Glass) -> None:
    """Write an opening down; it holds from then on."""
    text = "INSERT INTO {s}.glass (agent, patient, reason, notice, began_at, ends_at) VALUES ($1, $2, $3, $4, $5, $6)"
    reason = tenant.keystore.seal(glass.reason.encode(), _SEAL)
    args = (glass.agent, glass.patient, reason, glass.notice, glass.began_at, glass.ends_at)
    await tenant.pool.execute(tenant.sql(text), *args)


async def open_for(tenant: Tenant, agent: int, now: datetime) -> list[Glass]:
    """Return what is open for an agent."""
    text = "SELECT agent, patient, began_at, ends_at FROM {s}.glass WHERE agent = $1 AND ends_at > $2"
    return [Glass(**row) for row in await tenant.pool.fetch(tenant.sql(text), agent, now)]


async def during(tenant: Tenant, agents: Iterable[int]) -> list[Glass]:
    """Return all openings of some agents, for the audit trail: what they did meanwhile was done for that purpose."""
    text = "SELECT agent, patient, began_at, ends_at FROM {s}.glass WHERE agent = ANY($1::int[])"
    return [Glass(**row) for row in await tenant.pool.fetch(tenant.sql(text), list(agents))]


async def listed(tenant: Tenant, limit: int) -> Sequence[Glass]:
    """Return the newest openings with their reasons, for who watches over them."""
    text = """
    SELECT g.agent, g.patient, g.began_at, g.ends_at, g.notice, g.reason, a.client_id, a.person
    FROM {s}.glass g JOIN {s}.agent a ON a.id = g.agent ORDER BY g.began_at DESC, g.id DESC LIMIT $1
    """
    return [_whole(tenant, row) for row in await tenant.pool.fetch(tenant.sql(text), limit)]


def _whole(tenant: Tenant, row: Any) -> Glass:
    return Glass(**dict(row) | {"reason": tenant.keystore.open(row["reason"], _SEAL).decode()})
