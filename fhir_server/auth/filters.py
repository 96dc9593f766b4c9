"""From a scope's filters to index keys: by the same functions that search uses for its values (`search/kinds`).

What search cannot answer by keys alone gives no key, and a filter without a key matches nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import product

from fhir_server.context import Scope
from fhir_server.search.kinds import reference, token, uri
from fhir_server.search.parameters import Source, table
from fhir_server.search.predicates import NOTHING, AnyOf, Faceted, Keys, Predicate, coded, resolved
from fhir_server.storage import codings
from fhir_server.storage.commands import CodingRow
from fhir_server.storage.ident import Name, known_rid
from fhir_server.storage.layout import Known
from fhir_server.storage.tenants import Tenant
from profiles.registry import R4, SearchParam

MOST_CODINGS = 100
"""Codings that a filter without a system, or without a code, can mean; what would mean more matches nothing."""


def check_value(param: SearchParam, value: str) -> None:
    """Raise ValueError, saying why, unless the value can be looked for by this parameter."""
    if param.kind == "token":
        token.parse(value)
    elif param.kind == "reference":
        reference.parse(value, param.targets, None, "")


async def _named(tenant: Tenant, param: SearchParam, value: str) -> dict[Name, int]:
    """Return the resources of ours that a reference value may mean, as far as anybody ever mentioned them."""
    wanted = reference.parse(value, param.targets, None, tenant.base).names
    found = [(name, await known_rid(tenant, *name)) for name in wanted]
    return {name: rid for name, rid in found if rid is not None}


async def _token(tenant: Tenant, value: str, source: Source, new: Sequence[CodingRow]) -> Predicate:
    """Return the condition as keys: those of the dictionary of codings and of what is about to stand there."""
    predicate = token.predicate(token.parse(value), source, tenant.key)
    wanted = coded(predicate)
    known = await codings.look_up(tenant, wanted, MOST_CODINGS)
    coming = codings.among(new, wanted)
    return resolved(predicate, Known({at: tuple({*keys, *coming[at]}) for at, keys in known.items()}))


async def _predicate(
    tenant: Tenant, param: SearchParam, source: Source, value: str, new: Sequence[CodingRow]
) -> Predicate:
    if param.kind == "token":
        return await _token(tenant, value, source, new)
    if param.kind == "uri":
        return uri.predicate(uri.parse(value), source, tenant.key)
    if param.kind == "reference":
        rids = await _named(tenant, param, value)
        return reference.predicate(reference.parse(value, param.targets, None, tenant.base), source, tenant.key, rids)
    return NOTHING


async def _keys(tenant: Tenant, type_: str, name: str, values: Iterable[str], new: Sequence[CodingRow]) -> list[int]:
    """Return the keys any one of which meets the filter."""
    param = R4.params(type_)[name]
    found: dict[int, None] = {}
    for source in table(type_).sources.get(name, ()):
        for value in values:
            predicate = await _predicate(tenant, param, source, value, new)
            parts = predicate.parts if isinstance(predicate, AnyOf) else (predicate,)
            for part in (each.part if isinstance(each, Faceted) else each for each in parts):
                if isinstance(part, Keys):
                    found.update(dict.fromkeys(part.any_of))
    # A key that extraction never makes: the filter is there, and nothing meets it.
    return list(found) or [tenant.key(param.id, "unmet")]


async def alternatives(
    tenant: Tenant, scope: Scope, type_: str, new: Sequence[CodingRow] = ()
) -> list[tuple[int, ...]]:
    """Return the sets of keys one of which a resource must hold whole; `[()]` for a scope without filters.

    `new` are codings of content that is yet to be written and that the dictionary may not know.
    """
    return list(product(*[await _keys(tenant, type_, name, values, new) for name, values in scope.filters]))


def lasting(scope: Scope, type_: str) -> bool:
    """Tell whether the keys of a scope's filters stay the same: a code in any system may turn up in another one."""
    tokens = [values for name, values in scope.filters if R4.params(type_)[name].kind == "token"]
    return all((said := token.parse(value)).system is not None and said.code is not None for t in tokens for value in t)


async def targets(tenant: Tenant, scopes: Iterable[Scope], type_: str) -> dict[Name, int]:
    """Return the resources of ours that the filters of the scopes refer to, with their rids."""
    found: dict[Name, int] = {}
    for name, values in (each for scope in scopes for each in scope.filters):
        param = R4.params(type_)[name]
        for value in values if param.kind == "reference" else ():
            found |= await _named(tenant, param, value)
    return found
