"""Parameters that say what the answer looks like, not what matches: `_count`, `_sort`, ... (R4 search.html#return)."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from typing import Literal

from fhir_server.search.modifiers import find, suggestions
from fhir_server.search.parameters import WORDS
from fhir_server.search.query import Query, SortKey, Total, Unsupported, invalid, shown
from profiles.registry import R4

MAX_SORT_KEYS = 4
_SUMMARIES = frozenset({"true", "text", "data", "count", "false"})
_CONTAINED: dict[str, Literal["true", "both"] | None] = {"false": None, "true": "true", "both": "both"}
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
    names = [part.strip() for part in text.split(",")]
    if not all(names):
        raise invalid("_elements", "is a list of elements at the root of the resource, such as status,code")
    for name in names:
        _check_element(query.type, name)
    query.elements += tuple(names)
    return text


@cache
def _roots(type_: str | None) -> frozenset[str]:
    """Return the elements at the root of a type, of any type for None; choices with and without their type."""
    types = R4.types if type_ is None else (type_,)
    children = [child for each in types for child in R4.json_children(each).values()]
    return frozenset({c.name for c in children} | {c.element.name for c in children}).union(
        c.element.name.removesuffix("[x]") for c in children
    )


def _check_element(type_: str | None, text: str) -> None:
    stem, dot, name = text.partition(".")
    if not dot:
        of, name = type_, text
    elif R4.is_type(stem) and type_ in (None, stem):
        of = stem
    else:
        where = f"{type_}.element" if type_ else "Type.element"
        raise Unsupported(
            "search-element",
            f"_elements takes elements at the root, as element or {where}; not {shown(text)}.",
            "invalid",
        )
    if name not in _roots(of):
        hint = suggestions(name, sorted(_roots(of)))
        raise Unsupported("search-element", f"{of or 'No resource'} has no element {shown(name)}.{hint}", "not-found")


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


def _contained(query: Query, text: str, _: int) -> str:
    if text not in ("true", "false", "both"):
        raise invalid("_contained", "is true, false or both")
    if text != "false" and query.type is None:
        raise Unsupported(
            "search-contained", "_contained goes with the search of one type, as in Medication?_contained=true."
        )
    query.contained = _CONTAINED[text]
    return text


def _contained_type(query: Query, text: str, _: int) -> str:
    if text not in ("container", "contained"):
        raise invalid("_containedType", "is container or contained")
    query.opened = text == "contained"
    return text


CONTROLS: dict[str, Callable[[Query, str, int], str]] = {
    "_count": _count,
    "_total": _total,
    "_summary": _summary,
    "_elements": _elements,
    "_type": _types,
    "_sort": _sort,
    "_contained": _contained,
    "_containedType": _contained_type,
}
ONCE = frozenset({"_count", "_total", "_summary", "_contained", "_containedType"})
