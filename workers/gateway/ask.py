"""`ask`: one task on its way out and back; the steps in their order, each in a file of its own."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, Final

from fhir_server.audit.record import audit_row, write_audit
from fhir_server.auth.principals import worker_principal
from fhir_server.context import Principal, RequestContext
from fhir_server.kit import ids
from fhir_server.settings import Settings
from fhir_server.storage import blocks, disclosures
from fhir_server.storage.disclosures import Disclosure
from fhir_server.storage.ident import known_rid
from fhir_server.storage.tenants import Tenant
from workers.gateway import client, policy, prompt
from workers.gateway.check import checked
from workers.gateway.deid.known import Known
from workers.gateway.deid.pseudonyms import Pseudonyms
from workers.gateway.deid.scrub import Scrubber, recogniser
from workers.gateway.endpoint import Endpoint, endpoint_of
from workers.gateway.errors import GatewayError, OverBudget, Withheld
from workers.gateway.record import TooMuch, known_of
from workers.gateway.task import Answer, Progress, Source, Task

_WEEKS: Final = 150
_STATUSES: Final = {"overrun": 429, "paused": 503, "away": 503, "slow": 504}
"""What the trail has of a call that failed, by why; 502 for what the endpoint did wrong."""
_ID_LETTERS: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-")


@dataclass(frozen=True, slots=True)
class _Ready:
    """A task that may go out."""

    patient: int
    key_id: int
    question: client.Question
    pseudonyms: Pseudonyms
    ids: frozenset[str]
    withheld: tuple[str, ...]
    mark: str
    tokens: int
    """Of question and answer at most."""


async def ask(
    tenant: Tenant,
    task: Task,
    settings: Settings,
    *,
    principal: Principal | None = None,
    progress: Progress | None = None,
) -> Answer:
    """Return the model's answer; `errors.GatewayError` in one of its kinds when there is none that may be used.

    `principal` is on whose behalf it is asked (the server's worker by default), for the AuditEvent. Cancelling ends the call to the
    endpoint too. Nothing is sent before the log and the audit trail have it.
    """
    endpoint = endpoint_of(settings)
    ready = await _prepare(tenant, task, settings, endpoint)
    if ready.tokens > settings.openai_call_tokens:
        text = (
            f"The call would take about {ready.tokens} tokens; OPENAI_CALL_TOKENS allows {settings.openai_call_tokens}."
        )
        raise OverBudget(text)
    ctx = RequestContext(tenant, principal or await worker_principal(tenant), ids.request_id(), tenant.base)
    log = await disclosures.begin(
        tenant, _disclosure(task, endpoint, ready, ctx.principal.agent), settings.openai_day_tokens
    )
    if log is None:
        raise OverBudget("The calls of the last 24 hours leave too few tokens for this one (OPENAI_DAY_TOKENS).")
    said = f"{endpoint.host} {ready.question.model} {task.template} {len(ready.ids)} sources, log {log}"
    row = audit_row(ctx, "disclosure", 200, type="Patient", rid=ready.patient, patients=[ready.patient], query=said)
    await write_audit(tenant, [row])
    try:
        return await _sent(tenant, task, endpoint, ready, log, progress)
    except GatewayError as error:
        said = f"{endpoint.host} {ready.question.model} {task.template} {error.code}: {error.why}, log {log}"
        status = _STATUSES.get(error.why, 502)
        row = audit_row(
            ctx, "disclosure", status, type="Patient", rid=ready.patient, patients=[ready.patient], query=said
        )
        await write_audit(tenant, [row])
        raise


async def _sent(
    tenant: Tenant, task: Task, endpoint: Endpoint, ready: _Ready, log: int, progress: Progress | None
) -> Answer:
    """Make the call; whatever comes of it, the log says so."""
    received: str | None = None
    used: tuple[int, int] | None = None
    state = "cancelled"
    try:
        reply = await client.complete(endpoint, ready.question, progress)
        received, used = reply.text, _used(reply, ready)
        content = checked(reply.text, task.schema, ready.ids, ready.pseudonyms, ready.mark)
        state = "answered"
    except GatewayError as error:
        state = error.code
        raise
    finally:
        # also when cancelled: the row must not stay `sending` for a call that is over
        await asyncio.shield(disclosures.end(tenant, log, ready.key_id, state, used, received))
    return Answer(content, ready.question.model, ready.withheld, *used, log)


def _used(reply: client.Reply, ready: _Ready) -> tuple[int, int]:
    """Return the tokens that the call took, by the endpoint's word or estimated."""
    prompt_tokens = reply.prompt_tokens if reply.prompt_tokens is not None else prompt.tokens(ready.question.messages)
    return prompt_tokens, reply.completion_tokens if reply.completion_tokens is not None else len(reply.text) // 3


async def _prepare(tenant: Tenant, task: Task, settings: Settings, endpoint: Endpoint) -> _Ready:
    """Take what may leave of a task, without what identifies anybody."""
    _check(task)
    model = endpoint.model(task.role)
    patient = await known_rid(tenant, "Patient", task.patient)
    key_id = None if patient is None else await blocks.key_of(tenant, patient)
    if patient is None or key_id is None or tenant.keystore.destroyed(key_id):
        raise Withheld("There is no such patient, or the record was erased.")
    allowed = await policy.may_leave(tenant, patient, {name for source in task.sources for name in source.rests_on})
    sent = [source for source in task.sources if source.rests_on <= allowed]
    withheld = tuple(source.id for source in task.sources if not source.rests_on <= allowed)
    if not sent:
        raise Withheld("Labels or Consents keep everything in that the question would rest on.")
    pseudonyms = Pseudonyms()
    texts = [(source.id, source.text) for source in sent]
    if settings.phi_sanitization_enabled:
        texts = await _scrubbed(tenant, patient, task, sent, pseudonyms, settings)
    mark = prompt.mark()
    messages = prompt.messages(task.instructions, task.schema, texts, mark)
    question = client.Question(model, messages, task.schema, task.max_tokens)
    total = prompt.tokens(messages) + task.max_tokens
    return _Ready(patient, key_id, question, pseudonyms, frozenset(id_ for id_, _ in texts), withheld, mark, total)


def _check(task: Task) -> None:
    """Raise ValueError for a task that nobody should have made."""
    names = [source.id for source in task.sources]
    if len(set(names)) != len(names) or not all(name and _ID_LETTERS.issuperset(name) for name in names):
        raise ValueError("ids of sources are unique, of letters, digits and hyphens")


async def _scrubbed(
    tenant: Tenant, patient: int, task: Task, sent: list[Source], pseudonyms: Pseudonyms, settings: Settings
) -> list[tuple[str, str]]:
    try:
        named = {name for source in sent for name in source.rests_on}
        known = await known_of(tenant, patient, task.patient, named)
    except TooMuch:
        raise Withheld("The record names more people and places than can be kept in.") from None
    pseudonyms.shift = _shift(tenant, patient)
    plugged = recogniser(settings.deidentification_ner_path) if settings.deidentification_ner_path else None
    return await asyncio.to_thread(_scrub, known, pseudonyms, plugged, sent)


def _scrub(known: Known, pseudonyms: Pseudonyms, plugged: Any, sent: list[Source]) -> list[tuple[str, str]]:
    scrubber = Scrubber(known, pseudonyms, plugged)
    return [(source.id, scrubber.scrub(source.text).text) for source in sent]


def _shift(tenant: Tenant, patient: int) -> int:
    """Return by how many days the patient's dates go out earlier: whole weeks, between two months and three years, a secret."""
    secret = tenant.keystore.derived(b"gateway-dates", str(patient))
    return -7 * (8 + int.from_bytes(secret[:4], "big") % _WEEKS)


def _disclosure(task: Task, endpoint: Endpoint, ready: _Ready, agent: int) -> Disclosure:
    sent = {
        "messages": [dict(message) for message in ready.question.messages],
        "replacements": ready.pseudonyms.originals,
        "shift": ready.pseudonyms.shift,
    }
    return Disclosure(
        ready.patient, ready.key_id, agent, endpoint.host, ready.question.model, task.role, task.template, len(ready.ids),
        len(ready.withheld), ready.tokens, sent,
    )  # fmt: skip
