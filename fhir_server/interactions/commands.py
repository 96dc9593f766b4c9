"""The only builder of storage commands: references settled, server-owned elements set, index extracted, policy asked.

`build` needs no request, so that workers write their results through it too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from fhir_server.auth import labels, policy, reach, traced
from fhir_server.context import RequestContext
from fhir_server.errors import Issue, Unprocessable
from fhir_server.interactions.call import Json
from fhir_server.interactions.content import own
from fhir_server.kit import json
from fhir_server.model.references import find_references, settle_references
from fhir_server.search import own as search_own
from fhir_server.search.extract import extract, extract_as
from fhir_server.storage.commands import CLIENT, DELETE, POST, PUT, Command, IndexRows
from fhir_server.storage.reads import Stored
from fhir_server.storage.tenants import Tenant


def _servable(tenant: Tenant, current: Stored | None, resource: Json) -> None:
    search_own.check(tenant.own, current.rid if current else None, resource)


def _catalogued(tenant: Tenant, current: Stored | None, resource: Json) -> None:  # noqa: ARG001  the shape of all checks
    reach.check_catalogue(tenant, resource)


_CHECKS: Mapping[str, Callable[[Tenant, Stored | None, Json], None]] = {
    search_own.TYPE: _servable,
    reach.CATALOGUED: _catalogued,
}
"""What the server acts upon by itself must be something that it can act upon."""

HTTP_METHODS = {"POST": POST, "PUT": PUT, "DELETE": DELETE}


def build(
    tenant: Tenant,
    resource: Json,
    id_: str,
    *,
    current: Stored | None = None,
    claims: tuple[bytes, ...] = (),
    http_method: int = POST,
    origin: int = CLIENT,
    fresh: bool = False,
    settled: bool = False,
    text: bytes | None = None,
) -> Command:
    """Return the command that makes `resource` the next version of `id_`; Unprocessable lists references that are wrong.

    `current` is the version that it replaces, a tombstone included; `settled` says that references are checked already,
    `text` is the JSON that the resource was decoded from, where that is at hand.
    """
    if not settled:
        check_references(resource, tenant.base, text)
    if resource["resourceType"] in _CHECKS:
        _CHECKS[resource["resourceType"]](tenant, current, resource)
    resource = resource | {"id": id_}  # a copy, for who tries again; a Patient is in its own compartment by its id
    own(resource)
    created = current is None or current.deleted
    previous = previous_index(tenant, current)
    return Command(
        "create" if created else "update",
        resource["resourceType"],
        id_,
        resource,
        extract(tenant, resource),
        expected=current.version if current else 0,
        previous=previous,
        key_id=current.own_key if current else 0,
        claims=claims,
        origin=origin,
        http_method=http_method,
        fresh=fresh,
        seen=current.index_version if current and previous is not None else None,
        write=current.write if current else None,
    )


def build_delete(tenant: Tenant, current: Stored, *, origin: int = CLIENT) -> Command:
    """Return the command that deletes `current`."""
    previous = previous_index(tenant, current)
    return Command(
        "delete",
        current.type,
        current.id,
        expected=current.version,
        previous=previous,
        key_id=current.own_key,
        origin=origin,
        http_method=DELETE,
        seen=current.index_version if previous is not None else None,
        write=current.write,
    )


async def removal(ctx: RequestContext, current: Stored) -> Command:
    """Return the command by which a caller deletes `current`, if whoever is asked before a deletion lets it pass."""
    command = build_delete(ctx.tenant, current)
    await ask(ctx, command)
    return command


def check_references(resource: Json, base: str, text: bytes | None = None) -> None:
    """Make references to our own base relative; Unprocessable lists the malformed ones and the wrong targets."""
    issues = settle_references(resource, base, found=find_references(resource, text))
    if issues:
        raise refused(issues)


def refused(issues: list[Issue]) -> Unprocessable:
    """Return the error that lists `issues`."""
    return Unprocessable(issues[0].text, issues[0].id, issues=issues)


def previous_index(tenant: Tenant, current: Stored | None) -> IndexRows | None:
    """Return what `current` is found by; None when an older extraction made it, so that storage must look for it."""
    if current is None:
        return None
    if current.deleted:
        return IndexRows()
    return extract_as(tenant, current.index_version, json.decode_trusted(current.body))


async def authorise(
    ctx: RequestContext,
    command: Command,
    interaction: str,
    current: Stored | None = None,
    coming: Mapping[tuple[str, str], Command] = MappingProxyType({}),
) -> None:
    """Raise unless what the command writes lies inside what the caller may write, with the labels of `current` that protect it.

    `coming` are commands of the same commit, for what is told of them.
    """
    if command.index is None:
        return
    if command.index.traces:
        seen = await policy.visibilities(ctx, "read", traced.types(command.index))
        await traced.settle(ctx, command.index, seen, coming)
    if command.type in ctx.tenant.prepares:
        await ctx.tenant.prepares[command.type](ctx, command)
    await policy.check_write(ctx, command.type, interaction, command.index, command.id)
    if current is not None and not current.deleted:
        before = command.previous or extract(ctx.tenant, json.decode_trusted(current.body))
        labels.check_kept(ctx, before.keys, command.index.keys)
    await ask(ctx, command)


async def ask(ctx: RequestContext, command: Command) -> None:
    """Raise unless everything that hangs onto the tenant lets the command pass: `Tenant.check`."""
    for owner, check in ctx.tenant.checks.get(command.type, {}).items():
        if command.method != "delete" or (command.type, owner) in ctx.tenant.removals:
            await check(ctx, command)
