"""What a search asks for, as plain data (R4 search.html); made by `parse.py`, given a meaning by `rewrite.py`.

?code=8867-4,8310-5&date=ge2026&_sort=-date  ->
(query Observation (and (or code 8867-4 8310-5) (or date ge2026)) (sort -date))
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from fhir_server.errors import BadSearch, Issue
from fhir_server.search.kinds import composite, date, number, quantity, reference, string, token, uri
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
    | composite.Composite
)
Total = Literal["none", "estimate", "accurate"]

_SHOWN = re.compile(r"[^\w.:\-$]+")
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
    where: list[Clause] = field(default_factory=list)
    sort: list[SortKey] = field(default_factory=list)
    count: int | None = None
    total: Total | None = None
    summary: str | None = None
    elements: tuple[str, ...] = ()
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


def shown(name: str) -> str:
    """Return a parameter's name as it may stand in a message: a client's text, so short and without surprises."""
    return _SHOWN.sub("?", name)[:64]


def invalid(name: str, sentence: str) -> BadSearch:
    """Return the refusal of a value; the sentence says what it must be, never what it was."""
    return BadSearch(f"The value of {shown(name)} {sentence}.", "search-value", shown(name))
