"""Calling an operation: is there one of this name here, and may this method call it (R4 `operations.html`)."""

from __future__ import annotations

from fhir_server.audit.record import audit_row
from fhir_server.context import RequestContext
from fhir_server.errors import MethodNotAllowed, NotFound
from fhir_server.interactions.call import Call, Result
from fhir_server.operations.registry import OPERATIONS, Operation


async def invoke(ctx: RequestContext, call: Call) -> Result:
    """Answer `$name` at any level."""
    operation = _find(call)
    if call.method == "GET" and operation.changes:
        text = "This operation changes something: call it by POST."
        raise MethodNotAllowed(text, "operation-method", headers={"Allow": "POST"})
    result = await operation.handle(ctx, call)
    if not result.audit and not result.audited:
        result.audit.append(audit_row(ctx, "operation", result.status, type=call.address.type))
    return result


def answers_later(call: Call) -> bool:
    """Tell whether a call is of an operation that answers later by itself."""
    return call.address.kind == "operation" and any(o.later and o.serves(call.address) for o in OPERATIONS)


def takes_file(call: Call) -> bool:
    """Tell whether a call is of an operation to which a file may be sent as it is."""
    return call.address.kind == "operation" and any(o.takes_file and o.serves(call.address) for o in OPERATIONS)


def _find(call: Call) -> Operation:
    for operation in OPERATIONS:
        if operation.serves(call.address):
            return operation
    served = sorted({f"${operation.definition['code']}" for operation in OPERATIONS})
    raise NotFound(
        f"There is no operation of this name here; served are {', '.join(served)}, each where its definition says.",
        "operation-unknown",
        code="not-supported",
    )
