"""A night's predictions: what a worker needs for a patient, through the database; first ones, and the next night's.

Measured on a few patients by one worker in this process and extrapolated: 1,000 patients on two workers take 500 times the mean.
"""

from __future__ import annotations

from time import process_time
from typing import Any

from fhir_server.kit import clock
from fhir_server.settings import Settings
from fhir_server.storage import jobs, predictions
from fhir_server.storage.tenants import Tenant
from tests.bench.rig import Rig, demo, opened
from tests.bench.twin import END, _put, _work
from workers.jobs import predict
from workers.jobs.runner import LEASE

PATIENTS = 8
NIGHT_S = 300.0
"""What was asked for: 1,000 patients in five minutes."""


async def measure(rig: Rig) -> dict[str, Any]:
    """Return milliseconds a patient, wall and CPU, and seconds of 1,000 patients on two workers."""
    async with opened(rig.settings, "default") as tenant:
        resources = demo(11, PATIENTS, END, "predicted")
        await _put(tenant, [r for r in resources if r["resourceType"] in ("Patient", "Observation")])
        await _work(tenant, rig.settings)
        own = [r["id"] for r in resources if r["resourceType"] == "Patient"]
        first, _ = await _night(tenant, rig.settings, own)
        again, cpu = await _night(tenant, rig.settings, own)
    night = max(first, again) * 500
    return {
        "patients": len(own), "first_ms": round(first * 1e3, 1), "again_ms": round(again * 1e3, 1),
        "cpu_ms": round(cpu * 1e3, 1), "thousand_on_two_workers_s": round(night, 1),
        "night_of_limit": round(night / NIGHT_S, 2), "extrapolated": True,
    }  # fmt: skip


async def _night(tenant: Tenant, settings: Settings, own: list[str]) -> tuple[float, float]:
    """Predict about the patients as a worker does; return seconds a patient, wall and CPU."""
    rids = [tenant.rids["Patient", id_] for id_ in own]
    await jobs.add(tenant.pool, tenant, [(predictions.KIND, str(rid), {}, clock.now()) for rid in rids])
    began, busy, count = clock.monotonic(), process_time(), 0
    while found := await jobs.claim(tenant, [predictions.KIND], LEASE):
        await predict.run(tenant, found[0], settings)
        await jobs.finish(tenant.pool, tenant, found[0])
        count += 1
    if count < len(own):
        raise AssertionError(f"{count} of {len(own)} predictions were made")
    return (clock.monotonic() - began) / count, (process_time() - busy) / count
