"""`PlanDefinition/$simulate`: how often would an alert rule have fired over past days, and on whom.

    GET  PlanDefinition/{id}/$simulate?start=2026-01-01     a rule that is stored, active or not
    POST PlanDefinition/$simulate                           one that is in the request, before it is stored

Over the patients whose record the caller sees as a whole, as their days are known now. With `patient` it is answered at once, over
everybody later (202): a worker goes on with what the caller may see then.
"""

from __future__ import annotations

import asyncio
import base64
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any, Final

from fhir_server.audit.record import audit_row
from fhir_server.auth import policy
from fhir_server.context import RequestContext
from fhir_server.errors import BadRequest, Unprocessable
from fhir_server.interactions import asynchronous
from fhir_server.interactions.address import parse_address
from fhir_server.interactions.call import Call, Json, Result
from fhir_server.interactions.results import absent
from fhir_server.kit import clock, json
from fhir_server.operations.alerting import evidence
from fhir_server.operations.daybook import READ, sees_record
from fhir_server.operations.parameters import Given, read_parameters
from fhir_server.operations.points import part
from fhir_server.storage import daybook, reads
from fhir_server.storage.reads import Stored
from fhir_server.storage.visibility import Visibility
from workers.rules import plan
from workers.rules.criterion import REASONS
from workers.rules.override import Override
from workers.rules.rule import Rule
from workers.rules.simulate import Simulated, look_back, simulate, span
from workers.twin.stamp import parse_stamp

KIND: Final = "simulate"
DEFINITION: Json = {
    "resourceType": "OperationDefinition",
    "id": "PlanDefinition-simulate",
    "url": "https://fhir.clarity.example/OperationDefinition/PlanDefinition-simulate",
    "name": "Simulate",
    "status": "active",
    "kind": "operation",
    "affectsState": False,
    "code": "simulate",
    "comment": "Needs the rule (or its text), Patient, Observation and QuestionnaireResponse. Over everybody it is answered later.",
    "resource": ["PlanDefinition"],
    "system": False,
    "type": True,
    "instance": True,
    "parameter": [
        {"name": "rule", "use": "in", "min": 0, "max": "1", "type": "PlanDefinition", "documentation": "One not stored."},
        {"name": "start", "use": "in", "min": 0, "max": "1", "type": "date", "documentation": "First local day; else 90 days."},
        {"name": "end", "use": "in", "min": 0, "max": "1", "type": "date", "documentation": "Last local day; else yesterday."},
        {"name": "patient", "use": "in", "min": 0, "max": "20", "type": "id", "documentation": "Ids of patients; else everybody."},
        {"name": "return", "use": "out", "min": 1, "max": "1", "type": "Parameters"},
    ],
}  # fmt: skip
USUAL: Final = 90
LONGEST: Final = 800
MOST: Final = 1000
"""Alerts that are listed; all are counted."""
_BATCH: Final = 50
_TYPES: Final = ("Patient", *READ)


@dataclass(slots=True)
class Sum:
    """What a rule would have done with everybody."""

    patients: int = 0
    days: int = 0
    asked: int = 0
    known: int = 0
    held: Counter[str] = field(default_factory=Counter)
    unknown: Counter[str] = field(default_factory=Counter)
    fired: list[tuple[str, Simulated]] = field(default_factory=list)

    def add(self, patient: str, done: Simulated) -> None:
        """Count one person."""
        self.patients += 1
        self.days += done.days
        self.asked += done.asked
        self.known += done.known
        self.held += done.held
        self.unknown += done.unknown
        if done.fired:
            self.fired.append((patient, done))


async def handle(ctx: RequestContext, call: Call) -> Result:
    """Answer at once for named patients, later for everybody."""
    given = read_parameters(DEFINITION, call)
    await _rule(ctx, call, given)
    _window(given)
    await policy.visibilities(ctx, "search-type", _TYPES)
    if given.get("patient"):
        return await answer(ctx, call)
    address = call.address
    path = f"PlanDefinition/{address.id}/$simulate" if address.id else "PlanDefinition/$simulate"
    body = base64.b64encode(call.body).decode()
    request = {"method": call.method, "path": path, "params": [list(pair) for pair in call.params], "body": body}
    return await asynchronous.accepted(ctx, KIND, request, "PlanDefinition")


def asked_for(request: Mapping[str, Any]) -> Call:
    """Return the call that was kept for later."""
    params = [(name, text) for name, text in request["params"]]
    return Call(request["method"], parse_address(request["path"]), params, body=base64.b64decode(request["body"]))


async def answer(ctx: RequestContext, call: Call) -> Result:
    """Return what the rule would have done."""
    given = read_parameters(DEFINITION, call)
    rule, (first, last) = await _rule(ctx, call, given), _window(given)
    total, rids = Sum(), list[int]()
    async for patient in _patients(ctx, given.get("patient")):
        done = await _simulated(ctx, rule, patient, first, last, call.limits.canonical_base)
        if done is not None:
            total.add(patient.id, done)
            rids.append(patient.rid)
    row = audit_row(ctx, "operation", 200, type="PlanDefinition", patients=sorted(rids))
    return Result(200, json.encode({"resourceType": "Parameters", "parameter": told(total, first, last)}), audit=[row])


async def _rule(ctx: RequestContext, call: Call, given: Given) -> Rule:
    """Return the rule of the address or of the request; Unprocessable lists what is wrong with it."""
    if call.address.id is not None:
        stored = await reads.read(
            ctx.tenant, "PlanDefinition", call.address.id, await policy.visibility(ctx, "PlanDefinition", "read")
        )
        if stored is None or stored.deleted:
            raise absent()
        resource = json.decode_trusted(stored.body)
    elif given.get("rule"):
        resource = given["rule"][0]
    else:
        raise BadRequest(
            "Send the rule as the parameter rule, or name a stored one in the address.", "parameter-missing"
        )
    if not isinstance(resource, dict) or resource.get("resourceType") != "PlanDefinition":
        raise BadRequest("The rule is a PlanDefinition.", "parameter-type")
    rule, issues = plan.read(resource, call.limits.canonical_base)
    if rule is None:
        raise Unprocessable(issues[0].text, issues[0].id, issues=issues)
    return rule


def _window(given: Given) -> tuple[date, date]:
    last = _day(given, "end") or clock.now().date() - timedelta(days=1)
    first = _day(given, "start") or last - timedelta(days=USUAL - 1)
    if not 0 <= (last - first).days < LONGEST:
        raise BadRequest(
            f"start is not after end, and the window has {LONGEST} days at most.", "parameter-value", "start"
        )
    return first, last


def _day(given: Given, name: str) -> date | None:
    text = given.get(name, [None])[0]
    if text is None:
        return None
    try:
        found = date.fromisoformat(str(text))
    except ValueError:
        raise BadRequest(f"{name} is a day: YYYY-MM-DD.", "parameter-value", name) from None
    if not date(1950, 1, 1) <= found <= date(2200, 1, 1):
        raise BadRequest(f"{name} lies between 1950 and 2200.", "parameter-value", name)
    return found


async def _patients(ctx: RequestContext, named: Sequence[Any] | None) -> AsyncIterator[Stored]:
    """Yield those whose record the caller sees as a whole."""
    seen = await policy.visibilities(ctx, "search-type", _TYPES)
    if set(seen) != set(_TYPES):
        raise absent() if named else BadRequest(f"$simulate needs to search {', '.join(_TYPES)}.", "simulate-scopes")
    async for stored in _named(ctx, seen, named) if named else _everybody(ctx, seen):
        if all([await sees_record(ctx.tenant, type_, seen[type_], stored.rid) for type_ in READ]):
            yield stored


async def _named(ctx: RequestContext, seen: Mapping[str, Visibility], named: Sequence[Any]) -> AsyncIterator[Stored]:
    for id_ in dict.fromkeys(map(str, named)):
        stored = await reads.read(ctx.tenant, "Patient", id_, seen["Patient"])
        if stored is None or stored.deleted:
            raise absent()
        yield stored


async def _everybody(ctx: RequestContext, seen: Mapping[str, Visibility]) -> AsyncIterator[Stored]:
    after = 0
    while some := await daybook.patients(ctx.tenant, after, _BATCH):
        after = some[-1]
        names = await reads.seen(ctx.tenant, some, {"Patient": seen["Patient"]})
        for stored in await reads.fetch(ctx.tenant, sorted(names)):
            yield stored


async def _simulated(
    ctx: RequestContext, rule: Rule, patient: Stored, first: date, last: date, base: str
) -> Simulated | None:
    """Return what the rule would have done with one person; None of somebody of whose days nothing is known."""
    zone = parse_stamp(await daybook.stamp(ctx.tenant, patient.rid)).zone
    who = evidence.of(patient, str(zone))
    chart = await evidence.chart(ctx.tenant, who, first - timedelta(days=look_back([rule])), last, base)
    known = {day for day in chart.kept if first <= day <= last} | {
        each.day for answers in chart.answers.values() for each in answers if first <= each.day <= last
    }
    if not known:
        return None
    days = span(max(first, min(known)), last)
    overrides = await _overrides(ctx, who, base)
    return await asyncio.to_thread(simulate, rule, chart, days, who.zone, overrides)


async def _overrides(ctx: RequestContext, who: evidence.Person, base: str) -> list[Override]:
    """Return what is different for the patient, where the caller sees it: else the rule is as it is for everybody."""
    seen = (await policy.visibilities(ctx, "search-type", ["Basic"])).get("Basic", ())
    whole = await sees_record(ctx.tenant, "Basic", seen, who.rid)
    return await evidence.overrides(ctx.tenant, who, base) if whole else []


def told(total: Sum, first: date, last: date) -> list[Json]:
    """Return the figures as parameters."""
    alerts = sum(len(done.fired) for _, done in total.fired)
    parts = [
        part("window", part("start", valueDate=first.isoformat()), part("end", valueDate=last.isoformat())),
        part("patients", valueInteger=total.patients),
        part("patientsWithAlerts", valueInteger=len(total.fired)),
        part("patientDays", valueInteger=total.days),
        part("alerts", valueInteger=alerts),
    ]
    if total.days:
        parts.append(part("alertsPerPatientWeek", valueDecimal=round(alerts * 7 / total.days, 4)))
    if total.asked:
        parts.append(part("judged", valueDecimal=round(total.known / total.asked, 4)))
    parts += [
        part("unknown", part("reason", valueString=REASONS.get(name, name)), part("moments", valueInteger=count))
        for name, count in total.unknown.most_common()
    ]
    parts += [
        part("held", part("reason", valueCode=name), part("moments", valueInteger=count))
        for name, count in sorted(total.held.items())
    ]
    listed = 0
    for patient, done in total.fired:
        shown = done.fired[: MOST - listed]
        listed += len(shown)
        if shown:
            parts.append(_person(patient, shown))
    return parts + ([part("truncated", valueBoolean=True)] if listed < alerts else [])


def _person(patient: str, fired: Sequence[Any]) -> Json:
    alerts = [
        part(
            "alert",
            part("at", valueDateTime=each.at.now.isoformat(timespec="seconds")),
            *(part("criterion", valueCode=name) for name in each.criteria),
        )
        for each in fired
    ]
    return part("patient", part("reference", valueReference={"reference": f"Patient/{patient}"}), *alerts)
