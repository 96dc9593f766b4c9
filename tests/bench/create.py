"""A create with everything on beside a bare insert of one row: same server, processes, pool, generator, run."""

from __future__ import annotations

import statistics

from fhir_server.kit import json
from tests.bench.client import Connection, Measured, closed_loop, connections, request, timed
from tests.bench.rig import Rig, bare_endpoint, make_bare_table

CONNECTIONS = 32
SECONDS = 4.0
ROUNDS = 3
PATIENTS = 50
VARIANTS = 500


def observation(patient: str, number: int) -> dict[str, object]:
    """Return a heart rate as a device hub posts it."""
    minute, second = divmod(number, 60)
    return {
        "resourceType": "Observation",
        "status": "final",
        "category": [
            {
                "coding": [
                    {"system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": "vital-signs"}
                ]
            }
        ],
        "code": {"coding": [{"system": "http://loinc.org", "code": "8867-4", "display": "Heart rate"}]},
        "subject": {"reference": f"Patient/{patient}"},
        "effectiveDateTime": f"2026-01-{1 + number % 28:02d}T{minute % 24:02d}:{second:02d}:00+01:00",
        "valueQuantity": {
            "value": 55 + number % 60,
            "unit": "beats/minute",
            "system": "http://unitsofmeasure.org",
            "code": "/min",
        },
    }


async def make_patients(rig: Rig, token: str, count: int = PATIENTS) -> list[str]:
    """Create patients and return their ids."""
    made = []
    async with connections(rig.port, 1) as (connection,):
        for number in range(count):
            body = json.encode({"resourceType": "Patient", "name": [{"family": f"Bench{number}"}]})
            answer = await connection.send(request("POST", "/fhir/Patient", token, body))
            assert answer.status == 201, answer.body
            made.append(json.decode_trusted(answer.body)["id"])
    return made


async def measure(rig: Rig) -> dict[str, object]:
    """Return the ratio of rates, the median of some rounds, with the figures behind it."""
    token = await rig.token()
    patients = await make_patients(rig, token)
    bodies = [json.encode(observation(patients[number % len(patients)], number)) for number in range(VARIANTS)]
    creates = [request("POST", "/fhir/Observation", token, body, Prefer="return=minimal") for body in bodies]
    inserts = [request("POST", "/", body=body) for body in bodies]
    await make_bare_table(rig)
    rounds: list[tuple[Measured, Measured]] = []
    with bare_endpoint(rig) as (bare_port, bare_processes):
        await _run(rig.port, creates, 1.0)  # warm
        await _run(bare_port, inserts, 1.0)
        for _ in range(ROUNDS):
            before = rig.cpu(bare_processes)
            bare = await _run(bare_port, inserts, SECONDS)
            bare.cpu_of(before, rig.cpu(bare_processes))
            before = rig.cpu()
            create = await _run(rig.port, creates, SECONDS)
            create.cpu_of(before, rig.cpu())
            rounds.append((create, bare))
    one = await _run(rig.port, creates, 2.0, count=1)
    return {
        "ratio": round(statistics.median(create.rate / bare.rate for create, bare in rounds), 3),
        "create": [create.summary() for create, _ in rounds],
        "bare": [bare.summary() for _, bare in rounds],
        "create_alone": one.summary(),
    }


async def _run(port: int, requests: list[bytes], seconds: float, count: int = CONNECTIONS) -> Measured:
    async def turn(number: int, at: int, connection: Connection, measured: Measured) -> None:
        answer = await timed(connection, requests[(number * 37 + at) % len(requests)], measured)
        assert answer.status == 201, answer.body[:500]

    return await closed_loop(port, count, seconds, turn)
