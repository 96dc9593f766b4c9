"""Refusals are audited too: who asked for what, and was told no."""

from __future__ import annotations

from fhir_server.audit.record import failure_row, write_audit
from fhir_server.context import RequestContext
from fhir_server.errors import FhirError
from fhir_server.interactions.call import Call
from fhir_server.interactions.codes import interaction_of


async def audit_failure(ctx: RequestContext, call: Call, error: FhirError) -> None:
    """Make the refusal durable before it is told."""
    address = call.address
    interaction = interaction_of(call.method, address.kind)
    row = await failure_row(ctx, interaction, error.status, type=address.type, id=address.id)
    await write_audit(ctx.tenant, [row])
