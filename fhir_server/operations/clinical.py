"""What the clinic wrote about a patient's days: exposure to medication and encounters, each under the policy of its own type."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Final

from fhir_server.audit.record import audit_row
from fhir_server.auth import policy
from fhir_server.context import RequestContext
from fhir_server.interactions.call import Json
from fhir_server.kit import json
from fhir_server.operations.points import part
from fhir_server.search import run
from fhir_server.storage.commands import AuditRow
from fhir_server.storage.reads import Stored
from workers.twin.medication import Exposure, exposures

MOST: Final = 1000
"""Resources of a type, the newest; `truncated` names a type of which there are more."""

_SORTED: Final = {
    "MedicationStatement": "-effective",
    "MedicationRequest": "-authoredon",
    "MedicationAdministration": "-effective-time",
    "Encounter": "-date",
}


async def spans(ctx: RequestContext, patient: Stored, first: date, last: date) -> tuple[list[Json], list[AuditRow]]:
    """Return medication and encounters that touch the days, as parameters; a type that the caller may not search has none."""
    allowed = await policy.visibilities(ctx, "search-type", list(_SORTED))
    out: list[Json] = []
    told: list[Exposure] = []
    rows: list[AuditRow] = []
    for type_, order in _SORTED.items():
        if type_ not in allowed:
            continue
        query = [("patient", patient.id), ("_sort", order), ("_count", str(MOST))]
        if type_ in ("Encounter", "MedicationAdministration"):
            name = order.lstrip("-")
            query += [(name, f"ge{first - timedelta(days=1)}"), (name, f"le{last + timedelta(days=1)}")]
        page = await run.search(ctx, type_, query, visibility=allowed[type_])
        rows.append(audit_row(ctx, "search-type", 200, type=type_, patients=list(patient.patients) or [patient.rid]))
        found = [json.decode_trusted(row.body) for row in page.rows]
        if type_ == "Encounter":
            out += [_encounter(each) for each in found]
        else:
            told += exposures(found)
        out += [part("truncated", valueCode=type_)] if page.next else []
    return [*_medication(told, first, last), *out], rows


def _medication(told: list[Exposure], first: date, last: date) -> list[Json]:
    out = []
    for each in sorted(told, key=lambda span: (span.start, span.source)):
        if each.start > last or (each.end is not None and each.end < first):
            continue
        period = {"start": each.start.isoformat()} | ({"end": each.end.isoformat()} if each.end else {})
        out.append(
            part(
                "medication",
                part("medication", valueCodeableConcept=dict(each.medication)),
                part("basis", valueCode=each.basis),
                part("status", valueCode=each.status),
                part("period", valuePeriod=period),
                part("ongoing", valueBoolean=each.ongoing),
                part("source", valueReference={"reference": each.source}),
            )
        )
    return out


def _encounter(resource: Json) -> Json:
    made = [part("class", valueCoding=resource["class"])] if "class" in resource else []
    made += [part("type", valueCodeableConcept=each) for each in resource.get("type", ())[:1]]
    made += [part("status", valueCode=resource["status"])] if "status" in resource else []
    made += [part("period", valuePeriod=resource["period"])] if "period" in resource else []
    source = part("source", valueReference={"reference": f"Encounter/{resource['id']}"})
    return part("encounter", *made, source)
