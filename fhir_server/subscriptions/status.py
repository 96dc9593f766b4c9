"""Subscription.status and .error belong to the server: it writes them as a version of its own, which wakes nobody to judge it."""

from __future__ import annotations

from fhir_server.audit.record import audit_row
from fhir_server.kit import ids, json
from fhir_server.search.extract import extract, extract_as
from fhir_server.storage.commands import PUT, SUBSCRIPTION, Command
from fhir_server.storage.commit import commit
from fhir_server.storage.errors import VersionConflict
from fhir_server.storage.reads import Stored
from fhir_server.storage.tenants import Tenant
from fhir_server.subscriptions import author
from fhir_server.subscriptions.state import Status


async def write(tenant: Tenant, current: Stored, status: Status, error: str | None = None) -> bool:
    """Make the next version of the Subscription say `status`; False when somebody has written another one meanwhile."""
    before = json.decode_trusted(current.body)
    after = {name: value for name, value in before.items() if name not in ("error", "_error", "status", "_status")}
    after["status"] = status
    if error is not None:
        after["error"] = error
    previous = extract_as(tenant, current.index_version, before)
    command = Command(
        "update",
        current.type,
        current.id,
        after,
        extract(tenant, after),
        expected=current.version,
        previous=previous,
        key_id=current.own_key,
        origin=SUBSCRIPTION,
        http_method=PUT,
        seen=None if previous is None else current.index_version,
        write=current.write,
    )
    ctx = await author.server(tenant, ids.request_id())
    try:
        await commit(tenant, [command], [audit_row(ctx, "update", 200, type=current.type)])
    except VersionConflict:
        return False
    return True
