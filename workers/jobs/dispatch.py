"""From what was committed to what must be done about it: the consumer `dispatch` of the outbox.

Reading events and writing down their consequences is one transaction, so each event has them exactly once. Consequences are
rows: Observations that wait for their signal block, twins to refresh, Subscriptions to judge, deliveries to make.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final
from weakref import WeakSet

import asyncpg

from fhir_server.kit import clock
from fhir_server.search import own as search_own
from fhir_server.settings import Settings
from fhir_server.storage import aside, blocks, jobs, messages, outbox, reads
from fhir_server.storage import commands as origins
from fhir_server.storage.commands import CLIENT, IMPORT, MESSAGE, SUBSCRIPTION
from fhir_server.storage.jobs import Job, NewJob
from fhir_server.storage.outage import passing
from fhir_server.storage.outbox import Event
from fhir_server.storage.tenants import Tenant
from fhir_server.subscriptions import isolate, match, state
from workers.jobs import alerts, careful, parameters, rulebook
from workers.jobs.careful import Consequences
from workers.rules import ids as rule_ids

CONSUMER = "dispatch"
TWIN = "twin"
JUDGE = "subscription"
_OBSERVED = frozenset({CLIENT, IMPORT})
"""Origins of Observations that count as input: what the twin writes is not one, or it would wake itself for ever."""
_READ = frozenset({"Observation", "QuestionnaireResponse"})
"""Types whose resources may be signals."""
REMIND = "remind"
_DUE = frozenset({"Appointment", "Task", "ServiceRequest", "CarePlan"})
"""Types of which somebody may be reminded."""
_PAGE = 500
_wary: WeakSet[Tenant] = WeakSet()
"""Tenants whose last page failed for a reason that will not pass by itself."""


async def dispatch(tenant: Tenant, settings: Settings) -> bool:
    """Act on the next page of events; False when there was nothing to read.

    A page whose consequences fail for a reason that will not pass is acted on with care the next time (`careful.py`).
    """
    if not await outbox.pending(tenant, CONSUMER):
        return False
    try:
        if tenant in _wary:
            busy = await _carefully(tenant, settings)
        else:
            busy = await _quickly(tenant, settings)
    except Exception as error:
        if not passing(error):
            _wary.add(tenant)
        raise
    _wary.discard(tenant)
    return busy


async def _quickly(tenant: Tenant, settings: Settings) -> bool:
    async with tenant.pool.acquire() as connection, connection.transaction():
        events = await outbox.read_events(connection, tenant, CONSUMER, _PAGE, match.types(tenant))
        if events:
            for act in CONSEQUENCES.values():
                await act(connection, tenant, events, settings)
    return bool(events)


async def _carefully(tenant: Tenant, settings: Settings) -> bool:
    async with tenant.pool.acquire() as connection, connection.transaction():
        events = await outbox.read_events(connection, tenant, CONSUMER, _PAGE)
        found = await careful.act(connection, tenant, events, settings, _with_care())
        await aside.put(connection, tenant, found.failed)
    await careful.tell(tenant, found)
    return bool(events)


async def replay(tenant: Tenant, job: Job, settings: Settings) -> None:  # noqa: ARG001
    """Try again what was set aside and is marked; what fails again stays aside."""
    while await careful.again(tenant, settings, _with_care(), CONSUMER):
        pass


async def _feed_twins(
    connection: asyncpg.Connection, tenant: Tenant, events: Sequence[Event], settings: Settings
) -> None:
    """Note the Observations that changed, and ask for their patients' twins: each as often as allowed, no oftener."""
    pairs = {
        (patient, event.rid)
        for event in events
        if event.type in _READ and event.origin in _OBSERVED
        for patient in event.patients
    }
    if not pairs:
        return
    await blocks.mark_pending(connection, tenant, pairs)
    keys = sorted({str(patient) for patient, _ in pairs})
    last = await jobs.last_finished(connection, tenant, TWIN, keys)
    now, rest = clock.now(), timedelta(seconds=settings.twin_refresh_seconds)
    await jobs.add(connection, tenant, [_twin(key, now, last.get(key), rest) for key in keys])


def _twin(key: str, now: datetime, last: datetime | None, rest: timedelta) -> NewJob:
    return TWIN, key, {}, now if last is None else max(now, last + rest)


async def _judgements(
    connection: asyncpg.Connection, tenant: Tenant, events: Sequence[Event], _settings: Settings
) -> None:
    """Ask for a job for each Subscription that somebody else than the server has changed, or whose topic was changed."""
    rids = {event.rid for event in events if event.type == "Subscription" and event.origin != SUBSCRIPTION}
    if topics := [event.rid for event in events if event.type == "Basic"]:
        rids.update(await state.of_topic(connection, tenant, topics))
    await jobs.add(connection, tenant, [(JUDGE, str(rid), {}, clock.now()) for rid in sorted(rids)])


async def _parameters(
    connection: asyncpg.Connection, tenant: Tenant, events: Sequence[Event], _settings: Settings
) -> None:
    """Ask for a job for each SearchParameter that somebody has changed."""
    rids = {event.rid for event in events if event.type == search_own.TYPE}
    await jobs.add(connection, tenant, [(parameters.KIND, str(rid), {}, clock.now()) for rid in sorted(rids)])


async def _messages(
    connection: asyncpg.Connection, tenant: Tenant, events: Sequence[Event], settings: Settings
) -> None:
    """Ask for a job for each Communication that others than the messages have written, and for what is to be reminded of."""
    now = clock.now()
    rids = {event.rid for event in events if event.type == "Communication" and event.origin != MESSAGE}
    found: list[NewJob] = [(messages.JOB, str(rid), {}, now) for rid in sorted(rids)]
    if settings.reminder_hours and (settings.sends_text or settings.sends_mail):
        found += [(REMIND, str(rid), {}, now) for rid in sorted({e.rid for e in events if e.type in _DUE})]
    await jobs.add(connection, tenant, found)


async def _alerts(connection: asyncpg.Connection, tenant: Tenant, events: Sequence[Event], settings: Settings) -> None:
    """Ask for an evaluation of each patient with a new state, answers, override, or Observation that a rule names."""
    new = [event for event in events if event.patients and _may_wake(event)]
    entries = await rulebook.active(tenant, settings.canonical_base) if new else []
    if not entries:
        return
    named = [event.rid for event in new if event.type == "Observation" and event.origin != origins.TWIN]
    holding = await reads.holding(connection, tenant, named, rulebook.waking_keys(tenant, entries)) if named else set()
    woken = [
        event for event in new if event.type != "Observation" or event.origin == origins.TWIN or event.rid in holding
    ]
    patients = sorted({patient for event in woken for patient in event.patients})
    await jobs.add(connection, tenant, [(alerts.KIND, str(patient), {}, clock.now()) for patient in patients])


def _may_wake(event: Event) -> bool:
    """Tell whether an event may be news for a rule; what the rules write never is, but that nobody got their message."""
    if event.type == "Communication":
        return event.origin == MESSAGE and event.fhir_id.startswith(rule_ids.PREFIX)
    return (event.type == "Observation" and event.origin == origins.TWIN) or (
        event.type in (*_READ, "Basic") and event.origin in _OBSERVED
    )


async def _match(connection: asyncpg.Connection, tenant: Tenant, events: Sequence[Event], _settings: Settings) -> None:
    await match.enqueue(connection, tenant, events)


CONSEQUENCES: Final[Consequences] = {
    "twins": _feed_twins,
    "judgements": _judgements,
    "parameters": _parameters,
    "messages": _messages,
    "alerts": _alerts,
    "match": _match,
}
"""What follows from events, in this order; the names stand in the rows of what was set aside."""


async def _isolated(
    connection: asyncpg.Connection, tenant: Tenant, events: Sequence[Event], _settings: Settings
) -> isolate.Isolated:
    return await isolate.enqueue(connection, tenant, events)


CAREFUL: Final[Consequences] = {"match": _isolated}
"""What stands in for a consequence once a page has failed: dearer, and finds by itself for whom and for what it fails."""


def _with_care() -> Consequences:
    return {name: CAREFUL.get(name, act) for name, act in CONSEQUENCES.items()}
