"""What the rules of a tenant are evaluated over: one patient's daybook, answers, alerts, overrides, team."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta, tzinfo
from zoneinfo import ZoneInfo

from fhir_server.auth.principals import worker_principal
from fhir_server.context import RequestContext
from fhir_server.interactions.call import Json
from fhir_server.kit import clock, ids, json
from fhir_server.search import run
from fhir_server.storage import daybook, ident, reads
from fhir_server.storage.reads import Stored
from fhir_server.storage.tenants import Tenant
from fhir_server.storage.visibility import EVERYTHING
from profiles.psych.alerting import actions
from workers.rules import override
from workers.rules.chart import ANSWERED, Answer, Chart, answers_of
from workers.rules.override import Override
from workers.rules.response import Record
from workers.twin.block import gather
from workers.twin.catalogue import OURS, named
from workers.twin.codes import actigraphy, origin
from workers.twin.recording import Recording
from workers.twin.signals import read
from workers.twin.zone import zone_of

ALERTS = 200
"""So many of a patient's alerts are looked at, the newest."""


NOT_SET_UP = "no-transport"
"""Why no message goes at a site that works by Tasks alone."""


@dataclass(frozen=True, slots=True)
class Person:
    """Whose alerts they are."""

    rid: int
    id: str
    zone: tzinfo
    practitioners: tuple[str, ...]
    gone: bool = False
    """Dead, or in a record that is not active: nothing is to be said of them any more."""


async def context(tenant: Tenant) -> RequestContext:
    """Return a request of the server's own workers."""
    return RequestContext(tenant, await worker_principal(tenant), ids.request_id(), tenant.base)


async def found(tenant: Tenant, type_: str, query: Sequence[tuple[str, str]]) -> list[Stored]:
    """Return what a search finds, for the workers and for who may see the whole record, page after page."""
    ctx, out, more = await context(tenant), list[Stored](), list(query)
    while True:
        page = await run.search(ctx, type_, more, visibility=EVERYTHING)
        out += page.rows
        if not page.next:
            return out
        more = [*query, ("_cursor", page.next)]


async def person(tenant: Tenant, rid: int, time_zone: str) -> Person | None:
    """Return the patient of a rid; None when there is none any more. `time_zone` is the tenant's."""
    name = (await ident.names(tenant, [rid])).get(rid)
    if name is None or name[0] != "Patient":
        return None
    stored = await reads.read(tenant, "Patient", name[1], EVERYTHING)
    if stored is None or stored.deleted or not stored.body:
        return None
    return of(stored, time_zone)


def of(stored: Stored, time_zone: str) -> Person:
    """Return the person that a stored Patient is about; `time_zone` is the tenant's."""
    record = json.decode_trusted(stored.body)
    general = [each.get("reference", "") for each in record.get("generalPractitioner", ())]
    told = tuple(each for each in general if each.startswith(("Practitioner/", "PractitionerRole/")))
    gone = record.get("active") is False or record.get("deceasedBoolean") is True or "deceasedDateTime" in record
    return Person(stored.rid, stored.id, zone_of(record) or ZoneInfo(time_zone), told, gone)


async def chart(tenant: Tenant, who: Person, first: date, last: date, base: str) -> Chart:
    """Return the days from first to last as the daybook has them now, and the answers of these days."""
    kept = await daybook.read(tenant, who.rid, first, last)
    answers = await _answers(tenant, who, first, base)
    return Chart({day: (each.page, each.state) for day, each in kept.items()}, answers)


async def _answers(tenant: Tenant, who: Person, first: date, base: str) -> dict[str, list[Answer]]:
    """Return the answers from a day on, read from their resources: they do not wait for the twin."""
    since, systems = f"ge{first - timedelta(days=1)}", {OURS: actigraphy(base)}
    codes = [f"{systems.get(system, system)}|{code}" for name in ANSWERED for system, code in named(name).codes]
    about = ("patient", who.id)
    rows = await found(tenant, "QuestionnaireResponse", [about, ("authored", since), ("_count", "500")])
    rows += await found(
        tenant, "Observation", [about, ("combo-code", ",".join(codes)), ("date", since), ("_count", "500")]
    )
    return await asyncio.to_thread(_read, rows, who, base)


def _read(rows: Sequence[Stored], who: Person, base: str) -> dict[str, list[Answer]]:
    said = []
    for row in rows:
        resource = json.decode_trusted(row.body)
        if resource.get("subject", {}).get("reference", "").split("/_history/")[0] == f"Patient/{who.id}":
            said.append((row.rid, row.version, read(resource, base)))
    blocks = {key: block for key, block in gather(said).items() if key[0] in ANSWERED}
    return answers_of(Recording.of(blocks, who.zone))


async def sources(tenant: Tenant, made: Chart) -> dict[int, str]:
    """Return the resources that say the answers, by rid."""
    rids = {answer.rid for answers in made.answers.values() for answer in answers}
    return {rid: "/".join(name) for rid, name in (await ident.names(tenant, rids)).items()}


async def record(tenant: Tenant, who: Person, base: str) -> tuple[Record, dict[tuple[str, str], Stored]]:
    """Return what stands in the record about the patient's alerts, and the versions in which it was read."""
    about = ("patient", who.id)
    tag = ("_tag", f"{origin(base)}|rules")
    rows = (await found(tenant, "DetectedIssue", [about, tag, ("_sort", "-identified"), ("_count", str(ALERTS))]))[
        :ALERTS
    ]
    tasks = await reads.read_many(tenant, [("Task", row.id) for row in rows], {"Task": EVERYTHING})
    teams = await found(tenant, "CareTeam", [about, ("status", "active"), ("_count", "50")])
    known = {(row.type, row.id): row for row in rows} | tasks
    issues = {row.id: json.decode_trusted(row.body) for row in rows}
    made = Record(
        issues,
        {row.id: json.decode_trusted(row.body) for row in tasks.values() if not row.deleted},
        await overrides(tenant, who, base),
        _team(teams),
        who.practitioners,
        await _failed(tenant, who, base)
        if any(each.get("status") == "preliminary" for each in issues.values())
        else (),
    )
    return made, known


async def _failed(tenant: Tenant, who: Person, base: str) -> frozenset[str]:
    """Return the ids of messages about the patient's alerts that reached nobody, but for want of a provider."""
    query = [("patient", who.id), ("_tag", f"{origin(base)}|rules"), ("status", "not-done"), ("_count", "200")]
    rows = await found(tenant, "Communication", query)
    said = {row.id: json.decode_trusted(row.body).get("statusReason", {}).get("coding", ()) for row in rows}
    return frozenset(id_ for id_, codes in said.items() if not any(each.get("code") == NOT_SET_UP for each in codes))


async def overrides(tenant: Tenant, who: Person, base: str) -> list[Override]:
    """Return what is different about rules for the patient."""
    query = [("patient", who.id), ("code", f"{actions(base)}|{override.CODE}"), ("_count", "200")]
    return [override.read(json.decode_trusted(row.body), base) for row in await found(tenant, "Basic", query)]


def _team(rows: Sequence[Stored]) -> dict[tuple[str, str], list[str]]:
    """Return by role who has it; who is told is a Practitioner or a PractitionerRole."""
    out: dict[tuple[str, str], set[str]] = {}
    for row in rows:
        for each in json.decode_trusted(row.body).get("participant", ()):
            member = each.get("member", {}).get("reference", "").split("/_history/")[0]
            if member.startswith(("Practitioner/", "PractitionerRole/")) and not _over(each.get("period", {})):
                for coding in (coding for role in each.get("role", ()) for coding in role.get("coding", ())):
                    out.setdefault((coding.get("system", ""), coding.get("code", "")), set()).add(member)
    return {role: sorted(members) for role, members in out.items()}


def _over(period: Json) -> bool:
    end = str(period.get("end", ""))
    return len(end) >= 10 and end[:10] < clock.now().date().isoformat()
