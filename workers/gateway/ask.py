"""`ask`: one task on its way out and back; the steps in their order, each in a file of its own."""

from __future__ import annotations

from fhir_server.context import Principal
from fhir_server.settings import Settings
from fhir_server.storage.tenants import Tenant
from workers.gateway.errors import NotConfigured
from workers.gateway.task import Answer, Progress, Task


async def ask(
    tenant: Tenant,
    task: Task,
    settings: Settings,
    *,
    principal: Principal | None = None,
    progress: Progress | None = None,
) -> Answer:
    """Return the model's answer; `errors.GatewayError` in one of its kinds when there is none that may be used.

    `principal` is on whose behalf it is asked (the server's worker by default), for the AuditEvent. Cancelling ends the call to the
    endpoint too. Nothing is sent before the log and the audit trail have it.
    """
    del tenant, task, settings, principal, progress
    raise NotConfigured("No language model is configured: set OPENAI_API_KEY or OPENAI_BASE_URL.")
