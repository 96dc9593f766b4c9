"""The statements of a search. Every one carries the type, what is live, and what the caller may see, before any LIMIT.

A search sorted by the values of a narrow table goes along that table's index in a first phase and through what has no value there
in a second; other keys are looked up row by row.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from fhir_server.search.compile import LIVE, condition
from fhir_server.search.kinds.date import FIRST
from fhir_server.search.order import Expression, Key, after
from fhir_server.search.predicates import EVERYTHING, NOTHING, Match, Predicate
from fhir_server.search.series import AT, CHANGED, Series
from fhir_server.storage.reads import COLUMNS

Seen = Callable[[list[Any]], str]
"""Writes the condition on what the caller may see, its types included, appending its values."""


@dataclass(frozen=True, slots=True)
class Position:
    """A place in the results: the phase, the values of the row there by which the phase is sorted, and where to go from it."""

    phase: int = 0
    values: tuple[Any, ...] = ()
    backwards: bool = False


START = Position()


@dataclass(frozen=True, slots=True)
class Selection:
    """What is selected and in which order."""

    seen: Seen
    match: Match
    keys: tuple[Key, ...] = ()
    series: Series | None = None
    assured: bool = False
    """Whether every match has a value of the first key."""
    late: Predicate = EVERYTHING
    """What is asked of a row last: a hop that is followed row by row, from rows that are in their order already."""
    still: Seen | None = None
    """Writes the condition that what the search was made ready with still holds; without it nothing is found."""

    @property
    def phases(self) -> int:
        """How many statements it takes to go through all: two when it goes along values that some rows lack."""
        return 2 if self.keys and self.keys[0].table and not self.assured else 1

    def along(self, phase: int | None) -> Series | None:
        """Return the series to go along in a phase; without one (counting) only a series that is complete."""
        if self.series is None or phase == 1:
            return None
        return self.series if phase == 0 or self.series.complete else None

    def matched(self, phase: int | None = None) -> Match:
        """Return the condition: along a series the subject and the code are the series itself."""
        series = self.along(phase)
        return series.match if series is not None else self.match


@dataclass(slots=True)
class _Parts:
    """A statement while it is put together."""

    args: list[Any] = field(default_factory=list)
    joins: list[str] = field(default_factory=list)
    wheres: list[str] = field(default_factory=list)
    order: list[Expression] = field(default_factory=list)
    descending: bool | None = None
    """Which way a page goes along its series; None for what has no order."""
    fenced: bool = False
    """Whether what is asked last is put around the statement."""

    def arg(self, value: Any) -> str:
        self.args.append(value)
        return f"${len(self.args)}"


def _base(selection: Selection, parts: _Parts, phase: int | None = None) -> None:
    """Put in what every statement carries."""
    parts.wheres.append(selection.seen(parts.args))
    parts.wheres.append(LIVE.replace("{r}", "r"))
    if selection.still is not None:
        parts.wheres.append(selection.still(parts.args))
    series = selection.along(phase)
    if series is not None:
        parts.joins.append(_rows(series, parts))
    parts.wheres.append(condition(selection.matched(phase).predicate, parts.args))
    if not parts.fenced:
        parts.wheres.append(condition(selection.late, parts.args))


def _rows(series: Series, parts: _Parts) -> str:
    """Return the JOIN of the rows of a series; those of several people are put in order before any resource is looked at."""
    on = f"k0.code = {parts.arg(series.code)}"
    if len(series.patients) == 1:
        on += f" AND k0.patient = {parts.arg(series.patients[0])}"
    elif series.patients:
        on += f" AND k0.patient = ANY({parts.arg(list(series.patients))}::bigint[])"
    if series.dated or series.column == AT:
        on += f" AND k0.at >= {parts.arg(FIRST)}"
    if len(series.patients) < 2 or parts.descending is None:
        return f"JOIN {{s}}.series k0 ON k0.rid = r.rid AND {on}"
    direction = "DESC" if parts.descending else "ASC"
    order = f"{series.column} {direction}, k0.rid {direction}"
    return f"JOIN (SELECT k0.* FROM {{s}}.series k0 WHERE {on} ORDER BY {order} OFFSET 0) k0 ON k0.rid = r.rid"


def _lead(key: Key, selection: Selection, parts: _Parts, phase: int) -> str:
    """Go along the first key's table, or through what has no value there; return the rid to break ties by."""
    there = f"SELECT FROM {{s}}.{key.table} o WHERE o.rid = r.rid AND o.{key.chosen}"
    if phase == 1:
        parts.wheres.append(f"NOT EXISTS ({there})")
        return "r.rid"
    if selection.series is not None:
        parts.order.append(Expression("k0.at", key.descending))
        return "k0.rid"
    parts.joins.append(f"JOIN {{s}}.{key.table} k0 ON k0.rid = r.rid AND k0.{key.chosen}")
    if key.many:  # the resource stands at its least or greatest value only
        nearer = f"({key.value('o')}, o.ctid) {'>' if key.descending else '<'} ({key.value('k0')}, k0.ctid)"
        parts.wheres.append(f"NOT EXISTS ({there} AND {nearer})")
    parts.order.append(Expression(key.value("k0"), key.descending))
    return "k0.rid"


def _follow(number: int, key: Key, parts: _Parts) -> None:
    """Look a further key up row by row."""
    if key.column:
        parts.order.append(Expression(key.column, key.descending))
        return
    pick = "max" if key.descending else "min"
    parts.joins.append(
        f"LEFT JOIN LATERAL (SELECT {pick}({key.value('n')}) AS v FROM {{s}}.{key.table} n"
        f" WHERE n.rid = r.rid AND n.{key.chosen}) k{number} ON true"
    )
    parts.order.append(Expression(f"k{number}.v", key.descending, nullable=True))


def _sorted(selection: Selection, parts: _Parts, phase: int) -> None:
    keys = selection.keys
    tie = "r.rid"
    if keys and keys[0].table:
        tie = _lead(keys[0], selection, parts, phase)
        keys = keys[1:]
    elif selection.along(phase) is not None:
        parts.order.append(Expression(CHANGED, keys[0].descending))
        tie, keys = "k0.rid", ()
    for number, key in enumerate(keys, 1):
        _follow(number, key, parts)
    parts.order.append(Expression(tie, bool(selection.keys) and selection.keys[-1].descending))


def _text(selected: str, parts: _Parts, tail: str = "") -> str:
    joins = "".join(f" {join}" for join in parts.joins)
    wheres = " AND ".join(where for where in parts.wheres if where != "TRUE")
    return f"SELECT {selected} FROM {{s}}.resource r{joins} WHERE {wheres}{tail}"


def _doubt(match: Match, args: list[Any]) -> str:
    return condition(match.doubt, args)


def page(selection: Selection, position: Position, limit: int) -> tuple[str, list[Any], int]:
    """Return a statement for the rows after a position of one phase, its values, and by how many columns `s0`… it is sorted.

    A planner cannot put a condition off until rows are sorted: what is asked last stands around them, behind the fences of OFFSET.
    """
    parts = _Parts(fenced=selection.late != EVERYTHING)
    if selection.keys:
        parts.descending = selection.keys[0].descending != position.backwards
    _base(selection, parts, position.phase)
    _sorted(selection, parts, position.phase)
    if position.backwards:
        parts.order = [expression.reversed() for expression in parts.order]
    if position.values:
        parts.wheres.append(after(parts.order, position.values, parts.args))
    sorted_by = ", ".join(f"{expression.sql} AS s{number}" for number, expression in enumerate(parts.order))
    doubt = _doubt(selection.matched(position.phase), parts.args)
    order = ", ".join(expression.order for expression in parts.order)
    selected, tail = (
        f"{COLUMNS}, r.fhir_id, {sorted_by}, {doubt} AS doubt",
        f" ORDER BY {order} LIMIT {parts.arg(limit)}",
    )
    if not parts.fenced:
        return _text(selected, parts, tail), parts.args, len(parts.order)
    inner = _text("r.rid", parts, f" ORDER BY {order} OFFSET 0")
    row = "(SELECT r.*, r.xmin FROM {s}.resource r WHERE r.rid = o.rid OFFSET 0) r"
    tail, late = tail.replace("r.rid", "o.rid"), condition(selection.late, parts.args)
    return (
        f"SELECT {selected} FROM ({inner}) o CROSS JOIN LATERAL {row} WHERE {late}{tail}",
        parts.args,
        len(parts.order),
    )


def count(selection: Selection) -> tuple[str, list[Any]]:
    """Return a statement for the number of rows that match without doubt."""
    parts = _Parts()
    _base(selection, parts)
    doubt = selection.matched().doubt
    if doubt != NOTHING:
        parts.wheres.append("FALSE" if doubt == EVERYTHING else f"NOT ({condition(doubt, parts.args)})")
    return _text("count(*)", parts), parts.args


def in_doubt(selection: Selection, limit: int) -> tuple[str, list[Any]]:
    """Return a statement for the rows that have to be looked into, `limit` at most."""
    parts = _Parts()
    _base(selection, parts)
    parts.wheres.append(condition(selection.matched().doubt, parts.args))
    return _text(f"{COLUMNS}, r.fhir_id", parts, f" LIMIT {parts.arg(limit)}"), parts.args


def estimate(selection: Selection) -> tuple[str, list[Any]]:
    """Return a statement for the planner's guess at the number of rows."""
    parts = _Parts()
    _base(selection, parts)
    return "EXPLAIN (FORMAT JSON) " + _text("1", parts), parts.args


def one(selection: Selection, rid: int) -> tuple[str, list[Any]]:
    """Return a statement that finds the row `rid` if it matches."""
    parts = _Parts()
    _base(replace(selection, series=None), parts)  # in a series nothing leads to a rid
    parts.wheres.append(f"r.rid = {parts.arg(rid)}")
    doubt = _doubt(selection.match, parts.args)
    return _text(f"{COLUMNS}, r.fhir_id, {doubt} AS doubt", parts), parts.args


def rids(selection: Selection, args: list[Any]) -> str:
    """Return a SELECT of the rids that match or are in doubt, in no order, for a statement around it; appends its values."""
    parts = _Parts(args)
    _base(selection, parts)
    return _text("r.rid", parts)
