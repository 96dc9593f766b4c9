"""From a Call to a Result: which handler answers which method at which kind of address, and the audit of it all.

HTTP requests and the entries of Bundles both come through `perform`; nothing is answered before its audit row is durable.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

from fhir_server.audit.record import audit_row, write_audit
from fhir_server.context import RequestContext
from fhir_server.errors import FhirError, MethodNotAllowed
from fhir_server.http.render import allow
from fhir_server.interactions import (
    asynchronous,
    batch,
    binary,
    conditional,
    create,
    delete,
    history,
    patch,
    read,
    search,
    update,
    vread,
)
from fhir_server.interactions.address import Kind
from fhir_server.interactions.call import Call, Handler, Result
from fhir_server.interactions.failures import audit_failure
from fhir_server.interactions.provenance import check_header
from fhir_server.operations import invoke


async def _capabilities(ctx: RequestContext, call: Call) -> Result:
    """Answer `GET metadata` in a Bundle; by itself it is answered before anybody is asked who they are."""
    assert call.statement is not None
    result = call.statement(call.params)
    result.audit.append(audit_row(ctx, "capabilities", 200))
    return result


HANDLERS: Mapping[Kind, Mapping[str, Handler]] = {
    "system": {"GET": search.search, "POST": batch.bundle},
    "search-system": {"POST": search.search},
    "type": {
        "GET": search.search,
        "POST": create.create,
        "PUT": conditional.update,
        "PATCH": conditional.patch,
        "DELETE": conditional.delete,
    },
    "search-type": {"POST": search.search},
    "instance": {"GET": read.read, "PUT": update.update, "PATCH": patch.patch, "DELETE": delete.delete},
    "version": {"GET": vread.vread},
    "history-system": {"GET": history.history},
    "history-type": {"GET": history.history},
    "history-instance": {"GET": history.history},
    "compartment": {"GET": search.search},
    "search-compartment": {"POST": search.search},
    "metadata": {"GET": _capabilities},
    "async": {"GET": asynchronous.status, "DELETE": asynchronous.cancel},
    "operation": {"GET": invoke.invoke, "POST": invoke.invoke},
}


async def perform(ctx: RequestContext, call: Call) -> Result:
    """Perform one interaction and make it durable in the audit trail, whether it is done or refused."""
    try:
        handler = handler_of(call)
        if call.provenance is not None:
            await check_header(ctx, call)
        if call.later is not None and not invoke.answers_later(call):
            handler = asynchronous.accept
        result = await handler(ctx, call)
    except FhirError as error:
        await audit_failure(ctx, call, error.status)
        raise
    except Exception:
        with suppress(FhirError):  # the failure itself is what is told; the log has both
            await audit_failure(ctx, call, 500)
        raise
    if result.audit and not result.audited:
        await write_audit(ctx.tenant, result.audit)
    return result


def handler_of(call: Call) -> Handler:
    """Return the handler of a call; MethodNotAllowed names the methods that the address takes."""
    kind = call.address.kind
    handlers = HANDLERS[kind]
    handler = handlers.get(call.method)
    if call.address.type == binary.TYPE and call.method == "GET":
        handler = binary.READING.get(kind, handler)
    if handler is None:
        text = f"This address takes {', '.join(sorted(handlers))}; {call.method[:16]} is not possible here."
        raise MethodNotAllowed(text, "method", headers=allow(handlers))
    return handler
