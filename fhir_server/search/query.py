"""From the parameters of a request to what they ask for (R4 search.html).

    ?code=8867-4,8310-5&date=ge2026&_sort=-date  ->
    (query Observation (and (or code 8867-4 8310-5) (or date ge2026)) (sort -date))

Values are read by their kinds, so that a query that parses can be answered. In strict handling what is unknown or not supported is
refused, and the nearest names are offered; in lenient handling it is left out, with a warning, and `applied` does not name it.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from fhir_server.errors import BadSearch, Issue
from fhir_server.search import escape
from fhir_server.search.kinds import composite, date, number, quantity, reference, string, token, uri
from fhir_server.search.parameters import served_params
from profiles.registry import R4, SearchParam

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

MAX_VALUES = 2000
"""Values of one search, all parameters together."""
MAX_SORT_KEYS = 4

_MODIFIERS = {
    "token": {"not"},
    "string": {"exact"},
    "reference": {"identifier"},
}
_LATER_MODIFIERS = frozenset({"contains", "text", "in", "not-in", "below", "above", "of-type", "ofType", "type"})
_LATER = frozenset(
    {"_include", "_revinclude", "_has", "_filter", "_text", "_content", "_list", "_query", "_score", "near"}
)
IGNORED = frozenset({"_format", "_pretty"})
"""Parameters of the answer, not of the search."""
_SUMMARIES = frozenset({"true", "text", "data", "count", "false"})
_TOTALS: dict[str, Total] = {"none": "none", "estimate": "estimate", "accurate": "accurate"}
_NO_TEXT = re.compile("[\0\ud800-\udfff]")
_SHOWN = re.compile(r"[^\w.:\-$]+")


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


class _Unsupported(Exception):
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


# ---- values ----


def _parsers(param: SearchParam, modifier: str | None, base: str) -> Callable[[str], Value]:
    match param.kind:
        case "token":
            return token.parse
        case "string":
            return lambda text: string.parse(text, modifier)
        case "date":
            return date.parse
        case "number":
            return number.parse
        case "quantity":
            return quantity.parse
        case "reference":
            return lambda text: reference.parse(text, param.targets, modifier, base)
        case "uri":
            return uri.parse
        case _:
            return lambda text: composite.parse(text, param)


def _missing(name: str, text: str) -> bool:
    if text not in ("true", "false"):
        raise invalid(name, "with :missing is true or false")
    return text == "true"


def _clause(name: str, param: SearchParam, modifier: str | None, text: str, base: str) -> Clause:
    if modifier == "missing":
        return Clause(param, modifier, (), _missing(name, text))
    parts = escape.split(text, ",")
    if not all(parts):
        raise invalid(name, "is empty; leave the parameter out to search by others only")
    if param.name == "_id":
        return Clause(param, modifier, (), texts=tuple(escape.unescape(part) for part in parts))
    read = _parsers(param, modifier, base)
    try:
        return Clause(param, modifier, tuple(read(part) for part in parts))
    except ValueError as error:
        raise invalid(name, str(error)) from None


# ---- names ----


def _suggestions(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.6)
    return f" Did you mean {' or '.join(near)}?" if near else ""


def _check_modifier(param: SearchParam, modifier: str | None) -> None:
    """Raise unless the modifier is one that we do on this kind of parameter."""
    if modifier is None or modifier in _MODIFIERS.get(param.kind, ()):
        return
    if modifier == "missing":
        return
    if param.kind == "reference" and R4.is_type(modifier):
        if param.targets and modifier not in param.targets:
            raise _Unsupported(
                "search-target", f"{param.name} refers to {', '.join(param.targets)}, not to {modifier}.", "invalid"
            )
        return
    said = shown(modifier)
    if modifier in _LATER_MODIFIERS:
        raise _Unsupported("search-modifier-not-supported", f"The modifier :{said} of {param.name} is not supported.")
    text = f"The modifier :{said} does not go with {param.name}, a parameter of kind {param.kind}."
    raise _Unsupported("search-modifier", text, "invalid")


def find(type_: str, name: str) -> tuple[SearchParam, str | None]:
    """Return the parameter and the modifier that a name says."""
    stem, colon, modifier = name.partition(":")
    if stem in _LATER:
        raise _Unsupported("search-not-supported", f"{stem} is not supported.")
    if "." in name:
        raise _Unsupported("search-chain-not-supported", f"Chained parameters such as {shown(name)} are not supported.")
    known = {param.name: param for param in served_params(type_)}
    if stem not in known:
        hint = _suggestions(stem, list(known))
        raise _Unsupported(
            "search-unknown-parameter", f"{type_} has no search parameter {shown(stem)}.{hint}", "not-found"
        )
    _check_modifier(known[stem], modifier if colon else None)
    return known[stem], modifier if colon else None


# ---- what is not a filter ----


def _count(query: Query, text: str, most: int) -> str:
    if not re.fullmatch(r"\d{1,9}", text):
        raise invalid("_count", "is a whole number that is not negative")
    query.count = min(int(text), most)
    return str(query.count)


def _total(query: Query, text: str, _: int) -> str:
    if text not in _TOTALS:
        raise invalid("_total", f"is one of {', '.join(_TOTALS)}")
    query.total = _TOTALS[text]
    return text


def _summary(query: Query, text: str, _: int) -> str:
    if text not in _SUMMARIES:
        raise invalid("_summary", f"is one of {', '.join(sorted(_SUMMARIES))}")
    query.summary = text
    return text


def _elements(query: Query, text: str, _: int) -> str:
    query.elements += tuple(part.strip() for part in text.split(",") if part.strip())
    return text


def _types(query: Query, text: str, _: int) -> str:
    found = text.split(",")
    if query.type is not None and found != [query.type]:
        raise invalid("_type", f"cannot be another type than {query.type} here")
    if not all(R4.is_type(name) for name in found):
        raise invalid("_type", "is a list of resource types")
    query.types = tuple(found) if query.type is None else ()
    return text


def _sort(query: Query, text: str, _: int) -> str:
    keys = []
    for part in text.split(","):
        param, modifier = find(query.base, part.removeprefix("-"))
        if modifier or param.kind == "composite":
            raise invalid("_sort", "names parameters without modifiers that are no composites")
        keys.append(SortKey(param, part.startswith("-")))
    query.sort += keys
    if len(query.sort) > MAX_SORT_KEYS:
        raise invalid("_sort", f"has {MAX_SORT_KEYS} keys at most")
    return text


def _contained(_: Query, text: str, __: int) -> str:
    if text != "false":
        raise _Unsupported("search-not-supported", "Searching contained resources is not supported.")
    return text


_CONTROLS: dict[str, Callable[[Query, str, int], str]] = {
    "_count": _count,
    "_total": _total,
    "_summary": _summary,
    "_elements": _elements,
    "_type": _types,
    "_sort": _sort,
    "_contained": _contained,
}
_ONCE = frozenset({"_count", "_total", "_summary"})


# ---- the whole ----


def _check_text(name: str, text: str) -> None:
    """Refuse what no text of a resource can hold: U+0000 and halves of surrogate pairs."""
    if _NO_TEXT.search(text):
        raise invalid(name, "has characters that no text can have")


def _take(query: Query, name: str, text: str, base: str, most: int) -> None:
    control = _CONTROLS.get(name)
    if control is None:
        param, modifier = find(query.base, name)
        query.where.append(_clause(name, param, modifier, text, base))
        query.applied.append((name, text))
        return
    if name in _ONCE and any(taken == name for taken, _ in query.applied):
        raise BadSearch(f"{name} is given more than once.", "search-repeated", name)
    query.applied.append((name, control(query, text, most)))


def parse_query(type_: str | None, params: Params, *, lenient: bool, base: str = "", most: int = 1000) -> Query:
    """Read a search of a type, or with None of several; BadSearch says what is wrong with it.

    `base` is the address of our own resources, `most` what `_count` can be.
    """
    query = Query(type_)
    for name, text in params:
        if name in IGNORED:
            continue
        _check_text(name, text)
        try:
            _take(query, name, text, base, most)
        except _Unsupported as error:
            if not lenient:
                raise BadSearch(error.text, error.id, shown(name), code=error.code) from None
            query.issues.append(Issue(error.code, error.id, f"{error.text} It was left out.", shown(name), "warning"))
    if sum(len(clause.values) + len(clause.texts) for clause in query.where) > MAX_VALUES:
        raise BadSearch(f"A search has {MAX_VALUES} values at most.", "search-too-long")
    return query
