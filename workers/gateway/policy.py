"""What of a record may go to a model: labels and Consents as conditions of the statement that looks for the sources.

The endpoint is a recipient of its own, that no Consent knows by name. It sees what an app without special rights would see: nothing
labelled 42 CFR Part 2 (SUD, ETH, ...), HIV, sexual health, violence, genetics or `V`, and never psychotherapy notes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from fhir_server.auth import labels, policy
from fhir_server.auth.principals import current_principal
from fhir_server.context import RequestContext
from fhir_server.kit import ids
from fhir_server.storage import reads
from fhir_server.storage.tenants import Tenant

RECIPIENT = "clarity-gateway"


async def recipient(tenant: Tenant) -> RequestContext:
    """Return the endpoint as a caller: it reads every type, cleared for what needs no clearance of its own."""
    who = await current_principal(tenant, RECIPIENT, "system/*.rs")
    cleared = replace(who, clearance=labels.ORDINARY, special=frozenset(), granted={})
    return RequestContext(tenant, cleared, ids.request_id(), tenant.base)


async def may_leave(tenant: Tenant, patient: int, names: Iterable[tuple[str, str]]) -> set[tuple[str, str]]:
    """Return which (type, id) may leave: visible to the recipient, and about this patient or about nobody."""
    wanted = sorted(set(names))
    seen = await policy.visibilities(await recipient(tenant), "read", {type_ for type_, _ in wanted})
    found = await reads.read_many(tenant, wanted, seen)
    return {name for name, stored in found.items() if not stored.deleted and set(stored.patients) <= {patient}}
