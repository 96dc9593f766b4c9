"""Break-glass: for an emergency a person sees one patient's record whole, for a while, with a reason, and it is told.

What it widens: whom the person cares for, labels and Consents of that patient. What it never widens: the types and filters of the
scopes, writing, the audit trail, and psychotherapy notes. Who has not the right to it costs nothing here.
"""

from __future__ import annotations

from typing import Final
from weakref import WeakKeyDictionary

from fhir_server.auth import labels
from fhir_server.context import Principal
from fhir_server.kit import clock
from fhir_server.storage import glass as storage
from fhir_server.storage.glass import Glass
from fhir_server.storage.index_keys import COMPARTMENT, pack
from fhir_server.storage.tenants import Tenant
from fhir_server.storage.visibility import Grant, Visibility

SECONDS: Final = 5.0
"""So long another process may take to notice that it was opened; its end is kept to the moment."""
READING: Final = frozenset({"read", "vread", "history-instance", "search", "search-type"})
_REMEMBERED: Final = 10_000

_known: WeakKeyDictionary[Tenant, dict[int, tuple[float, list[Glass]]]] = WeakKeyDictionary()


def may(principal: Principal) -> bool:
    """Tell whether the principal is a person with the right to break the glass."""
    return principal.user is not None and principal.clearance.break_glass


async def patients(tenant: Tenant, principal: Principal) -> list[int]:
    """Return the rids of patients whose record is open to the principal now."""
    if not may(principal):
        return []
    known = _known.setdefault(tenant, {})
    until, found = known.get(principal.agent, (0.0, []))
    if clock.monotonic() >= until:
        asked = clock.monotonic()
        found = await storage.open_for(tenant, principal.agent, clock.now())
        if len(known) >= _REMEMBERED:
            known.clear()
        known[principal.agent] = (asked + SECONDS, found)
    now = clock.now()
    return sorted({each.patient for each in found if each.began_at <= now < each.ends_at})


def forget(tenant: Tenant, agent: int) -> None:
    """Look again: it was just opened here."""
    _known.setdefault(tenant, {}).pop(agent, None)


def whole(tenant: Tenant, patient: int) -> Visibility:
    """Return the record of a patient but for psychotherapy notes."""
    return (Grant((pack(COMPARTMENT, patient),), tuple(sorted(labels.classes(tenant)[labels.NOTES]))),)
