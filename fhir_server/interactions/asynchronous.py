"""Answering later: `Prefer: respond-async` and operations that take their time (R4 `async.html`).

    kick-off   202, Content-Location: [base]/_async/[id]
    GET        202 with X-Progress and Retry-After while it runs; then 200 and a Bundle (batch-response) with the answer
    DELETE     202: the work ends, the result is forgotten

Only the grant that asked sees its job. The work is done by workers (`workers/jobs/asynchronous.py`), which act with what the client
may do at that moment; a worker that is killed costs its lease, nothing else.
"""

from __future__ import annotations

import base64
from email.utils import format_datetime
from typing import Any

from fhir_server.audit.record import audit_row
from fhir_server.context import RequestContext
from fhir_server.errors import Issue, NotFound, NotSupported, TooManyRequests, outcome
from fhir_server.interactions.address import Kind, parse_address
from fhir_server.interactions.call import Call, Json, Limits, Result
from fhir_server.kit import clock, ids, json
from fhir_server.model import bundles
from fhir_server.storage import async_jobs
from fhir_server.storage.async_jobs import AsyncJob

_LATER: dict[Kind, frozenset[str]] = {
    "operation": frozenset({"GET", "POST"}),
    **dict.fromkeys(("type", "system", "compartment"), frozenset({"GET"})),
    **dict.fromkeys(("search-type", "search-system", "search-compartment"), frozenset({"POST"})),
}
"""What can be answered later: searches and operations."""
REQUEST = "request"
"""The kind of a job that is a request like any other, answered later."""
PATH = "_async"


async def accepted(ctx: RequestContext, kind: str, request: Json, type_: str | None = None) -> Result:
    """Keep what was asked for and return 202 with where to look for the answer."""
    id_ = await async_jobs.start(ctx.tenant, ctx.principal.agent, kind, request)
    if id_ is None:
        text = f"{async_jobs.MOST_OPEN} requests of this client wait for their answers already: fetch or delete them first."
        raise TooManyRequests(text, "async-too-many", headers={"Retry-After": "10"})
    issue = Issue(
        "informational", "async-accepted", "Accepted; the answer will be at Content-Location.", severity="information"
    )
    row = audit_row(ctx, "operation", 202, type=type_)
    headers = {"Content-Location": f"{ctx.base}/{PATH}/{id_}", "Retry-After": "1"}
    return Result(202, json.encode(outcome([issue])), headers=headers, audit=[row])


async def accept(ctx: RequestContext, call: Call) -> Result:
    """Answer a request that prefers an answer later: a search or an operation."""
    if call.method not in _LATER.get(call.address.kind, ()):
        text = "Only searches and operations are answered later: leave out Prefer: respond-async."
        raise NotSupported(text, "respond-async")
    return await accepted(ctx, REQUEST, packed(ctx, call), call.address.type)


def packed(ctx: RequestContext, call: Call) -> Json:
    """Return a call as it can be performed later, by `unpacked`."""
    return {
        "method": call.method,
        "path": call.later,
        "params": [list(pair) for pair in call.params],
        "body": base64.b64encode(call.body).decode(),
        "lenient": ctx.lenient,
    }


def unpacked(request: dict[str, Any], limits: Limits) -> Call:
    """Return the call that was packed."""
    params = [(name, text) for name, text in request["params"]]
    made = Call(request["method"], parse_address(request["path"]), params, body=base64.b64decode(request["body"]))
    made.limits = limits
    return made


async def _own(ctx: RequestContext, call: Call) -> AsyncJob:
    assert call.address.id
    found = await async_jobs.find(ctx.tenant, call.address.id, ctx.principal.agent)
    if found is None or found.state == "cancelled":
        raise NotFound(
            "There is no such job: it was never yours, was cancelled, or is over for a day.", "async-unknown"
        )
    return found


async def status(ctx: RequestContext, call: Call) -> Result:
    """Answer `GET _async/[id]`."""
    found = await _own(ctx, call)
    row = audit_row(ctx, "operation", 202 if found.state != "done" else 200, patients=found.place.get("patients", ()))
    if found.state != "done":
        headers = {"X-Progress": _progress(found), "Retry-After": "1"}
        issue = Issue("informational", "async-running", f"{_progress(found)}.", severity="information")
        return Result(202, json.encode(outcome([issue])), headers=headers, audit=[row])
    status_ = str(found.status or 200)
    ended = found.finished_at or clock.now()
    refused = (found.status or 200) >= 400
    answer = bundles.EntryResponse(
        status_,
        last_modified=ended,
        outcome=found.result if refused else b"",
        resource=b"" if refused else found.result,
    )
    body = bundles.bundle("batch-response", [bundles.response_entry(answer)], id_=ids.new_id(), moment=ended)
    return Result(200, body, headers={"Expires": format_datetime(ended + async_jobs.KEPT, usegmt=True)}, audit=[row])


def _progress(job: AsyncJob) -> str:
    if job.state == "waiting":
        return "waiting for a worker"
    return f"{job.done} of {job.total} resources" if job.total is not None else f"{job.done} resources"


async def cancel(ctx: RequestContext, call: Call) -> Result:
    """Answer `DELETE _async/[id]`."""
    found = await _own(ctx, call)
    await async_jobs.cancel(ctx.tenant, found.id, ctx.principal.agent)
    issue = Issue(
        "informational", "async-cancelled", "The job is cancelled and its result forgotten.", severity="information"
    )
    return Result(202, json.encode(outcome([issue])), audit=[audit_row(ctx, "operation", 202)])
