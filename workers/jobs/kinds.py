"""The jobs that a worker runs, by kind."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from fhir_server.settings import Settings
from fhir_server.storage import aside, async_jobs, predictions
from fhir_server.storage.jobs import Job
from fhir_server.storage.tenants import Tenant
from fhir_server.subscriptions.judge import judge
from workers.jobs import alerts, asynchronous, contact, dispatch, message, parameters, predict, remind, twin
from workers.jobs.runner import Kind, Kinds


async def _judge(tenant: Tenant, job: Job, settings: Settings) -> None:
    await judge(tenant, int(job.key), settings)


def _refresh_rest(settings: Settings) -> timedelta:
    return timedelta(seconds=settings.twin_refresh_seconds)


KINDS: Final[Kinds] = {
    dispatch.TWIN: Kind(twin.run, rest=_refresh_rest),
    dispatch.JUDGE: Kind(_judge, limit=timedelta(minutes=1)),
    alerts.KIND: Kind(alerts.run, limit=timedelta(minutes=1)),
    alerts.CLOCK: Kind(alerts.tick, limit=timedelta(minutes=1)),
    predictions.KIND: Kind(predict.run),
    aside.JOB: Kind(dispatch.replay),
    parameters.KIND: Kind(parameters.run, limit=timedelta(minutes=1)),
    message.KIND: Kind(message.run, limit=timedelta(minutes=5)),
    remind.KIND: Kind(remind.run, limit=timedelta(minutes=2)),
    contact.KIND: Kind(contact.run, limit=timedelta(minutes=1)),
    async_jobs.QUEUE: Kind(asynchronous.run, limit=timedelta(hours=24)),
}
