"""Names that go from resource to resource: chains and `_has`, of any length and in each other (R4 search.html#chaining, #has).

    subject:Patient.name                    -> (chain subject (Patient name))
    subject.organization.name               -> (chain subject (Patient (chain managing...)) ...)   each target type that can
    _has:Observation:patient:code           -> (reverse Observation patient code)
    subject:Patient._has:Group:member:_id   -> (chain subject (Patient (reverse Group member _id)))

A chain that names no type means every target type whose parameters take what follows, and resources of it inside the one that
the chain begins at (`contained.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fhir_server.errors import BadSearch
from fhir_server.search import canonical
from fhir_server.search.include import APART
from fhir_server.search.kinds import reference
from fhir_server.search.modifiers import clause, find, suggestions
from fhir_server.search.parameters import served_params, table
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
    Unsupported,
    shown,
)
from profiles.registry import R4, SearchParam

HAS = "_has:"
LIST = "_list"
MAX_DEPTH = 8
"""Resources that one parameter goes through."""
MAX_TRIES = 500
"""Ways from one resource to another that the reading of one parameter looks at."""
MAX_HOPS = 100
"""Ways from one resource to another that a search goes: each costs a statement or two."""


class _Unbounded(BadSearch):
    """A parameter that goes too far or too wide: refused even where another reading of it would do."""


@dataclass(slots=True)
class Reader:
    """Reads one parameter; `name` is the whole of its name, for what is said about it."""

    name: str
    text: str
    base: str
    hops: int = 0

    def read(self, type_: str, name: str, depth: int = 0) -> Condition:
        """Return what `name` asks of a resource of the type."""
        if name.startswith(HAS):
            source, by, rest = self.reverse(type_, name, depth + 1)
            return Reverse(source, by, self.read(source, rest, depth + 1))
        head, dot, rest = name.partition(".")
        if dot:
            return self.chain(type_, head, rest, lambda target: self.read(target, rest, depth + 1), depth + 1)
        param, modifier = find(type_, name)
        return clause(self.name, param, modifier, self.text, self.base)

    def _count(self, depth: int) -> None:
        self.hops += 1
        if depth > MAX_DEPTH:
            text = f"{shown(self.name)} goes through more than {MAX_DEPTH} resources."
            raise _Unbounded(text, "search-too-deep", shown(self.name))
        if self.hops > MAX_TRIES:
            text = f"{shown(self.name)} can mean too many ways: name the types, as in subject:Patient.name."
            raise _Unbounded(text, "search-too-wide", shown(self.name))

    def reverse(self, type_: str, name: str, depth: int) -> tuple[str, SearchParam, str]:
        """Return where a `_has` looks, by which reference, and what it asks there."""
        parts = name.split(":", 3)
        if len(parts) < 4 or not all(parts):
            text = "_has is written _has:Type:reference:parameter, as in _has:Observation:patient:code."
            raise BadSearch(text, "search-has", shown(self.name))
        _, source, by, rest = parts
        if not R4.is_type(source):
            text = f"{shown(source)} in _has is no resource type.{suggestions(source, list(R4.types))}"
            raise Unsupported("search-has", text, "invalid")
        param, _ = find(source, by)
        _check_reference(source, param)
        if source in APART:
            text = f"{source}s are kept apart and not reached by _has: search them by themselves."
            raise Unsupported("search-chain-not-supported", text)
        if type_ != "Resource" and type_ not in targets(source, param):
            text = f"{source}.{by} refers to {_listed(targets(source, param))}, not to {type_}."
            raise Unsupported("search-target", text, "invalid")
        self._count(depth)
        return source, param, rest

    def chain(self, type_: str, head: str, rest: str, read: Callable[[str], Condition], depth: int) -> Condition:
        """Return a chain by the reference `head`; `read` says what is asked of a target type, beginning with the name `rest`."""
        stem, colon, target_type = head.partition(":")
        param, _ = find(type_, stem)
        _check_reference(type_, param)
        known = _known(type_, param, target_type if colon else None)
        inner: list[tuple[str, Condition]] = []
        refused: list[tuple[str, Unsupported | BadSearch]] = []
        for target in known:
            if _has_parameter(target, rest):
                self._count(depth)
            try:
                inner.append((target, read(target)))
            except _Unbounded:
                raise
            except (Unsupported, BadSearch) as error:
                refused.append((target, error))
        if not inner:
            raise _nearest(param, known, rest, refused)
        return Chain(param, tuple(inner))


def _known(type_: str, param: SearchParam, said: str | None) -> tuple[str, ...]:
    """Return the types that a chain by a parameter means: the one that is said, or all that it can lead to."""
    possible = targets(type_, param)
    if said is None:
        return tuple(name for name in possible if name not in APART)
    if not R4.is_type(said):
        text = f"In a chain {param.name} goes with a type, as in {param.name}:{possible[0]}.…"
        raise Unsupported("search-chain", text, "invalid")
    if said not in possible:
        text = f"{param.name} refers to {_listed(possible)}, not to {said}."
        raise Unsupported("search-target", text, "invalid")
    if said in APART:
        text = f"{said}s are kept apart and not reached by a chain: search them by themselves."
        raise Unsupported("search-chain-not-supported", text)
    return (said,)


def _first(rest: str) -> str:
    """Return the parameter that a name begins with."""
    return rest.partition(".")[0].partition(":")[0]


def _has_parameter(type_: str, rest: str) -> bool:
    return rest.startswith(HAS) or any(param.name == _first(rest) for param in served_params(type_))


def _nearest(
    param: SearchParam, known: tuple[str, ...], rest: str, refused: list[tuple[str, Unsupported | BadSearch]]
) -> Unsupported | BadSearch:
    """Return why a chain can be read for none of its types: what a type says that has the parameter, if there is one."""
    said = [error for target, error in refused if len(known) == 1 or _has_parameter(target, rest)]
    if said:
        return said[0]
    names = sorted({each.name for target in known for each in served_params(target)})
    text = f"None of what {param.name} refers to ({_listed(known)}) has a search parameter {shown(_first(rest))}."
    return Unsupported("search-unknown-parameter", text + suggestions(_first(rest), names), "not-found")


def _listed(types: tuple[str, ...]) -> str:
    return "any type" if len(types) > 20 else ", ".join(types)


def _check_reference(type_: str, param: SearchParam) -> None:
    if param.kind != "reference":
        text = f"{param.name} of {type_} is a parameter of kind {param.kind}: only references lead to other resources."
        raise Unsupported("search-chain", text, "invalid")
    if not any(reference.literal(source) or canonical.cites(source) for source in table(type_).sources[param.name]):
        text = f"{param.name} of {type_} leads to what is inside the resource; chains and _has lead to others only."
        raise Unsupported("search-chain-not-supported", text)


def targets(type_: str, param: SearchParam) -> tuple[str, ...]:
    """Return the types that a reference parameter of a type can lead to."""
    only = {source.only for source in table(type_).sources[param.name]}
    if None not in only:
        return tuple(sorted(name for name in only if name))
    return param.targets or R4.types


def count(asked: Condition) -> int:
    """Return how many ways from one resource to another a condition goes."""
    match asked:
        case Chain(inner=inner):
            return sum(1 + count(part) for _, part in inner)
        case ByType(inner=inner):
            return sum(count(part) for _, part in inner)
        case And(parts) | Or(parts):
            return sum(count(part) for part in parts)
        case Reverse(inner=part):
            return 1 + count(part)
        case Not(part) | Inside(part=part):
            return count(part)
        case Clause() | Narrowed():
            return 0


def _member(text: str, base: str) -> Condition:
    """Return the condition of `_list`: that one of these Lists has it as an item (R4 search.html#list)."""
    if text.startswith("$"):
        said = "There are no functional lists such as $current-problems here; _list takes the id of a List."
        raise Unsupported("search-functional-list", said)
    param, _ = find("List", "item")
    ids, _ = find("List", "_id")
    return Reverse("List", param, clause(LIST, ids, None, text.replace("List/", ""), base))


def condition(query: Query, name: str, text: str, base: str) -> Condition:
    """Return what a parameter of a search asks for; with several types, of each of them what it means there."""
    if name == LIST:
        return _member(text, base)
    reader = Reader(name, text, base)
    if query.type is not None or not query.types:
        return reader.read(query.base, name)
    try:
        return reader.read(query.base, name)
    except Unsupported as error:
        if error.id != "search-unknown-parameter":
            raise
    return ByType(tuple((type_, reader.read(type_, name)) for type_ in query.types))
