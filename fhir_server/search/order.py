"""What a search is sorted by, and the keyset condition "after this one", either way (R4 search.html#sort).

| key | from | ascending, descending |
|---|---|---|
| _lastUpdated, _id | columns of the resource | the value |
| date | ix_date | the earliest start, the latest start |
| number, quantity | ix_number | the least, the greatest; quantities in base units where they have any |
| string of a plain type | ix_string | the first, the last in normalised form |
| all else | the decrypted resources | see `memory.py` |

What has no value comes last either way. Ties are broken by rid, in the direction of the last key, so that one index can serve.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fhir_server.search.parameters import Source, table
from fhir_server.search.query import Clause, Query, SortKey
from fhir_server.search.rewrite import narrow_table

COLUMNS = {"_lastUpdated": "r.last_updated", "_id": "r.fhir_id"}
_COMPARED = frozenset({"date", "number"})
"""Kinds whose every comparison, `ne` too, is one with a value that is there."""
_VALUES = {"ix_date": "{n}.lo", "ix_number": "coalesce({n}.clo, {n}.lo)", "ix_string": "{n}.value"}


@dataclass(frozen=True, slots=True)
class Key:
    """One key that SQL can sort by: a column, or values of a narrow table under the numbers `ids`."""

    descending: bool
    column: str = ""
    table: str = ""
    ids: tuple[int, ...] = ()
    many: bool = False

    @property
    def chosen(self) -> str:
        """The params condition of the narrow table, as equality where there is one number only."""
        return f"param = {self.ids[0]}" if len(self.ids) == 1 else f"param IN ({', '.join(map(str, self.ids))})"

    def value(self, alias: str) -> str:
        """Return the value in a row of the narrow table."""
        return _VALUES[self.table].format(n=alias)


@dataclass(frozen=True, slots=True)
class Expression:
    """What a statement sorts by: SQL, its direction, and whether it can be NULL."""

    sql: str
    descending: bool
    nullable: bool = False
    backwards: bool = False

    @property
    def order(self) -> str:
        """Return the item of ORDER BY; NULL comes last, or first on the way back."""
        direction = "DESC" if self.descending else "ASC"
        nulls = "FIRST" if self.backwards else "LAST"
        return f"{self.sql} {direction}{f' NULLS {nulls}' if self.nullable else ''}"

    def reversed(self) -> Expression:
        """Return the expression for the way back."""
        return Expression(self.sql, not self.descending, self.nullable, not self.backwards)


def _key(key: SortKey, type_: str) -> Key | None:
    name = key.param.name
    if name in COLUMNS:
        return Key(key.descending, COLUMNS[name])
    narrow = narrow_table(key.param.kind, type_)
    if narrow is None:
        return None
    sources: tuple[Source, ...] = table(type_).sources[name]
    many = len(sources) > 1 or any(source.many or source.id in table(type_).keyed for source in sources)
    return Key(key.descending, "", narrow, tuple(source.id for source in sources), many)


def keys_of(query: Query) -> list[Key] | None:
    """Return the keys of a query as SQL sorts by them; None when one of them is known to the resources only."""
    keys = [_key(key, query.base) for key in query.sort]
    found = [key for key in keys if key is not None]
    return found if len(found) == len(keys) else None


def assured(query: Query, keys: Sequence[Key]) -> bool:
    """Tell whether every match has a value to be sorted by first, because the query compares that value."""
    compared = [c for c in query.where if isinstance(c, Clause) and c.param.kind in _COMPARED and c.missing is None]
    sources = [table(query.base).sources.get(c.param.name, ()) for c in compared]
    return bool(keys) and any(found and {source.id for source in found} <= set(keys[0].ids) for found in sources)


def _beyond(expression: Expression, value: Any, args: list[Any]) -> str:
    if value is None:
        return f"{expression.sql} IS NOT NULL" if expression.backwards else "FALSE"
    args.append(value)
    beyond = f"{expression.sql} {'<' if expression.descending else '>'} ${len(args)}"
    to_null = expression.nullable and not expression.backwards
    return f"({beyond} OR {expression.sql} IS NULL)" if to_null else beyond


def _same(expression: Expression, value: Any, args: list[Any]) -> str:
    if value is None:
        return f"{expression.sql} IS NULL"
    args.append(value)
    return f"{expression.sql} = ${len(args)}"


def after(expressions: Sequence[Expression], values: Sequence[Any], args: list[Any]) -> str:
    """Return the condition that a row comes after the one with these values, appending what it needs to `args`."""
    directions = {expression.descending for expression in expressions}
    if len(directions) == 1 and not any(expression.nullable for expression in expressions):
        first = len(args) + 1
        args.extend(values)
        left = ", ".join(expression.sql for expression in expressions)
        right = ", ".join(f"${number}" for number in range(first, first + len(values)))
        return f"({left}) {'<' if directions == {True} else '>'} ({right})"
    alternatives = []
    for position, expression in enumerate(expressions):
        before = [_same(e, v, args) for e, v in zip(expressions[:position], values[:position], strict=True)]
        alternatives.append(" AND ".join([*before, _beyond(expression, values[position], args)]))
    return "(" + " OR ".join(f"({alternative})" for alternative in alternatives) + ")"
