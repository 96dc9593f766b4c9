"""Which types a search comes by on its way, and what is left of it for who may not search all of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from fhir_server.errors import Forbidden
from fhir_server.search.query import And, ByType, Chain, Clause, Condition, Inside, Narrowed, Not, Or, Reverse
from fhir_server.storage.visibility import Visibility

Seen = Mapping[str, Visibility]


def types_beyond(asked: Condition) -> set[str]:
    """Return the types that a condition comes by, beside the one it is about."""
    match asked:
        case Chain(inner=inner):
            return {name for type_, part in inner for name in (type_, *types_beyond(part))}
        case Reverse(type=type_, inner=part):
            return {type_} | types_beyond(part)
        case And(parts) | Or(parts):
            return {name for part in parts for name in types_beyond(part)}
        case ByType(inner=inner):
            return {name for _, part in inner for name in types_beyond(part)}
        case Not(part) | Inside(part=part):
            return types_beyond(part)
        case Clause() | Narrowed():
            return set()


def permitted(asked: Condition, seen: Seen) -> Condition:
    """Return the condition without what leads through types that the caller may not search; Forbidden when that is all of it."""
    match asked:
        case Chain(param, inner):
            return Chain(param, _permitted(inner, seen))
        case Reverse(type_, param, part):
            _check(type_, seen)
            return Reverse(type_, param, permitted(part, seen))
        case And(parts):
            return And(tuple(permitted(part, seen) for part in parts))
        case Or(parts):
            return Or(tuple(permitted(part, seen) for part in parts))
        case ByType(inner):
            return ByType(tuple((type_, permitted(part, seen)) for type_, part in inner))
        case Not(part):
            return Not(permitted(part, seen))
        case Inside(type_, part, alone):
            return Inside(type_, permitted(part, seen), alone)
        case Clause() | Narrowed():
            return asked


def _permitted(inner: tuple[tuple[str, Condition], ...], seen: Seen) -> tuple[tuple[str, Condition], ...]:
    """Return the types of a chain that may be gone through: one that names no type means those, as it means what may be seen."""
    found: list[tuple[str, Condition]] = []
    refused: list[Forbidden] = []
    for type_, part in inner:
        try:
            _check(type_, seen)
            found.append((type_, permitted(part, seen)))
        except Forbidden as error:
            refused.append(error)
    if not found:
        raise refused[0]
    return tuple(found)


def _check(type_: str, seen: Seen) -> None:
    if type_ not in seen:
        raise Forbidden(
            f"The token does not allow searching {type_}, through which this search goes; it would need a scope such as"
            f" system/{type_}.s.",
            "insufficient-scope",
            headers={"WWW-Authenticate": f'Bearer error="insufficient_scope", scope="system/{type_}.s"'},
        )


def all_types_beyond(asked: Iterable[Condition]) -> set[str]:
    """Return the types that several conditions come by."""
    return {name for each in asked for name in types_beyond(each)}
