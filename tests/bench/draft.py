"""Drafting a note from 90 days: gathered, drafted by rules, checked and written, as a worker does it, without a model's time."""

from __future__ import annotations

import statistics
from typing import Any

from fhir_server.auth import principals
from fhir_server.kit import clock
from fhir_server.settings import Settings
from fhir_server.storage import async_jobs, ident, jobs
from fhir_server.storage.tenants import Tenant
from tests.bench import twin
from tests.bench.rig import Rig, demo, opened
from workers.jobs import asynchronous
from workers.jobs.runner import LEASE
from workers.notes.record import TYPES

PATIENTS, ROUNDS, DAYS = 2, 5, 90
LIMIT_S = 2.0
"""What was asked for."""


async def measure(rig: Rig) -> dict[str, Any]:
    """Return seconds for one note: the middle and the worst of some rounds over some patients."""
    async with opened(rig.settings, "default") as tenant:
        resources = demo(11, PATIENTS, twin.END, "drafted")
        kept = [r for r in resources if r["resourceType"] in {"Patient", "Device", *TYPES}]
        await twin._put(tenant, kept)
        await twin._work(tenant, rig.settings)
        whose = sorted(r["id"] for r in kept if r["resourceType"] == "Patient")
        found = [await _one(tenant, rig.settings, who) for _ in range(ROUNDS) for who in whose]
    middle = statistics.median(seconds for seconds, _ in found)
    return {
        "p50_s": round(middle, 3), "worst_s": round(max(seconds for seconds, _ in found), 3), "days": DAYS,
        "of_limit": round(middle / LIMIT_S, 2), "notes": len(found), "bytes": max(size for _, size in found),
    }  # fmt: skip


async def _one(tenant: Tenant, settings: Settings, who: str) -> tuple[float, int]:
    agent = (await principals.worker_principal(tenant)).agent
    first = twin.END.fromordinal(twin.END.toordinal() - DAYS + 1)
    asked = {"patient": who, "kind": "progress", "language": "en", "rules": True}
    asked |= {"since": first.isoformat(), "until": twin.END.isoformat()}
    id_ = await async_jobs.start(tenant, agent, "draft-note", asked)
    [job] = await jobs.claim(tenant, [async_jobs.QUEUE], LEASE)
    began = clock.monotonic()
    await asynchronous.run(tenant, job, settings)
    seconds = clock.monotonic() - began
    await jobs.finish(tenant.pool, tenant, job)
    assert id_ is not None
    done = await async_jobs.find(tenant, id_)
    if done is None or done.status != 200 or await ident.known_rid(tenant, "DocumentReference", f"note-{id_}") is None:
        raise AssertionError("no note was written")
    return seconds, len(done.result)
