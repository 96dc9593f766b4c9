"""Searching inside a compartment: what R4's CompartmentDefinitions say, as a condition on index keys.

This is a filter. What may be seen is decided by policy alone, of which only the Patient compartment is a part.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from fhir_server.errors import Issue
from fhir_server.search.parameters import table
from fhir_server.search.predicates import Column, Keys, Predicate, any_of, keys
from fhir_server.storage.ident import known_rid
from fhir_server.storage.index_keys import COMPARTMENT, pack
from fhir_server.storage.tenants import Tenant
from profiles.registry import R4


@dataclass(frozen=True, slots=True)
class Compartment:
    """Whose compartment: the type that gives it its name, and the id."""

    type: str
    id: str

    def outside(self, type_: str | None) -> Issue | None:
        """Return what to say about a search for a type that is never in such a compartment."""
        if type_ is None or type_ == self.type or R4.compartment(self.type, type_):
            return None
        text = f"R4 puts no {type_} into a compartment of a {self.type}, so nothing can be found here."
        return Issue("informational", "compartment-empty", text, None, "warning")


async def inside(tenant: Tenant, compartment: Compartment, types: Iterable[str]) -> Predicate:
    """Return the condition that a resource of one of the types is in the compartment."""
    # Whom nobody ever mentioned has an empty compartment, as has one that is hidden: rid 0 is nobody's.
    rid = await known_rid(tenant, compartment.type, compartment.id) or 0
    if compartment.type == "Patient":
        return Keys((pack(COMPARTMENT, rid),))
    searched = list(types)
    found = [
        pack(source.id, rid)
        for type_ in searched
        for name in R4.compartment(compartment.type, type_)
        for source in table(type_).sources.get(name, ())
        if source.only in (None, compartment.type)
    ]
    own = [Column("{r}.rid = {}", (rid,))] if compartment.type in searched else []
    return any_of([keys(found), *own])
