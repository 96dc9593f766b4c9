"""Who asks, as a provision may name them: references, and the purposes that they act for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from weakref import WeakKeyDictionary

from fhir_server.context import Principal
from fhir_server.kit import clock
from fhir_server.search.parameters import table
from fhir_server.storage import care
from fhir_server.storage.ident import known_rid, names
from fhir_server.storage.index_keys import pack
from fhir_server.storage.tenants import Tenant

SECONDS: Final = 5.0
_MOST: Final = 10_000
_TREATING: Final = frozenset({"TREAT", "PurposeOfUse"})
_PURPOSES: Final[dict[str, frozenset[str]]] = {
    "Patient": frozenset({"PATRQT", "PurposeOfUse"}),
    "RelatedPerson": frozenset({"FAMRQT", "PurposeOfUse"}),
    "Person": frozenset({"PATRQT", "PurposeOfUse"}),
}
"""v3-ActReason of people who are no caregivers; everybody else, and every service, asks for treatment."""


@dataclass(frozen=True, slots=True)
class Asker:
    """A caller; `groups` says whether the Organizations among `names` are all that they belong to."""

    names: frozenset[str]
    groups: bool
    purposes: frozenset[str]
    patient: str | None = None
    """The Patient who the caller is."""

    def is_named(self, actor: str) -> bool | None:
        """Tell whether a reference names the caller; None when nobody can say."""
        if actor in self.names:
            return True
        type_ = actor.partition("/")[0]
        if type_ in ("", "Group", "CareTeam"):
            return None
        return False if type_ != "Organization" or self.groups else None


_known: WeakKeyDictionary[Tenant, dict[str, tuple[float, Asker]]] = WeakKeyDictionary()


async def asker(tenant: Tenant, principal: Principal) -> Asker:
    """Return who a principal is; remembered for seconds, as whom a person cares for is."""
    user = principal.user or ""
    known = _known.setdefault(tenant, {})
    until, found = known.get(user, (0.0, None))
    if found is None or clock.monotonic() >= until:
        asked = clock.monotonic()
        found = await _look(tenant, user)
        if len(known) >= _MOST:
            known.clear()
        known[user] = (asked + SECONDS, found)
    return found


async def _look(tenant: Tenant, user: str) -> Asker:
    type_, _, id_ = user.partition("/")
    own = await known_rid(tenant, type_, id_) if id_ else None
    purposes = _PURPOSES.get(type_, _TREATING)
    if own is None or type_ not in ("Practitioner", "PractitionerRole"):
        groups = type_ in _PURPOSES  # patients and their relatives belong to no Organization that receives data
        return Asker(frozenset({user} - {""}), groups, purposes, id_ if type_ == "Patient" else None)
    [by] = table("PractitionerRole").sources["practitioner"]
    [of] = table("PractitionerRole").sources["organization"]
    roles = [own] if type_ == "PractitionerRole" else await care.referring(tenant, [pack(by.id, own)], [])
    belongs = await care.referred(tenant, roles, [by.id, of.id])
    found = {"/".join(name) for name in (await names(tenant, [*roles, *belongs])).values()}
    return Asker(frozenset({user, *found}), any(name.startswith("Organization/") for name in found), purposes)
