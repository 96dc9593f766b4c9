"""Results of writes: status, Location, ETag, and as much of a body as `Prefer: return` asks for."""

from __future__ import annotations

from fhir_server.context import RequestContext
from fhir_server.errors import Issue, NotFound, outcome
from fhir_server.interactions.call import Call, Result
from fhir_server.kit import json
from fhir_server.storage.commands import Written
from fhir_server.storage.reads import Stored

_SENTENCES = {200: "The resource is as sent.", 201: "The resource was created.", 204: "The resource is deleted."}


def absent() -> NotFound:
    """Return the one answer for what is not here and for what the caller may not see."""
    return NotFound("There is no such resource.", "not-found")


def location(ctx: RequestContext, type_: str, id_: str, version: int) -> str:
    """Return the absolute address of one version."""
    return f"{ctx.base}/{type_}/{id_}/_history/{version}"


def _body(call: Call, status: int, representation: bytes) -> bytes:
    if call.returns == "minimal":
        return b""
    if call.returns == "OperationOutcome":
        issue = Issue("informational", "done", _SENTENCES[status], severity="information")
        return json.encode(outcome([issue]))
    return representation


def written(ctx: RequestContext, call: Call, done: Written) -> Result:
    """Return the Result of a create or update that made a version."""
    status = 201 if done.created else 200
    return Result(
        status,
        _body(call, status, done.body),
        done.version,
        done.last_updated,
        location(ctx, done.type, done.id, done.version),
    )


def unchanged(ctx: RequestContext, call: Call, current: Stored, *, body: bytes | None = None) -> Result:
    """Return the Result of a write that found everything as it should be; `body` where it differs from the stored one."""
    representation = current.body if body is None else body
    where = location(ctx, current.type, current.id, current.version)
    return Result(200, _body(call, 200, representation), current.version, current.last_updated, where)


def deleted(call: Call, version: int | None) -> Result:
    """Return the Result of a delete: 204, or 200 with an OperationOutcome where that is preferred."""
    body = _body(call, 204, b"") if call.returns == "OperationOutcome" else b""
    return Result(200 if body else 204, body, version)
