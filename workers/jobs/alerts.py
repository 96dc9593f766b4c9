"""A patient's alert rules evaluated: what is new is raised, told and passed on, in one commit; doing it again changes nothing.

Woken by a state of the twin, by answers, by an override (`dispatch.py`), and by the clock: silence, ends of quiet hours and alerts
that nobody has taken note of come without an event. The clock is a job of its own, so that a wake-up never loses its time to it.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from fhir_server.audit.record import audit_row
from fhir_server.interactions import commands
from fhir_server.interactions.call import Json
from fhir_server.interactions.content import same_content
from fhir_server.kit import clock, json, logs, version
from fhir_server.operations.alerting import evidence
from fhir_server.settings import Settings
from fhir_server.storage import blocks, jobs, reads
from fhir_server.storage.commands import ALERT, PUT, Command
from fhir_server.storage.commit import commit
from fhir_server.storage.errors import VersionConflict
from fhir_server.storage.jobs import Job
from fhir_server.storage.reads import Stored
from fhir_server.storage.tenants import Tenant
from fhir_server.storage.visibility import EVERYTHING
from workers.jobs import rulebook
from workers.jobs.rulebook import Entry
from workers.rules import resources
from workers.rules.resources import Scene
from workers.rules.response import Response, respond
from workers.rules.simulate import look_back

KIND = "alerts"
CLOCK = "alert-clock"
_TRIES = 8
_LOG = logs.logger("clarity.alerts")
_TYPES = ("DetectedIssue", "Task", "Communication", "Provenance", "Device")
Known = dict[tuple[str, str], Stored]


async def run(tenant: Tenant, job: Job, settings: Settings) -> None:
    """Evaluate the rules for the patient whose rid is the job's key."""
    await evaluate(tenant, int(job.key), settings, clock.now())


async def tick(tenant: Tenant, job: Job, settings: Settings) -> None:  # noqa: ARG001
    """Ask for an evaluation because its time has come."""
    await jobs.add(tenant.pool, tenant, [(KIND, job.key, {}, clock.now())])


async def evaluate(tenant: Tenant, patient: int, settings: Settings, now: datetime) -> None:
    """Do what the rules say at a moment; again when a clinician wrote meanwhile."""
    if await blocks.erased(tenant, patient):
        return
    who = await evidence.person(tenant, patient, settings.time_zone)
    entries = await rulebook.active(tenant, settings.canonical_base)
    if who is None or who.gone or not entries:
        return
    for attempt in range(_TRIES):
        try:
            response = await _once(tenant, who, entries, settings, now)
        except VersionConflict:
            await asyncio.sleep(0.05 * 2**attempt)
            continue
        if response.again is not None:
            await jobs.add(tenant.pool, tenant, [(CLOCK, str(patient), {}, response.again)])
        return
    raise TimeoutError(f"the alerts of patient rid {patient} were overtaken {_TRIES} times")


async def _once(
    tenant: Tenant, who: evidence.Person, entries: list[Entry], settings: Settings, now: datetime
) -> Response:
    base = settings.canonical_base
    rules = [each.rule for each in entries]
    standing, known = await evidence.record(tenant, who, base)
    if not standing.practitioners and settings.alert_fallback:
        standing = replace(standing, practitioners=(settings.alert_fallback,))
    today = now.astimezone(who.zone).date()
    chart = await evidence.chart(tenant, who, today - timedelta(days=look_back(rules)), today, base)
    names = await evidence.sources(tenant, chart)
    scene = Scene(who.id, now.astimezone(ZoneInfo(settings.time_zone)), base)
    response = await asyncio.to_thread(respond, rules, chart, standing, scene, who.zone, names)
    if response.untold:
        _LOG.warning("alerts that nobody is told of", tenant=tenant.name, count=len(response.untold))
    if response.changed or response.wanted:
        await _write(tenant, scene, response, {each.rule.url: each.reference for each in entries}, known)
    return response


async def _write(tenant: Tenant, scene: Scene, response: Response, plans: dict[str, str], known: Known) -> None:
    """Write what is not there yet in one commit: alerts, Tasks, messages, Provenance of each alert, the Device."""
    made = [resource for _, _, resource in (*response.changed, *response.wanted)]
    device = resources.software_device(version.VERSION, scene.base)
    missing = [name for each in (*made, device) if (name := _name(each)) not in known]
    known = known | await reads.read_many(tenant, missing, dict.fromkeys(_TYPES, EVERYTHING))
    latest = {_name(resource): (rule, alert, resource) for rule, alert, resource in response.changed}
    wanted = {_name(r): (rule, alert, r) for rule, alert, r in response.wanted if _name(r) not in known}
    changes: list[Command] = []
    written: dict[str, list[tuple[str, int]]] = {}
    rules = {}
    for name, (rule, alert, resource) in {**latest, **wanted}.items():
        if (change := _change(tenant, resource, known)) is not None:
            changes.append(change)
            written.setdefault(alert, []).append(("/".join(name), change.expected + 1))
            rules[alert] = rule
    if not changes:
        return
    for alert, targets in written.items():
        sources = response.sources.get(alert) or [f"DetectedIssue/{alert}"]
        said = resources.provenance(scene, rules[alert], alert, targets, sources, plans[rules[alert].url])
        changes.append(commands.build(tenant, said, said["id"], http_method=PUT, origin=ALERT))
    changes += [change for change in [_change(tenant, device, known)] if change is not None]
    ctx = await evidence.context(tenant)
    rows = [audit_row(ctx, change.method, 200 if change.expected else 201, type=change.type) for change in changes]
    await commit(tenant, changes, rows)


def _name(resource: Json) -> tuple[str, str]:
    return resource["resourceType"], resource["id"]


def _change(tenant: Tenant, resource: Json, known: Known) -> Command | None:
    """Return the command that makes a resource what it should be, None when it is that, or was deleted by somebody."""
    current = known.get(_name(resource))
    if current is not None and (current.deleted or same_content(resource, json.decode_trusted(current.body))):
        return None
    return commands.build(tenant, resource, resource["id"], current=current, http_method=PUT, origin=ALERT)
