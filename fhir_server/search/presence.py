"""Which rows surely have a value for a parameter whose values are keys, so that `:missing` need not look into them.

Keys of hashed values say nothing of a parameter as a whole, but some are few enough to name: the codes of an enumerated element,
what a name may begin with; and a reference to our own resources says its parameter by its number. What has none of these may still
have a value, and is looked into.
"""

from __future__ import annotations

import string as ascii_
from functools import cache

from fhir_server.search.kinds.entries import KeyFunction
from fhir_server.search.parameters import Source, table
from fhir_server.search.predicates import Column, Predicate, any_of, as_facets, keys
from fhir_server.storage.index_keys import MOST_RID, pack
from fhir_server.storage.layout import FACETS
from profiles.registry import R4, SearchParam

_FIRST = ascii_.ascii_lowercase + ascii_.digits


@cache
def _codes(source: Source) -> tuple[str, ...]:
    """Return the values that a source of codes and booleans usually has."""
    found = {"true", "false"} if "boolean" in source.types else set()
    for term in source.terms:
        for valueset in term.bindings:
            found |= {code.casefold() for code in R4.codes(valueset) or ()}
    return tuple(sorted(found))


def _present(source: Source, key: KeyFunction) -> Predicate:
    if source.param.kind == "reference":
        low, only = pack(source.id, 0), source.only
        found = Column(
            "EXISTS (SELECT FROM unnest({r}.keys) k WHERE k >= {}::bigint AND k <= {}::bigint)", (low, low + MOST_RID)
        )
        return any_of([found] if only is None else [])
    if source.param.kind == "string":
        return keys([key(source.id, "p", letter) for letter in _FIRST])
    named = keys([key(source.id, "c", code) for code in _codes(source)])
    return as_facets(named) if source.id in FACETS else named


def present(param: SearchParam, type_: str, key: KeyFunction) -> Predicate:
    """Return a condition that holds only for rows that have a value; composites and URIs give none."""
    if param.kind not in ("reference", "string", "token"):
        return any_of([])
    return any_of([_present(source, key) for source in table(type_).sources.get(param.name, ())])
