"""The twin of a patient brought up to date: blocks, pages of the daybook, states of every day that may differ, what follows.

Whatever stood before, the result is the one that a computation from scratch would give: states are a function of the pages,
pages of the blocks, blocks of the Observations. Another version of the algorithm or another zone makes all pages anew. Days are
forgotten only after their states are written, so that a worker that dies in between leaves the work to the next one; what did
not change is not written again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta, tzinfo
from zoneinfo import ZoneInfo

import asyncpg

from fhir_server.kit import json, version
from fhir_server.settings import Settings
from fhir_server.storage import blocks, daybook, ident, jobs, reads
from fhir_server.storage.errors import VersionConflict
from fhir_server.storage.jobs import Job
from fhir_server.storage.reads import Stored
from fhir_server.storage.tenants import Tenant
from fhir_server.storage.visibility import EVERYTHING
from workers.jobs import embeddings, signals, writeback
from workers.jobs.writeback import Existing, Overtaken
from workers.twin.crossings import RULES, crossings
from workers.twin.daybook import blocks_needed, decode, decode_numbers, encode, pages, pages_changed, stretches, touched
from workers.twin.digest import digest
from workers.twin.ids import risk_id, state_id
from workers.twin.recording import Recording
from workers.twin.resources import Resource, provenance, software_device, state_observation
from workers.twin.risk import risk_assessment, withdrawn
from workers.twin.stamp import stamp
from workers.twin.state import REACH, State, booked_states, days_affected
from workers.twin.weeks import mondays
from workers.twin.zone import zone_of

_TRIES = 8
CHUNK = 120
"""Days that are read, computed and written in one go: years of somebody's minutes never stand in memory at once."""


@dataclass(frozen=True, slots=True)
class Subject:
    """Whose twin it is, and on which clock that person lives."""

    rid: int
    id: str
    zone: tzinfo


async def run(tenant: Tenant, job: Job, settings: Settings) -> None:
    """Bring the twin of the patient whose rid is the job's key up to date."""
    patient = int(job.key)
    if await blocks.erased(tenant, patient):
        await blocks.forget(tenant, patient)
        return
    while await _merge_page(tenant, job, patient, settings.canonical_base):
        pass
    who = await subject(tenant, patient, settings)
    made_by = stamp(who.zone, settings.canonical_base)
    anew = await daybook.stamp(tenant, patient) != made_by
    days = await blocks.changed_days(tenant, patient)
    wanted = sorted({*days, *await blocks.days(tenant, patient)}) if anew else days
    if not wanted:
        return
    await _refresh_pages(tenant, job, who, wanted)
    for some in _parts(sorted(_affected(wanted)), CHUNK):
        await _refresh(tenant, job, who, some, settings.canonical_base)
    await _embed(tenant, job, who, wanted, settings)
    if anew:
        async with tenant.pool.acquire() as connection, connection.transaction():
            await _hold(connection, tenant, job)
            await daybook.write_stamp(connection, tenant, patient, made_by)
    await blocks.clear_changed(tenant, patient, days)


def _parts(days: list[date], size: int) -> list[list[date]]:
    return [days[i : i + size] for i in range(0, len(days), size)]


async def _hold(connection: asyncpg.Connection, tenant: Tenant, job: Job) -> None:
    if not await jobs.hold(connection, tenant, job):
        raise Overtaken


async def _merge_page(tenant: Tenant, job: Job, patient: int, base: str) -> bool:
    async with tenant.pool.acquire() as connection, connection.transaction():
        await _hold(connection, tenant, job)
        return await signals.merge_pending(connection, tenant, patient, base) is not None


async def subject(tenant: Tenant, rid: int, settings: Settings) -> Subject:
    """Return who a patient is, and by which clock that person lives."""
    _, id_ = (await ident.names(tenant, [rid]))[rid]
    stored = await reads.read(tenant, "Patient", id_, EVERYTHING)
    record = json.decode_trusted(stored.body) if stored is not None and stored.body else {}
    return Subject(rid, id_, zone_of(record) or ZoneInfo(settings.time_zone))


async def _refresh_pages(tenant: Tenant, job: Job, who: Subject, changed: list[date]) -> None:
    """Write the pages of all days that may differ, from the blocks around them."""
    wanted = sorted({day for utc in changed for day in _span(*pages_changed(utc))})
    for some in stretches(wanted, CHUNK):
        loaded = await signals.load(tenant, who.rid, *blocks_needed(some[0], some[-1]))
        made = await asyncio.to_thread(_pages, loaded, who.zone, some)
        async with tenant.pool.acquire() as connection, connection.transaction():
            await _hold(connection, tenant, job)
            await daybook.write_pages(connection, tenant, who.rid, made, set(some) - made.keys())


def _pages(loaded: signals.Blocks, zone: tzinfo, days: list[date]) -> dict[date, bytes]:
    recording = Recording.of(loaded, zone)
    found = pages(recording, set(days).intersection(touched(recording)))
    return {day: encode(page) for day, page in found.items()}


async def _refresh(tenant: Tenant, job: Job, who: Subject, days: list[date], base: str) -> None:
    """Write the states of some days; again from the pages when another writer was there first."""
    for attempt in range(_TRIES):
        # What is there is read before the pages are: who writes after that makes our expected versions wrong.
        versions = await _existing(tenant, who.id, days)
        kept = await daybook.read(tenant, who.rid, days[0] - timedelta(days=REACH), days[-1])
        computed, digests = await asyncio.to_thread(_compute, kept, days)
        names = await _input_names(tenant, computed)
        wanted = _resources(who, computed, names, versions, base)
        try:
            await writeback.write(tenant, job, wanted, versions)
        except VersionConflict:
            await asyncio.sleep(0.05 * 2**attempt)
            continue
        async with tenant.pool.acquire() as connection, connection.transaction():
            await _hold(connection, tenant, job)
            await daybook.write_states(connection, tenant, who.rid, digests)
        return
    raise TimeoutError(f"the twin of patient rid {who.rid} was overtaken {_TRIES} times")


async def _embed(tenant: Tenant, job: Job, who: Subject, changed: list[date], settings: Settings) -> None:
    """Write what the model says of the weeks that may differ; again when another writer was there first."""
    embedder = await asyncio.to_thread(embeddings.opened, settings)
    for monday in mondays(changed) if embedder is not None else ():
        assert embedder is not None
        for attempt in range(_TRIES):
            versions = await writeback.existing(tenant, [embeddings.name_of(who.id, monday, embedder)])
            patient = (who.rid, who.id, who.zone)
            made = await embeddings.made(tenant, patient, monday, embedder, settings.canonical_base)
            gone = [] if made else [_withdrawal(stored) for stored in versions.values() if not stored.deleted]
            try:
                await writeback.write(tenant, job, [*made, *gone], versions)
            except VersionConflict:
                await asyncio.sleep(0.05 * 2**attempt)
                continue
            break
        else:
            raise TimeoutError(f"a week of patient rid {who.rid} was overtaken {_TRIES} times")


def _affected(changed: Iterable[date]) -> set[date]:
    """Return the local days whose states may differ; a sample with the clock of 1970 touches no day in between."""
    return {day for utc in changed for day in _span(*days_affected(utc, utc))}


def _span(first: date, last: date) -> list[date]:
    return [first + timedelta(days=i) for i in range((last - first).days + 1)]


def _compute(kept: dict[date, daybook.Kept], days: list[date]) -> tuple[list[State], dict[date, bytes | None]]:
    """Return the states of the days that have data, and what the daybook keeps of them."""
    asked = set(days)
    book = {day: (decode if day in asked else decode_numbers)(each.page) for day, each in kept.items()}
    found = booked_states(book, [day for day in days if day in book and book[day].inputs])
    states = {state.day: state for state in found}
    digests = {day: digest(states[day]) if day in states else None for day in days if day in book}
    return found, {day: made for day, made in digests.items() if made != kept[day].state}


async def _existing(tenant: Tenant, patient: str, days: Iterable[date]) -> Existing:
    """Return the states and assessments of these days that are stored, with the version each has."""
    names = [("Observation", state_id(patient, day)) for day in days]
    names += [("RiskAssessment", risk_id(patient, day, rule.code)) for day in days for rule in RULES]
    return await writeback.existing(tenant, names)


async def _input_names(tenant: Tenant, computed: Iterable[State]) -> dict[int, str]:
    rids = {rid for state in computed for part in state.inputs for rid in part.rids}
    return {rid: "/".join(name) for rid, name in (await ident.names(tenant, rids)).items()}


def _resources(
    who: Subject, computed: list[State], names: dict[int, str], existing: Existing, base: str
) -> list[Resource]:
    """Return everything that the computed states say, and withdrawals of what they no longer say."""
    made = [software_device(version.VERSION, base)]
    for state in computed:
        twin = state_observation(who.id, state, names, who.zone, base)
        risks = [risk_assessment(who.id, state, crossing, who.zone, base) for crossing in crossings(state)]
        for resource in (twin, *risks):
            target = f"{resource['resourceType']}/{resource['id']}"
            made += [resource, provenance(target, state, names, who.zone, base)]
    said = {(resource["resourceType"], resource["id"]) for resource in made}
    return made + [_withdrawal(stored) for name, stored in existing.items() if name not in said and not stored.deleted]


def _withdrawal(stored: Stored) -> Resource:
    """Return what a state or assessment becomes that the data do not carry any more."""
    resource = json.decode_trusted(stored.body)
    if stored.type == "RiskAssessment":
        return withdrawn(resource)
    kept = ("resourceType", "id", "meta", "category", "code", "subject", "effectivePeriod", "method", "device")
    return {name: value for name, value in resource.items() if name in kept} | {"status": "entered-in-error"}
