"""From the parameters of a request to a Query (R4 search.html).

Values are read by their kinds, so that a query that parses can be answered. In strict handling what is unknown or not supported is
refused, and the nearest names are offered; in lenient handling it is left out, with a warning, and `applied` does not name it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any

from fhir_server.errors import BadSearch, Issue
from fhir_server.search import filter as filter_
from fhir_server.search import hops, include
from fhir_server.search.controls import CONTROLS, ONCE
from fhir_server.search.parameters import behind, served_params, used
from fhir_server.search.query import IGNORED, Params, Query, Unsupported, invalid, shown, weight
from profiles.registry import SearchParam

MAX_VALUES = 2000
"""Values of one search, all parameters together."""
PARTIAL = "search-parameter-partial"
"""The id of the warning that resources may lack the entries of a parameter that is searched by."""
_NO_TEXT = re.compile("[\0\ud800-\udfff]")


def _check_text(name: str, text: str) -> None:
    """Refuse what no text of a resource can hold: U+0000 and halves of surrogate pairs."""
    if _NO_TEXT.search(text):
        raise invalid(name, "has characters that no text can have")


def _partial(query: Query) -> Iterator[Issue]:
    """Yield a warning for each parameter, anywhere in the query, that not all resources are found by yet."""
    named = [
        param for each in query.includes if each.type and each.name
        for param in served_params(each.type) if param.name == each.name
    ]  # fmt: skip
    for name in dict.fromkeys(param.name for param in (*named, *_params((query.where, query.sort))) if behind(param)):
        text = (
            f"Resources that were written before the search parameter {name} are not all found by it yet;"
            " they are when POST [type]/$reindex is done."
        )
        yield Issue("incomplete", PARTIAL, text, name, "warning")


def _params(part: Any) -> Iterator[SearchParam]:
    """Yield the parameters that a part of a query names."""
    if isinstance(part, SearchParam):
        yield part
    elif isinstance(part, tuple | list):
        for each in part:
            yield from _params(each)
    elif is_dataclass(part):
        for field in fields(part):
            yield from _params(getattr(part, field.name))


def _take(query: Query, name: str, text: str, base: str, most: int) -> None:
    control = CONTROLS.get(name) or include.control(name)
    if control is None:
        filtered = name == filter_.NAME
        query.where.append(
            filter_.condition(query, text, base) if filtered else hops.condition(query, name, text, base)
        )
        query.applied.append((name, text))
        return
    if name in ONCE and any(taken == name for taken, _ in query.applied):
        raise BadSearch(f"{name} is given more than once.", "search-repeated", name)
    query.applied.append((name, control(query, text, most)))


def parse_query(
    type_: str | None, params: Params, *, lenient: bool, base: str = "", most: int = 1000, inside: bool = False
) -> Query:
    """Read a search of a type, or with None of several; BadSearch says what is wrong with it.

    `base` is the address of our own resources, `most` what `_count` can be; `inside`: whether it may ask for what others contain.
    """
    query = Query(type_)
    for text in [text for name, text in params if name == "_type"]:
        CONTROLS["_type"](query, text, most)  # what parameters mean depends on it, wherever it stands
    for name, text in params:
        if name in IGNORED:
            continue
        _check_text(name, text)
        try:
            _take(query, name, text, base, most)
        except Unsupported as error:
            if not lenient:
                raise BadSearch(error.text, error.id, shown(name), code=error.code) from None
            query.issues.append(Issue(error.code, error.id, f"{error.text} It was left out.", shown(name), "warning"))
    if sum(weight(each) for each in query.where) > MAX_VALUES:
        raise BadSearch(f"A search has {MAX_VALUES} values at most.", "search-too-long")
    if query.contained and not inside:
        text = "Only searches find what others contain; leave _contained out here."
        raise BadSearch(text, "search-contained", "_contained", code="not-supported")
    include.settle(query, lenient=lenient)
    if sum(hops.count(each) for each in query.where) > hops.MAX_HOPS:
        text = f"The chains and _has of a search go {hops.MAX_HOPS} ways at most, each type of a chain without types counted."
        raise BadSearch(text, "search-too-many-hops")
    if used().by_type:
        query.issues += _partial(query)
    return query
