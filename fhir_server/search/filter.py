"""From the tree of a `_filter` to conditions: each operator as what a search by the parameter would say (R4 search_filter.html).

| operator | on | as |
|---|---|---|
| `eq` `ne` `gt` `lt` `ge` `le` `ap` `sa` `eb` | dates, numbers, quantities | the prefix |
| `po` | dates | the periods overlap |
| `eq` `re` | tokens, references, URIs, composites; `re` references | the value |
| `eq` `sw` `co` `ew` | strings, without regard to case and accents | the whole field, its start, any part, its end |
| `ne` | tokens, references, URIs, strings | some value is another one, as R4 has it: nothing is not another one |
| `eq` `co` | `_text`, `_content` | the words |
| `pr` | all | `:missing` |
| `in` `ni` `ss` `sb` | tokens | `:in` `:not-in` `:below` `:above` |

What a parameter of a kind is not compared by is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeAlias

from fhir_server.search import escape, hops
from fhir_server.search.filter_parser import Comparison, Joined, Step, Tree, parse
from fhir_server.search.kinds import date
from fhir_server.search.modifiers import clause, find
from fhir_server.search.parameters import WORDS, served_params
from fhir_server.search.query import (
    And,
    ByType,
    Clause,
    Condition,
    Narrowed,
    Not,
    Or,
    Query,
    Reverse,
    Unsupported,
    invalid,
)
from profiles.registry import SearchParam

NAME = "_filter"
_ORDERED = frozenset({"date", "number", "quantity"})
_PREFIXES = frozenset({"eq", "ne", "gt", "lt", "ge", "le", "ap", "sa", "eb"})
_MISSING = {"true": "false", "false": "true"}
_BY_MODIFIER = {
    ("token", "in"): "in",
    ("token", "ni"): "not-in",
    ("token", "ss"): "below",
    ("token", "sb"): "above",
    ("string", "co"): "contains",
}
_OTHERS = frozenset({"token", "string", "reference", "uri"})
"""Kinds whose `ne` is asked of the values themselves."""

Leaf: TypeAlias = Callable[[str, str], Condition]
"""Reads the last name of a path for a type."""


# ---- one comparison ----


def _literal(text: str) -> str:
    """Return a value in which no comma separates: a filter has `or` for that."""
    return "\\,".join(escape.split(text, ","))


def _compared(type_: str, name: str, operator: str, value: str, base: str) -> Condition:
    param, modifier = find(type_, name)
    if modifier is not None:
        raise Unsupported("search-filter", f"In {NAME} the last name of a path has no modifier.", "invalid")
    if param.name in WORDS and operator != "pr":
        if operator not in ("eq", "co"):
            raise _not_compared(param, operator)
        return clause(NAME, param, None, _literal(value), base)
    if operator == "pr":
        if value not in _MISSING:
            raise invalid(NAME, "with pr is true or false")
        return clause(NAME, param, "missing", _MISSING[value], base)
    by_modifier = _BY_MODIFIER.get((param.kind, operator))
    if by_modifier is not None:
        _, known = find(type_, f"{name}:{by_modifier}")
        return clause(NAME, param, known, _literal(value), base)
    text = _literal(value)
    if param.kind in _ORDERED and operator in _PREFIXES:
        return clause(NAME, param, None, operator + text, base)
    if param.kind == "date" and operator == "po":
        return _overlapping(clause(NAME, param, None, text, base))
    if param.name == "_id" and operator in ("eq", "ne"):
        same = clause(NAME, param, None, text, base)
        return same if operator == "eq" else Not(same)
    if param.kind == "string":
        return _text(type_, param, operator, text, base)
    if operator == "eq" or (operator == "re" and param.kind == "reference"):
        return clause(NAME, param, None, text, base)
    if operator == "ne" and param.kind in _OTHERS:
        return Narrowed(clause(NAME, param, None, text, base), "ne")
    raise _not_compared(param, operator)


def _text(type_: str, param: SearchParam, operator: str, text: str, base: str) -> Condition:
    if operator == "ew":
        _, modifier = find(type_, f"{param.name}:contains")
        return Narrowed(clause(NAME, param, modifier, text, base), "ew")
    if operator not in ("eq", "ne", "sw"):
        raise _not_compared(param, operator)
    starts = clause(NAME, param, None, text, base)
    return starts if operator == "sw" else Narrowed(starts, "eq" if operator == "eq" else "ne")


def _overlapping(same: Clause) -> Clause:
    """Return the clause of `po`: an `ap` that is not widened."""
    values = [value for value in same.values if isinstance(value, date.Date)]
    if any(value.prefix != "eq" for value in values):
        raise invalid(NAME, "takes no prefix with po")
    return replace(same, values=tuple(replace(value, prefix="ap") for value in values))


def _not_compared(param: SearchParam, operator: str) -> Unsupported:
    return Unsupported(
        "search-filter-operator", f"{param.name}, a parameter of kind {param.kind}, is not compared by {operator}."
    )


# ---- paths and trees ----


class _Reading:
    """Reads one filter; the hops of all its paths count together."""

    def __init__(self, base: str) -> None:
        self._base = base
        self._reader = hops.Reader(NAME, "", base)

    def tree(self, type_: str, tree: Tree, depth: int = 0) -> Condition:
        """Return what a tree asks of a resource of the type."""
        match tree:
            case Comparison(path, operator, value):
                return self._path(type_, path, depth, lambda at, name: _compared(at, name, operator, value, self._base))
            case Joined("and", left, right):
                return And((self.tree(type_, left, depth), self.tree(type_, right, depth)))
            case Joined(_, left, right):
                return Or((self.tree(type_, left, depth), self.tree(type_, right, depth)))
            case _:
                return Not(self.tree(type_, tree.part, depth))

    def _path(self, type_: str, path: tuple[Step, ...], depth: int, leaf: Leaf) -> Condition:
        (step, *rest) = path
        if step.name.startswith(hops.HAS):
            source, param, name = self._reader.reverse(type_, step.name, depth + 1)
            return Reverse(source, param, self._path(source, (replace(step, name=name), *rest), depth + 1, leaf))
        if not rest:
            return leaf(type_, _own_name(type_, step.name))

        def beyond(target: str) -> Condition:
            found = self._path(target, tuple(rest), depth + 1, leaf)
            return found if step.inside is None else And((self.tree(target, step.inside, depth + 1), found))

        return self._reader.chain(type_, step.name, rest[0].name, beyond, depth + 1)


def _own_name(type_: str, name: str) -> str:
    """Return the parameter that a name means: R4 and its examples say `id` for `_id`."""
    return "_id" if name == "id" and not any(param.name == "id" for param in served_params(type_)) else name


def condition(query: Query, text: str, base: str) -> Condition:
    """Return what a filter asks for; with several types, of each of them what it means there."""
    tree = parse(text)
    if query.type is not None or not query.types:
        return _Reading(base).tree(query.base, tree)
    return ByType(tuple((type_, _Reading(base).tree(type_, tree)) for type_ in query.types))
