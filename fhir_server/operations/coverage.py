"""`Patient/{id}/$coverage`: of each signal and day how much was measured, and why not more.

The same parts as in `$timeline` (`docs/timeline.md`), day by day: the measured part of the day, samples, gaps with their reason.
"""

from __future__ import annotations

from fhir_server.audit.record import audit_row
from fhir_server.context import RequestContext
from fhir_server.errors import BadRequest
from fhir_server.interactions.call import Call, Json, Result
from fhir_server.kit import json
from fhir_server.operations import wear_gaps
from fhir_server.operations.daybook import view
from fhir_server.operations.parameters import read_parameters
from fhir_server.operations.points import gap_parts, part, sampled_part, source_parts
from workers.twin import series
from workers.twin.coverage import covered
from workers.twin.series import MOST, Buckets

DEFINITION: Json = {
    "resourceType": "OperationDefinition",
    "id": "Patient-coverage",
    "url": "https://fhir.clarity.example/OperationDefinition/Patient-coverage",
    "name": "Coverage",
    "status": "active",
    "kind": "operation",
    "affectsState": False,
    "code": "coverage",
    "resource": ["Patient"],
    "system": False,
    "type": False,
    "instance": True,
    "parameter": [
        {"name": "start", "use": "in", "min": 0, "max": "1", "type": "date", "documentation": "First local day; else 90 days."},
        {"name": "end", "use": "in", "min": 0, "max": "1", "type": "date", "documentation": "Last local day; else the last."},
        {"name": "return", "use": "out", "min": 1, "max": "1", "type": "Parameters"},
    ],
}  # fmt: skip


async def handle(ctx: RequestContext, call: Call) -> Result:
    """Answer `GET` or `POST Patient/{id}/$coverage`."""
    found = await view(ctx, call, read_parameters(DEFINITION, call))
    buckets = Buckets("day", found.window.first, found.window.last)
    if buckets.count > MOST:
        raise BadRequest(f"$coverage shows {MOST} days at most.", "parameter-value", "start")
    window = part(
        "window",
        part("start", valueDate=buckets.first.isoformat()),
        part("end", valueDate=buckets.last.isoformat()),
        part("zone", valueString=str(found.made_by.zone)),
    )
    parts = [window]
    told, looked = await wear_gaps.told(ctx, found, call.limits.canonical_base)
    for name, signal in covered(buckets, found.pages, told).items():
        parts.append(
            part(
                "signal",
                part("code", valueCode=name),
                sampled_part("coverage", signal.part, "1", buckets, ("part",)),
                sampled_part("samples", signal.samples, "{samples}", buckets, ("samples",)),
                *gap_parts(series.gaps(signal.lacking, signal.reasons)),
                *source_parts(found.references(name), buckets),
            )
        )
    patients = sorted({*found.patient.patients, found.patient.rid})
    row = audit_row(ctx, "operation", 200, type="Patient", rid=found.patient.rid, patients=patients)
    return Result(200, json.encode({"resourceType": "Parameters", "parameter": parts}), audit=[row, looked])
