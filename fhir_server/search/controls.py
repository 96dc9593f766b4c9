"""Parameters that say what the answer looks like, not what matches: `_count`, `_sort`, ... (R4 search.html#return)."""

from __future__ import annotations

import re
from collections.abc import Callable

from fhir_server.search.modifiers import find
from fhir_server.search.parameters import WORDS
from fhir_server.search.query import Query, SortKey, Total, Unsupported, invalid
from profiles.registry import R4

MAX_SORT_KEYS = 4
_SUMMARIES = frozenset({"true", "text", "data", "count", "false"})
_TOTALS: dict[str, Total] = {"none": "none", "estimate": "estimate", "accurate": "accurate"}


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
        if modifier or param.kind in ("composite", "special") or param.name in WORDS:
            raise invalid("_sort", "names parameters without modifiers that are no composites, near, _text or _content")
        keys.append(SortKey(param, part.startswith("-")))
    query.sort += keys
    if len(query.sort) > MAX_SORT_KEYS:
        raise invalid("_sort", f"has {MAX_SORT_KEYS} keys at most")
    return text


def _contained(_: Query, text: str, __: int) -> str:
    if text != "false":
        raise Unsupported("search-not-supported", "Searching contained resources is not supported.")
    return text


CONTROLS: dict[str, Callable[[Query, str, int], str]] = {
    "_count": _count,
    "_total": _total,
    "_summary": _summary,
    "_elements": _elements,
    "_type": _types,
    "_sort": _sort,
    "_contained": _contained,
}
ONCE = frozenset({"_count", "_total", "_summary"})
