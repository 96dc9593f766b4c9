"""Sorting by what only the decrypted resources know: names and other blind strings, codes, references, URIs.

At most 10,000 matches are decrypted and sorted; beyond that the search is refused, with the reason.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cmp_to_key
from typing import Any

from fhir_server.errors import Unprocessable
from fhir_server.kit import json
from fhir_server.search.kinds import date, number, quantity, reference, string, token
from fhir_server.search.kinds.entries import Pairs
from fhir_server.search.parameters import table
from fhir_server.search.query import Query, SortKey
from fhir_server.search.select import Position
from fhir_server.search.verify import pairs_of
from fhir_server.storage.reads import Stored

MOST = 10_000

Values = tuple[Any, ...]


def _measures(pairs: Pairs) -> list[Any]:
    found = [(quantity.canonical_span(measure), measure.lo) for measure in quantity.measures(pairs)]
    return [base[0] if base else lo for base, lo in found]


_SORTED_BY: dict[str, Callable[[Pairs], list[Any]]] = {
    "date": lambda pairs: [lo for lo, _ in date.ranges(pairs)],
    "number": lambda pairs: [lo for lo, _ in number.spans(pairs)],
    "quantity": _measures,
    "string": lambda pairs: [string.normalise(value) for _, value in pairs],
    "token": lambda pairs: [code.casefold() for _, code in token.held(pairs) if code],
    "reference": lambda pairs: [name for _, value in pairs if (name := reference.name_of(value, "")) is not None],
    "uri": lambda pairs: [value for _, value in pairs],
}


def _value(key: SortKey, row: Stored, resource: dict[str, Any]) -> Any:
    if key.param.name == "_lastUpdated":
        return row.last_updated
    if key.param.name == "_id":
        return row.id
    pairs = [pair for source in table(row.type).sources[key.param.name] for pair in pairs_of(source, resource)]
    found = _SORTED_BY[key.param.kind](pairs)
    return (max if key.descending else min)(found) if found else None


def _compare(left: Any, right: Any, *, descending: bool) -> int:
    """Compare two values; None is last either way."""
    if left is None or right is None:
        return (left is None) - (right is None)
    order: int = (left > right) - (left < right)
    return -order if descending else order


def too_many(query: Query) -> Unprocessable:
    """Return the refusal of a sort over too many matches."""
    names = ", ".join(key.param.name for key in query.sort)
    return Unprocessable(
        f"More than {MOST} resources match, and sorting by {names} has to look into each: narrow the search, or sort by"
        " a date, a number, _id or _lastUpdated.",
        "search-sort-too-many",
        "_sort",
    )


def ordered(query: Query, rows: list[Stored]) -> list[tuple[Stored, Position]]:
    """Return the rows in the order of the query, each with its position."""
    directions = [key.descending for key in query.sort] + [query.sort[-1].descending]

    def compare(left: tuple[Stored, Position], right: tuple[Stored, Position]) -> int:
        return _order(left[1].values, right[1].values, directions)

    placed = []
    for row in rows:
        resource = json.decode_trusted(row.body)
        placed.append((row, Position(0, (*(_value(key, row, resource) for key in query.sort), row.rid))))
    return sorted(placed, key=cmp_to_key(compare))


def _order(left: Values, right: Values, directions: list[bool]) -> int:
    for mine, other, descending in zip(left, right, directions, strict=True):
        order = _compare(mine, other, descending=descending)
        if order:
            return order
    return 0


def beyond(query: Query, placed: list[tuple[Stored, Position]], position: Position) -> list[tuple[Stored, Position]]:
    """Return what comes after a position; what comes before it, the nearest first, when that goes backwards."""
    if not position.values:
        return placed
    directions = [key.descending for key in query.sort] + [query.sort[-1].descending]
    if position.backwards:
        return [item for item in reversed(placed) if _order(item[1].values, position.values, directions) < 0]
    return [item for item in placed if _order(item[1].values, position.values, directions) > 0]
