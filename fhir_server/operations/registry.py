"""The operations that are served: each an OperationDefinition and a handler, in a file of its own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from fhir_server.context import RequestContext
from fhir_server.interactions.address import Address
from fhir_server.interactions.call import Call, Json, Result
from fhir_server.operations import (
    accept,
    aggregate,
    break_glass,
    coverage,
    docref,
    document,
    draft_note,
    everything,
    explain,
    extract,
    forecast,
    ingest,
    lastn,
    meta,
    meta_add,
    meta_delete,
    reindex,
    risk,
    sign_note,
    stats,
    timeline,
    twin,
    validate,
    verify_contact,
)
from fhir_server.operations.alerting import simulate
from fhir_server.operations.subscription import binding, events, letters, secret, status, topics

Handle = Callable[[RequestContext, Call], Awaitable[Result]]


@dataclass(frozen=True, slots=True)
class Operation:
    """What an operation promises, and what keeps the promise."""

    definition: Json
    handle: Handle
    versions: bool = False
    """Whether it may be called on a version in the history too."""
    later: bool = False
    """It answers later by itself, whatever the caller prefers."""

    def serves(self, address: Address) -> bool:
        """Tell whether the operation may be called at an address."""
        if address.operation != self.definition["code"]:
            return False
        if address.version is not None and not self.versions:
            return False
        if address.type is None:
            return bool(self.definition["system"])
        types = self.definition.get("resource", ())
        level = "instance" if address.id else "type"
        return bool(self.definition[level]) and (address.type in types or "Resource" in types)

    @property
    def takes_file(self) -> bool:
        """Tell whether it has a Binary as input: then a file may be sent as it is, under its own media type."""
        return any(
            each.get("type") == "Binary" and each["use"] == "in" for each in self.definition.get("parameter", ())
        )

    @property
    def changes(self) -> bool:
        """Tell whether it changes anything, so that GET may not call it."""
        return bool(self.definition.get("affectsState", False))


OPERATIONS: tuple[Operation, ...] = (
    Operation(validate.DEFINITION, validate.handle),
    Operation(break_glass.DEFINITION, break_glass.handle),
    Operation(twin.DEFINITION, twin.handle),
    Operation(risk.DEFINITION, risk.handle),
    Operation(forecast.DEFINITION, forecast.handle),
    Operation(timeline.DEFINITION, timeline.handle),
    Operation(coverage.DEFINITION, coverage.handle),
    Operation(draft_note.DEFINITION, draft_note.handle, later=True),
    Operation(sign_note.DEFINITION, sign_note.handle),
    Operation(extract.DEFINITION, extract.handle),
    Operation(accept.DEFINITION, accept.handle),
    Operation(aggregate.DEFINITION, aggregate.handle),
    Operation(ingest.DEFINITION, ingest.handle),
    Operation(verify_contact.DEFINITION, verify_contact.handle),
    Operation(everything.DEFINITION, everything.handle),
    Operation(everything.ENCOUNTER, everything.handle),
    Operation(docref.DEFINITION, docref.handle),
    Operation(document.DEFINITION, document.handle),
    Operation(lastn.DEFINITION, lastn.handle),
    Operation(stats.DEFINITION, stats.handle),
    Operation(explain.DEFINITION, explain.handle),
    Operation(meta.DEFINITION, meta.handle, versions=True),
    Operation(meta_add.DEFINITION, meta_add.handle, versions=True),
    Operation(meta_delete.DEFINITION, meta_delete.handle, versions=True),
    Operation(reindex.DEFINITION, reindex.handle, later=True),
    Operation(simulate.DEFINITION, simulate.handle, later=True),
    Operation(status.DEFINITION, status.handle),
    Operation(events.DEFINITION, events.handle),
    Operation(topics.DEFINITION, topics.handle),
    Operation(binding.DEFINITION, binding.handle),
    Operation(secret.DEFINITION, secret.handle),
    Operation(letters.DEFINITION, letters.handle),
    Operation(letters.REPLAY, letters.replay),
)
