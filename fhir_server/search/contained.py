"""Conditions on resources that others contain, decided in memory (R4 search.html#contained, references.html#contained).

A chain leads into what a row contains as it leads to rows of their own, and `_contained` asks for nothing else. What is inside has
neither `_lastUpdated` nor an id that anybody outside knows. Its references lead to its container (`#`), to what stands beside it
(`#id`), or to rows: those that matter are looked up before, by `join.py`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from fhir_server.errors import BadSearch
from fhir_server.kit import json
from fhir_server.model.fhirpath.extract import extractor
from fhir_server.search import verify
from fhir_server.search.kinds import coded, date, near, reference, token
from fhir_server.search.kinds.entries import Pairs
from fhir_server.search.kinds.reference import Name
from fhir_server.search.parameters import COLUMNS, WORDS, Source, table
from fhir_server.search.query import (
    And,
    ByType,
    Chain,
    Clause,
    Condition,
    Inside,
    Narrowed,
    Not,
    Or,
    Query,
    Reverse,
    Value,
)
from fhir_server.search.rewrite import Met
from profiles.registry import SearchParam

Resource = dict[str, Any]
Led = Mapping[tuple[str, Chain], Collection[Name]]
"""Chains by the type they start at, with the rows that they may lead to."""


def within(container: Resource) -> list[Resource]:
    """Return what a resource contains."""
    found: list[Resource] = container.get("contained", [])
    return found


def chains(type_: str, asked: Condition) -> Iterator[tuple[str, Chain]]:
    """Yield the chains that a condition on a resource inside goes by, those of what stands beside it too."""
    match asked:
        case Chain(inner=inner):
            yield type_, asked
            for target, part in inner:
                yield from chains(target, part)
        case And(parts) | Or(parts):
            for part in parts:
                yield from chains(type_, part)
        case Not(part):
            yield from chains(type_, part)
        case Reverse(type=source, inner=part):
            yield from chains(source, part)
        case ByType(inner=inner):
            for target, part in inner:
                yield from chains(target, part)


def widen(query: Query, compartment: object) -> None:
    """Make of a search of one type that of whatever contains what it finds; BadSearch where that cannot be."""
    if query.includes or compartment is not None or any(map(_reverses, query.where)):
        text = "_contained does not go with includes, compartments and _has: search the containers for these."
        raise BadSearch(text, "search-contained", "_contained", code="not-supported")
    if any(key.param.name not in COLUMNS for key in query.sort):
        text = "With _contained a search is sorted by _lastUpdated or _id, which are the container's."
        raise BadSearch(text, "search-contained", "_sort", code="not-supported")
    assert query.type
    of_row = [each for each in query.where if isinstance(each, Clause) and each.param.name == "_lastUpdated"]
    asked = And(tuple(each for each in query.where if each not in of_row))
    inside: Condition = Inside(query.type, asked)
    if query.contained == "both":
        inside = Or((ByType(((query.type, asked),)), Inside(query.type, asked, alone=False)))
    query.where = [*of_row, inside]
    query.type = None


def _reverses(asked: Condition) -> bool:
    match asked:
        case Reverse():
            return True
        case And(parts) | Or(parts):
            return any(map(_reverses, parts))
        case Not(part) | Inside(part=part):
            return _reverses(part)
        case Chain(inner=inner) | ByType(inner=inner):
            return any(_reverses(part) for _, part in inner)
        case Clause() | Narrowed():
            return False


def beyond(query: Query, inside: Mapping[int, Met]) -> int:
    """Return how many more entries than rows are found when what is inside is answered by itself."""
    if not query.opened:
        return 0
    return sum(len(met.ids) - (not met.itself) for met in inside.values())


def opened(body: bytes, ids: Collection[str]) -> Iterator[tuple[str, bytes]]:
    """Yield id and JSON of those of what a resource contains that have one of the ids."""
    for each in within(json.decode_trusted(body)):
        if each.get("id", "") in ids:
            yield each.get("id", ""), json.encode(each)


@dataclass(frozen=True, slots=True)
class Judge:
    """Decides about what one row contains; `ids`: whether `_id` means the id inside."""

    container: Resource
    led: Led = field(default_factory=dict)
    ids: bool = False

    def holds(self, asked: Condition, resource: Resource) -> bool:
        """Tell whether a resource inside (or the container) meets a condition on its type."""
        type_ = resource["resourceType"]
        match asked:
            case Clause():
                return self._clause(asked, resource)
            case Narrowed():
                return verify.narrowed(asked, type_)(resource)
            case And(parts):
                return all(self.holds(part, resource) for part in parts)
            case Or(parts):
                return any(self.holds(part, resource) for part in parts)
            case Not(part):
                return not self.holds(part, resource)
            case ByType(inner):
                return any(of == type_ and self.holds(part, resource) for of, part in inner)
            case Chain():
                return self.leads(asked, resource)
            case Reverse(source, param, part):
                return self._referred(source, param, part, resource)
            case Inside(type=of, part=part):
                return any(each["resourceType"] == of and self.holds(part, each) for each in within(resource))

    def _clause(self, clause: Clause, resource: Resource) -> bool:
        name, type_ = clause.param.name, resource["resourceType"]
        if name in COLUMNS:
            if clause.missing is not None:
                return clause.missing
            found = self.ids and name == "_id" and resource.get("id") in clause.texts
        elif clause.missing is not None or name in WORDS or clause.param.kind == "composite":
            return verify.check(clause, type_)(resource)
        else:
            sources = [(source, verify.pairs_of(source, resource)) for source in table(type_).sources[name]]
            found = any(_accepts(value, source, pairs) for value in clause.values for source, pairs in sources)
        return found is not (clause.modifier in ("not", "not-in"))

    def leads(self, asked: Chain, resource: Resource) -> bool:
        """Tell whether a reference of a resource leads to a match: inside the container, or to a row that is known to be one."""
        inner, rows = dict(asked.inner), self.led.get((resource["resourceType"], asked), ())
        for target in _references(asked.param, resource):
            if isinstance(target, tuple):
                if target in rows:
                    return True
                continue
            other = self._named(target)
            if other is not None and other["resourceType"] in inner and self.holds(inner[other["resourceType"]], other):
                return True
        return False

    def _named(self, id_: str) -> Resource | None:
        if not id_:
            return self.container
        return next((each for each in within(self.container) if each.get("id") == id_), None)

    def _referred(self, source: str, param: SearchParam, part: Condition, resource: Resource) -> bool:
        others = [each for each in (self.container, *within(self.container)) if each["resourceType"] == source]
        id_ = "" if resource is self.container else resource.get("id")
        return any(id_ in list(_references(param, other)) and self.holds(part, other) for other in others)


def _references(param: SearchParam, resource: Resource) -> Iterator[Name | str]:
    """Yield where the references of a parameter lead: rows by name, what is inside by its id."""
    type_ = resource["resourceType"]
    for source in table(type_).sources[param.name]:
        for _, value in (pair for term in source.terms for pair in extractor(term.expression, type_)(resource)):
            text = value.get("reference", "") if isinstance(value, dict) else ""
            if text.startswith("#"):
                yield text[1:]
            elif (name := reference.name_of(value, "")) is not None and name.count("/") == 1:
                of, _, id_ = name.partition("/")
                if source.only in (None, of):
                    yield of, id_


def _accepts(value: Value, source: Source, pairs: Pairs) -> bool:
    """Tell whether a value of a query is among those that a source finds: every kind, as the index would have it."""
    match value:
        case token.Token():
            return token.meant(value, source, pairs)
        case coded.Codes():
            return coded.accepts(value, source, pairs)
        case date.Date():
            return date.accepts(value, pairs)
        case reference.Reference():
            return reference.meant(value, pairs)
        case near.Near():
            return near.accepts(value, pairs)
        case _:
            return verify.accepts(value, pairs)
