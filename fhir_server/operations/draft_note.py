"""`Patient/{id}/$draft-note`: a note about what happened since the last one was signed, for a clinician to edit and sign.

    POST [base]/Patient/{id}/$draft-note   202, and where to look; then a DocumentReference, docStatus preliminary

Workers make it in the name of who asked (`workers/jobs/note.py`): it holds what that person may see, and nothing else.
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import Final, get_args

from fhir_server.auth import policy
from fhir_server.context import RequestContext
from fhir_server.errors import BadRequest, Forbidden
from fhir_server.interactions import asynchronous
from fhir_server.interactions.call import Call, Json, Result
from fhir_server.interactions.results import absent
from fhir_server.kit import clock
from fhir_server.operations import twin
from fhir_server.operations.parameters import Given, read_parameters
from fhir_server.storage import reads
from workers.notes.note import OUTLINES
from workers.notes.record import Language

KIND: Final = "draft-note"
LONGEST: Final = 366
"""Days that a note is about at most."""

DEFINITION: Json = {
    "resourceType": "OperationDefinition",
    "id": "Patient-draft-note",
    "url": "https://fhir.clarity.example/OperationDefinition/Patient-draft-note",
    "name": "DraftNote",
    "status": "active",
    "kind": "operation",
    "affectsState": True,
    "code": "draft-note",
    "comment": "Answered later. Without a language model, or when it fails, the note is drafted by rules and says so.",
    "resource": ["Patient"],
    "system": False,
    "type": False,
    "instance": True,
    "parameter": [
        {"name": "type", "use": "in", "min": 0, "max": "1", "type": "code",
         "documentation": "soap, progress (when not given), intake or discharge."},
        {"name": "since", "use": "in", "min": 0, "max": "1", "type": "date",
         "documentation": "First local day; else that of the last signed note, else 30 days (intake, discharge: 90)."},
        {"name": "until", "use": "in", "min": 0, "max": "1", "type": "date", "documentation": "Last local day; else today."},
        {"name": "language", "use": "in", "min": 0, "max": "1", "type": "code", "documentation": "en (when not given) or de."},
        {"name": "rules", "use": "in", "min": 0, "max": "1", "type": "boolean",
         "documentation": "true: no language model, even where one is set up."},
        {"name": "return", "use": "out", "min": 1, "max": "1", "type": "DocumentReference"},
    ],
}  # fmt: skip


async def handle(ctx: RequestContext, call: Call) -> Result:
    """Answer `POST Patient/{id}/$draft-note`: 202; 403 for who may not write the note, 404 for whom they do not see."""
    given = read_parameters(DEFINITION, call)
    assert call.address.id
    asked = {"patient": call.address.id, **_asked(given)}
    patient = await reads.read(ctx.tenant, "Patient", call.address.id, await policy.visibility(ctx, "Patient", "read"))
    if patient is None or patient.deleted:
        raise absent()
    if not await policy.allowed(ctx, "DocumentReference", "create"):
        raise Forbidden("A draft is a DocumentReference: the token may not create any.", "draft-note-right")
    await twin.caught_up(ctx.tenant, patient.rid, 0)  # asks for its refresh now, so that the draft finds it fresh
    return await asynchronous.accepted(ctx, KIND, asked, "Patient")


def _asked(given: Given) -> Json:
    kind, language = given.get("type", ["progress"])[0], given.get("language", ["en"])[0]
    if kind not in OUTLINES:
        raise BadRequest(f"type is {', '.join(OUTLINES)}.", "parameter-value", "type")
    if language not in get_args(Language):
        raise BadRequest(f"language is {' or '.join(get_args(Language))}.", "parameter-value", "language")
    since, until = (_day(given, name) for name in ("since", "until"))
    if since and until and not 0 <= (until - since).days < LONGEST:
        raise BadRequest(f"since is not after until, and {LONGEST} days before it at most.", "parameter-value", "since")
    last = until or clock.now().date() + timedelta(days=1)  # today, wherever the patient lives
    if since and not 0 <= (last - since).days <= LONGEST:
        raise BadRequest(
            f"since is not in the future, and {LONGEST} days before until (else today) at most.",
            "parameter-value",
            "since",
        )
    days = {name: day.isoformat() for name, day in (("since", since), ("until", until)) if day}
    return {"kind": kind, "language": language, "rules": bool(given.get("rules", [False])[0]), **days}


def _day(given: Given, name: str) -> date | None:
    text = given.get(name, [None])[0]
    if text is None:
        return None
    try:
        found = date.fromisoformat(str(text))
    except ValueError:
        found = date.min
    if len(str(text)) != 10 or not date(1900, 1, 1) <= found <= date(2200, 1, 1):
        raise BadRequest(f"{name} is a day: YYYY-MM-DD.", "parameter-value", name)
    return found
