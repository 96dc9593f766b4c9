"""Sends what a Communication asks for, and writes into it what came of that.

Each step can be repeated: rows for the recipients, a decision for each that is due, `sending` before the first byte leaves, a note
of what came of it, the Communication as it follows from the rows. A row that is found `sending` had a sender that died. Where the
provider can tell (Twilio), it is asked whether it has the message before that is sent again; where nobody can (e-mail), the outcome
is unknown and stays so until a receipt comes: nobody gets a message twice because a worker died.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from fhir_server.audit.record import audit_row, write_audit
from fhir_server.errors import Unauthenticated
from fhir_server.interactions.content import same_content
from fhir_server.kit import clock, ids, logs, metrics
from fhir_server.settings import Settings
from fhir_server.storage import contacts, jobs, messages, reads
from fhir_server.storage.commands import MESSAGE
from fhir_server.storage.errors import VersionConflict
from fhir_server.storage.jobs import Job
from fhir_server.storage.messages import Message
from fhir_server.storage.reads import Stored
from fhir_server.storage.tenants import Tenant
from fhir_server.storage.visibility import EVERYTHING
from fhir_server.subscriptions import author, breaker
from workers.messages import communication, decisions, holders, record, schedule, templates
from workers.messages.communication import Asked
from workers.messages.contact import Point, asked_media, language_of
from workers.messages.decisions import Case, Refuse, Rules, Send, Wait
from workers.messages.holders import Holder
from workers.messages.port import Channel, Later, Never, Outgoing, Transport, Unsure
from workers.messages.transports import transports

KIND: Final = messages.JOB
_TRIES: Final = 8
_ENDED: Final = frozenset(
    {"cancelled", "noshow", "fulfilled", "entered-in-error", "completed", "revoked", "rejected", "failed"}
)
_STAFF: Final = ("Practitioner/", "PractitionerRole/")
_LOG = logs.logger("clarity.messages")
Resource = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Desk:
    """One Communication on its way, and what it takes to send it."""

    tenant: Tenant
    job: Job
    settings: Settings
    rules: Rules
    ways: dict[Channel, Transport]
    stored: Stored
    resource: Resource
    asked: Asked
    starts: datetime | None
    over: bool
    allowed: bool


async def run(tenant: Tenant, job: Job, settings: Settings) -> None:
    """Send what is due of the Communication whose rid is the job's key."""
    rid = int(job.key)
    found = await reads.fetch(tenant, [rid])
    resource = record.decoded(found[0]) if found else {}
    asked = communication.asked(resource, settings.canonical_base)
    if asked is None or resource.get("status") not in communication.OURS:
        for row in await messages.of(tenant, rid):
            await messages.end(tenant, row.id, "withdrawn", "withdrawn")
        return
    desk = await _desk(tenant, job, settings, found[0], resource, asked)
    if resource["status"] == "preparation":
        people = [await holders.holder(tenant, each, clock.now(), settings.canonical_base) for each in asked.recipients]
        rids = [each.rid if each else 0 for each in people]
        await messages.ensure(tenant, rid, rids, asked.reason, urgent=asked.urgent)
    met: set[int] = set()
    for row in await messages.of(tenant, rid):
        if row.recipient and row.recipient in met:
            await messages.end(tenant, row.id, "withdrawn", "same-recipient")
        else:
            await _look_at(desk, row)
        met.add(row.recipient)
    await _write_back(tenant, rid, settings.canonical_base)
    if (at := await messages.due(tenant, rid)) is not None:
        await jobs.add(tenant.pool, tenant, [(KIND, job.key, {}, at)])


async def _desk(tenant: Tenant, job: Job, settings: Settings, stored: Stored, resource: Resource, asked: Asked) -> Desk:
    ways = transports(settings, tenant.base)
    rules = Rules(
        decisions.quiet_hours(settings.message_quiet_hours),
        settings.message_daily_limit,
        timedelta(seconds=settings.message_bundle_seconds),
        frozenset(ways),
        frozenset(domain.lower() for domain in settings.message_staff_domains),
    )
    about = await _about(tenant, asked)
    starts = next((start for each in about if (start := _starts(each)) is not None), None)
    ended = any(each.get("status") in _ENDED for each in about) or (starts is not None and starts < clock.now())
    if starts is not None and stored.id.startswith(
        "reminder-"
    ):  # one of ours, of an appointment that may have been moved
        ended = ended or starts - timedelta(hours=settings.reminder_hours) > clock.now()
    over = asked.category == "reminder" and ended
    allowed = await _allowed(tenant, stored)
    return Desk(tenant, job, settings, rules, ways, stored, resource, asked, starts, over, allowed)


async def _allowed(tenant: Tenant, stored: Stored) -> bool:
    """Tell whether who wrote this version may have messages sent: a service with system/ scopes, or staff who signed in.

    A patient's app may write into the patient's record, and must not be able to ring the clinic's telephones at night.
    """
    agent = await author.who_wrote(tenant, stored.rid, stored.version)
    if agent is None:
        return False
    try:
        who = (await author.context(tenant, agent, "")).principal
    except Unauthenticated:
        return False
    levels = {scope.level for scope in who.scopes}
    return "system" in levels or ("user" in levels and (who.user or "").startswith(_STAFF))


async def _about(tenant: Tenant, asked: Asked) -> list[Resource]:
    """Return what a reminder reminds of."""
    names = [(type_, id_) for type_, _, id_ in (each.partition("/") for each in asked.about) if id_]
    wanted = [name for name in names if name[0] in ("Appointment", "Task", "ServiceRequest", "CarePlan")]
    seen = {type_: EVERYTHING for type_, _ in wanted}
    there = await reads.read_many(tenant, wanted, seen) if wanted else {}
    return [record.decoded(each) if not each.deleted else {"status": "entered-in-error"} for each in there.values()]


def _starts(resource: Resource) -> datetime | None:
    text = resource.get("start") if resource.get("resourceType") == "Appointment" else None
    return datetime.fromisoformat(text) if text else None


async def _look_at(desk: Desk, row: Message) -> None:
    """Do what is due for one recipient."""
    if row.state == "sending" and row.carrier == row.ref:
        await _orphaned(desk, row)
    elif row.due:
        await _attempt(desk, row)


async def _orphaned(desk: Desk, row: Message) -> None:
    """Take over from a worker that died between the call and the note."""
    way = next((each for each in desk.ways.values() if each.name == row.transport), None)
    if way is not None and way.remembers:
        await messages.note(desk.tenant, row.ref, row.attempts, "waiting", why="provider-away", next_at=clock.now())
    else:
        await messages.note(desk.tenant, row.ref, row.attempts, "unknown", why="outcome-unknown")


async def _attempt(desk: Desk, row: Message) -> None:
    tenant = desk.tenant
    reference = desk.asked.recipients[row.position] if row.position < len(desk.asked.recipients) else ""
    holder = await holders.holder(tenant, reference, clock.now(), desk.settings.canonical_base)
    verdict = decisions.decide(await _case(desk, row, holder), desk.rules, clock.now())
    if isinstance(verdict, Refuse):
        await messages.end(tenant, row.id, "refused", verdict.reason)
        return
    assert holder is not None
    point = verdict.point
    address = contacts.address_key(tenant, point.channel, point.value)
    if isinstance(verdict, Wait):
        await messages.wait(tenant, row.id, verdict.reason, verdict.until, (point.channel, address))
        return
    await _send(desk, row, holder, verdict, address)


async def _case(desk: Desk, row: Message, holder: Holder | None) -> Case:
    """Gather what the decision is made of."""
    tenant = desk.tenant
    by_key = holders.keys(tenant, holder.usable()) if holder else {}
    verified = await contacts.verified(tenant, holder.rid, list(by_key)) if holder else set()
    out = await contacts.opted_out(tenant, list(by_key))
    today, last = await messages.recent(tenant, row)
    return Case(
        recipient=holder.person if holder else None,
        points=holder.points if holder else (),
        media=asked_media(desk.resource),
        verified={by_key[key] for key in verified},
        opted_out={by_key[key] for key in out},
        refused={by_key[key] for key in row.refused if key in by_key},
        zone=holder.zone(desk.settings) if holder else UTC,
        urgent=row.urgent,
        today=today,
        last=last,
        created=row.created_at,
        over=desk.over,
        allowed=desk.allowed,
    )


async def _send(desk: Desk, row: Message, holder: Holder, verdict: Send, address: int) -> None:
    """Send one message, unless its provider is left alone now."""
    tenant, point = desk.tenant, verdict.point
    way = desk.ways[point.channel]
    until = await breaker.shut(tenant, _endpoint(tenant, way))
    if until is not None:
        await messages.wait(tenant, row.id, "provider-away", until, (point.channel, address))
        return
    async with tenant.pool.acquire() as connection:
        if not await jobs.hold(connection, tenant, desk.job):
            return
    company = () if row.attempts else decisions.COMPANY  # what may be there already says how many it is for
    taken = await messages.take(tenant, row.id, point.channel, address, way.name, company)
    if taken is None:
        return
    attempt, count = taken
    ctx = await author.server(tenant, ids.request_id())
    stored = desk.stored
    audit = audit_row(ctx, "notification", 200, type=stored.type, rid=stored.rid, patients=stored.patients)
    await write_audit(tenant, [audit])
    out = _outgoing(desk, row, holder, point, count)
    reason = await _hand_over(desk, row, attempt, way, out)
    if reason is not None:
        await _refused(desk, row, holder, (attempt, address), reason)


def _endpoint(tenant: Tenant, way: Transport) -> int:
    return tenant.key(0, "transport", way.name)


def _outgoing(desk: Desk, row: Message, holder: Holder, point: Point, count: int) -> Outgoing:
    """Return the message: what it says beyond reason and link is up to the patient, and goes to the patient alone."""
    link = (desk.settings.message_link or f"{desk.tenant.base}/Communication/{{id}}").replace("{id}", desk.stored.id)
    own = holder.name == desk.asked.subject and holder.name.startswith("Patient/")
    detail = point.detail if own else "none"
    at = desk.starts.astimezone(holder.zone(desk.settings)) if desk.starts and detail != "none" else None
    content = communication.content(desk.resource) if detail == "content" else None
    said = templates.Said(row.reason, link, count, at, content)
    return templates.render(row.ref, point.value, point.channel, said, language_of(dict(holder.person)))


async def _hand_over(desk: Desk, row: Message, attempt: int, way: Transport, out: Outgoing) -> str | None:
    """Call the provider and note what came of it; why it is refused for good, where it is."""
    tenant = desk.tenant
    try:
        known = await way.find(out, row.created_at) if attempt > 1 and way.remembers else None
        provider_id = known or await way.send(out)
    except Never as error:
        await breaker.closed(tenant, _endpoint(tenant, way))  # it answers
        _count(way, error.reason)
        return error.reason
    except Unsure as error:
        await breaker.failed(tenant, _endpoint(tenant, way))
        if way.remembers:
            await _again(desk, row, attempt, way, error.reason, None)
        else:
            await messages.note(tenant, row.ref, attempt, "unknown", why="outcome-unknown")
            _count(way, error.reason)
    except Later as error:
        await breaker.failed(tenant, _endpoint(tenant, way))
        await _again(desk, row, attempt, way, error.reason, error.retry_after)
    else:
        await breaker.closed(tenant, _endpoint(tenant, way))
        await messages.note(tenant, row.ref, attempt, "sent", provider_id=provider_id)
    return None


async def _refused(desk: Desk, row: Message, holder: Holder, at: tuple[int, int], reason: str) -> None:
    """Let a message that its place will never take go to another one of the person that may be used; else it goes nowhere.

    Nobody has it then: a place that may have taken it (`unknown`, `undelivered`) is no reason to send it to another one.
    """
    tenant, (attempt, address) = desk.tenant, at
    if reason == "opted-out":
        await contacts.opt_out(tenant, address, "stop")
    case = await _case(desk, replace(row, refused=(*row.refused, address)), holder)
    if isinstance(decisions.decide(case, desk.rules, clock.now()), Refuse):
        await messages.note(tenant, row.ref, attempt, "refused", why=reason)
    else:
        now = clock.now()
        await messages.note(tenant, row.ref, attempt, "waiting", why="next-contact-point", next_at=now, refused=address)


async def _again(
    desk: Desk, row: Message, attempt: int, way: Transport, reason: str, retry_after: float | None
) -> None:
    """Have it tried later, or give it up."""
    _count(way, reason)
    wait = schedule.wait_after(attempt, retry_after)
    if wait is None:
        _LOG.error("message given up", tenant=desk.tenant.name, name=way.name, reason=reason, attempt=attempt)
        await messages.note(desk.tenant, row.ref, attempt, "dead", why="gave-up")
        return
    at = clock.now() + wait
    await messages.note(desk.tenant, row.ref, attempt, "waiting", why="provider-away", next_at=at)


def _count(way: Transport, reason: str) -> None:
    metrics.DELIVERY_FAILURES.labels(way.name, reason).inc()


async def _write_back(tenant: Tenant, rid: int, base: str) -> None:
    """Make the Communication say what the rows say, unless somebody has ended it."""
    for _ in range(_TRIES):
        found = await reads.fetch(tenant, [rid])
        if not found:
            return
        before = record.decoded(found[0])
        if before.get("status") not in communication.OURS:
            return
        rows = await messages.of(tenant, rid)
        if not rows and before["status"] != "preparation":  # somebody else's record of what they sent
            return
        made = communication.told(before, rows, base)
        if same_content(made, before):
            return
        try:
            await record.write(tenant, made, found[0], MESSAGE, base)
        except VersionConflict:
            continue
        return
    raise TimeoutError(f"the Communication of rid {rid} was overtaken {_TRIES} times")
