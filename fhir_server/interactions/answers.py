"""The answers to entries of a batch or transaction, and the Bundle that holds them."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus

from fhir_server.context import RequestContext
from fhir_server.errors import FhirError, Issue, outcome
from fhir_server.interactions.call import Call, Result
from fhir_server.interactions.failures import unforeseen
from fhir_server.interactions.plan import Entry
from fhir_server.kit import clock, ids, json
from fhir_server.model import bundles
from fhir_server.model.bundles import EntryResponse
from fhir_server.storage.commands import AuditRow, Written
from fhir_server.storage.reads import Stored

_ASKS = frozenset({"operation", "search-type", "search-system", "search-compartment"})
"""Addresses whose answer is what is asked for, by POST too."""


def status_line(status: int) -> str:
    """Return the code with its phrase, as in `201 Created`."""
    return f"{status} {HTTPStatus(status).phrase}"


def inner_call(call: Call, entry: Entry) -> Call:
    """Return the Call of an entry: its own request, with the return preference of the whole."""
    returns = call.returns or "minimal"
    return Call(
        "GET" if entry.method == "HEAD" else entry.method,
        entry.address,
        entry.params,
        entry.conditions,
        returns,
        entry.raw,
        perform=call.perform,
        nested=True,
        limits=call.limits,
        statement=call.statement,
    )


async def perform_entry(ctx: RequestContext, call: Call, entry: Entry) -> EntryResponse:
    """Perform one entry on its own and answer it, whatever comes of it."""
    assert call.perform is not None
    try:
        result = await call.perform(ctx, inner_call(call, entry))
    except FhirError as error:
        return answer_error(error)
    except Exception as error:  # noqa: BLE001  the other entries of a batch stand on their own
        return answer_error(unforeseen(error, ctx.request_id))
    asked = entry.method == "GET" or entry.address.kind in _ASKS or call.returns is not None
    return answer_result(result, with_body=asked and entry.method != "HEAD")


def answer_result(result: Result, *, with_body: bool) -> EntryResponse:
    """Return the answer for a Result; a body that is an OperationOutcome goes where outcomes go."""
    body = result.body if with_body else b""
    is_outcome = body.startswith(b'{"resourceType":"OperationOutcome"')
    return EntryResponse(
        status_line(result.status),
        _relative(result.location),
        result.version,
        result.last_modified,
        outcome=body if is_outcome else b"",
        resource=b"" if is_outcome else body,
    )


def _relative(location: str | None) -> str | None:
    return "/".join(location.rsplit("/", 4)[1:]) if location else None


def answer_error(error: FhirError) -> EntryResponse:
    """Return the answer for an error."""
    return EntryResponse(status_line(error.status), outcome=json.encode(error.outcome()))


def answer_written(
    ctx: RequestContext, call: Call, entry: Entry, current: Stored | None, done: Written | None, *, own: bool
) -> EntryResponse:
    """Return the answer to a writing entry: what it made, else what it found as it should be.

    `own` says that `done` was made by this entry, not by another that wants the same.
    """
    if entry.method == "DELETE":
        version = done.version if done else current.version if current else None
        return EntryResponse(status_line(204), version=version)
    known = done or current
    assert known is not None
    created = own and done is not None and done.created
    status = 201 if created else 200
    note = Issue("informational", "done", "Created." if created else "As sent.", severity="information")
    return EntryResponse(
        status_line(status),
        f"{known.type}/{known.id}/_history/{known.version}",
        known.version,
        known.last_updated,
        outcome=json.encode(outcome([note])) if call.returns == "OperationOutcome" else b"",
        resource=known.body if call.returns == "representation" else b"",
        full_url=f"{ctx.base}/{known.type}/{known.id}" if call.returns == "representation" else None,
    )


def bundle_result(type_: str, answers: Sequence[bytes], rows: list[AuditRow]) -> Result:
    """Return the Result that holds the answers, made by `response_entry`, in order."""
    body = bundles.bundle(type_, answers, id_=ids.new_id(), moment=clock.now())
    return Result(200, body, audit=rows)
