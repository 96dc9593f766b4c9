"""Alert rules: 1,000 patients' twins judged by all shipped rules on one core, from the bytes that the daybook keeps.

Each patient is judged from a fresh chart, so that decoding the days that the rules look at is part of the time. Beside it what an
evaluation costs a worker: evidence read from the database, rules judged, nothing new to write.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from time import process_time
from typing import Any

from fhir_server.interactions import commands
from fhir_server.kit import clock, json
from fhir_server.storage import ident
from fhir_server.storage.commands import IMPORT
from fhir_server.storage.commit import commit
from tests.bench.rig import Rig, demo, opened
from tests.bench.twin import _work
from workers.demo.alerts import Case, cases, rules
from workers.jobs import alerts
from workers.rules.chart import Chart, Moment
from workers.rules.rule import judge

END = date(2026, 11, 21)
PEOPLE, PATIENTS, ROUNDS = 20, 1000, 5
TYPES = ("Patient", "Device", "Observation", "QuestionnaireResponse", "CareTeam")
WANTED = 2000.0
"""Patients a second and core that were asked for."""

Json = dict[str, Any]


def pure() -> Json:
    """Return the figures of judging without a database."""
    people, made = list(cases((7,), PEOPLE, end=END)), rules()
    rounds = [_round(people, made, END - timedelta(days=back)) for back in range(ROUNDS)]
    seconds = min(cpu for cpu, _, _ in rounds)
    fired, unknown = sum(each[1] for each in rounds), sum(each[2] for each in rounds)
    rate = PATIENTS / seconds
    return {
        "patients_per_s": round(rate), "times_asked": round(rate / WANTED, 2), "rules": len(made), "patients": PATIENTS,
        "us_a_patient": round(seconds / PATIENTS * 1e6), "fired": fired, "unknown": unknown,
    }  # fmt: skip


def _round(people: list[Case], made: list[Any], day: date) -> tuple[float, int, int]:
    """Judge 1,000 patients (each of the people fifty times) and return CPU seconds, how many fired and how many were unknown."""
    moments = [Moment(datetime(day.year, day.month, day.day, 12, 30, tzinfo=who.zone)) for who in people]
    fired = unknown = 0
    began = process_time()
    for number in range(PATIENTS):
        who = people[number % PEOPLE]
        chart = Chart(who.chart.kept, who.chart.answers)
        for rule in made:
            fires = judge(rule, chart, moments[number % PEOPLE]).fires
            fired += fires is True
            unknown += fires is None
    return process_time() - began, fired, unknown


async def measure(rig: Rig) -> Json:
    """Return all figures."""
    async with opened(rig.settings, "default") as tenant:
        resources = demo(8, 4, END, "rules")
        own = [r for r in resources if r["resourceType"] in TYPES]
        for start in range(0, len(own), 400):
            some = [json.decode_trusted(json.encode(r)) for r in own[start : start + 400]]
            await commit(tenant, [commands.build(tenant, r, r["id"], origin=IMPORT) for r in some])
        await _work(tenant, rig.settings)
        rids = [await ident.known_rid(tenant, "Patient", r["id"]) for r in own if r["resourceType"] == "Patient"]
        now = datetime(END.year, END.month, END.day, 20, tzinfo=UTC)
        for rid in rids:
            await alerts.evaluate(tenant, rid or 0, rig.settings, now)
        began = clock.monotonic()
        for rid in rids:
            await alerts.evaluate(tenant, rid or 0, rig.settings, now)
        job = (clock.monotonic() - began) / len(rids)
        return pure() | {"job_ms": round(job * 1e3, 1)}
