"""The predictions about a patient: asked of every model that is served, written as RiskAssessments, every night and on demand.

They are a function of the daybook, the ratings and the models: what did not change is not written again. Their origin wakes
nothing. Features are also counted for drift (`metrics.PSI`), in this process, against what the model learned from.
"""

from __future__ import annotations

import asyncio
from datetime import date, timedelta
from zoneinfo import ZoneInfo

from fhir_server.auth.principals import worker_principal
from fhir_server.context import RequestContext
from fhir_server.kit import clock, ids, json
from fhir_server.search import run as search
from fhir_server.settings import Settings
from fhir_server.storage import blocks, daybook, jobs, predictions
from fhir_server.storage.commands import PREDICTION
from fhir_server.storage.errors import VersionConflict
from fhir_server.storage.jobs import Job
from fhir_server.storage.tenants import Tenant
from fhir_server.storage.visibility import EVERYTHING
from workers.jobs import writeback
from workers.jobs.twin import Subject, subject
from workers.ml.answers.drift import watch
from workers.ml.answers.patient import HISTORY, SCALES, TREATMENT, Known, Rating, answers
from workers.ml.answers.shelf import Models, opened
from workers.twin.codes import actigraphy
from workers.twin.daybook import decode
from workers.twin.digest import read as read_digest
from workers.twin.resources import Resource

EVERY_SECONDS = 300.0
_PAGE = 5_000
_TRIES = 8


async def nightly(tenant: Tenant, settings: Settings) -> bool:
    """Ask for the predictions of everybody with a daybook, once a night from `PREDICTION_HOUR` on; True while there are more."""
    local = clock.now().astimezone(ZoneInfo(settings.time_zone))
    night = local.replace(hour=settings.prediction_hour, minute=0, second=0, microsecond=0)
    if local < night:
        night -= timedelta(days=1)
    patients = await predictions.due(tenant, night, _PAGE)
    now = clock.now()
    await jobs.add(tenant.pool, tenant, [(predictions.KIND, str(patient), {}, now) for patient in patients])
    return len(patients) == _PAGE


async def run(tenant: Tenant, job: Job, settings: Settings) -> None:
    """Write what the models say of the patient whose rid is the job's key."""
    patient = int(job.key)
    span = None if await blocks.erased(tenant, patient) else await daybook.span(tenant, patient)
    if span is None:
        return
    models = await asyncio.to_thread(opened, settings)
    who = await subject(tenant, patient, settings)
    for attempt in range(_TRIES):
        known = await _known(tenant, who, span[1], settings)
        try:
            answered = await asyncio.to_thread(_answers, known, models)
            await writeback.write(tenant, job, answered, {}, PREDICTION)
        except VersionConflict:
            await asyncio.sleep(0.05 * 2**attempt)
            continue
        return
    raise TimeoutError(f"predictions of patient rid {patient} were overtaken {_TRIES} times")


def _answers(known: Known, models: Models) -> list[Resource]:
    watch(known, models)
    return answers(known, models)


async def _known(tenant: Tenant, who: Subject, last: date, settings: Settings) -> Known:
    kept = await daybook.read(tenant, who.rid, last - timedelta(days=HISTORY), last)
    told = {day: read_digest(each.state) for day, each in kept.items() if each.state}
    pages = {day: decode(each.page) for day, each in kept.items()}
    return Known(
        who.id, who.zone, last, pages, told, await _ratings(tenant, who, last, settings), settings.canonical_base
    )


async def _ratings(tenant: Tenant, who: Subject, last: date, settings: Settings) -> dict[str, list[Rating]]:
    """Return the ratings of the patient by scale, of as many days as matter."""
    ctx = RequestContext(tenant, await worker_principal(tenant), ids.request_id(), tenant.base)
    system, first = actigraphy(settings.canonical_base), last - timedelta(days=TREATMENT + 7)
    codes = ",".join(f"{system}|{scale}" for scale in SCALES)
    query = [
        ("patient", who.id), ("code", codes), ("status", "final,amended,corrected"), ("date", f"ge{first}"), ("_count", "200"),
    ]  # fmt: skip
    page = await search.search(ctx, "Observation", query, visibility=EVERYTHING)
    found: dict[str, list[Rating]] = {}
    for row in page.rows:
        resource = json.decode_trusted(row.body)
        when, value = resource.get("effectiveDateTime"), resource.get("valueQuantity", {}).get("value")
        scale = next((c["code"] for c in resource["code"]["coding"] if c.get("code") in SCALES), None)
        if scale and when and len(when) >= 10 and value is not None:
            found.setdefault(scale, []).append(
                Rating(date.fromisoformat(when[:10]), float(value), f"Observation/{row.id}")
            )
    return found
