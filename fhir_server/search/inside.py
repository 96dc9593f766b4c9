"""What a row is found by for the resources that it contains: candidates only, `contained.py` decides about them.

a resource of a type inside      (in Type)            under parameter 0
a code or identifier of it       (in code)            under the parameter's number, as it is compared without its system
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any

from fhir_server.model.fhirpath.extract import Extractor, extractor
from fhir_server.search.kinds import token
from fhir_server.search.kinds.entries import KeyFunction
from fhir_server.search.parameters import COLUMNS, Source, r4_table
from fhir_server.search.query import And, Clause, Condition
from fhir_server.storage.layout import FACETS
from profiles.registry import R4

_IN = "in"


def _marker(type_: str, key: KeyFunction) -> int:
    return key(0, _IN, type_)


def _kept(source: Source) -> bool:
    return source.param.kind == "token" and source.id not in FACETS


@cache
def _tokens(type_: str) -> tuple[tuple[int, Extractor], ...]:
    sources = [source for source in r4_table(type_).stored if _kept(source)]
    return tuple((source.id, extractor(term.expression, type_)) for source in sources for term in source.terms)


def found_in(contained: Iterable[dict[str, Any]], key: KeyFunction) -> set[int]:
    """Return the keys of a resource for what it contains."""
    out: set[int] = set()
    for each in contained:
        type_ = each.get("resourceType", "")
        if not R4.is_type(type_):
            continue
        out.add(_marker(type_, key))
        for param, find in _tokens(type_):
            out.update(key(param, _IN, code.casefold()) for _, code in token.held(find(each)) if code)
    return out


def candidates(type_: str, asked: Condition, key: KeyFunction) -> list[int]:
    """Return keys of which a row has one if it contains a resource of the type that meets a condition."""
    if isinstance(asked, And):
        named = [found for part in asked.parts if (found := _named(type_, part, key))]
        return min(named, key=len) if named else [_marker(type_, key)]
    return _named(type_, asked, key) or [_marker(type_, key)]


def _named(type_: str, asked: Condition, key: KeyFunction) -> list[int]:
    """Return the keys of the codes that a condition names; [] when it names none that are kept."""
    if not isinstance(asked, Clause) or asked.param.kind != "token" or asked.modifier or asked.param.name in COLUMNS:
        return []
    sources = r4_table(type_).sources.get(asked.param.name, ())
    codes = [value.code.casefold() for value in asked.values if isinstance(value, token.Token) and value.code]
    if not codes or len(codes) < len(asked.values) or not all(map(_kept, sources)):
        return []
    return [key(source.id, _IN, code) for source in sources for code in codes]
