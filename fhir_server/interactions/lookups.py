"""The reads of a transaction: one that cannot be answered fails the whole, before anything is written.

R4 `http.html#transaction-response`: a server processes each entry with a 2xx or 3xx, or rejects all of them. What is read is
answered after the writes; this looks before them, and knows what they will make and take away.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fhir_server.context import RequestContext
from fhir_server.errors import FhirError, Gone
from fhir_server.interactions import history, read, search, vread
from fhir_server.interactions.address import Kind
from fhir_server.interactions.answers import inner_call
from fhir_server.interactions.call import Call, Handler
from fhir_server.interactions.plan import Entry
from fhir_server.interactions.resolve import Step

_LOOKUPS: Mapping[Kind, Handler] = {
    "instance": read.read,
    "version": vread.vread,
    "history-instance": history.history,
    "history-type": history.history,
    "type": search.search,
    "compartment": search.search,
}


async def check_reads(ctx: RequestContext, call: Call, entries: Sequence[Entry], steps: Sequence[Step]) -> None:
    """Raise for the first read of the transaction that would be an error."""
    asked = [entry for entry in entries if entry.method in ("GET", "HEAD") and entry.address.kind in _LOOKUPS]
    if not asked:
        return
    written = {step.name for step in steps if step.action != "delete"}
    deleted = {step.name for step in steps if step.action == "delete"}
    for entry in asked:
        name = (entry.address.type or "", entry.address.id or "")
        if name in written:
            continue
        try:
            if entry.address.kind == "instance" and name in deleted:
                raise Gone("The resource is deleted by this transaction.", "deleted")
            await _LOOKUPS[entry.address.kind](ctx, inner_call(call, entry))
        except FhirError as error:
            raise error.within(f"{entry.where}.request") from error
