"""What keeps the house: forgets what everybody has read, makes the audit trail's months, shows how much waits."""

from __future__ import annotations

from datetime import timedelta

from fhir_server.audit.partitions import ensure_partitions
from fhir_server.auth import expiry
from fhir_server.kit import metrics
from fhir_server.storage import aside, async_jobs, contacts, jobs, messages, outbox
from fhir_server.storage.blobs import keep
from fhir_server.storage.tenants import Tenant
from fhir_server.subscriptions import binding, breaker, closing, deliveries, state
from workers.jobs.dispatch import CONSUMER

MEASURE_SECONDS = 5.0
TIDY_SECONDS = 60.0
_REMEMBERED = timedelta(days=7)
"""How long it is kept what was told to whom; the audit trail keeps it for good."""

_ABANDONED = timedelta(days=28)
"""How long a Subscription may be in error, as long as its dead letters: then it is off, and what waits for it is dropped."""

_MESSAGES = timedelta(days=90)
"""How long rows of messages are kept; the Communications and the audit trail stay."""


async def measure(tenant: Tenant) -> bool:
    """Show in the metrics what waits, and switch off Subscriptions whose end has come."""
    metrics.OUTBOX_LAG.labels(f"{tenant.name}/{CONSUMER}").set(await outbox.age(tenant, CONSUMER))
    depth = await jobs.depth(tenant)
    for kind in ("ready", "running", "dead"):
        metrics.QUEUE_DEPTH.labels(f"{tenant.name}/jobs-{kind}").set(depth.get(kind, 0))
    metrics.QUEUE_DEPTH.labels(f"{tenant.name}/events-aside").set(await aside.waiting(tenant))
    metrics.QUEUE_DEPTH.labels(f"{tenant.name}/notifications").set(await deliveries.waiting(tenant))
    for kind, count in (await messages.waiting(tenant)).items():
        metrics.QUEUE_DEPTH.labels(f"{tenant.name}/messages-{kind}").set(count)
    await closing.end_due(tenant)
    return False


async def tidy(tenant: Tenant) -> bool:
    """Delete what has been read or has run out, and make the coming months of the audit trail; True while there is more."""
    trimmed = await outbox.trim(tenant)
    forgotten = await deliveries.forget(tenant, _REMEMBERED)
    await closing.end_abandoned(tenant, _ABANDONED)
    await state.forget(tenant, _ABANDONED)
    await aside.forget(tenant)
    await expiry.purge(tenant)
    await async_jobs.forget(tenant)
    await binding.purge(tenant)
    await breaker.forget(tenant)
    await messages.forget(tenant, _MESSAGES)
    await contacts.forget_answers(tenant, _MESSAGES)
    if tenant.blobs is not None:
        await keep.sweep(tenant)
    await ensure_partitions(tenant)
    return max(trimmed, forgotten) >= 10_000
