"""The only builder of storage commands: references settled, server-owned elements set, index extracted, policy asked.

`build` needs no request, so that workers write their results through it too.
"""

from __future__ import annotations

from fhir_server.auth import policy
from fhir_server.context import RequestContext
from fhir_server.errors import Issue, Unprocessable
from fhir_server.interactions.call import Json
from fhir_server.interactions.content import own
from fhir_server.kit import json
from fhir_server.model.references import find_references, settle_references
from fhir_server.search.extract import extract
from fhir_server.storage.commands import CLIENT, DELETE, INDEX_VERSION, POST, PUT, Command, IndexRows
from fhir_server.storage.reads import Stored
from fhir_server.storage.tenants import Tenant

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
    resource = resource | {"id": id_}  # a copy, for who tries again; a Patient is in its own compartment by its id
    own(resource)
    created = current is None or current.deleted
    return Command(
        "create" if created else "update",
        resource["resourceType"],
        id_,
        resource,
        extract(tenant, resource),
        expected=current.version if current else 0,
        previous=previous_index(tenant, current),
        key_id=current.own_key if current else 0,
        claims=claims,
        origin=origin,
        http_method=http_method,
        fresh=fresh,
    )


def build_delete(tenant: Tenant, current: Stored, *, origin: int = CLIENT) -> Command:
    """Return the command that deletes `current`."""
    return Command(
        "delete",
        current.type,
        current.id,
        expected=current.version,
        previous=previous_index(tenant, current),
        key_id=current.own_key,
        origin=origin,
        http_method=DELETE,
    )


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
    if current.index_version != INDEX_VERSION:
        return None
    return extract(tenant, json.decode_trusted(current.body))


async def authorise(ctx: RequestContext, command: Command, interaction: str) -> None:
    """Raise unless what the command writes lies inside what the caller may write."""
    if command.index is not None:
        await policy.check_write(ctx, command.type, interaction, command.index, command.id)
