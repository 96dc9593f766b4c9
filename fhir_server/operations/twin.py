"""`Patient/{id}/$twin`: the newest state of the patient's digital twin, up to date with everything that was committed.

When data have arrived that the twin does not hold yet, the workers are asked for it at once and the answer waits for them, for
`wait` seconds at most; then it is 202 with Retry-After, and asking again goes on waiting. Older states are ordinary
Observations: `Observation?patient=...&code=digital-twin-state&_sort=-date`.
"""

from __future__ import annotations

import asyncio

from fhir_server.audit.record import audit_row
from fhir_server.auth import policy
from fhir_server.context import RequestContext
from fhir_server.errors import BadRequest, Issue, NotFound, outcome
from fhir_server.interactions.call import Call, Json, Result
from fhir_server.interactions.results import absent
from fhir_server.kit import clock, json
from fhir_server.operations.parameters import read_parameters
from fhir_server.search import run
from fhir_server.storage import blocks, jobs, outbox, reads
from fhir_server.storage.commands import CLIENT, IMPORT
from fhir_server.storage.reads import Stored
from fhir_server.storage.tenants import Tenant
from workers.twin.ids import device_id

DEFINITION: Json = {
    "resourceType": "OperationDefinition",
    "id": "Patient-twin",
    "url": "https://fhir.clarity.example/OperationDefinition/Patient-twin",
    "name": "Twin",
    "status": "active",
    "kind": "operation",
    "affectsState": False,
    "code": "twin",
    "resource": ["Patient"],
    "system": False,
    "type": False,
    "instance": True,
    "parameter": [
        {
            "name": "wait",
            "use": "in",
            "min": 0,
            "max": "1",
            "type": "integer",
            "documentation": "Seconds to wait for a twin that is being computed, 0 to 30; 10 when not given.",
        },
        {"name": "return", "use": "out", "min": 1, "max": "1", "type": "Observation"},
    ],
}

_WAIT = 10
_LONGEST = 30
_POLL = 0.05


async def handle(ctx: RequestContext, call: Call) -> Result:
    """Answer `GET` or `POST Patient/{id}/$twin`: 200 and the Observation, 202 while it is computed, 404 without any data."""
    wait = seconds(read_parameters(DEFINITION, call).get("wait", [_WAIT])[0])
    assert call.address.id
    patient = await reads.read(ctx.tenant, "Patient", call.address.id, await policy.visibility(ctx, "Patient", "read"))
    if patient is None or patient.deleted:
        raise absent()
    seen = await policy.visibility(ctx, "Observation", "search-type")
    if not await caught_up(ctx.tenant, patient.rid, wait):
        return computing(ctx, patient, "twin-computing", "The twin is being computed; ask again.")
    query = [
        ("patient", call.address.id),
        ("code", "digital-twin-state"),
        ("status", "final"),
        ("device", f"Device/{device_id()}"),
        ("_sort", "-date"),
        ("_count", "1"),
    ]
    page = await run.search(ctx, "Observation", query, visibility=seen)
    if not page.rows:
        raise NotFound("There are no signals of this patient from which a twin could be computed.", "twin-no-data")
    state = page.rows[0]
    row = audit_row(
        ctx, "operation", 200, type=state.type, rid=state.rid, version=state.version, patients=state.patients
    )
    return Result(200, state.body, state.version, state.last_updated, audit=[row], resource_type=state.type)


def computing(ctx: RequestContext, patient: Stored, id_: str, text: str) -> Result:
    """Return the 202 of what is not there yet about a patient."""
    issue = Issue("informational", id_, text, severity="information")
    row = audit_row(ctx, "operation", 202, type="Patient", rid=patient.rid, patients=patient.patients)
    return Result(202, json.encode(outcome([issue])), headers={"Retry-After": "2"}, audit=[row])


def seconds(value: object) -> int:
    """Return how long to wait; BadRequest when that is not a number of seconds within bounds."""
    if not isinstance(value, int) or not 0 <= value <= _LONGEST:
        raise BadRequest(
            f"wait is a number of seconds from 0 to {_LONGEST}.", "parameter-value", "Parameters.parameter"
        )
    return value


async def caught_up(tenant: Tenant, patient: int, wait: int) -> bool:
    """Wait until the twin holds everything that is committed now; False when that takes longer than `wait` seconds."""
    until = clock.monotonic() + wait
    while await _behind(tenant, patient):
        if clock.monotonic() >= until:
            return False
        await asyncio.sleep(_POLL)
    return True


async def _behind(tenant: Tenant, patient: int) -> bool:
    """Tell whether data wait for the twin; asks for its refresh now, not when the next one would be due."""
    if await outbox.unread_of(tenant, "dispatch", patient, (CLIENT, IMPORT)):
        return True
    if not await blocks.unfinished(tenant, patient):
        return False
    await jobs.hurry(tenant, "twin", str(patient))
    return True
