"""What a Subscription is told of a change at the moment of sending: the version that changed, if its author may see it now."""

from __future__ import annotations

from fhir_server.audit.record import audit_row
from fhir_server.context import RequestContext
from fhir_server.kit import logs
from fhir_server.storage import ident, reads
from fhir_server.storage.commands import AuditRow
from fhir_server.storage.errors import Erased
from fhir_server.storage.reads import Stored
from fhir_server.storage.tenants import Tenant
from fhir_server.storage.visibility import Visibility
from fhir_server.subscriptions.deliveries import Delivery
from fhir_server.subscriptions.send import Notification, Outcome

_LOG = logs.logger("clarity.subscriptions")
NO_ANSWER = 504
"""The status in the audit trail of a notification that nobody answered."""


async def disclosable(tenant: Tenant, delivery: Delivery, visibility: Visibility) -> Stored | None:
    """Return the version to tell of; None when it, or what has become of it since, may not be seen.

    A resource that was deleted or hidden since is not sent in an older version either.
    """
    names = await ident.names(tenant, [delivery.rid])
    type_, id_ = names[delivery.rid]
    try:
        current = await reads.read(tenant, type_, id_, visibility)
        if current is None or current.deleted:
            return None
        if current.version == delivery.version:
            return current
        return await reads.vread(tenant, type_, id_, delivery.version, visibility)
    except Erased:
        return None
    except reads.Damaged:  # nobody may be told of it, and what follows must not wait for it for ever
        _LOG.error("damaged version not sent", tenant=tenant.name, exc_info=True)
        return None


def notification(
    subscription_id: str, delivery: Delivery, version: Stored, *, payload: bool, secrets: tuple[bytes, ...] = ()
) -> Notification:
    """Return what is sent: for one `webhook-id` always the same."""
    name = f"{subscription_id}-{delivery.event}"
    path, body = (f"{version.type}/{version.id}", version.body) if payload else ("", b"")
    return Notification(name, path, body, secrets)


def disclosure(ctx: RequestContext, agent: int, subscription_id: str, version: Stored, outcome: Outcome) -> AuditRow:
    """Return the audit row of a notification that was sent, in the name of who subscribed."""
    row = audit_row(
        ctx, "notification", outcome.status or NO_ANSWER, type=version.type, rid=version.rid, version=version.version,
        patients=version.patients, query=f"Subscription/{subscription_id}",
    )  # fmt: skip
    row.agent = agent
    return row
