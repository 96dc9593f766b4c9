"""How serving a Subscription ends: by its deletion, its end, its receiver's wish, or too many failures."""

from __future__ import annotations

from datetime import timedelta

from fhir_server.audit.record import audit_row, write_audit
from fhir_server.kit import ids, json, logs
from fhir_server.storage import ident, reads
from fhir_server.storage.tenants import Tenant
from fhir_server.subscriptions import author, deliveries, state, status
from fhir_server.subscriptions.deliveries import Delivery
from fhir_server.subscriptions.state import Claim, Status, Watch

BROKEN = "criteria-failed"
"""The reason of a Subscription whose criteria fail whenever they are asked."""
ABANDONED = "abandoned"
"""The reason of one that was in error for too long."""
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


async def end_abandoned(tenant: Tenant, after: timedelta) -> int:
    """Switch off what nobody has mended for so long, and drop what waits for it; return how many. Done again, it goes on.

    One that a client has written anew meanwhile is about to be judged.
    """
    done = 0
    for rid in await state.abandoned(tenant, after):
        found = await reads.fetch(tenant, [rid])
        said = json.decode_trusted(found[0].body).get("status") if found else "off"
        if said in ("error", "active"):  # a worker may have died before it could say `error`
            text = f"{ABANDONED}: nobody mended it within {after.days} days; write it with status requested to have it served."
            if not await status.write(tenant, found[0], "off", text):
                continue
        elif said != "off":
            continue
        await close(tenant, rid, ABANDONED if found else "deleted")
        done += 1
    return done


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
