"""`$draft-note`: what was gathered becomes a draft, by a language model where one may be asked, else by rules.

A worker that is killed leaves nothing half done: the document has an id that follows from the request, and is written with its
Provenance in one commit. Whatever goes wrong with a model ends in the note by rules, which says why.
"""

from __future__ import annotations

import asyncio
from typing import Final

from fhir_server.audit.record import audit_row, write_audit
from fhir_server.auth import policy, principals
from fhir_server.context import RequestContext
from fhir_server.interactions import commands
from fhir_server.interactions.call import Result
from fhir_server.kit import clock, ids, json, version
from fhir_server.settings import Settings
from fhir_server.storage import async_jobs, reads
from fhir_server.storage.async_jobs import AsyncJob
from fhir_server.storage.commands import PREDICTION, PUT, Command
from fhir_server.storage.commit import commit
from fhir_server.storage.reads import Stored
from fhir_server.storage.tenants import Tenant
from fhir_server.storage.visibility import EVERYTHING
from workers.gateway.ask import ask
from workers.gateway.errors import GatewayError, NotConfigured
from workers.jobs.note_record import gather
from workers.notes import drafter, prompt
from workers.notes.checker import checked
from workers.notes.document import DEVICE, Made, device, document, provenance
from workers.notes.note import Note
from workers.notes.record import Record

STEPS: Final = 3
"""Gathered, drafted, written: what X-Progress counts."""
REASONS: Final = {
    "failed": ("it gave no answer that may be used", "es gab keine verwendbare Antwort"),
    "withheld": ("policy keeps these sources in", "die Quellen dürfen das Haus nicht verlassen"),
    "over-budget": ("the tokens that may be used are used up", "die erlaubten Token sind verbraucht"),
    "refused": ("its endpoint refused", "der Endpunkt lehnte ab"),
    "redirected": (
        "its endpoint sends elsewhere, where nothing is sent: look at OPENAI_BASE_URL",
        "der Endpunkt verweist woandershin, wohin nichts gesendet wird: OPENAI_BASE_URL prüfen",
    ),
    "busy": ("its endpoint cannot be used now", "der Endpunkt ist jetzt nicht benutzbar"),
    "slow": ("its endpoint did not answer in time", "der Endpunkt antwortete nicht rechtzeitig"),
    "overrun": ("its endpoint answers that there are too many requests", "der Endpunkt meldet zu viele Anfragen"),
    "faulty": ("its endpoint answers an error of its own", "der Endpunkt meldet einen eigenen Fehler"),
    "away": ("its endpoint cannot be reached", "der Endpunkt ist nicht erreichbar"),
    "broken": ("its endpoint broke off the answer", "der Endpunkt brach die Antwort ab"),
    "paused": (
        "its endpoint failed repeatedly and is left alone for a while",
        "der Endpunkt versagte mehrmals und wird eine Weile nicht gefragt",
    ),
    "foreign": (
        "its endpoint answers something else than the OpenAI protocol: look at OPENAI_BASE_URL",
        "der Endpunkt spricht nicht das OpenAI-Protokoll: OPENAI_BASE_URL prüfen",
    ),
    "unmapped": (
        "MENTALLAMA_MODEL_MAPPINGS names no model for clinical, and no default",
        "MENTALLAMA_MODEL_MAPPINGS nennt kein Modell für clinical und keines für default",
    ),
    "not-configured": (
        "its settings are refused: ./clarity doctor says why",
        "seine Einstellungen werden abgelehnt: ./clarity doctor sagt, warum",
    ),
    "unset": ("", ""),
    "garbled": ("its answer could not be read", "die Antwort war nicht lesbar"),
    "no-json": ("its answer could not be read: it is no JSON", "die Antwort war nicht lesbar: sie ist kein JSON"),
    "shape": ("its answer could not be read: it has another shape", "die Antwort war nicht lesbar: sie hat eine andere Form"),
    "marks": ("it repeated the marks around the data", "es wiederholte die Marken um die Daten"),
    "citation": ("it cited what it was not given", "es zitierte, was es nicht bekommen hatte"),
    "address": ("its answer has a web address or markup", "die Antwort enthält eine Webadresse oder Auszeichnung"),
    "name": ("it named somebody whom it was not given", "es nannte jemanden, den es nicht bekommen hatte"),
    "endless": ("its answer did not end", "die Antwort endete nicht"),
    "cut-off": ("its answer was cut off at its limit of tokens", "die Antwort brach an der Grenze der Token ab"),
}  # fmt: skip


async def run(tenant: Tenant, asked: AsyncJob, settings: Settings) -> Result | None:
    """Draft the note that was asked for; None when it was cancelled. The rights are those that the caller has now."""
    ctx = RequestContext(tenant, await principals.of_agent(tenant, asked.agent), ids.request_id(), tenant.base)
    id_ = f"note-{asked.id}"
    seen = await policy.visibility(ctx, "DocumentReference", "create")
    there = await reads.read(tenant, "DocumentReference", id_, seen)
    if there is not None and not there.deleted:
        return _result(ctx, there)
    if not await _advance(tenant, asked, 0):
        return None
    record, patient, rows = await gather(ctx, asked.request, settings)
    await write_audit(tenant, rows)
    if not await _advance(tenant, asked, 1):
        return None
    note = await drafted(ctx, record, asked, settings)
    if note is None or not await _advance(tenant, asked, 2):
        return None
    made = Made(id_, clock.now(), ctx.principal.user, version.VERSION)
    await _write(ctx, note, record, made)
    written = await reads.read(tenant, "DocumentReference", id_, EVERYTHING)
    assert written is not None
    row = audit_row(ctx, "operation", 200, type="Patient", rid=patient.rid, patients=[patient.rid])
    await write_audit(tenant, [row])
    return _result(ctx, written)


async def _advance(tenant: Tenant, asked: AsyncJob, done: int) -> bool:
    return await async_jobs.advance(tenant, asked.id, done=done, total=STEPS, place={})


def _result(ctx: RequestContext, stored: Stored) -> Result:
    row = audit_row(ctx, "operation", 200, type=stored.type, rid=stored.rid, patients=stored.patients)
    return Result(200, stored.body, stored.version, stored.last_updated, audit=[row], resource_type=stored.type)


async def drafted(ctx: RequestContext, record: Record, asked: AsyncJob, settings: Settings) -> Note | None:
    """Return the checked draft; None when the request was cancelled while a model was asked."""
    kind, language = asked.request["kind"], asked.request["language"]
    rules = await asyncio.to_thread(drafter.draft, record, kind, language)
    reason = ""
    if not asked.request["rules"]:
        try:
            return await _by_model(ctx, record, rules, asked, settings)
        except GatewayError as error:
            reason = REASONS.get(error.why, REASONS["failed"])[language == "de"]
        except prompt.Unusable as error:
            reason = error.told(language)
        except _Cancelled:
            return None
    made = drafter.draft(record, kind, language, reason) if reason else rules
    return await asyncio.to_thread(checked, made, record)


class _Cancelled(Exception):
    """Whoever asked has deleted the request."""


async def _by_model(ctx: RequestContext, record: Record, rules: Note, asked: AsyncJob, settings: Settings) -> Note:
    """Return a note whose sentences a model wrote, checked; GatewayError or Unusable when there is none."""

    async def progress(_: int) -> None:
        if not await _advance(ctx.tenant, asked, 1):
            raise _Cancelled

    sentences = []
    model = ""
    tokens = settings.openai_call_tokens // 3
    for segment in prompt.segments(record, rules.kind, rules.language, rules.statements, tokens):
        answer = await ask(ctx.tenant, segment.task, settings, principal=ctx.principal, progress=progress)
        sentences += prompt.answered(segment, answer, rules.kind, rules.language)
        model = answer.model
    if not sentences:
        raise NotConfigured("There is nothing that a model could write about.", "unset")
    note = prompt.merged(rules, sentences, model, record)
    return await asyncio.to_thread(_completed, note, rules, record)


def _completed(note: Note, rules: Note, record: Record) -> Note:
    """Return the note of a model checked, with what it left out; Unusable when it is of no use."""
    kept = prompt.usable(checked(note, record))
    return checked(prompt.completed(kept, rules, record), record)


async def _write(ctx: RequestContext, note: Note, record: Record, made: Made) -> None:
    """Write the draft as who asked may write it, with the server's own Provenance and Device."""
    resource = document(note, record, made)
    draft = commands.build(ctx.tenant, resource, made.id, http_method=PUT, origin=PREDICTION)
    await commands.authorise(ctx, draft, "create")
    told = provenance(note, record, made, f"DocumentReference/{made.id}")
    explained = commands.build(ctx.tenant, told, ids.new_id(), origin=PREDICTION, fresh=True)
    made_by = await software(ctx.tenant, record.base)
    every = [draft, explained, *made_by]
    await commit(ctx.tenant, every, [audit_row(ctx, "create", 201, type=each.type) for each in every])


async def software(tenant: Tenant, base: str) -> list[Command]:
    """Return the command that makes the Device of the drafting software, none when it is there."""
    there = await reads.read(tenant, "Device", DEVICE, EVERYTHING)
    if there is not None and not there.deleted and json.decode_trusted(there.body):
        return []
    return [commands.build(tenant, device(base), DEVICE, current=there, http_method=PUT, origin=PREDICTION)]
