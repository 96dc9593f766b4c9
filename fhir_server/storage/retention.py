"""Days of which a patient has many single measurements, and forgetting the past versions of what a rule has folded away.

No Visibility: this is the custodian's own rule (docs/decisions.md), run by workers, and returns numbers only.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import date
from typing import NamedTuple

from fhir_server.storage.tenants import Tenant


class Crowded(NamedTuple):
    """A patient's UTC day of one signal, and the Observations that it is made of."""

    patient: int
    signal: int
    day: date
    rids: list[int]


async def crowded(tenant: Tenant, before: date, least: int, page: int = 100) -> AsyncIterator[Crowded]:
    """Yield the days before a date that have at least so many Observations of a signal."""
    text = """SELECT patient, signal, day, array_agg(rid ORDER BY rid) AS rids FROM {s}.signal_source
    WHERE day < $1 AND (patient, signal, day) > ($3, $4, $5) GROUP BY patient, signal, day HAVING count(*) >= $2
    ORDER BY patient, signal, day LIMIT $6"""
    last: tuple[int, int, date] = (0, -1, date.min)
    while rows := await tenant.pool.fetch(tenant.sql(text), before, least, *last, page):
        for row in rows:
            yield Crowded(row["patient"], row["signal"], row["day"], row["rids"])
        last = (rows[-1]["patient"], rows[-1]["signal"], rows[-1]["day"])


async def forget(tenant: Tenant, rids: Sequence[int]) -> None:
    """Delete the past versions of resources that are deleted now: their content is in what they were folded into."""
    text = """DELETE FROM {s}.history h USING {s}.resource r
    WHERE h.rid = r.rid AND r.deleted AND h.rid = ANY($1::bigint[])"""
    await tenant.pool.execute(tenant.sql(text), list(rids))
