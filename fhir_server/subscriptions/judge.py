"""Decides whether a Subscription that somebody wrote is served: `requested` becomes `active` or `error`, by the server alone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from fhir_server.auth import policy
from fhir_server.errors import FhirError
from fhir_server.kit import clock, json, logs
from fhir_server.model.primitives import date_range
from fhir_server.settings import Settings
from fhir_server.storage import reads
from fhir_server.storage.reads import Stored
from fhir_server.storage.tenants import Tenant
from fhir_server.subscriptions import author, channel, closing, criteria, egress, state, status
from fhir_server.subscriptions.refusal import Refusal

_LOG = logs.logger("clarity.subscriptions")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a Subscription that can be served needs: whose rights, which type, which endpoint, until when."""

    agent: int
    type: str
    endpoint: int
    ends_at: datetime | None


async def judge(tenant: Tenant, rid: int, settings: Settings) -> None:
    """Look at the Subscription as it stands now and act on it; looking twice changes nothing."""
    found = await reads.fetch(tenant, [rid])
    if not found:
        await closing.close(tenant, rid, "deleted")
        return
    [current] = found
    resource = json.decode_trusted(current.body)
    asked = resource.get("status")
    if asked == "requested":
        await _decide(tenant, current, resource, settings)
    elif asked != "active":
        await state.stop(tenant, rid, "off", f"status-{asked}")


async def _decide(tenant: Tenant, current: Stored, resource: dict[str, Any], settings: Settings) -> None:
    agent = await author.who_wrote(tenant, current.rid, current.version)
    try:
        verdict = await _verdict(tenant, agent, resource, settings)
    except Refusal as refusal:
        _LOG.warning("subscription refused", tenant=tenant.name, reason=refusal.reason)
        await state.put(tenant, current.rid, current.version, agent or 0, "error", error=refusal.reason)
        await status.write(tenant, current, "error", f"{refusal.reason}: {refusal.text}")
        return
    # Served first, said afterwards: what is committed once a client reads `active` is told.
    await state.put(
        tenant, current.rid, current.version, verdict.agent, "active",
        type_=verdict.type, endpoint=verdict.endpoint, ends_at=verdict.ends_at,
    )  # fmt: skip
    await status.write(tenant, current, "active")


async def _verdict(tenant: Tenant, agent: int | None, resource: dict[str, Any], settings: Settings) -> Verdict:
    if agent is None:
        raise Refusal("author-unknown", "Nobody is known to have written it; write it again through the REST API.")
    wanted = criteria.parse(tenant, resource)
    way = channel.parse(resource)
    await egress.check(way, settings)
    await _permitted(tenant, agent, wanted.type)
    return Verdict(agent, wanted.type, tenant.key(0, "endpoint", way.origin), _end(resource))


async def _permitted(tenant: Tenant, agent: int, type_: str) -> None:
    try:
        await policy.visibility(await author.context(tenant, agent, ""), type_, author.INTERACTION)
    except FhirError as error:
        raise Refusal("criteria-not-permitted", f"The client may not search {type_}.") from error


def _end(resource: dict[str, Any]) -> datetime | None:
    text = resource.get("end")
    end = date_range(text)[0] if text else None
    if end is not None and end <= clock.now():
        raise Refusal("ended", "The end of the Subscription has passed.")
    return end
