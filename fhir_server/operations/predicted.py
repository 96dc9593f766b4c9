"""For `$risk` and `$forecast`: bring the twin up to date, have workers ask the models, read the newest RiskAssessments.

The web process asks no model itself: it waits for the job that does, for `wait` seconds at most; then it is 202 with Retry-After.
The RiskAssessments are found by what their models are for (`method`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any

from fhir_server.audit.record import audit_row
from fhir_server.auth import policy
from fhir_server.context import RequestContext
from fhir_server.errors import Issue, NotFound
from fhir_server.interactions.call import Call, Json, Result
from fhir_server.interactions.results import absent
from fhir_server.kit import clock, ids, json
from fhir_server.model import bundles
from fhir_server.operations import twin
from fhir_server.operations.parameters import read_parameters
from fhir_server.search import run
from fhir_server.storage import daybook, jobs, predictions, reads
from fhir_server.storage.reads import Stored
from fhir_server.storage.tenants import JOBS, Tenant
from workers.ml.registry.card import Use

_WAIT = 10
_POLL = 0.05
_NEWEST = 60
"""RiskAssessments that are looked through for the newest of each model."""

_SILENT = Issue(
    "informational", "prediction-no-model",
    "No model says anything here that you may see: there is none for it, or it cannot be read (`./clarity doctor` tells the"
    " administrator).", severity="information",
)  # fmt: skip


def definition(code: str, name: str, text: str) -> Json:
    """Return the OperationDefinition of one of the two."""
    return {
        "resourceType": "OperationDefinition",
        "id": f"Patient-{code}",
        "url": f"https://fhir.clarity.example/OperationDefinition/Patient-{code}",
        "name": name,
        "status": "active",
        "kind": "operation",
        "description": text,
        "affectsState": False,
        "code": code,
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
                "documentation": "Seconds to wait for predictions that are being made, 0 to 30; 10 when not given.",
            },
            {"name": "return", "use": "out", "min": 1, "max": "1", "type": "Bundle"},
        ],
    }


async def answer(ctx: RequestContext, call: Call, definition: Json, uses: Sequence[Use]) -> Result:
    """Return a searchset of the newest RiskAssessment of each model of these uses; 202 while they are made, 404 without data."""
    wait = twin.seconds(read_parameters(definition, call).get("wait", [_WAIT])[0])
    assert call.address.id
    patient = await reads.read(ctx.tenant, "Patient", call.address.id, await policy.visibility(ctx, "Patient", "read"))
    if patient is None or patient.deleted:
        raise absent()
    seen = await policy.visibility(ctx, "RiskAssessment", "search-type")
    until = clock.monotonic() + wait
    ready = await twin.caught_up(ctx.tenant, patient.rid, wait)
    if ready and await daybook.span(ctx.tenant, patient.rid) is None:
        raise NotFound(
            "There are no data of this patient from which anything could be predicted.", "prediction-no-data"
        )
    if not ready or not await _made(ctx.tenant, patient.rid, until):
        return twin.computing(ctx, patient, "prediction-computing", "Predictions are being made; ask again.")
    query = [("patient", call.address.id), ("method", ",".join(uses)), ("_sort", "-date"), ("_count", str(_NEWEST))]
    found = _newest((await run.search(ctx, "RiskAssessment", query, visibility=seen)).rows)
    entries = [bundles.search_entry(ctx.base, each.type, each.id, each.body) for each in found]
    if not found:
        entries.append(bundles.outcome_entry([_SILENT]))
    rows = [audit_row(ctx, "operation", 200, type="Patient", rid=patient.rid, patients=patient.patients)]
    rows += [
        audit_row(ctx, "operation", 200, type=e.type, rid=e.rid, version=e.version, patients=e.patients) for e in found
    ]
    url = f"{ctx.base}/Patient/{call.address.id}/${definition['code']}"
    body = bundles.bundle(
        "searchset", entries, id_=ids.new_id(), moment=clock.now(), total=len(found), links=[("self", url)]
    )
    return Result(200, body, audit=rows)


def _newest(rows: Iterable[Stored]) -> list[Stored]:
    """Return the first, which is the newest, of each performer; what was entered in error says nothing."""
    found: dict[str, Stored] = {}
    for row in rows:
        resource = json.decode_trusted(row.body)
        if resource["status"] != "entered-in-error":
            found.setdefault(resource["performer"]["reference"], row)
    return list(found.values())


async def _made(tenant: Tenant, patient: int, until: float) -> bool:
    """Have the predictions made and wait for them; False when that takes longer than until."""
    asked = await predictions.now(tenant)
    new: list[tuple[str, str, dict[str, Any], Any]] = [(predictions.KIND, str(patient), {}, asked)]
    await jobs.add(tenant.pool, tenant, new)
    tenant.announce(JOBS)
    while not await predictions.finished(tenant, patient, asked):
        if clock.monotonic() >= until:
            return False
        await asyncio.sleep(_POLL)
    return True
