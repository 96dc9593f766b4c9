"""`DocumentReference/{id}/$sign`: a clinician signs a drafted note, with their edits; signed again, it is amended.

Nothing else makes a draft final: `guard` refuses it to plain writes, so that there is no signed note without a person, a time and a
measured difference. What is signed is a version; those before it stay in the history.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from fhir_server.audit.record import audit_row
from fhir_server.auth import labels, policy
from fhir_server.context import RequestContext
from fhir_server.errors import BadRequest, Conflict, Forbidden, Issue, Unprocessable
from fhir_server.interactions import commands
from fhir_server.interactions.call import Call, Json, Result
from fhir_server.interactions.conditions import check_conditions
from fhir_server.interactions.results import absent, location
from fhir_server.kit import clock, ids, json
from fhir_server.operations import note_again
from fhir_server.operations.parameters import Given, read_parameters
from fhir_server.search.extract import extract
from fhir_server.storage import reads
from fhir_server.storage.commands import PREDICTION, PUT, Command
from fhir_server.storage.commit import commit
from fhir_server.storage.errors import VersionConflict
from fhir_server.storage.reads import Stored
from fhir_server.storage.tenants import Tenant
from fhir_server.storage.visibility import EVERYTHING
from workers.notes import signing
from workers.notes.checker import CHANGED
from workers.notes.document import PARTICIPANT, draft_of, sections_of
from workers.notes.note import Section

SIGNED: Final = ("final", "amended")
DEFINITION: Json = {
    "resourceType": "OperationDefinition",
    "id": "DocumentReference-sign",
    "url": "https://fhir.clarity.example/OperationDefinition/DocumentReference-sign",
    "name": "Sign",
    "status": "active",
    "kind": "operation",
    "affectsState": True,
    "code": "sign",
    "comment": "For the practitioner who asked for the draft. A signed note that is signed again is amended.",
    "resource": ["DocumentReference"],
    "system": False,
    "type": False,
    "instance": True,
    "parameter": [
        {"name": "section", "use": "in", "min": 0, "max": "*", "documentation": "What was edited; others stay as they are.",
         "part": [{"name": "code", "use": "in", "min": 1, "max": "1", "type": "code"},
                  {"name": "text", "use": "in", "min": 1, "max": "1", "type": "string",
                   "documentation": "Lines: those as drafted keep their citations, others are the clinician's."}]},
        {"name": "accept-unsupported", "use": "in", "min": 0, "max": "1", "type": "boolean",
         "documentation": "true: sign although sentences that the checker did not find supported are still in it."},
        {"name": "return", "use": "out", "min": 1, "max": "1", "type": "DocumentReference"},
    ],
}  # fmt: skip


async def handle(ctx: RequestContext, call: Call) -> Result:
    """Answer `POST DocumentReference/{id}/$sign`: 200 and the signed version."""
    if any(name == "section" for name, _ in call.params):
        raise BadRequest(
            "Send the sections in a Parameters resource: addresses are written down.", "sign-sections", "section"
        )
    given = read_parameters(DEFINITION, call)
    assert call.address.id
    seen = await policy.visibility(ctx, "DocumentReference", "update")
    current = await reads.read(ctx.tenant, "DocumentReference", call.address.id, seen)
    if current is None or current.deleted:
        raise absent()
    check_conditions(call.conditions, current)
    resource = json.decode_trusted(current.body)
    first = await _draft(ctx, current, resource)
    drafted = json.decode_trusted(first.body)
    resource |= {"extension": drafted["extension"]} if "extension" in drafted else {}
    who = _signer(ctx, resource)
    edits = _edits(given, resource)
    before = sections_of(drafted)
    if first is not current and draft_of(drafted) is None:
        raise Unprocessable("Only notes that were drafted here are signed by $sign.", "sign-kind", "DocumentReference")
    after = signing.edited(note_again.owned(sections_of(resource), before), edits)
    if _signed_already(resource, after, who):  # a click more is no amendment
        return _result(ctx, current)
    after = await note_again.again(ctx, call.limits.canonical_base, resource, first, after)
    if not given.get("accept-unsupported", [False])[0] and signing.unsupported(after):
        raise _unsupported(after)
    found = await asyncio.to_thread(signing.differences, before, after)
    made = signing.signed(resource, after, found, who, clock.now(), call.limits.canonical_base)
    return await _write(ctx, current, made, who)


def _signer(ctx: RequestContext, resource: Json) -> str:
    """Return who signs; Forbidden unless it is a practitioner, and of a draft who asked for it."""
    about, who = draft_of(resource), ctx.principal.user or ""
    if about is None or resource.get("status") != "current":
        raise Unprocessable(
            "Only current notes that were drafted here are signed by $sign.", "sign-kind", "DocumentReference"
        )
    if resource.get("docStatus") not in ("preliminary", *SIGNED):
        raise Unprocessable("A note that is no draft is not signed.", "sign-kind", "DocumentReference.docStatus")
    if not who.startswith("Practitioner/"):
        raise Forbidden("Notes are signed by practitioners who signed in, not by services or patients.", "sign-person")
    asked = about.get("askedBy", {}).get("reference")
    if asked not in (None, who) and resource.get("docStatus") == "preliminary":
        raise Forbidden("This draft was asked for by somebody else: draft one of your own.", "sign-others")
    return who


def _edits(given: Given, resource: Json) -> dict[str, str]:
    known = {each.code for each in sections_of(resource)}
    edits: dict[str, str] = {}
    for part in given.get("section", ()):
        code, text = (part.get(name) if isinstance(part, dict) else None for name in ("code", "text"))
        if code not in known or code in edits or not isinstance(text, str):
            raise BadRequest("A section has a code of the note, given once, and a text.", "sign-sections", "section")
        if len(text) > signing.LONGEST:
            raise BadRequest(f"A section has {signing.LONGEST} characters at most.", "sign-sections", "section.text")
        edits[code] = text
    return edits


async def _draft(ctx: RequestContext, current: Stored, resource: Json) -> Stored:
    """Return what the server wrote last: the first version of a draft, the signed one of what is amended."""
    if resource.get("docStatus") in SIGNED or current.version == 1:
        return current
    first = await reads.vread(ctx.tenant, "DocumentReference", current.id, 1, EVERYTHING)  # only compared, never shown
    return first if first is not None and first.body else current


def _signed_already(resource: Json, after: list[Section], who: str) -> bool:
    """Tell whether the same person signs the same content once more."""
    by = resource.get("authenticator", {}).get("reference")
    return resource["docStatus"] in SIGNED and by == who and after == sections_of(resource)


def _result(ctx: RequestContext, stored: Stored) -> Result:
    row = audit_row(
        ctx, "read", 200, type=stored.type, rid=stored.rid, version=stored.version, patients=stored.patients
    )
    where = location(ctx, stored.type, stored.id, stored.version)
    return Result(200, stored.body, stored.version, stored.last_updated, where, audit=[row], resource_type=stored.type)


def _unsupported(sections: list[Section]) -> Unprocessable:
    changed, left = signing.unsupported(sections, CHANGED), signing.unsupported(sections)
    told = [(s, f"{s.title}: {_CHANGED if s.code in changed else _LEFT}") for s in sections if s.code in left]
    issues = [Issue("business-rule", "sign-unsupported", text, f"section({s.code})") for s, text in told]
    return Unprocessable(" ".join(text for _, text in told), "sign-unsupported", issues=issues)


_LEFT: Final = (
    "a sentence is left that the checker did not find supported: change it, take it out, or say accept-unsupported."
)
_CHANGED: Final = (
    "what a sentence rests on was changed, taken away or added to since the draft, and no longer says it: draft anew, change the"
    " sentence, take it out, or say accept-unsupported."
)


async def _write(ctx: RequestContext, current: Stored, made: Json, who: str) -> Result:
    command = commands.build(ctx.tenant, made, current.id, current=current, http_method=PUT)
    assert command.index is not None
    await policy.check_write(ctx, command.type, "update", command.index, command.id)
    before = command.previous or extract(ctx.tenant, json.decode_trusted(current.body))
    labels.check_kept(ctx, before.keys, command.index.keys)
    told = commands.build(ctx.tenant, _provenance(current, made, who), ids.new_id(), origin=PREDICTION, fresh=True)
    rows = [audit_row(ctx, "update", 200, type=command.type), audit_row(ctx, "create", 201, type="Provenance")]
    try:
        done, _ = await commit(ctx.tenant, [command, told], rows)
    except VersionConflict as error:
        raise Conflict("Somebody has just changed this note: read it again.", "sign-overtaken") from error
    where = location(ctx, done.type, done.id, done.version)
    return Result(200, done.body, done.version, done.last_updated, where, audited=True, resource_type=done.type)


def _provenance(current: Stored, made: Json, who: str) -> Json:
    coding = {"system": PARTICIPANT, "code": "attester", "display": "Attester"}
    name = f"DocumentReference/{current.id}"
    return {
        "resourceType": "Provenance",
        "meta": {"security": made.get("meta", {}).get("security", [])},
        "target": [{"reference": f"{name}/_history/{current.version + 1}"}],
        "recorded": made["date"],
        "activity": {"text": "signed" if made["docStatus"] == "final" else "amended"},
        "agent": [{"type": {"coding": [coding]}, "who": {"reference": who}}],
        "entity": [{"role": "revision", "what": {"reference": f"{name}/_history/{current.version}"}}],
    }


# ---- what plain writes may not do ----


def use(tenant: Tenant) -> None:
    """Let plain writes of notes be checked."""
    tenant.check("notes", {"DocumentReference": guard}, removals=["DocumentReference"])


async def guard(ctx: RequestContext, command: Command) -> None:
    """Refuse a plain write that would sign a draft, change or delete a signed note, or take away what tells that it is one."""
    resource: Any = command.resource or {}
    stored = await reads.read(ctx.tenant, "DocumentReference", command.id, EVERYTHING) if command.expected else None
    there = json.decode_trusted(stored.body) if stored is not None and stored.body else {}
    ours, was = draft_of(there) is not None, there.get("docStatus")
    if not ours and draft_of(resource) is None:
        return
    if command.method == "delete":
        if was in SIGNED:
            text = "A signed note is not deleted: set its status, or docStatus, to entered-in-error."
            raise Conflict(text, "note-signed")
        return
    if not ours and command.origin != PREDICTION:
        text = "Drafted notes are made by $draft-note only: leave out the extension note-draft."
        raise Unprocessable(text, "note-unsigned", "DocumentReference.extension")
    if ours and was in SIGNED:
        if _same_but_status(there, resource):
            return
        text = (
            "A signed note is changed by $sign, which amends it; its status may become superseded or entered-in-error."
        )
        raise Conflict(text, "note-signed")
    if resource.get("docStatus") not in ("preliminary", "entered-in-error") or (ours and draft_of(resource) is None):
        text = "A drafted note becomes final by $sign only, and stays known as a draft until then."
        raise Unprocessable(text, "note-unsigned", "DocumentReference.docStatus")


def _same_but_status(before: Json, after: Json) -> bool:
    def rest(resource: Json) -> Json:
        meta = {k: v for k, v in resource.get("meta", {}).items() if k not in ("versionId", "lastUpdated")}
        return {k: v for k, v in resource.items() if k not in ("status", "docStatus", "meta")} | {"meta": meta}

    status = after.get("status") in ("superseded", "entered-in-error", "current")
    return (
        status and after.get("docStatus") in (before["docStatus"], "entered-in-error") and rest(before) == rest(after)
    )
