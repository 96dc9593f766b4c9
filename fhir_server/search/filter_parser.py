"""The text of `_filter` as a tree (R4 search_filter.html): comparisons, `and`, `or`, `not`, parentheses, paths with brackets.

    given eq "peter" and birthdate ge 2014-10-10        (and (given eq peter) (birthdate ge 2014-10-10))
    a eq 1 or b eq 2 and c eq 3                         (and (or a b) c): from left to right, nothing goes before
    subject[gender eq female].family sw "mu"            what the brackets say and what follows them is about the same resource

Names may have `:Type` in a chain, and be a `_has:Type:reference:name`, as in a search.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TypeAlias

from fhir_server.errors import BadSearch, FhirError
from fhir_server.kit import json

MOST_TEXT = 8000
"""Characters of a filter."""
MOST_DEPTH = 20
"""Parentheses and brackets inside of each other."""
MOST_COMPARISONS = 100

OPERATORS = (
    "eq", "ne", "co", "sw", "ew", "gt", "lt", "ge", "le", "ap", "sa", "eb", "pr", "po", "ss", "sb", "in", "ni", "re",
)  # fmt: skip

_NAME = re.compile(r"[_A-Za-z][-_A-Za-z0-9]*(?::[-_A-Za-z0-9]+)*")
_WORD = re.compile(r"[a-z]+")
_STRING = re.compile(r'"(?:[^"\\\x00-\x1f]|\\.)*"')
_TOKEN = re.compile(r"[^\s\])]+")
_BLANKS = re.compile(r"\s*")


@dataclass(frozen=True, slots=True)
class Step:
    """One name of a path, with what its brackets ask of the resources it leads to."""

    name: str
    inside: Tree | None = None


@dataclass(frozen=True, slots=True)
class Comparison:
    """`path operator value`."""

    path: tuple[Step, ...]
    operator: str
    value: str


@dataclass(frozen=True, slots=True)
class Joined:
    """Two filters of which both (`and`) or either (`or`) must hold."""

    how: str
    left: Tree
    right: Tree


@dataclass(frozen=True, slots=True)
class Negated:
    """A filter that must not hold."""

    part: Tree


Tree: TypeAlias = Comparison | Joined | Negated


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.comparisons = 0

    def refuse(self, sentence: str) -> BadSearch:
        return BadSearch(f"_filter, at character {self.at + 1}: {sentence}.", "search-filter", "_filter")

    def skip(self) -> None:
        match = _BLANKS.match(self.text, self.at)
        assert match
        self.at = match.end()

    def take(self, pattern: re.Pattern[str]) -> str | None:
        """Return what stands here, if it is of the pattern, and go behind it."""
        match = pattern.match(self.text, self.at)
        if match is None:
            return None
        self.at = match.end()
        return match[0]

    def sign(self, sign: str) -> bool:
        """Go behind a sign if it stands here."""
        if not self.text.startswith(sign, self.at):
            return False
        self.at += len(sign)
        return True

    def filter(self, depth: int) -> Tree:
        """Read terms joined by `and` and `or`, from left to right."""
        if depth > MOST_DEPTH:
            raise self.refuse(f"there are more than {MOST_DEPTH} parentheses and brackets in each other")
        found = self.term(depth)
        while True:
            self.skip()
            before = self.at
            word = self.take(_WORD)
            if word not in ("and", "or"):
                self.at = before
                return found
            found = Joined(word, found, self.term(depth))

    def term(self, depth: int) -> Tree:
        self.skip()
        before = self.at
        negated = self.take(_WORD) == "not"
        if negated:
            self.skip()
        else:
            self.at = before
        if self.sign("("):
            inside = self.filter(depth + 1)
            self.skip()
            if not self.sign(")"):
                raise self.refuse("a closing parenthesis is missing")
            return Negated(inside) if negated else inside
        self.at = before
        return self.comparison(depth)

    def comparison(self, depth: int) -> Comparison:
        self.comparisons += 1
        if self.comparisons > MOST_COMPARISONS:
            raise self.refuse(f"there are more than {MOST_COMPARISONS} comparisons")
        path = self.path(depth)
        self.skip()
        operator = self.take(_WORD)
        if operator not in OPERATORS:
            raise self.refuse(f"an operator is expected, one of {' '.join(OPERATORS)}")
        self.skip()
        return Comparison(path, operator, self.value())

    def path(self, depth: int) -> tuple[Step, ...]:
        steps = []
        while True:
            name = self.take(_NAME)
            if name is None:
                raise self.refuse("the name of a search parameter is expected")
            inside = None
            if self.sign("["):
                inside = self.filter(depth + 1)
                self.skip()
                if not self.sign("]"):
                    raise self.refuse("a closing bracket is missing")
            steps.append(Step(name, inside))
            if not self.sign("."):
                if inside is not None:
                    raise self.refuse("what brackets narrow goes on with a dot and a name")
                return tuple(steps)

    def value(self) -> str:
        if self.text.startswith('"', self.at):
            quoted = self.take(_STRING)
            try:
                return str(json.decode((quoted or "").encode()))
            except FhirError:
                raise self.refuse("a string is written as in JSON, between double quotes") from None
        found = self.take(_TOKEN)
        if found is None:
            raise self.refuse("a value is expected")
        return found


def parse(text: str) -> Tree:
    """Return the tree of a filter; BadSearch says where it is wrong."""
    if len(text) > MOST_TEXT:
        raise BadSearch(f"_filter has {MOST_TEXT} characters at most.", "search-too-long", "_filter")
    parser = _Parser(text)
    found = parser.filter(0)
    parser.skip()
    if parser.at < len(text):
        raise parser.refuse("and, or, or the end is expected")
    return found
