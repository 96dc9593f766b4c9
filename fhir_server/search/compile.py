"""From predicates to SQL. Values are always arguments; numbers of parameters and types stand in the text, for the planner to see.

(all (keys 1) (keys 2))     r.keys[r.unsought + 1:] @> $n::bigint[]    one probe of the GIN index
(keys 1 2)                  r.keys[r.unsought + 1:] && $n::bigint[]
(faceted (keys 1))          r.keys && $n::bigint[]                     asked of each row: the index has it only within blends
(coded 1)                   r.keys[…] && ARRAY(SELECT key FROM coding …)  when nobody has looked the keys up before
(rows ix_date …)            r.rid IN (SELECT rid FROM ix_date WHERE …)
(any (keys 1) (rows …))     r.rid IN (SELECT … UNION ALL SELECT …)     an OR would hide the indexes
(any (column …) (keys 1))   (… OR …)                                   what the row itself can say
(refers 1 (hop …))          EXISTS (SELECT FROM unnest(r.keys) k JOIN resource rt ON rt.rid = k & … WHERE …)
(referred 1 (hop …))        EXISTS (WITH rt AS MATERIALIZED (… WHERE keys @> ARRAY[1 << 44 | r.rid]) SELECT FROM rt WHERE …)
(inseries 1 (hop …))        EXISTS (SELECT FROM series s JOIN resource rt … WHERE s.patient = r.rid AND s.code = ANY(…) OFFSET 0)

The row at the other end of a hop is as much a row as this one: its type, its liveness and what of it may be seen stand there too.
Both hops look row by row: `join.py` writes them where much matches, and names the rows where it is little.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from fhir_server.search.compartment import telling
from fhir_server.search.predicates import (
    All,
    AnyOf,
    Coded,
    Column,
    Faceted,
    Hop,
    InSeries,
    Keys,
    Predicate,
    Referred,
    Refers,
    Rows,
    Without,
)
from fhir_server.storage.index_keys import BLOCK_BITS, MOST_RID, block, pack
from fhir_server.storage.layout import LONG, SOUGHT, alternatives
from fhir_server.storage.visibility import visible_sql
from profiles.registry import R4

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


def sought(alias: str) -> str:
    """Return the keys of a row that the index holds."""
    return SOUGHT.replace("{r}", alias)


def holds(any_of: Sequence[int], args: list[Any], alias: str) -> str:
    """Return the condition that a row holds one of these keys, found by the index; of a block of references each row is asked."""
    wanted = list(dict.fromkeys(at for key in any_of for at in alternatives(key)))
    operator = "@>" if len(wanted) == 1 else "&&"
    found = place(f"{sought(alias)} {operator} {{}}::bigint[]", (wanted,), args)
    if len(wanted) == len(any_of):
        return found
    return f"({found} AND {place(f'{alias}.keys && {{}}::bigint[]', (list(any_of),), args)})"


def _of_row(part: Keys | Coded, args: list[Any], alias: str) -> str:
    """Return the same, asked of the row."""
    if isinstance(part, Coded):
        return _coded(part, args, alias, f"{alias}.keys")
    return place(f"{alias}.keys && {{}}::bigint[]", (list(part.any_of),), args)


def condition(part: Predicate, args: list[Any], alias: str = "r") -> str:
    """Return the SQL condition on the resource row `alias`."""
    match part:
        case Keys():
            return holds(part.any_of, args, alias)
        case Coded():
            return _coded(part, args, alias, sought(alias))
        case Faceted():
            return _of_row(part.part, args, alias)
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
        case Refers():
            return _refers(part, args, alias)
        case Referred():
            return _referred(part, args, alias)
        case InSeries():
            return _in_series(part, args, alias)


def there(hop: Hop, args: list[Any], alias: str) -> str:
    """Return the condition that a row is one where a hop may lead."""
    seen = visible_sql(alias, hop.seen, args, told=telling(hop.type))
    live = LIVE.replace("{r}", alias)
    return f"{alias}.type = {R4.type_id(hop.type)} AND {live} AND {seen} AND {condition(hop.part, args, alias)}"


def refers_by(params: Iterable[int], key: str = "k") -> str:
    """Return the condition that an index key is a reference by one of the parameters."""
    return "(" + " OR ".join(f"{key} >= {pack(each, 0)} AND {key} <= {pack(each, MOST_RID)}" for each in params) + ")"


def _refers(part: Refers, args: list[Any], alias: str) -> str:
    other, key = f"{alias}t", f"{alias}k"
    return (
        f"EXISTS (SELECT FROM unnest({alias}.keys) {key} JOIN {{s}}.resource {other} ON {other}.rid = {key} & {MOST_RID}"
        f" WHERE {refers_by(part.params, key)} AND {there(part.to, args, other)})"
    )


_SHOWN = "rid, fhir_id, type, version, deleted, last_updated, keys, unsought"
"""What conditions ask of a resource row."""


def _referred(part: Referred, args: list[Any], alias: str) -> str:
    """Look at what refers here. MATERIALIZED is a fence: the index is asked for that, and for nothing else.

    With a second key the index would read all that has it, for every row anew, and a planner that expects a hit at once would
    rather go through the table.
    """
    other = f"{alias}t"
    named = [f"{pack(each, 0)} | {alias}.rid" for each in part.params]
    blocks = [f"{block(pack(each, 0))} | ({alias}.rid >> {BLOCK_BITS})" for each in part.params if each in LONG]
    operator = "@>" if len(named) + len(blocks) == 1 else "&&"
    rows = f"SELECT {_SHOWN} FROM {{s}}.resource x WHERE {sought('x')} {operator} ARRAY[{', '.join(named + blocks)}]"
    if blocks:
        rows += f" AND x.keys && ARRAY[{', '.join(named)}]"
    return f"EXISTS (WITH {other} AS MATERIALIZED ({rows}) SELECT FROM {other} WHERE {there(part.by, args, other)})"


def _in_series(part: InSeries, args: list[Any], alias: str) -> str:
    """Look into the patient's own time series; OFFSET keeps the planner from making one join of all patients'."""
    other = f"{alias}t"
    codes = place("{}::bigint[]", (list(part.codes),), args)
    return (
        f"EXISTS (SELECT FROM {{s}}.series s JOIN {{s}}.resource {other} ON {other}.rid = s.rid"
        f" WHERE s.patient = {alias}.rid AND s.code = ANY({codes}) AND {there(part.by, args, other)} OFFSET 0)"
    )


def _coded(part: Coded, args: list[Any], alias: str, held: str) -> str:
    if part.many:
        return place(
            f"EXISTS (SELECT FROM {{s}}.coding k WHERE k.key = ANY ({alias}.keys) AND {{}} IN (k.by_code, k.by_system))",
            (part.at,),
            args,
        )
    number = place("{}::bigint", (part.at,), args)
    return (
        f"{held} && ARRAY(SELECT key FROM {{s}}.coding WHERE by_code = {number} AND by_code <> 0"
        f" UNION ALL SELECT key FROM {{s}}.coding WHERE by_system = {number} AND by_system <> 0)"
    )


def _either(part: Rows, args: list[Any]) -> str:
    """Return the conditions on a row as one; each of its alternatives has an index."""
    ranges = ((part.where, part.values), *part.ranges)
    alternatives = [place(where, values, args) for where, values in ranges]
    return alternatives[0] if len(alternatives) == 1 else "(" + " OR ".join(f"({each})" for each in alternatives) + ")"


def narrow(part: Rows, args: list[Any]) -> str:
    """Return the SELECT of the rids of the rows that a condition on a narrow table means, some of them twice."""
    ranges = ((part.where, part.values), *part.ranges)
    return " UNION ALL ".join(
        f"SELECT rid FROM {{s}}.{part.table} WHERE {place(where, values, args)}" for where, values in ranges
    )


def _all(parts: tuple[Predicate, ...], args: list[Any], alias: str) -> str:
    plain = [
        part for part in parts if isinstance(part, Keys) and len(part.any_of) == 1 == len(alternatives(part.any_of[0]))
    ]
    found = [place(f"{sought(alias)} @> {{}}::bigint[]", ([part.any_of[0] for part in plain],), args)] if plain else []
    rest = [part for part in parts if part not in plain]
    found += [condition(part, args, alias) for part in rest]
    return " AND ".join(found) or "TRUE"


def _local(part: Predicate) -> bool:
    """Tell whether the resource row itself can say it."""
    if isinstance(part, All | AnyOf):
        return all(_local(inner) for inner in part.parts)
    return (
        _local(part.part)
        if isinstance(part, Without)
        else isinstance(part, Keys | Coded | Faceted | Column | Refers | Referred | InSeries)
    )


def _any(parts: tuple[Predicate, ...], args: list[Any], alias: str) -> str:
    if not parts:
        return "FALSE"
    if all(_local(part) for part in parts):
        return "(" + " OR ".join(f"({condition(part, args, alias)})" for part in parts) + ")"
    return f"{alias}.rid IN (" + " UNION ALL ".join(_source(part, args) for part in parts) + ")"


def _source(part: Predicate, args: list[Any]) -> str:
    """Return the SELECT of the rids that match."""
    if isinstance(part, Rows):
        return narrow(part, args)
    return f"SELECT x.rid FROM {{s}}.resource x WHERE {condition(part, args, 'x')}"
