"""What goes wrong: refusals are audited too, and what nobody foresaw is told without a word of what it was about."""

from __future__ import annotations

from fhir_server.audit.record import failure_row, write_audit
from fhir_server.context import RequestContext
from fhir_server.errors import FhirError, Unavailable
from fhir_server.interactions.call import Call
from fhir_server.interactions.codes import interaction_of
from fhir_server.kit import logs
from fhir_server.storage.outage import OUTAGES

_log = logs.logger(__name__)


async def audit_failure(ctx: RequestContext, call: Call, status: int) -> None:
    """Make the refusal durable before it is told."""
    address = call.address
    interaction = interaction_of(call.method, address.kind)
    row = await failure_row(ctx, interaction, status, type=address.type, id=address.id)
    await write_audit(ctx.tenant, [row])


def unforeseen(error: Exception, request_id: str) -> FhirError:
    """Log an error that is none of ours and return what is told: the request id, under which the log has it."""
    if isinstance(error, OUTAGES):
        _log.warning("database away", request_id=request_id, exc_info=error)
        text = "The database is not there just now; try again, with If-None-Exist where nothing may be made twice."
        return Unavailable(text, "database-unavailable", headers={"Retry-After": "2"})
    _log.error("request failed", request_id=request_id, exc_info=error)
    return FhirError(f"The server failed; its log has this request as {request_id}.", "unexpected")
