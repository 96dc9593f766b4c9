"""Gathers what a note is made of: the caller's sight of one patient, as a `Record`. Every search is theirs, in the trail too."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from fhir_server.audit.record import audit_row
from fhir_server.auth import policy
from fhir_server.context import RequestContext
from fhir_server.interactions.results import absent
from fhir_server.kit import clock, json
from fhir_server.operations import note_texts, twin
from fhir_server.operations.draft_note import LONGEST
from fhir_server.search import run
from fhir_server.settings import Settings
from fhir_server.storage import reads
from fhir_server.storage.commands import AuditRow
from fhir_server.storage.reads import Stored
from workers.notes.document import draft_of
from workers.notes.note import OUTLINES
from workers.notes.record import SCORES, STATE, TYPES, WRITTEN, Record, local_day, title_of
from workers.twin.zone import zone_of

SIGNED: Final = frozenset({"final", "amended"})
USUAL: Final[Mapping[str, int]] = {"intake": 90, "discharge": 90}
"""Days of a note before which none was signed; 30 of the other kinds."""

_SEARCHES: Final[tuple[tuple[str, str, tuple[tuple[str, str], ...], int], ...]] = (
    ("Observation", "both", (("code", STATE), ("status", "final"), ("_sort", "-date")), 2 * LONGEST),
    ("Observation", "ever", (("code", SCORES), ("_sort", "-date")), 500),
    ("Observation", "time", (("device:missing", "true"), ("_sort", "-date")), 500),
    ("Observation", "time", (("value-string:missing", "false"), ("_sort", "-date")), 200),
    ("QuestionnaireResponse", "ever", (("_sort", "-authored"),), 300),
    ("MedicationStatement", "ever", (("_sort", "-effective"),), 300),
    ("MedicationRequest", "ever", (("_sort", "-authoredon"),), 300),
    ("MedicationAdministration", "time-effective", (("_sort", "-effective-time"),), 100),
    ("Condition", "ever", (), 300),
    ("Encounter", "time", (("_sort", "-date"),), 200),
    ("DetectedIssue", "ever", (("_sort", "-identified"),), 200),
    ("RiskAssessment", "time", (("_sort", "-date"),), 200),
    ("AllergyIntolerance", "ever", (), 100),
    ("Communication", "ever", (("_sort", "-sent"),), 200),
    ("DocumentReference", "time", (("_sort", "-date"),), 100),
    ("Flag", "ever", (), 100),
    ("ClinicalImpression", "time", (("_sort", "-date"),), 100),
    ("DiagnosticReport", "time", (("_sort", "-date"),), 100),
    ("Procedure", "time", (("_sort", "-date"),), 100),
    ("ServiceRequest", "ever", (("_sort", "-authored"),), 100),
    ("CarePlan", "ever", (("_sort", "-date"),), 100),
    ("AdverseEvent", "time", (("_sort", "-date"),), 100),
)
"""Type, days, parameters, and how many at most; more makes the type `truncated`, which the note says."""


_PATIENT: Final[Mapping[str, str]] = {"AdverseEvent": "subject"}
"""The parameter that names the patient, where it is not `patient`."""


async def gather(
    ctx: RequestContext, asked: Mapping[str, Any], settings: Settings
) -> tuple[Record, Stored, list[AuditRow]]:
    """Return the record that a note is made of, the patient, and the audit rows of the searches; NotFound without the patient."""
    seen = await policy.visibility(ctx, "Patient", "read")
    patient = await reads.read(ctx.tenant, "Patient", asked["patient"], seen)
    if patient is None or patient.deleted:
        raise absent()
    zone = zone_of(json.decode_trusted(patient.body)) or ZoneInfo(settings.time_zone)
    last = date.fromisoformat(asked["until"]) if "until" in asked else clock.now().astimezone(zone).date()
    allowed = await policy.visibilities(ctx, "search-type", [*TYPES, *WRITTEN])
    signed = await _signed(ctx, patient, allowed, zone) if "DocumentReference" in allowed else None
    first = _first(asked, last, signed)
    behind = not await twin.caught_up(
        ctx.tenant, patient.rid, 0
    )  # before its states are read, so that none is called fresh
    found: dict[str, Any] = {}
    truncated, rows = set(), []
    for type_, days, given, most in _SEARCHES:
        if type_ not in allowed:
            continue
        query = [(_PATIENT.get(type_, "patient"), patient.id), *given, *_days(days, first, last), ("_count", str(most))]
        page = await run.search(ctx, type_, query, visibility=allowed[type_], most=max(most, 1000))
        found |= {f"{row.type}/{row.id}": json.decode_trusted(row.body) for row in page.rows}
        truncated |= {type_} if page.next else set()
        rows.append(audit_row(ctx, "search-type", 200, type=type_, patients=[*patient.patients, patient.rid]))
    found = {name: resource for name, resource in found.items() if not note_texts.psychotherapy(resource)}
    await _named(ctx, found)
    texts, unread = await note_texts.texts(ctx, found.values())
    record = Record(
        f"Patient/{patient.id}", first, last, found, frozenset(allowed) & {*TYPES, *WRITTEN}, frozenset(truncated), zone,
        settings.canonical_base, signed, texts, unread,
        behind,
    )  # fmt: skip
    return record, patient, rows


async def _named(ctx: RequestContext, found: Mapping[str, Any]) -> None:
    """Write the names of the Medications that are only referred to beside their references, as far as the caller sees them."""
    told = [
        r["medicationReference"]
        for r in found.values()
        if "display" not in r.get("medicationReference", {"display": ""})
    ]
    wanted = {
        each["reference"]: ("Medication", each["reference"].rpartition("/")[2])
        for each in told
        if str(each.get("reference", "")).startswith("Medication/")
    }
    seen = await policy.visibilities(ctx, "read", ["Medication"])
    rows = await reads.read_many(ctx.tenant, list(wanted.values()), seen) if wanted and "Medication" in seen else {}
    for each in told:
        row = rows.get(wanted.get(each.get("reference", ""), ("", "")))
        if row is not None and not row.deleted:
            each["display"] = title_of(json.decode_trusted(row.body).get("code")) or each["reference"]


def _first(asked: Mapping[str, Any], last: date, signed: date | None) -> date:
    if "since" in asked:
        first = date.fromisoformat(asked["since"])
    elif signed is not None and signed <= last:
        first = signed
    else:
        first = last - timedelta(days=USUAL.get(asked["kind"], 30) - 1)
    return max(first, last - timedelta(days=LONGEST - 1))


def _days(kind: str, first: date, last: date) -> list[tuple[str, str]]:
    if kind == "ever":
        return []
    if kind == "both":
        first -= last - first + timedelta(days=1)
    name = "effective-time" if kind == "time-effective" else "date"
    return [(name, f"ge{first - timedelta(days=1)}"), (name, f"le{last + timedelta(days=1)}")]


async def _signed(ctx: RequestContext, patient: Stored, allowed: Mapping[str, Any], zone: ZoneInfo) -> date | None:
    """Return the local day on which the newest note of this patient was signed that the caller sees."""
    loinc = ",".join(sorted({outline.loinc for outline in OUTLINES.values()}))
    query = [("patient", patient.id), ("status", "current"), ("type", loinc), ("_sort", "-date"), ("_count", "100")]
    page = await run.search(ctx, "DocumentReference", query, visibility=allowed["DocumentReference"])
    days = []
    for row in page.rows:
        resource = json.decode_trusted(row.body)
        if resource.get("docStatus") in SIGNED and draft_of(resource) is not None:
            days.append(local_day(resource.get("date"), zone))
    return max((day for day in days if day), default=None)
