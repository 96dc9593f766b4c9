"""What `$extract` proposes, and what nobody but `$accept` may make of it.

A proposal has an id that `$extract` gave it, says where it was found, and is tagged `proposed`. The tag is the server's: no plain
write adds it, takes it off, or changes the status of what has it, so that nothing found in a text counts without a person.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from fhir_server.context import RequestContext
from fhir_server.errors import Unprocessable
from fhir_server.kit import json
from fhir_server.storage import reads
from fhir_server.storage.commands import CLIENT, Command
from fhir_server.storage.tenants import Tenant
from fhir_server.storage.visibility import EVERYTHING
from workers.notes.extraction import PREFIX

TYPES: Final = ("Condition", "Observation", "MedicationStatement")
_STATUSES: Final = ("status", "clinicalStatus", "verificationStatus")
_SPAN: Final = "/StructureDefinition/note-span"


def is_tagged(resource: Mapping[str, Any]) -> bool:
    """Tell whether it has the tag of a proposal, whoever gave it."""
    return any(
        tag.get("code") == "proposed" and str(tag.get("system")).endswith("/CodeSystem/origin")
        for tag in resource.get("meta", {}).get("tag", ())
    )


def is_proposal(resource: Mapping[str, Any]) -> bool:
    """Tell whether `$extract` wrote it, and nobody has accepted or rejected it."""
    return str(resource.get("id", "")).startswith(PREFIX) and is_tagged(resource) and bool(_spans(resource))


def _spans(resource: Mapping[str, Any]) -> list[Any]:
    return [each for each in resource.get("extension", ()) if str(each.get("url", "")).endswith(_SPAN)]


def check(before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    """Raise Unprocessable for a plain change of a resource that only `$extract` or `$accept` may make; `before` may be empty."""
    type_ = after.get("resourceType", "")
    if not is_proposal(before):
        if is_tagged(after) and not is_tagged(before):
            text = "The tag proposed is for what $extract finds: leave it out, and say unconfirmed or preliminary by the status."
            raise Unprocessable(text, "proposal-tag", f"{type_}.meta.tag")
        return
    if not is_tagged(after):
        text = (
            "It was found in a text and waits: POST $accept makes it final, $accept?reject=true enters it as an error."
        )
        raise Unprocessable(text, "proposal-waits", f"{type_}.meta.tag")
    for name in (*_STATUSES, "subject"):
        if before.get(name) != after.get(name):
            text = f"It was found in a text and waits: its {name} is changed by $accept, or $accept?reject=true."
            raise Unprocessable(text, "proposal-waits", f"{type_}.{name}")
    if _spans(before) != _spans(after):
        text = "Where a proposal was found stays with it."
        raise Unprocessable(text, "proposal-waits", f"{type_}.extension")


def use(tenant: Tenant) -> None:
    """Let plain writes of proposals be checked."""
    tenant.check("proposals", dict.fromkeys(TYPES, _guard))


async def _guard(ctx: RequestContext, command: Command) -> None:
    if command.origin != CLIENT or command.resource is None:
        return
    before: Mapping[str, Any] = {}
    if command.expected and (command.id.startswith(PREFIX) or is_tagged(command.resource)):
        # Of the version that is changed: $meta-add and $meta-delete change earlier ones, too.
        stored = await reads.vread(ctx.tenant, command.type, command.id, command.expected, EVERYTHING)
        before = json.decode_trusted(stored.body) if stored is not None and stored.body else {}
    check(before, command.resource)
