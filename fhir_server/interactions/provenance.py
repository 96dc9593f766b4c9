"""`X-Provenance` (R4 `provenance.html#header`): who made a change, committed together with the change.

The header is a Provenance as JSON; its `target` becomes the versions that the request makes. It needs the right to create a
Provenance. Where no version is made (an update that changes nothing, a conditional create that finds one) none is kept either.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from fhir_server.audit.record import audit_row
from fhir_server.auth import policy
from fhir_server.context import RequestContext
from fhir_server.errors import BadRequest, FhirError
from fhir_server.interactions import commands
from fhir_server.interactions.call import Call, Json
from fhir_server.kit import json
from fhir_server.kit.ids import new_id
from fhir_server.model.references import Local, find_references, parse_reference, rewrite
from fhir_server.storage.commands import AuditRow, Command, Written
from fhir_server.storage.commit import commit
from fhir_server.validation.validate import parse_resource

TYPE = "Provenance"
_CHANGES = frozenset(
    {
        ("POST", "type"),
        ("POST", "system"),
        *((m, kind) for m in ("PUT", "PATCH", "DELETE") for kind in ("type", "instance")),
    }
)


async def check_header(ctx: RequestContext, call: Call) -> None:
    """Raise unless the header goes with the call, holds a Provenance, and the caller may create one."""
    if (call.method, call.address.kind) not in _CHANGES:
        raise BadRequest(
            "X-Provenance goes with create, update, patch, delete and transaction only.", "provenance-stray"
        )
    await policy.visibility(ctx, TYPE, "create")
    sent = call.provenance or b""
    try:
        given = json.decode(sent)
        if isinstance(given, dict) and given.get("resourceType") == TYPE:
            given.setdefault("target", [{"reference": f"{call.address.type or TYPE}/any"}])
            sent = json.encode(given)
        parse_resource(sent, expect=TYPE)
    except FhirError as error:
        issues = [replace(issue, text=f"X-Provenance: {issue.text}") for issue in error.issues]
        raise BadRequest(issues[0].text, "provenance-malformed", issues=issues) from error


async def commit_explained(
    ctx: RequestContext,
    call: Call,
    changes: Sequence[Command],
    rows: Sequence[AuditRow],
    names: Mapping[str, str] | None = None,
) -> list[Written]:
    """Commit the changes of a call, with the Provenance of its header where there is one; `names` are those of a transaction."""
    if call.provenance is None or not changes:
        return await commit(ctx.tenant, changes, rows)
    resource = _targeted(ctx, json.decode(call.provenance), changes)
    if names:
        rewrite(resource, names, find_references(resource))
    made = commands.build(ctx.tenant, resource, new_id(), fresh=True)
    await commands.authorise(ctx, made, "create", coming={(each.type, each.id): each for each in changes})
    done = await commit(ctx.tenant, [*changes, made], [*rows, audit_row(ctx, "create", 201, type=TYPE)])
    return done[:-1]


def _targeted(ctx: RequestContext, provenance: Json, changes: Sequence[Command]) -> Json:
    """Return the Provenance with the versions that the changes make as targets, beside others that it has."""
    own = {(change.type, change.id): f"{change.type}/{change.id}/_history/{change.expected + 1}" for change in changes}
    kept = [each for each in provenance.get("target", []) if _named(each, ctx.base) not in own]
    return provenance | {"target": [*kept, *({"reference": each} for each in own.values())]}


def _named(reference: Json, base: str) -> tuple[str, str] | None:
    parsed = parse_reference(reference.get("reference", ""), base)
    return (parsed.type, parsed.id) if isinstance(parsed, Local) else None
