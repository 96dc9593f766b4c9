"""How serving a Subscription ends: by its deletion, its end, its receiver's wish, or too many failures."""

from __future__ import annotations

from fhir_server.audit.record import audit_row, write_audit
from fhir_server.kit import ids, json, logs
from fhir_server.storage import ident, reads
from fhir_server.storage.tenants import Tenant
from fhir_server.subscriptions import author, deliveries, state, status
from fhir_server.subscriptions.deliveries import Delivery
from fhir_server.subscriptions.state import Claim, Status, Watch

BROKEN = "criteria-failed"
"""The reason of a Subscription whose criteria fail whenever they are asked."""
UNKNOWN = 0
"""The status in the audit trail of a notification of which nobody knows whether it arrived."""
_LOG = logs.logger("clarity.subscriptions")


async def close(tenant: Tenant, rid: int, reason: str) -> None:
    """Serve the Subscription no longer and drop what waits for it."""
    await state.stop(tenant, rid, "off", reason)
    unknown = await deliveries.close(tenant, rid)
    agent = await tenant.pool.fetchval(tenant.sql("SELECT agent FROM {s}.subscription_state WHERE rid = $1"), rid)
    if unknown and agent is not None:
        await audit_unknown(tenant, rid, agent, unknown)


async def give_up(tenant: Tenant, claim: Claim, new: Status, reason: str) -> None:
    """Stop serving and say so in the resource, unless somebody has written another version meanwhile."""
    if not await state.stop(tenant, claim.rid, new, reason, claim.fence):
        return
    _LOG.warning("subscription stopped", tenant=tenant.name, status=new, reason=reason)
    for current in await reads.fetch(tenant, [claim.rid]):
        await status.write(tenant, current, new, reason)


async def break_off(tenant: Tenant, watch: Watch) -> None:
    """Stop serving a Subscription of which it cannot be said what it is to be told of, and say so in the resource."""
    if not await state.break_off(tenant, watch, BROKEN):
        return
    _LOG.error("subscription stopped", tenant=tenant.name, status="error", reason=BROKEN)
    for current in await reads.fetch(tenant, [watch.rid]):
        if json.decode_trusted(current.body).get("status") in ("active", "error"):  # else it is about to be judged anew
            text = "changes could not be compared with what it asks for; ask an administrator, or for something else."
            await status.write(tenant, current, "error", f"{BROKEN}: {text}")


async def end_due(tenant: Tenant) -> int:
    """Switch off the Subscriptions whose `end` has come; return how many."""
    due = await state.ended(tenant)
    for rid in due:
        if await state.stop(tenant, rid, "off", "ended"):
            for current in await reads.fetch(tenant, [rid]):
                await status.write(tenant, current, "off")
    return len(due)


async def audit_unknown(tenant: Tenant, rid: int, agent: int, sent: list[Delivery]) -> None:
    """Record notifications that a worker may have sent before it died: what may have been disclosed counts as disclosed."""
    names = await ident.names(tenant, {rid, *(delivery.rid for delivery in sent)})
    ctx = await author.server(tenant, ids.request_id())
    rows = []
    for delivery in sent:
        type_, id_ = names[delivery.rid]
        _, patients = await reads.claimed(tenant, type_, id_)
        row = audit_row(
            ctx, "notification", UNKNOWN, type=type_, rid=delivery.rid, version=delivery.version,
            patients=patients, query=f"Subscription/{names[rid][1]}",
        )  # fmt: skip
        row.agent = agent
        rows.append(row)
    await write_audit(tenant, rows)
