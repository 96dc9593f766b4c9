"""Retention of dense data by rule: minutes older than `RAW_MINUTES_DAYS` become one series a day; the default keeps everything.

What is folded is the same to the twin: same samples, same device. The single Observations are deleted in the commit that writes
their series, with a Provenance, and their past versions are forgotten. A worker that dies in between leaves only those behind.
"""

from __future__ import annotations

from datetime import timedelta

from fhir_server.audit.record import audit_row
from fhir_server.auth.principals import worker_principal
from fhir_server.context import RequestContext
from fhir_server.interactions import commands
from fhir_server.kit import clock, ids, json, version
from fhir_server.settings import Settings
from fhir_server.storage import reads, retention
from fhir_server.storage.commands import IMPORT, PUT, Command
from fhir_server.storage.commit import commit
from fhir_server.storage.errors import VersionConflict
from fhir_server.storage.retention import Crowded
from fhir_server.storage.tenants import Tenant
from fhir_server.storage.visibility import EVERYTHING
from workers.ingest import minutes, observe
from workers.ingest.minutes import Day

EVERY_SECONDS = 3600.0
LEAST = 30
"""Observations of one signal and day below which there is nothing to gain."""


async def retain(tenant: Tenant, settings: Settings) -> bool:
    """Fold what is old enough; False, as it is enough to look again in an hour."""
    if settings.raw_minutes_days:
        before = (clock.now() - timedelta(days=settings.raw_minutes_days)).date()
        async for day in retention.crowded(tenant, before, LEAST):
            await _fold(tenant, day, settings.canonical_base)
    return False


async def _fold(tenant: Tenant, crowd: Crowded, base: str) -> None:
    """Fold one day of one signal; somebody who changes one of its minutes meanwhile has the day left for the next time."""
    stored = {row.id: row for row in await reads.fetch(tenant, crowd.rids) if row.type == "Observation"}
    days = minutes.days_of(json.decode_trusted(row.body) for row in stored.values())
    names = [("Observation", id_) for id_ in days] + [("Device", observe.CONVERTER)]
    there = await reads.read_many(tenant, names, {"Observation": EVERYTHING, "Device": EVERYTHING})
    changes: list[Command] = []
    for id_, day in days.items():
        if len(day.folded) < 2:
            continue
        current = there.get(("Observation", id_))
        known = json.decode_trusted(current.body) if current is not None and not current.deleted else None
        made = json.decode_trusted(json.encode(minutes.series(id_, day, known)))
        changes.append(commands.build(tenant, made, id_, current=current, http_method=PUT, origin=IMPORT))
        changes += [commands.build_delete(tenant, stored[each], origin=IMPORT) for each in day.folded]
        changes.append(_provenance(tenant, id_, changes[-len(day.folded) - 1].expected + 1, day, base))
    if not changes:
        return
    if ("Device", observe.CONVERTER) not in there:
        software = observe.converter(version.VERSION, base)
        changes.append(commands.build(tenant, software, software["id"], http_method=PUT, origin=IMPORT))
    ctx = RequestContext(tenant, await worker_principal(tenant), ids.request_id(), tenant.base)
    status = {"create": 201, "update": 200, "delete": 204}
    rows = [audit_row(ctx, change.method, status[change.method], type=change.type) for change in changes]
    try:
        await commit(tenant, changes, rows)
    except VersionConflict:
        return
    gone = {each for day in days.values() if len(day.folded) > 1 for each in day.folded}
    await retention.forget(tenant, [stored[each].rid for each in gone])


def _provenance(tenant: Tenant, id_: str, number: int, day: Day, base: str) -> Command:
    """Return who folded: this software, out of what the device told."""
    device = day.like["device"].get("reference", "").removeprefix("Device/")
    target = f"Observation/{id_}/_history/{number}"
    payload = json.encode(sorted(day.folded))
    made = observe.provenance([target], [device] if device else [], clock.instant(clock.now()), payload, base)
    return commands.build(tenant, made, ids.new_id(), origin=IMPORT, fresh=True)
