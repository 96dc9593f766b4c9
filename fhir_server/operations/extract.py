"""`DocumentReference/{id}/$extract`: what the text of a document says, with spans, and proposals that somebody may accept.

Psychotherapy notes never feed it, whoever asks; drafts of ours neither, since they say what the record says already. Asked again,
it proposes the same: what is there, accepted or rejected, stays as it is.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Callable, Mapping
from typing import Any, Final

from fhir_server.audit.record import audit_row
from fhir_server.auth import labels, policy
from fhir_server.context import RequestContext
from fhir_server.errors import Unprocessable
from fhir_server.interactions import binary, commands
from fhir_server.interactions.call import Call, Json, Result
from fhir_server.interactions.results import absent
from fhir_server.interactions.retry import overtaken, tries
from fhir_server.kit import clock, ids, json
from fhir_server.operations.note_texts import is_of, is_whole
from fhir_server.operations.parameters import read_parameters
from fhir_server.operations.proposals import TYPES
from fhir_server.storage import reads
from fhir_server.storage.commands import PREDICTION, PUT, Command
from fhir_server.storage.commit import commit
from fhir_server.storage.errors import VersionConflict
from fhir_server.storage.visibility import EVERYTHING
from workers.notes.document import DEVICE, PARTICIPANT, device, draft_of
from workers.notes.extraction import MOST, VERSION, Finding, TooMany, findings, gathered, proposal
from workers.notes.plain import text_of_html

LONGEST: Final = 100_000
"""Bytes of text at most."""
_READ: Final[Mapping[str, Callable[[str], str]]] = {"text/plain": str, "text/markdown": str, "text/html": text_of_html}
"""How content types become text; others have none."""
DEFINITION: Json = {
    "resourceType": "OperationDefinition",
    "id": "DocumentReference-extract",
    "url": "https://fhir.clarity.example/OperationDefinition/DocumentReference-extract",
    "name": "Extract",
    "status": "active",
    "kind": "operation",
    "affectsState": True,
    "code": "extract",
    "comment": "By rules, English and German; docs/notes.md says how well. A type that the caller may not create is not proposed.",
    "resource": ["DocumentReference"],
    "system": False,
    "type": False,
    "instance": True,
    "parameter": [
        {"name": "return", "use": "out", "min": 1, "max": "1", "type": "Parameters"},
    ],
}  # fmt: skip


async def handle(ctx: RequestContext, call: Call) -> Result:
    """Answer `POST DocumentReference/{id}/$extract`: 200 and a Parameters with a part `finding` for each."""
    read_parameters(DEFINITION, call)
    assert call.address.id
    seen = await policy.visibility(ctx, "DocumentReference", "read")
    stored = await reads.read(ctx.tenant, "DocumentReference", call.address.id, seen)
    if stored is None or stored.deleted:
        raise absent()
    document = json.decode_trusted(stored.body)
    _refuse(document)
    text = await _text(ctx, document)
    try:
        found = await asyncio.to_thread(findings, text)
    except TooMany as error:
        said = f"The text has more than {MOST} findings: no note has. Split it into documents."
        raise Unprocessable(said, "extract-many", "DocumentReference.content", code="too-costly") from error
    base = call.limits.canonical_base
    groups = gathered((each for each in found if each.proposed), text)
    made = [(group, proposal(group, text, document, base)) for group in groups]
    allowed = {type_ for type_ in TYPES if await policy.allowed(ctx, type_, "create")}
    made = [(group, resource) for group, resource in made if resource["resourceType"] in allowed]
    await _write(ctx, [resource for _, resource in made], document, base)
    wanted = {each: resource for group, resource in made for each in group}
    row = audit_row(ctx, "operation", 200, type=stored.type, rid=stored.rid, patients=stored.patients)
    answer = {"resourceType": "Parameters", "parameter": [_told(each, text, wanted.get(each)) for each in found]}
    return Result(200, json.encode(answer), audit=[row])


def _refuse(document: Json) -> None:
    """Raise Unprocessable for what is never extracted from."""
    given = [*document.get("meta", {}).get("security", ()), *_codings(document.get("securityLabel", ()))]
    if any(label.get("code") == labels.NOTES for label in given):
        raise Unprocessable(
            "Psychotherapy notes are never extracted from.", "extract-psychotherapy", "DocumentReference.meta.security"
        )
    if draft_of(document) is not None and document.get("docStatus") == "preliminary":
        raise Unprocessable(
            "A draft says what the record says already: sign it first.", "extract-draft", "DocumentReference.docStatus"
        )
    if not str(document.get("subject", {}).get("reference", "")).startswith("Patient/"):
        raise Unprocessable("The document names no patient.", "extract-subject", "DocumentReference.subject")


def _codings(concepts: Any) -> list[Json]:
    return [coding for each in concepts for coding in each.get("coding", ())]


async def _text(ctx: RequestContext, document: Json) -> str:
    """Return the first text of a document, from the attachment or the Binary that it names, as far as the caller sees it."""
    for content in document["content"]:
        attachment = content["attachment"]
        kind = str(attachment.get("contentType", "text/plain")).partition(";")[0].strip().lower()
        if kind not in _READ:
            continue
        data = await _content(ctx, attachment, document)
        if data is None:
            continue
        if len(data) > LONGEST:
            raise Unprocessable(f"The text has more than {LONGEST} bytes.", "extract-long", "DocumentReference.content")
        try:
            return await asyncio.to_thread(_READ[kind], data.decode())
        except UnicodeDecodeError as error:
            raise _no_text() from error
    raise Unprocessable(
        "The document has no text: text/plain, text/markdown or text/html.", "extract-text", "DocumentReference.content"
    )


async def _content(ctx: RequestContext, attachment: Json, document: Json) -> bytes | None:
    """Return what an attachment holds, or what the Binary holds that it names; None when there is neither.

    Unprocessable when the Binary is somebody else's: whoever may see both would else move facts from one record to another.
    """
    if "data" in attachment:
        try:
            return base64.b64decode(attachment["data"], validate=True)
        except binascii.Error as error:
            raise _no_text() from error
    type_, _, id_ = str(attachment.get("url", "")).removeprefix(f"{ctx.base}/").partition("/")
    found = await binary.content(ctx, id_, LONGEST) if type_ == "Binary" and id_ and "/" not in id_ else None
    if found is None or any(
        label.get("code") == labels.NOTES for label in found[0].get("meta", {}).get("security", ())
    ):
        return None
    where = "DocumentReference.content.attachment"
    if found[0].get("securityContext") is None:
        text = "The Binary that the attachment names is nobody's: give it this patient as securityContext."
        raise Unprocessable(text, "extract-other", f"{where}.url")
    if not is_of(found[0], document):
        text = "The Binary that the attachment names belongs to another patient or resource: nothing of it is this patient's."
        raise Unprocessable(text, "extract-other", f"{where}.url")
    if not is_whole(attachment, found[1], LONGEST):
        text = "The Binary that the attachment names is not what the attachment's hash (SHA-1, as base64) says."
        raise Unprocessable(text, "extract-hash", f"{where}.hash")
    return found[1]


def _no_text() -> Unprocessable:
    where = "DocumentReference.content.attachment"
    return Unprocessable("The attachment is no text in UTF-8.", "extract-text", where)


async def _write(ctx: RequestContext, wanted: list[Json], document: Json, base: str) -> None:
    """Write the proposals that are not there yet, as the caller may write them, with one Provenance.

    Who comes in between has written the same: what is missing is looked for again.
    """
    async for _ in tries():
        made = await _missing(ctx, wanted, document, base)
        if not made:
            return
        try:
            await commit(ctx.tenant, made, [audit_row(ctx, "create", 201, type=each.type) for each in made])
        except VersionConflict:
            continue
        return
    raise overtaken()


async def _missing(ctx: RequestContext, wanted: list[Json], document: Json, base: str) -> list[Command]:
    names = [(each["resourceType"], each["id"]) for each in wanted]
    there = await reads.read_many(ctx.tenant, names, dict.fromkeys(TYPES, EVERYTHING)) if names else {}
    made: list[Command] = []
    for each in wanted:
        if (each["resourceType"], each["id"]) not in there:
            command = commands.build(ctx.tenant, each, each["id"], http_method=PUT, origin=PREDICTION)
            await commands.authorise(ctx, command, "create")
            made.append(command)
    if not made:
        return []
    told = _provenance([f"{each.type}/{each.id}" for each in made], document, base)
    made.append(commands.build(ctx.tenant, told, ids.new_id(), origin=PREDICTION, fresh=True))
    if await reads.read(ctx.tenant, "Device", DEVICE, EVERYTHING) is None:
        made.append(commands.build(ctx.tenant, device(base), DEVICE, http_method=PUT, origin=PREDICTION))
    return made


def _provenance(targets: list[str], document: Json, base: str) -> Json:
    coding = {"system": PARTICIPANT, "code": "assembler", "display": "Assembler"}
    rules = {"type": "Library", "identifier": {"system": f"{base}/NamingSystem/extraction", "value": VERSION}}
    return {
        "resourceType": "Provenance",
        "meta": {"security": document.get("meta", {}).get("security", [])}
        if document.get("meta", {}).get("security")
        else {},
        "target": [{"reference": target} for target in targets],
        "recorded": clock.instant(clock.now()),
        "agent": [{"type": {"coding": [coding]}, "who": {"reference": f"Device/{DEVICE}"}}],
        "entity": [
            {"role": "source", "what": {"reference": f"DocumentReference/{document['id']}"}},
            {"role": "derivation", "what": rules},
        ],
    }


def _told(found: Finding, text: str, made: Json | None) -> Json:
    parts: list[Json] = [
        {"name": "kind", "valueCode": found.kind},
        {"name": "concept", "valueCode": found.concept.replace(" ", "-")},
        {"name": "text", "valueString": text[found.start : found.end]},
        {"name": "start", "valueInteger": found.start},
        {"name": "end", "valueInteger": found.end},
        {"name": "negated", "valueBoolean": found.meant.negated},
        {"name": "experiencer", "valueCode": found.meant.experiencer},
        {"name": "time", "valueCode": found.meant.time},
    ]
    if made is not None:
        parts.append({"name": "proposed", "valueReference": {"reference": f"{made['resourceType']}/{made['id']}"}})
    return {"name": "finding", "part": parts}
