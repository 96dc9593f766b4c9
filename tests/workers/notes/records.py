"""Records for tests of notes: a demo patient with the twin's states, computed without a database."""

from __future__ import annotations

from datetime import date, timedelta
from functools import cache
from typing import Any

from fhir_server.kit import json
from workers.demo.generate import generate
from workers.notes.record import TYPES, Record
from workers.twin.block import gather
from workers.twin.crossings import crossings
from workers.twin.resources import state_observation
from workers.twin.risk import risk_assessment
from workers.twin.signals import read
from workers.twin.state import states
from workers.twin.zone import zone_of

Json = dict[str, Any]
SEED, END = 7, date(2026, 6, 30)


@cache
def demo(number: int = 1, days: int = 60) -> tuple[str, dict[str, Json], Any]:
    """Return a demo patient's address, resources with states and assessments, and zone."""
    wanted = f"demo-{number:03d}"
    found = [e["resource"] for b in generate(SEED, number, days, end=END) for e in b["entry"]]
    own = [r for r in found if r["id"].startswith(wanted)]
    patient = next(r for r in own if r["resourceType"] == "Patient")
    zone = zone_of(patient)
    assert zone is not None
    signals = [r for r in own if r["resourceType"] == "Observation"]
    names = {number: f"Observation/{r['id']}" for number, r in enumerate(signals, 1)}
    blocks = gather([(number, 1, read(r)) for number, r in enumerate(signals, 1)])
    made = []
    for state in states(blocks, zone=zone):
        made.append(state_observation(wanted, state, names, zone))
        made += [risk_assessment(wanted, state, each, zone) for each in crossings(state)]
    kept = [
        r for r in own if r["resourceType"] in TYPES and not (r["resourceType"] == "Observation" and r.get("device"))
    ]
    everything = [json.decode_trusted(json.encode(r)) for r in (*kept, *made)]
    return f"Patient/{wanted}", {f"{r['resourceType']}/{r['id']}": r for r in everything}, zone


def record(number: int = 1, *, back: int = 30, days: int = 60, **more: Any) -> Record:
    """Return the record of the last `back` days of a demo patient."""
    patient, resources, zone = demo(number, days)
    extra = more.pop("extra", [])
    found = resources | {f"{r['resourceType']}/{r['id']}": r for r in extra}
    given: Json = {"first": END - timedelta(days=back - 1), "last": END, "zone": zone} | more
    return Record(patient, resources=found, **given)
