"""The newest Observations of each code of a subject (R4 `observation-operation-lastn.html`), along the table `series`.

Observations are of one group when they share a coding (system and code), or, without any, the same text; groups that an Observation
belongs to are one. Groups are found by walking from code to code, the newest of each by going back in time, looking at what the
caller may see and what the other criteria take:

    code after code    one probe of the index each
    the newest few     up to WINDOW rows of each code, filtered
    what is left       codes whose newest few were not enough, by the criteria's own indexes

Which codings belong together is read from these rows: what was last coded together before the newest WINDOW of both is not seen.
Searches that have to look into resources, and subjects that are no Patient, go through all matches in memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from fhir_server.errors import Unprocessable
from fhir_server.kit import json
from fhir_server.search import run
from fhir_server.search.compile import LIVE, condition
from fhir_server.search.extract import SERIES_TYPE, UNDATED, series_codes
from fhir_server.search.kinds import date, token
from fhir_server.search.parameters import table
from fhir_server.search.predicates import NOTHING
from fhir_server.search.query import Clause, Condition
from fhir_server.search.run import Ready
from fhir_server.search.statement import fetch
from fhir_server.search.verify import pairs_of
from fhir_server.storage import reads
from fhir_server.storage.reads import Stored

WINDOW = 32
"""How far back the first look at a code goes, more when more are asked for."""

_CODES = """codes(code) AS (
  (SELECT s.code FROM {s}.series s WHERE s.patient = $1 ORDER BY s.code LIMIT 1)
  UNION ALL
  SELECT (SELECT s.code FROM {s}.series s WHERE s.patient = $1 AND s.code > c.code ORDER BY s.code LIMIT 1)
  FROM codes c WHERE c.code IS NOT NULL)"""
_NEAR = """near AS MATERIALIZED (
  SELECT c.code, w.at, w.rid FROM codes c CROSS JOIN LATERAL (
    SELECT s.at, s.rid FROM {s}.series s WHERE s.patient = $1 AND s.code = c.code
    ORDER BY s.at DESC, s.rid DESC LIMIT {window}) w)"""


@dataclass(frozen=True, slots=True)
class Point:
    """An Observation at its time, under one of its codes."""

    code: int
    at: datetime
    rid: int


Groups = list[list[Stored]]


def _order(point: Point) -> tuple[datetime, int]:
    return point.at, point.rid


# ---- statements ----


def _filtered(ready: Ready, args: list[Any]) -> str:
    """Return what every row must meet: type, policy, life, and the criteria."""
    seen = ready.selection.seen(args)
    return f"{seen} AND {LIVE.replace('{r}', 'r')} AND {condition(ready.selection.match.predicate, args)}"


def _newest(ready: Ready, patient: int, codes: Sequence[int] | None, window: int) -> tuple[str, list[Any]]:
    """Return the statement for the newest rows of each code; rows without a rid say how many rows a code had to look at."""
    args: list[Any] = [patient]
    source = _CODES
    if codes is not None:
        args.append(list(codes))
        source = "codes(code) AS (SELECT unnest($2::bigint[]))"
    # One look by rid for each: left to itself, a plan made for any values goes through all that the criteria's keys have.
    looked = f"SELECT FROM {{s}}.resource r WHERE r.rid = n.rid AND {_filtered(ready, args)} OFFSET 0"
    matched = f"SELECT n.code, n.at, n.rid, 0 AS looked FROM near n CROSS JOIN LATERAL ({looked}) o"
    counted = "SELECT n.code, NULL, NULL, count(*) FROM near n GROUP BY n.code"
    near = _NEAR.replace(
        "{window}", str(window)
    )  # in the text: a planner that does not know it plans for a tenth of all rows
    return f"WITH RECURSIVE {source}, {near} {matched} UNION ALL {counted}", args


def _rest(ready: Ready, patient: int, codes: Sequence[int], most: int) -> tuple[str, list[Any]]:
    """Return the statement for the newest rows of some codes, however far back, with those of the same time."""
    args: list[Any] = [patient, list(codes), most]
    matched = f"SELECT r.rid FROM {{s}}.resource r WHERE {_filtered(ready, args)}"
    return (
        f"WITH m AS MATERIALIZED ({matched}), ranked AS ("
        "SELECT s.code, s.at, s.rid, rank() OVER w AS place, row_number() OVER w AS row FROM m"
        " JOIN {s}.series s ON s.rid = m.rid AND s.patient = $1 AND s.code = ANY($2::bigint[])"
        " WINDOW w AS (PARTITION BY s.code ORDER BY s.at DESC))"
        " SELECT code, at, rid FROM ranked WHERE place <= $3"
    ), args


# ---- groups ----


class _Joined:
    """Codes that belong together (disjoint sets)."""

    def __init__(self) -> None:
        self._above: dict[int, int] = {}

    def of(self, code: int) -> int:
        """Return the code that stands for the group of a code."""
        above = self._above.get(code, code)
        while above != self._above.get(above, above):
            above = self._above[above]
        self._above[code] = above
        return above

    def join(self, codes: Iterable[int]) -> None:
        """Say that these belong together."""
        first, *others = codes
        for other in others:
            self._above[self.of(other)] = self.of(first)


def newest(points: Iterable[Point], most: int) -> list[Point]:
    """Return the newest points, `most` and those of the same time as the last one; undated ones last, and no more than that."""
    ordered = sorted({point.rid: point for point in points}.values(), key=_order, reverse=True)
    if len(ordered) <= most or ordered[most - 1].at == UNDATED:
        return ordered[:most]
    return [point for point in ordered if point.at >= ordered[most - 1].at]


def _grouped(points: Iterable[Point], joined: _Joined, most: int) -> list[list[Point]]:
    """Return the groups, the one with the newest Observation first."""
    by_group: dict[int, list[Point]] = {}
    for point in points:
        by_group.setdefault(joined.of(point.code), []).append(point)
    groups = [newest(group, most) for group in by_group.values()]
    return sorted(groups, key=lambda group: _order(group[0]), reverse=True)


def _enough(points: Sequence[Point], most: int) -> bool:
    """Tell whether the newest `most` of a code and all of the same time are among those that were looked at."""
    times = sorted((point.at for point in points), reverse=True)
    return len(times) > most and times[-1] < times[most - 1]


# ---- along the series ----


async def _points(ready: Ready, patient: int, codes: Sequence[int] | None, most: int) -> dict[int, list[Point]]:
    """Return the candidates of each code: at least its newest `most`, with those of the same time."""
    window = max(WINDOW, 1 << most.bit_length())  # a power of two, so that there are few statements
    text, args = _newest(ready, patient, codes, window)
    found: dict[int, list[Point]] = {}
    full: set[int] = set()
    for row in await fetch(ready.tenant, text, args):
        if row["rid"] is not None:
            found.setdefault(row["code"], []).append(Point(row["code"], row["at"], row["rid"]))
        elif row["looked"] == window:
            full.add(row["code"])
    short = [code for code in full if not _enough(found.get(code, ()), most)]
    if short:
        text, args = _rest(ready, patient, short, most)
        for row in await fetch(ready.tenant, text, args):
            found.setdefault(row["code"], []).append(Point(row["code"], row["at"], row["rid"]))
    return found


async def _along(ready: Ready, patient: int, codes: Sequence[int] | None, most: int, limit: int) -> Groups:
    points = await _points(ready, patient, codes, most)
    joined, codes_of = _Joined(), dict[int, set[int]]()
    for code, found in points.items():
        for point in found:
            codes_of.setdefault(point.rid, set()).add(code)
    for together in codes_of.values():
        joined.join(together)
    candidates = [point for found in points.values() for point in newest(found, most)]
    _check(len({point.rid for point in candidates}), limit)
    rows = {row.rid: row for row in await reads.fetch(ready.tenant, sorted({point.rid for point in candidates}))}
    for row in rows.values():
        joined.join(series_codes(ready.tenant.key, json.decode_trusted(row.body)))
    groups = _grouped([point for point in candidates if point.rid in rows], joined, most)
    return [[rows[point.rid] for point in group] for group in groups]


def _check(count: int, limit: int) -> None:
    if count > limit:
        text = f"More than {limit} Observations are the last of their kind: narrow the search, or ask for fewer by max."
        raise Unprocessable(text, "lastn-too-many", "max")


# ---- in memory ----


def _at(resource: dict[str, Any]) -> datetime:
    pairs = [pair for source in table(SERIES_TYPE).sources["date"] for pair in pairs_of(source, resource)]
    return min((lo for lo, _ in date.ranges(pairs)), default=UNDATED)


async def _in_memory(ready: Ready, most: int, limit: int) -> Groups:
    rows = await run.every(ready, run.LOOKS)
    if rows is None:
        text = f"More than {run.LOOKS} Observations would have to be looked into: narrow the search."
        raise Unprocessable(text, "lastn-too-many-looks")
    joined, points, by_rid = _Joined(), list[Point](), {row.rid: row for row in rows}
    for row in rows:
        resource = json.decode_trusted(row.body)
        codes = series_codes(ready.tenant.key, resource)
        joined.join(codes)
        points.append(Point(min(codes), _at(resource), row.rid))
    groups = _grouped(points, joined, most)
    _check(sum(map(len, groups)), limit)
    return [[by_rid[point.rid] for point in group] for group in groups]


# ---- door ----


def _codes_asked(asked: Sequence[Condition], ready: Ready) -> list[int] | None:
    """Return the codes that a clause on `code` names one by one; None when nothing narrows them so."""
    code = table(SERIES_TYPE).sources["code"][0].id
    for clause in (each for each in asked if isinstance(each, Clause)):
        values = [value for value in clause.values if isinstance(value, token.Token) and value.system and value.code]
        if clause.param.name == "code" and clause.modifier is None and values and len(values) == len(clause.values):
            return [token.key_of(value, code, ready.tenant.key) for value in values]
    return None


async def last(ready: Ready, subject: Mapping[tuple[str, str], int], most: int, limit: int) -> Groups:
    """Return the newest `most` matches of each code, group by group; more than `limit` in all are refused.

    `subject` are the resources, with their rids, that the search's subject can mean.
    """
    patients = [rid for (type_, _), rid in subject.items() if type_ == "Patient"]
    if len(subject) != 1 or len(patients) != 1 or ready.selection.match.doubt != NOTHING:
        return await _in_memory(ready, most, limit)
    return await _along(ready, patients[0], _codes_asked(ready.query.where, ready), most, limit)
