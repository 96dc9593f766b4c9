"""Writes the Communications of reminders when they are due; the job of messages sends them.

A job for each Appointment, Task, ServiceRequest and CarePlan that changed; it waits for what will be due. The id of a reminder
follows from the occurrence, so there is one at most, however often this runs. An appointment that was cancelled or moved withdraws
the reminders that have not left, by the look at it before sending (`message.py`); the new time is another occurrence.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from fhir_server.audit.record import audit_row, write_audit
from fhir_server.auth.principals import worker_principal
from fhir_server.context import RequestContext
from fhir_server.kit import clock, ids
from fhir_server.kit.clock import instant
from fhir_server.search import run as search
from fhir_server.settings import Settings
from fhir_server.storage import jobs, reads
from fhir_server.storage.commands import IMPORT
from fhir_server.storage.errors import VersionConflict
from fhir_server.storage.jobs import Job
from fhir_server.storage.tenants import Tenant
from fhir_server.storage.visibility import EVERYTHING
from profiles.psych import messages as codes
from workers.jobs import dispatch
from workers.messages import record
from workers.messages.due import Due, dues
from workers.twin.zone import zone_of

KIND: Final = dispatch.REMIND
_AHEAD: Final = timedelta(days=30)
"""What is due later is looked at again by then: zones and settings change."""
Resource = dict[str, Any]


async def run(tenant: Tenant, job: Job, settings: Settings) -> None:
    """Remind of what is due of the resource whose rid is the job's key, and wait for what comes."""
    found = await reads.fetch(tenant, [int(job.key)])
    if not found or not settings.reminder_hours:
        return
    now, source = clock.now(), f"{found[0].type}/{found[0].id}"
    resource = record.decoded(found[0])
    zone = await _zone(tenant, resource, settings)
    coming = []
    for due in dues(resource, now, zone, settings.reminder_hours):
        if due.at > now:
            coming.append(due.at)
        elif not _over(resource, now) and not await _answered(tenant, due):
            await _remind(tenant, source, due, settings)
    if coming:
        await jobs.add(tenant.pool, tenant, [(KIND, job.key, {}, min(min(coming), now + _AHEAD).astimezone(UTC))])


def _over(resource: Resource, now: datetime) -> bool:
    start = resource.get("start")
    return start is not None and datetime.fromisoformat(str(start)) <= now


async def _zone(tenant: Tenant, resource: Resource, settings: Settings) -> ZoneInfo:
    """Return the patient's clock."""
    reference = str((resource.get("for") or resource.get("subject") or {}).get("reference", ""))
    type_, _, id_ = reference.partition("/")
    stored = await reads.read(tenant, "Patient", id_, EVERYTHING) if type_ == "Patient" else None
    patient = record.decoded(stored) if stored is not None and not stored.deleted else {}
    return zone_of(patient) or ZoneInfo(settings.time_zone)


async def _answered(tenant: Tenant, due: Due) -> bool:
    """Tell whether the questionnaire was answered since the day on which it became due."""
    if not due.questionnaire:
        return False
    canonical = await _canonical(tenant, due.questionnaire)
    ctx = RequestContext(tenant, await worker_principal(tenant), ids.request_id(), tenant.base)
    query = [
        ("subject", due.subject), ("questionnaire", canonical), ("authored", f"ge{due.at.date().isoformat()}"),
        ("status", "completed,amended"), ("_count", "1"),
    ]  # fmt: skip
    page = await search.search(ctx, "QuestionnaireResponse", query, visibility=EVERYTHING)
    row = audit_row(
        ctx, "search-type", 200, type="QuestionnaireResponse", patients=[p for r in page.rows for p in r.patients]
    )
    await write_audit(tenant, [row])
    return bool(page.rows)


async def _canonical(tenant: Tenant, name: str) -> str:
    """Return the URL of a questionnaire that is named by a reference to it here."""
    type_, _, id_ = name.partition("|")[0].partition("/")
    if type_ != "Questionnaire":
        return name.partition("|")[0]
    stored = await reads.read(tenant, type_, id_, EVERYTHING)
    resource = record.decoded(stored) if stored is not None and not stored.deleted else {}
    return str(resource.get("url") or name)


async def _remind(tenant: Tenant, source: str, due: Due, settings: Settings) -> None:
    """Write the Communication, unless there is one of this occurrence already, whatever became of it."""
    made = reminder(source, due, settings.canonical_base)
    if await reads.read(tenant, "Communication", made["id"], EVERYTHING) is not None:
        return
    try:
        await record.write(tenant, made, None, IMPORT, settings.canonical_base)
    except VersionConflict:  # another worker was there first, and has written the same
        return


def reminder(source: str, due: Due, base: str) -> Resource:
    """Return the Communication of an occurrence."""
    made: Resource = {
        "resourceType": "Communication",
        "id": record.hashed("reminder", source, due.part, due.reason, instant(due.at)),
        "status": "preparation",
        "category": [{"coding": [{"system": codes.category(base), "code": "reminder"}]}],
        "reasonCode": [{"coding": [{"system": codes.reason(base), "code": due.reason}]}],
        "recipient": [{"reference": each} for each in due.recipients],
        "about": [{"reference": source}],
    }
    return made | ({"subject": {"reference": due.subject}} if due.subject else {})
