"""A Bundle posted to the base: batch, each entry on its own (R4 `http.html#transaction`), or transaction.

Entries of a batch know nothing of each other. Neighbours with the same method and different addresses run side by side; new
resources among them share a commit, which is the same to a reader and spares a fsync each.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from fhir_server.context import RequestContext
from fhir_server.errors import BadRequest, FhirError, Unprocessable
from fhir_server.interactions import create
from fhir_server.interactions.answers import answer_error, answer_result, bundle_result, inner_call, perform_entry
from fhir_server.interactions.call import Call, Result
from fhir_server.interactions.envelope import Envelope, open_envelope, read_entries
from fhir_server.interactions.failures import audit_failure
from fhir_server.interactions.pace import Pace, several
from fhir_server.interactions.plan import Entry
from fhir_server.interactions.transaction import transaction
from fhir_server.model.bundles import EntryResponse, response_entry
from fhir_server.storage.commit import commit

_SHARED = 200
"""New resources that share a commit at most."""


async def bundle(ctx: RequestContext, call: Call) -> Result:
    """Answer `POST [base]`."""
    envelope = await open_envelope(call.body, call.limits.bundle_entries)
    if call.charge is not None and len(envelope.resources) > 1:
        await call.charge(len(envelope.resources) - 1)
    if envelope.type == "transaction":
        return await transaction(ctx, call, envelope)
    if envelope.type == "batch":
        if call.provenance is not None:
            raise BadRequest("X-Provenance does not go with a batch: send a transaction.", "provenance-stray")
        return await batch(ctx, call, envelope)
    text = "A Bundle posted to the base is of type batch or transaction; others are stored by POST to Bundle."
    raise Unprocessable(text, "bundle-type", "Bundle.type")


async def batch(ctx: RequestContext, call: Call, envelope: Envelope) -> Result:
    """Answer a Bundle of type batch."""
    answers: dict[int, EntryResponse] = {}
    entries: list[Entry] = []
    for position, entry in enumerate(read_entries(envelope, ctx.base)):
        if isinstance(entry, FhirError):
            answers[position] = answer_error(entry)
        elif entry.address.kind == "system":
            answers[position] = answer_error(BadRequest("A Bundle inside a batch is not performed.", "bundle-nested"))
        else:
            entries.append(entry)
    for group in _side_by_side(entries):
        answers.update(await _perform_group(ctx, call, group))
    return bundle_result("batch-response", [response_entry(answers[position]) for position in sorted(answers)], [])


def _side_by_side(entries: Sequence[Entry]) -> Iterator[list[Entry]]:
    """Yield runs of neighbours that may run at once: the same kind of request, no target twice."""
    group: list[Entry] = []
    targets: set[tuple[object, ...]] = set()
    for entry in entries:
        target = (entry.address, *entry.params)
        same = group and group[0].method == entry.method and _plain_create(group[0]) == _plain_create(entry)
        if not same or (target in targets and not _plain_create(entry)) or len(group) >= _SHARED:
            if group:
                yield group
            group, targets = [], set()
        group.append(entry)
        targets.add(target)
    if group:
        yield group


def _plain_create(entry: Entry) -> bool:
    return entry.method == "POST" and entry.address.kind == "type" and not entry.conditional


async def _perform_group(ctx: RequestContext, call: Call, group: list[Entry]) -> dict[int, EntryResponse]:
    if _plain_create(group[0]) and len(group) > 1:
        return await _create_together(ctx, call, group)
    done = await several([perform_entry(ctx, call, entry) for entry in group], limit=8)
    return {entry.position: answer for entry, answer in zip(group, done, strict=True)}


async def _create_together(ctx: RequestContext, call: Call, group: list[Entry]) -> dict[int, EntryResponse]:
    """Create what can be created in one commit; each entry is checked and authorised by itself."""
    pace = Pace()
    answers: dict[int, EntryResponse] = {}
    ready = []
    for entry in group:
        inner = inner_call(call, entry)
        try:
            command, row = await create.prepare(ctx, inner)
            ready.append((entry, inner, command, row))
        except FhirError as error:
            await audit_failure(ctx, inner, error.status)
            answers[entry.position] = answer_error(error)
        await pace.step()
    written = await commit(ctx.tenant, [item[2] for item in ready], [item[3] for item in ready]) if ready else []
    for (entry, inner, _, _), done in zip(ready, written, strict=True):
        result = create.finish(ctx, inner, done)
        answers[entry.position] = answer_result(result, with_body=call.returns is not None)
    return answers
