"""Searches as clinicians' and hubs' software asks them, over what the import left, a page of 20 each."""

from __future__ import annotations

import random
from urllib.parse import quote

import asyncpg

from profiles.registry import R4
from tests.bench.client import Connection, Measured, closed_loop, request, timed
from tests.bench.rig import Rig

CONNECTIONS = 4
SECONDS = 1.5
PATIENT = "{patient}"
QUERIES = {
    "Observation of a patient by code and date, newest first": "Observation?patient={patient}&code=8302-2&date=ge2010&_sort=-date",
    "Observation by code": "Observation?code=http://loinc.org|29463-7",
    "Observation by category and date": "Observation?category=vital-signs&date=ge2019",
    "Observation by code and quantity": "Observation?code-value-quantity=8302-2$gt170",
    "Observation by component": "Observation?component-code-value-quantity=8480-6$gt140",
    "Observation by value": "Observation?value-quantity=gt170",
    "Encounter by class": "Encounter?class=AMB",
    "Encounter by date": "Encounter?date=ge2019-05-01&date=lt2019-06-01",
    "Encounter of a patient": "Encounter?subject=Patient/{patient}",
    "Condition of a patient": "Condition?patient={patient}",
    "MedicationRequest of a patient": "MedicationRequest?subject=Patient/{patient}",
    "Patient by name": "Patient?name=A",
    "Patient by birthdate": "Patient?birthdate=ge1970&birthdate=lt1990",
    "Patient by address": "Patient?address=Boston",
    "Organization by name": "Organization?name=HOSPITAL",
    "Claim newest": "Claim?_sort=-_lastUpdated",
}


async def measure(rig: Rig) -> dict[str, object]:
    """Return the median over all queries, and each query's own."""
    token = await rig.token("system/*.rs")
    patients = await _patients(rig)
    total = Measured()
    each = {}
    for title, query in QUERIES.items():
        measured = await _one(rig.port, token, query, patients)
        total.durations += measured.durations
        total.statuses += measured.statuses
        total.seconds += measured.seconds
        total.generator_cpu = max(total.generator_cpu, measured.generator_cpu)
        each[title] = {"p50_ms": round(measured.percentile(50), 3), "p99_ms": round(measured.percentile(99), 3)}
    return {"p50_ms": round(total.percentile(50), 3), "all": total.summary(), "queries": each}


async def _one(port: int, token: str, query: str, patients: list[str]) -> Measured:
    chosen = random.Random(7)

    async def turn(_number: int, _at: int, connection: Connection, measured: Measured) -> None:
        path = quote(query.replace(PATIENT, chosen.choice(patients)), safe="/?&=:$,-")
        answer = await timed(connection, request("GET", f"/fhir/{path}&_count=20", token), measured)
        assert answer.status == 200, (query, answer.body[:500])

    return await closed_loop(port, CONNECTIONS, SECONDS, turn)


async def _patients(rig: Rig) -> list[str]:
    connection = await asyncpg.connect(rig.dsn)
    rows = await connection.fetch(
        "SELECT fhir_id FROM t_default.resource WHERE type = $1 AND version > 0 AND NOT deleted", R4.type_id("Patient")
    )
    await connection.close()
    return [row["fhir_id"] for row in rows]
