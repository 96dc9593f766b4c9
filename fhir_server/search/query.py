"""What a search asks for, as plain data (R4 search.html); made by `parse.py`, given a meaning by `rewrite.py`.

?code=8867-4,8310-5&date=ge2026&_sort=-date  ->
(query Observation (and (or code 8867-4 8310-5) (or date ge2026)) (sort -date))

?subject:Patient._has:Condition:patient:code=x  ->
(query Observation (and (chain subject (Patient (reverse Condition patient (or code x))))))
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from fhir_server.errors import BadSearch, Issue
from fhir_server.search.kinds import (
    coded,
    composite,
    date,
    described,
    identifier,
    near,
    number,
    quantity,
    reference,
    related,
    string,
    token,
    uri,
    words,
)
from profiles.registry import SearchParam

Params: TypeAlias = Sequence[tuple[str, str]]
Value: TypeAlias = (
    token.Token
    | string.Text
    | date.Date
    | number.Number
    | quantity.Quantity
    | reference.Reference
    | uri.Uri
    | identifier.OfType
    | described.Described
    | coded.InSet
    | coded.Subsumed
    | coded.Codes
    | related.Related
    | near.Near
    | words.Words
    | composite.Composite
)
How = Literal["eq", "ne", "ew"]
Total = Literal["none", "estimate", "accurate"]

_SHOWN = re.compile(r"[^\w.:\-$]+")
_SHOWN_URL = re.compile(r"[^\w.:\-$/#]+")
IGNORED = frozenset({"_format", "_pretty"})
"""Parameters of the answer, not of the search."""


@dataclass(frozen=True, slots=True)
class Clause:
    """One parameter of a query: any of the values; `missing` asks whether there is a value at all."""

    param: SearchParam
    modifier: str | None
    values: tuple[Value, ...]
    missing: bool | None = None
    texts: tuple[str, ...] = ()
    """The values of `_id`, which is no kind of its own."""


@dataclass(frozen=True, slots=True)
class Chain:
    """The reference `param` leads to a resource that meets what stands beside its type (`subject:Patient.name=x`)."""

    param: SearchParam
    inner: tuple[tuple[str, Condition], ...]


@dataclass(frozen=True, slots=True)
class Reverse:
    """A resource of `type` that meets `inner` refers here by `param` (`_has:Observation:patient:code=x`)."""

    type: str
    param: SearchParam
    inner: Condition


@dataclass(frozen=True, slots=True)
class Narrowed:
    """What a clause finds, if a value is also that whole (`eq`) or ends so (`ew`); with `ne`, that some value is another one."""

    clause: Clause
    how: How


@dataclass(frozen=True, slots=True)
class And:
    """All of the conditions."""

    parts: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """At least one of the conditions."""

    parts: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """Not the condition."""

    part: Condition


@dataclass(frozen=True, slots=True)
class ByType:
    """What a condition is for each of several types that are searched together."""

    inner: tuple[tuple[str, Condition], ...]


@dataclass(frozen=True, slots=True)
class Inside:
    """The row contains a resource of `type` that meets `part`; `alone`: what it is by itself does not matter."""

    type: str
    part: Condition
    alone: bool = True


Condition: TypeAlias = Clause | Narrowed | Chain | Reverse | And | Or | Not | ByType | Inside


@dataclass(frozen=True, slots=True)
class SortKey:
    """One key of `_sort`."""

    param: SearchParam
    descending: bool


@dataclass(frozen=True, slots=True)
class Include:
    """What to answer beside the matches; None stands for every type, every reference parameter, every target."""

    reverse: bool
    iterate: bool
    type: str | None = None
    name: str | None = None
    target: str | None = None


@dataclass(slots=True)
class Query:
    """What a search asks for; `type` None searches the types of `types`, all when that is empty."""

    type: str | None
    types: tuple[str, ...] = ()
    where: list[Condition] = field(default_factory=list)
    sort: list[SortKey] = field(default_factory=list)
    count: int | None = None
    total: Total | None = None
    summary: str | None = None
    elements: tuple[str, ...] = ()
    contained: Literal["true", "both"] | None = None
    """Whether what others contain is found, alone or too."""
    opened: bool = False
    """Whether what is found inside others is answered by itself, not its container."""
    includes: list[Include] = field(default_factory=list)
    applied: list[tuple[str, str]] = field(default_factory=list)
    issues: list[Issue] = field(default_factory=list)

    @property
    def base(self) -> str:
        """The type whose parameters it names."""
        return self.type or "Resource"

    @property
    def counts_only(self) -> bool:
        """Whether no resource is asked for, only how many there are."""
        return self.count == 0 or self.summary == "count"


class Unsupported(Exception):
    """Something that strict handling refuses and lenient handling leaves out."""

    def __init__(self, id_: str, text: str, code: str = "not-supported") -> None:
        super().__init__(text)
        self.id, self.text, self.code = id_, text, code


def leaves(condition: Condition) -> Iterator[Clause]:
    """Yield every clause of a condition, those behind hops too."""
    match condition:
        case Clause():
            yield condition
        case Narrowed(clause=clause):
            yield clause
        case And(parts) | Or(parts):
            for part in parts:
                yield from leaves(part)
        case Chain(inner=inner) | ByType(inner=inner):
            for _, part in inner:
                yield from leaves(part)
        case Reverse(inner=part) | Not(part=part) | Inside(part=part):
            yield from leaves(part)


def weight(condition: Condition) -> int:
    """Return how many values a condition gives; what one text means for several types counts once."""
    match condition:
        case Clause():
            return len(condition.values) + len(condition.texts)
        case Narrowed(clause=clause):
            return weight(clause)
        case And(parts) | Or(parts):
            return sum(weight(part) for part in parts)
        case Chain(inner=inner) | ByType(inner=inner):
            return max(weight(part) for _, part in inner)
        case Reverse(inner=part) | Not(part=part) | Inside(part=part):
            return weight(part)


def title(condition: Condition) -> str:
    """Return the name that a condition goes by, as a client might write it."""
    match condition:
        case Clause(param=param):
            return param.name
        case Chain(param, inner):
            type_ = f":{inner[0][0]}" if len(inner) == 1 else ""
            return f"{param.name}{type_}.{title(inner[0][1])}"
        case Reverse(type_, param, part):
            return f"_has:{type_}:{param.name}:{title(part)}"
        case ByType(inner):
            return title(inner[0][1])
        case Inside():
            return "_contained"
        case _:
            return "_filter"


def shown(name: str) -> str:
    """Return a parameter's name as it may stand in a message: a client's text, so short and without surprises."""
    return _SHOWN.sub("?", name)[:64]


def shown_url(url: str) -> str:
    """Return a URL of a client's as it may stand in a message."""
    return _SHOWN_URL.sub("?", url)[:200]


def invalid(name: str, sentence: str) -> BadSearch:
    """Return the refusal of a value; the sentence says what it must be, never what it was."""
    return BadSearch(f"The value of {shown(name)} {sentence}.", "search-value", shown(name))
