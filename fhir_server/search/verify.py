"""Looking into a decrypted resource where the index alone cannot decide (long prefixes, units as people write them, `:missing`)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

from fhir_server.kit import json
from fhir_server.model.fhirpath.extract import extractor
from fhir_server.model.fhirpath.references import refers_to
from fhir_server.search.kinds import (
    composite,
    described,
    identifier,
    number,
    quantity,
    reference,
    related,
    string,
    token,
    uri,
    words,
)
from fhir_server.search.kinds.entries import Pairs
from fhir_server.search.parameters import WORDS, Source, table
from fhir_server.search.predicates import NOTHING
from fhir_server.search.query import And, ByType, Clause, Condition, Narrowed, Query, Value
from fhir_server.search.rewrite import Scene, meaning

Resource = dict[str, Any]
Check = Callable[[Resource], bool]


def pairs_of(source: Source, resource: Resource) -> Pairs:
    """Return what a source's expressions find in a resource."""
    type_ = resource["resourceType"]
    found = [pair for term in source.terms for pair in extractor(term.expression, type_)(resource)]
    if source.only is None:
        return found
    wanted = refers_to(source.only)
    return [pair for pair in found if wanted(pair[1])]


def accepts(value: Value, pairs: Pairs) -> bool:
    """Tell whether a value of a query is among what was found in a resource; for kinds that the index may leave in doubt."""
    match value:
        case string.Text():
            return string.accepts(value, pairs)
        case quantity.Quantity():
            return quantity.accepts(value, pairs)
        case token.Token():
            return token.accepts(value, pairs)
        case number.Number():
            return number.accepts(value, pairs)
        case uri.Uri():
            return uri.accepts(value, pairs)
        case described.Described():
            return described.accepts(value, pairs)
        case identifier.OfType():
            return identifier.accepts(value, pairs)
        case related.Related():
            return related.accepts(value, pairs)
        case _:
            raise TypeError(f"{type(value).__name__} is decided by the index alone")


def _composite(clause: Clause, type_: str) -> Check:
    known, name = table(type_), clause.param.name
    values = [value for value in clause.values if isinstance(value, composite.Composite)]
    rooted, below = known.rooted.get(name), known.below.get(name, ())

    def check(resource: Resource) -> bool:
        found = [instance for instances in below for instance in composite.found_in(instances, resource)]
        if rooted:
            found.append([[pair for source in sources for pair in pairs_of(source, resource)] for sources in rooted])
        if clause.missing is not None:
            return any(all(parts) for parts in found) is not clause.missing
        return any(composite.accepts(value, instance) for value in values for instance in found)

    return check


def check(clause: Clause, type_: str) -> Check:
    """Return the function that decides a clause about a resource of a type."""
    if clause.param.kind == "composite":
        return _composite(clause, type_)
    if clause.param.name in WORDS:
        asked = tuple(value for value in clause.values if isinstance(value, words.Words))
        if clause.missing is not None:
            return lambda resource: words.there(clause.param.name, resource) is not clause.missing
        return lambda resource: words.accepts(asked, resource)
    sources = table(type_).sources[clause.param.name]
    if clause.missing is not None:
        return lambda resource: any(pairs_of(source, resource) for source in sources) is not clause.missing

    def check(resource: Resource) -> bool:
        found = [pair for source in sources for pair in pairs_of(source, resource)]
        return any(accepts(value, found) for value in clause.values)

    return check


def narrowed(asked: Narrowed, type_: str) -> Check:
    """Return the function that decides a comparison of `_filter` about a resource of a type."""
    sources = table(type_).sources[asked.clause.param.name]
    meets = _HOW[asked.how]

    def check(resource: Resource) -> bool:
        found = [pair for source in sources for pair in pairs_of(source, resource)]
        return any(meets(value, pair) for value in asked.clause.values for pair in found)

    return check


def _text_of(value: Value) -> str:
    assert isinstance(value, string.Text)
    return string.normalise(value.text)


def _is_other(value: Value, pair: tuple[str, Any]) -> bool:
    """Tell whether a value in a resource is not the one of a query."""
    match value:
        case string.Text():
            return string.normalise(pair[1]) != string.normalise(value.text)
        case reference.Reference():
            return not reference.accepts(value, [pair])
        case uri.Uri():
            return bool(pair[1] != value.uri)
        case token.Token():
            return any(True for _ in token.held([pair])) and not token.accepts(value, [pair])
        case _:
            return not accepts(value, [pair])


_HOW: dict[str, Callable[[Value, tuple[str, Any]], bool]] = {
    "eq": lambda value, pair: string.normalise(pair[1]) == _text_of(value),
    "ew": lambda value, pair: string.normalise(pair[1]).endswith(_text_of(value)),
    "ne": _is_other,
}


def _doubtful(asked: Condition, scene: Scene) -> Iterator[Check]:
    """Yield the checks of what the index cannot decide; all else it has decided."""
    match asked:
        case Clause() if meaning(asked, scene).doubt != NOTHING:
            yield check(asked, scene.type)
        case Narrowed():
            yield narrowed(asked, scene.type)
        case And(parts):
            for part in parts:
                yield from _doubtful(part, scene)
        case ByType(inner):
            checks = {type_: list(_doubtful(part, replace(scene, type=type_))) for type_, part in inner}
            yield lambda resource: all(check(resource) for check in checks[resource["resourceType"]])


def judge(asked: Iterable[Condition], scene: Scene) -> Callable[[bytes], bool]:
    """Return the function that decides about the body of a row in doubt."""
    checks = [check for each in asked for check in _doubtful(each, scene)]

    def decide(body: bytes) -> bool:
        resource = json.decode_trusted(body)
        return all(check(resource) for check in checks)

    return decide


def checker(query: Query, scene: Scene) -> Callable[[bytes], bool]:
    """Return the function that decides about the body of a row in doubt."""
    return judge(query.where, scene)
