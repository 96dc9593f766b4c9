"""Token with `:in`, `:not-in`, `:above` and `:below`: codes that a value set or a code system names (R4 search.html#token).

Which codes those are is looked up before the search runs (`lookup.py`); here they are one condition.
"""

from __future__ import annotations

from dataclasses import dataclass

from fhir_server.search.escape import unescape
from fhir_server.search.kinds import token
from fhir_server.search.kinds.entries import KeyFunction, Pairs
from fhir_server.search.kinds.uri import Relation
from fhir_server.search.parameters import Source
from fhir_server.search.predicates import Predicate, any_of


@dataclass(frozen=True, slots=True)
class InSet:
    """A value set: its canonical URL, with or without `|version`, or `ValueSet/id` on this server."""

    canonical: str


@dataclass(frozen=True, slots=True)
class Subsumed:
    """What is below or above a code in the hierarchy of its system, the code itself included."""

    token: token.Token
    relation: Relation


@dataclass(frozen=True, slots=True)
class Codes:
    """One of these codes (by system), or any code of these systems."""

    codes: tuple[tuple[str, str], ...]
    systems: tuple[str, ...] = ()


def parse(text: str, modifier: str) -> InSet | Subsumed:
    """Read the value set or the code; ValueError says what is wrong."""
    if modifier in ("in", "not-in"):
        return InSet(unescape(text))
    value = token.parse(text)
    if value.code is None:
        raise ValueError(f"with :{modifier} names a code, as in [system]|[code]")
    return Subsumed(value, "above" if modifier == "above" else "below")


def _tokens(value: Codes) -> list[token.Token]:
    return [token.Token(*each) for each in value.codes] + [token.Token(system, None) for system in value.systems]


def predicate(value: Codes, source: Source, key: KeyFunction) -> Predicate:
    """Return the condition that a resource has one of the codes."""
    return any_of([token.predicate(each, source, key) for each in _tokens(value)])


def accepts(value: Codes, source: Source, pairs: Pairs) -> bool:
    """Tell whether one of the values that a source finds is one of the codes."""
    return any(token.meant(each, source, pairs) for each in _tokens(value))
