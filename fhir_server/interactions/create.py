"""create: a new resource under an id of ours (R4 `http.html#create`); `If-None-Exist` is in `conditional.py`."""

from __future__ import annotations

from fhir_server.audit.record import audit_row
from fhir_server.auth import policy
from fhir_server.context import RequestContext
from fhir_server.interactions import commands, conditional, results
from fhir_server.interactions.address import refuse_stray
from fhir_server.interactions.call import Call, Json, Result
from fhir_server.interactions.conditions import refuse_stray_condition
from fhir_server.interactions.provenance import commit_explained
from fhir_server.kit.ids import new_id
from fhir_server.storage.commands import AuditRow, Command, Written
from fhir_server.validation.validate import parse_resource


async def create(ctx: RequestContext, call: Call) -> Result:
    """Answer `POST Type`."""
    if call.conditions.if_none_exist is None:
        command, row = await prepare(ctx, call)
        [done] = await commit_explained(ctx, call, [command], [row])
        return finish(ctx, call, done)
    return await conditional.create(ctx, call, await _resource(ctx, call), make)


async def prepare(ctx: RequestContext, call: Call) -> tuple[Command, AuditRow]:
    """Check and authorise one new resource, as far as a commit."""
    return await _command(ctx, call, await _resource(ctx, call))


def finish(ctx: RequestContext, call: Call, done: Written) -> Result:
    """Answer for what the commit has written."""
    return results.written(ctx, call, done)


async def _resource(ctx: RequestContext, call: Call) -> Json:
    type_ = call.address.type
    assert type_
    refuse_stray(call.params)
    refuse_stray_condition(call.conditions, call.method)
    await policy.visibility(ctx, type_, "create")
    return parse_resource(call.body, expect=type_)


async def _command(
    ctx: RequestContext, call: Call, resource: Json, claims: tuple[bytes, ...] = ()
) -> tuple[Command, AuditRow]:
    command = commands.build(ctx.tenant, resource, new_id(), claims=claims, fresh=True, text=call.body)
    await commands.authorise(ctx, command, "create")
    return command, audit_row(ctx, "create", 201, type=command.type)


async def make(ctx: RequestContext, call: Call, resource: Json, claims: tuple[bytes, ...]) -> Result:
    """Write `resource` as something new; raises ClaimTaken when somebody else has a claim."""
    command, row = await _command(ctx, call, resource, claims)
    [done] = await commit_explained(ctx, call, [command], [row])
    return finish(ctx, call, done)
