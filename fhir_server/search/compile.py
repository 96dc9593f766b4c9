"""From predicates to SQL. Values are always arguments; numbers of parameters and types stand in the text, for the planner to see.

(all (keys 1) (keys 2))     r.keys @> $n::bigint[]                     one probe of the GIN index
(keys 1 2)                  r.keys && $n::bigint[]
(coded 1)                   r.keys && ARRAY(SELECT key FROM coding …)  when nobody has looked the keys up before
(rows ix_date …)            r.rid IN (SELECT rid FROM ix_date WHERE …)
(any (keys 1) (rows …))     r.rid IN (SELECT … UNION ALL SELECT …)     an OR would hide the indexes
(any (column …) (keys 1))   (… OR …)                                   what the row itself can say
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fhir_server.search.predicates import All, AnyOf, Coded, Column, Keys, Predicate, Rows, Without

LIVE = "{r}.version > 0 AND NOT {r}.deleted"
"""Neither mentioned only, nor deleted."""


def place(text: str, values: Sequence[Any], args: list[Any]) -> str:
    """Return `text` with each `{}` as the number of its value, which is appended to `args`."""
    pieces = text.split("{}")
    out = [pieces[0]]
    for value, piece in zip(values, pieces[1:], strict=True):
        args.append(value)
        out.append(f"${len(args)}{piece}")
    return "".join(out)


def condition(part: Predicate, args: list[Any], alias: str = "r") -> str:
    """Return the SQL condition on the resource row `alias`."""
    match part:
        case Keys():
            operator = "@>" if len(part.any_of) == 1 else "&&"
            return place(f"{alias}.keys {operator} {{}}::bigint[]", (list(part.any_of),), args)
        case Coded():
            return _coded(part, args, alias)
        case Rows():
            return f"EXISTS (SELECT FROM {{s}}.{part.table} n WHERE n.rid = {alias}.rid AND {_either(part, args)})"
        case Column():
            return place(part.where.replace("{r}", alias), part.values, args)
        case Without():
            return f"NOT ({condition(part.part, args, alias)})"
        case All():
            return _all(part.parts, args, alias)
        case AnyOf():
            return _any(part.parts, args, alias)


def _coded(part: Coded, args: list[Any], alias: str) -> str:
    if part.many:
        return place(
            f"EXISTS (SELECT FROM {{s}}.coding k WHERE k.key = ANY ({alias}.keys) AND {{}} IN (k.by_code, k.by_system))",
            (part.at,),
            args,
        )
    number = place("{}::bigint", (part.at,), args)
    return (
        f"{alias}.keys && ARRAY(SELECT key FROM {{s}}.coding WHERE by_code = {number}"
        f" UNION ALL SELECT key FROM {{s}}.coding WHERE by_system = {number})"
    )


def _either(part: Rows, args: list[Any]) -> str:
    """Return the conditions on a row as one; each of its alternatives has an index."""
    ranges = ((part.where, part.values), *part.ranges)
    alternatives = [place(where, values, args) for where, values in ranges]
    return alternatives[0] if len(alternatives) == 1 else "(" + " OR ".join(f"({each})" for each in alternatives) + ")"


def _rows(part: Rows, args: list[Any]) -> str:
    ranges = ((part.where, part.values), *part.ranges)
    return " UNION ALL ".join(
        f"SELECT rid FROM {{s}}.{part.table} WHERE {place(where, values, args)}" for where, values in ranges
    )


def _all(parts: tuple[Predicate, ...], args: list[Any], alias: str) -> str:
    single = [part.any_of[0] for part in parts if isinstance(part, Keys) and len(part.any_of) == 1]
    found = [place(f"{alias}.keys @> {{}}::bigint[]", (single,), args)] if single else []
    rest = [part for part in parts if not (isinstance(part, Keys) and len(part.any_of) == 1)]
    found += [condition(part, args, alias) for part in rest]
    return " AND ".join(found) or "TRUE"


def _local(part: Predicate) -> bool:
    """Tell whether the resource row itself can say it."""
    if isinstance(part, All | AnyOf):
        return all(_local(inner) for inner in part.parts)
    return _local(part.part) if isinstance(part, Without) else isinstance(part, Keys | Coded | Column)


def _any(parts: tuple[Predicate, ...], args: list[Any], alias: str) -> str:
    if not parts:
        return "FALSE"
    if all(_local(part) for part in parts):
        return "(" + " OR ".join(f"({condition(part, args, alias)})" for part in parts) + ")"
    return f"{alias}.rid IN (" + " UNION ALL ".join(_source(part, args) for part in parts) + ")"


def _source(part: Predicate, args: list[Any]) -> str:
    """Return the SELECT of the rids that match."""
    if isinstance(part, Rows):
        return _rows(part, args)
    return f"SELECT x.rid FROM {{s}}.resource x WHERE {condition(part, args, 'x')}"
