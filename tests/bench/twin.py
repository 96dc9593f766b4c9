"""The twin: 90 days of minutes to all states from cold, one more day, and the nightly refresh of a ward through the database.

The first two are pure (stored blocks to states) on one core, best of five, wall and CPU. The third does what a worker does after a
night: a day's Observations of each patient merged, page, state and resources computed and committed; it is measured on a few
patients by one worker in this process and extrapolated: 1,000 patients on two workers take 500 times the mean.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from time import process_time
from typing import Any

from fhir_server.interactions import commands
from fhir_server.kit import clock, json
from fhir_server.settings import Settings
from fhir_server.storage import jobs
from fhir_server.storage.commands import IMPORT
from fhir_server.storage.commit import commit
from fhir_server.storage.tenants import Tenant
from tests.bench.rig import Rig, demo, opened
from workers.demo.generate import generate
from workers.jobs import dispatch, twin
from workers.jobs.runner import LEASE
from workers.twin import daybook
from workers.twin.block import gather
from workers.twin.codec import decode, encode
from workers.twin.recording import Recording
from workers.twin.signals import read
from workers.twin.state import REACH, State, booked_states, recorded_states
from workers.twin.zone import zone_of

END = date(2026, 11, 21)
PATIENTS, ROUNDS = 6, 5
COLD_S, DAY_MS, NIGHT_S = 1.0, 50.0, 300.0
"""What was asked for."""

Json = dict[str, Any]


def pure() -> Json:
    """Return the figures of one patient without a database."""
    resources = [entry["resource"] for bundle in generate(7, 1, end=END) for entry in bundle["entry"]]
    zone = next(zone_of(r) for r in resources if r["resourceType"] == "Patient")
    signals = [r for r in resources if r["resourceType"] in ("Observation", "QuestionnaireResponse")]
    stored = {k: encode(block) for k, block in gather((i, 1, read(r)) for i, r in enumerate(signals, 1)).items()}
    day = END - timedelta(days=1)
    first, last = daybook.blocks_needed(day, day)
    near = {key: body for key, body in stored.items() if first <= key[1] <= last}

    def cold() -> list[State]:
        return recorded_states(Recording.of({key: decode(body) for key, body in stored.items()}, zone))

    recording = Recording.of({key: decode(body) for key, body in stored.items()}, zone)
    kept = {d: daybook.encode(p) for d, p in daybook.pages(recording, daybook.touched(recording)).items() if d != day}

    def another() -> list[State]:
        book = {d: daybook.decode_numbers(body) for d, body in kept.items() if d >= day - timedelta(days=REACH)}
        book |= daybook.pages(Recording.of({key: decode(body) for key, body in near.items()}, zone), [day])
        return booked_states(book, [day])

    (wall, cpu), whole = _best(cold)
    (day_wall, day_cpu), one = _best(another)
    if one != [state for state in whole if state.day == day]:
        raise AssertionError("one more day gives another state than a computation from zero")
    return {
        "cold_s": round(wall, 3), "cold_cpu_s": round(cpu, 3), "cold_of_limit": round(wall / COLD_S, 2),
        "day_ms": round(day_wall * 1e3, 1), "day_cpu_ms": round(day_cpu * 1e3, 1),
        "day_of_limit": round(day_wall * 1e3 / DAY_MS, 2), "states": len(whole),
    }  # fmt: skip


def _best(run: Callable[[], list[State]]) -> tuple[tuple[float, float], list[State]]:
    found = []
    for _ in range(ROUNDS):
        wall, cpu = clock.monotonic(), process_time()
        made = run()
        found.append((clock.monotonic() - wall, process_time() - cpu))
    return min(found), made


async def measure(rig: Rig) -> Json:
    """Return all figures."""
    async with opened(rig.settings, "default") as tenant:
        return pure() | await _night(tenant, rig.settings)


async def _night(tenant: Tenant, settings: Settings) -> Json:
    """Give a worker all days but the last of some patients, then the last one, and time that."""
    resources = demo(7, PATIENTS, END, "twin")
    own = [r for r in resources if r["resourceType"] in ("Patient", "Device", "Observation")]
    tonight = [r for r in own if r["resourceType"] == "Observation" and r["id"].endswith(f"{END:%Y%m%d}")]
    await _put(tenant, [r for r in own if r not in tonight])
    await _work(tenant, settings)
    await _put(tenant, tonight)
    began, cpu = clock.monotonic(), process_time()
    count = await _work(tenant, settings)
    seconds, busy = clock.monotonic() - began, process_time() - cpu
    night = seconds / max(count, 1) * 500
    return {
        "refresh_ms": round(seconds / max(count, 1) * 1e3, 1), "refresh_cpu_ms": round(busy / max(count, 1) * 1e3, 1),
        "refreshed": count, "observations": len(tonight),
        "thousand_on_two_workers_s": round(night, 1), "night_of_limit": round(night / NIGHT_S, 2), "extrapolated": True,
    }  # fmt: skip


async def _put(tenant: Tenant, resources: list[Json]) -> None:
    for start in range(0, len(resources), 400):
        some = [json.decode_trusted(json.encode(r)) for r in resources[start : start + 400]]
        await commit(tenant, [commands.build(tenant, r, r["id"], current=None, origin=IMPORT) for r in some])


async def _work(tenant: Tenant, settings: Settings) -> int:
    """Do what a worker does until nothing is left; return how many twins were refreshed."""
    count = 0
    while await dispatch.dispatch(tenant, settings):
        pass
    await tenant.pool.execute(tenant.sql("UPDATE {s}.job SET run_at = now() WHERE kind = 'twin' AND state = 'ready'"))
    while found := await jobs.claim(tenant, [dispatch.TWIN], LEASE):
        await twin.run(tenant, found[0], settings)
        await jobs.finish(tenant.pool, tenant, found[0])
        count += 1
    return count
