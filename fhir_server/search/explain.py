"""How a search is understood and run: for who tunes it, never for who merely asks (`operations/explain.py`).

What stands here tells of the whole database (estimates) and of how it is built, and nothing of the values in it: constants of plans
and statements are shown as `?`, keys only by their number.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

from fhir_server.kit import json
from fhir_server.search import escape, select
from fhir_server.search.controls import CONTROLS
from fhir_server.search.predicates import (
    EVERYTHING,
    NOTHING,
    All,
    AnyOf,
    Coded,
    Column,
    Faceted,
    Keys,
    Match,
    Rows,
    Without,
)
from fhir_server.search.query import Query
from fhir_server.search.run import Ready
from fhir_server.search.select import START
from fhir_server.search.statement import fetch

_TEXT = re.compile(r"'(?:[^']|'')*'")
_NUMBER = re.compile(r"(?<![\w.$\"])(?<!\bparam = )(?<!\btype = )-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?\b(?!\")")
_CONDITIONS = ("Index Cond", "Recheck Cond", "Filter", "Join Filter", "Hash Cond", "Merge Cond", "Order By", "Sort Key")
_INDEXES = {
    "fhir_id": "resource_identity",
    "last_updated": "resource_updated",
}


@dataclass(frozen=True, slots=True)
class Part:
    """One parameter of a search: as it was given, what is asked of a row, by which indexes, and how much is in doubt."""

    name: str
    predicate: str
    indexes: tuple[str, ...]
    doubt: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """Everything that is told of a search."""

    query: str
    parts: tuple[Part, ...]
    doubt: str
    order: str
    statement: str
    plan: tuple[str, ...]
    estimate: int
    hints: tuple[str, ...]


# ---- the query ----


def _atom(text: str) -> str:
    return text if re.fullmatch(r"[^\s()\"]+", text) else json.encode(text).decode()


def _clause(name: str, text: str) -> str:
    stem, _, modifier = name.rpartition(":")
    values = " ".join(_atom(escape.unescape(part)) for part in escape.split(text, ","))
    match modifier if stem else "":
        case "missing":
            return f"(missing {stem} {values})"
        case "not":
            return f"(not (or {stem} {values}))"
        case _:
            return f"(or {name} {values})"


def written(query: Query) -> str:
    """Return a query as an s-expression: `(query Observation (and (or code 8867-4)) (sort -date))`."""
    clauses = [_clause(name, text) for name, text in query.applied if name not in CONTROLS]
    controls = [f"({name.removeprefix('_')} {_atom(text)})" for name, text in query.applied if name in CONTROLS]
    return (
        " ".join(["(query", query.type or "*", f"(and {' '.join(clauses)})" if clauses else "(and)", *controls]) + ")"
    )


# ---- conditions ----


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return json.encode(value.replace("{}", "?")).decode()
    if is_dataclass(value):
        return _described(value)
    return "?"


def _described(part: Any) -> str:
    """Return a condition as an s-expression; a kind that is not known here by its name and fields."""
    match part:
        case Keys():
            return f"(keys {len(part.any_of)})"
        case Coded():
            return "(coded)"
        case Faceted():
            return f"(faceted {_described(part.part)})"
        case Rows():
            wheres = (part.where, *(where for where, _ in part.ranges))
            return f"(rows {part.table} {' '.join(_shown(where) for where in wheres)})"
        case Column():
            return f"(column {_shown(part.where)})"
        case All():
            return f"(all{''.join(' ' + _described(each) for each in part.parts)})"
        case AnyOf():
            return f"(any{''.join(' ' + _described(each) for each in part.parts)})"
        case Without():
            return f"(without {_described(part.part)})"
        case _:
            inside = " ".join(_shown(getattr(part, field.name)) for field in fields(part)) if is_dataclass(part) else ""
            return f"({type(part).__name__.lower()} {inside})"


def _indexes(part: Any) -> Iterator[str]:
    """Yield what a condition is found by."""
    match part:
        case Keys():
            yield "resource_keys"
        case Faceted():
            yield from ("facet_pkey", "resource_keys")
        case Coded():
            yield from ("coding_*", "resource_keys")
        case Rows():
            yield f"{part.table}_*"
        case Column():
            yield from (index for column, index in _INDEXES.items() if column in part.where)
        case All() | AnyOf():
            for each in part.parts:
                yield from _indexes(each)
        case Without():
            yield "none: each row that the rest finds is asked"


def _doubt(match: Match) -> str:
    return "none" if match.doubt == NOTHING else "all" if match.doubt == EVERYTHING else "some"


# ---- the plan ----


def hidden(text: str) -> str:
    """Return SQL of a plan without the values in it; numbers of parameters and types stay."""
    return _NUMBER.sub("?", _TEXT.sub("'?'", text))


def _lines(node: dict[str, Any], depth: int = 0) -> Iterator[str]:
    named = [
        node["Node Type"],
        *(f"{word} {node[key]}" for word, key in (("on", "Relation Name"), ("by", "Index Name")) if key in node),
    ]
    conditions = [f"{key}: {hidden(str(node[key]))}" for key in _CONDITIONS if key in node]
    yield (
        "  " * depth
        + f"{' '.join(named)} (rows {node['Plan Rows']}, cost {node['Total Cost']})"
        + "".join(f" [{each}]" for each in conditions)
    )
    for inner in node.get("Plans", ()):
        yield from _lines(inner, depth + 1)


def _whole_tables(node: dict[str, Any]) -> Iterator[str]:
    if node["Node Type"] == "Seq Scan":
        yield node.get("Relation Name", "?")
    for inner in node.get("Plans", ()):
        yield from _whole_tables(inner)


def _hints(ready: Ready, parts: tuple[Part, ...], plan: dict[str, Any]) -> Iterator[str]:
    query = ready.query
    given = {part.name.partition(":")[0] for part in parts}
    if not parts:
        yield "Nothing narrows this search; it goes through all resources of the type."
    if ready.in_memory:
        yield "Only the resources know what to sort by: all matches are decrypted and sorted, 10,000 at most."
    if any(part.doubt == "all" for part in parts):
        names = ", ".join(part.name for part in parts if part.doubt == "all")
        yield f"The index cannot decide about {names}: every candidate is decrypted and looked into, 10,000 for each request."
    if parts and all("none: each row that the rest finds is asked" in part.indexes for part in parts):
        yield "No index finds what is not there: add a parameter that says what is."
    if ready.selection.series is not None:
        yield "Goes along the time series of one patient and code."
    elif query.type == "Observation" and given & {"patient", "subject"} and "code" in given:
        yield "With one patient, one code as system|code, and a date or _sort=date, the patient's time series serves."
    tables = sorted(set(_whole_tables(plan)))
    if tables:
        yield f"The plan reads all of {', '.join(tables)}: right for small tables, else run ANALYZE or narrow the search."


# ---- door ----


async def explain(ready: Ready, meanings: list[tuple[str, Match]]) -> Explanation:
    """Return how a prepared query runs; `meanings` has the condition of each of its parameters."""
    parts = tuple(
        Part(name, _described(match.predicate), tuple(dict.fromkeys(_indexes(match.predicate))), _doubt(match))
        for name, match in meanings
    )
    text, args, _ = select.page(ready.selection, START, ready.query.count or 50)
    [row] = await fetch(ready.tenant, f"EXPLAIN (FORMAT JSON) {text}", args)
    plan = json.decode_trusted(row[0].encode())[0]["Plan"]
    order = ", ".join(("-" if key.descending else "") + key.param.name for key in ready.query.sort) or "as written"
    return Explanation(
        written(ready.query), parts, _doubt(ready.selection.matched()), order, hidden(text), tuple(_lines(plan)),
        int(plan["Plan Rows"]), tuple(_hints(ready, parts, plan)),
    )  # fmt: skip
