"""Searching inside a compartment: what R4's CompartmentDefinitions say, as a condition on index keys.

This is a filter. What may be seen is decided by policy alone, of which only the Patient compartment is a part.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

from fhir_server.errors import Issue
from fhir_server.search.parameters import r4_table, table
from fhir_server.search.predicates import Column, Faceted, Keys, Predicate, all_of, any_of, keys
from fhir_server.storage.ident import known_rid
from fhir_server.storage.index_keys import COMPARTMENT, pack
from fhir_server.storage.layout import alternatives
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


@cache
def telling(type_: str) -> tuple[int, ...]:
    """Return the numbers of the parameters whose references put a resource of a type into the compartments of patients."""
    names = R4.compartment("Patient", type_)
    return tuple(sorted({source.id for name in names for source in r4_table(type_).sources.get(name, ())}))


def told(types: Iterable[str]) -> tuple[int, ...]:
    """Return those of several types."""
    return tuple(sorted({param for type_ in types for param in telling(type_)}))


@cache
def _all() -> tuple[int, ...]:
    return told(R4.types)


def reached(rid: int, type_: str | None = None) -> list[int]:
    """Return the keys of which the index holds one for whatever, of a type or of any, is in the compartment of a patient."""
    params = _all() if type_ is None else telling(type_)
    return [pack(COMPARTMENT, rid), *(at for param in params for at in alternatives(pack(param, rid)))]


def held(key: int) -> Predicate:
    """Return the condition that a row holds a key; when it is a patient's compartment, with what the index finds that by."""
    if 0 < key < pack(COMPARTMENT + 1, 0):
        return all_of([Keys(tuple(reached(key))), Faceted(Keys((key,)))])
    return Keys((key,))


async def inside(tenant: Tenant, compartment: Compartment, types: Iterable[str]) -> Predicate:
    """Return the condition that a resource of one of the types is in the compartment."""
    # Whom nobody ever mentioned has an empty compartment, as has one that is hidden: rid 0 is nobody's.
    rid = await known_rid(tenant, compartment.type, compartment.id) or 0
    searched = list(types)
    found = [
        pack(source.id, rid)
        for type_ in searched
        for name in R4.compartment(compartment.type, type_)
        for source in table(type_).sources.get(name, ())
        if source.only in (None, compartment.type)
    ]
    if compartment.type == "Patient":  # which is also theirs without a reference
        return keys([pack(COMPARTMENT, rid), *found])
    own = [Column("{r}.rid = {}", (rid,))] if compartment.type in searched else []
    return any_of([keys(found), *own])
