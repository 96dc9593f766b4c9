"""Numbers about the quantities of some Observations, computed by PostgreSQL from the index (R4 `observation-operation-stats.html`).

A measurement is an exact quantity (no comparator, no range): the value of an Observation that has the code, or of a component that
has it. Where all are in one unit they are taken as written; where units differ, by their value in UCUM's base units, and told in
the unit that most have. What cannot be compared is refused. A unit stands in the index as a keyed hash, so one Observation of each
is opened to name it.

Figures describe the N measurements themselves: variance and deviation divide by N, percentiles interpolate between the nearest two.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Context, Decimal
from typing import Any

from fhir_server.errors import Unprocessable
from fhir_server.kit import json
from fhir_server.search import select
from fhir_server.search.extract import SERIES_TYPE
from fhir_server.search.kinds import composite, quantity
from fhir_server.search.kinds.quantity import Measure
from fhir_server.search.parameters import Instances, table
from fhir_server.search.run import Ready
from fhir_server.search.statement import fetch
from fhir_server.search.verify import pairs_of
from fhir_server.storage import reads

_COMPONENTS = "component-code-value-quantity"
_MOST_UNITS = 50
_DIGITS = Context(prec=15)
"""Digits of a result that is not a measurement itself: those that binary floating point carries."""

_PERCENTILES = {
    "20-percent": 0.2, "4-lower": 0.25, "5-1": 0.2, "5-2": 0.4, "median": 0.5, "5-3": 0.6, "4-upper": 0.75, "5-4": 0.8,
    "80-percent": 0.8,
}  # fmt: skip
_AT = sorted(set(_PERCENTILES.values()))


@dataclass(frozen=True, slots=True)
class Asked:
    """The Observations whose code, and those one of whose components, is the code; `code` is it without its system."""

    whole: Ready
    below: Ready
    code: str


@dataclass(slots=True)
class Figures:
    """What the measurements of one code come to.

    `values` has the statistic codes of R4 that the measurements have, `regression` gradient (a day) and intercept (at the first
    measurement); `samples` are rids of some Observations that match, for the audit.
    """

    total: int = 0
    count: int = 0
    unit: Measure | None = None
    values: dict[str, Decimal] = field(default_factory=dict)
    regression: tuple[Decimal, Decimal] | None = None
    first: datetime | None = None
    last: datetime | None = None
    samples: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Scale:
    """How index values become results: the column, and the base-unit values of nought and one of the unit."""

    column: str = "lo"
    zero: Decimal = Decimal(0)
    one: Decimal = Decimal(1)

    def sql(self, args: list[Any]) -> str:
        if self.column == "lo":
            return "n.lo"
        args.extend((self.zero, self.one - self.zero))
        return f"(n.clo - ${len(args) - 1}::numeric) / ${len(args)}::numeric"


# ---- statements ----


def _instances() -> Instances:
    [found] = table(SERIES_TYPE).below[_COMPONENTS]
    return found


def _measured(asked: Asked, args: list[Any]) -> str:
    """Return CTEs: `m`, the Observations that match; `n`, their exact measurements, `p` saying where they are from."""
    value, below = table(SERIES_TYPE).sources["value-quantity"][0].id, _instances().param.id
    whole, part = select.rids(asked.whole.selection, args), select.rids(asked.below.selection, args)
    code = asked.code.casefold()
    args += [asked.whole.tenant.key(value, "c", code), asked.whole.tenant.key(below, "c", code)]
    columns, exact = "q.rid, q.param, q.unit, q.cunit, q.lo, q.clo", "q.lo = q.hi AND (q.clo IS NULL OR q.clo = q.chi)"
    return (
        f"w AS MATERIALIZED ({whole}), c AS MATERIALIZED ({part}), m AS (SELECT rid FROM w UNION SELECT rid FROM c),"
        f" n AS MATERIALIZED ("
        f"SELECT {columns} FROM w JOIN {{s}}.ix_number q ON q.rid = w.rid AND q.param = {value}"
        f" AND q.key = ${len(args) - 1} AND {exact}"
        f" UNION ALL SELECT {columns} FROM c JOIN {{s}}.ix_number q ON q.rid = c.rid AND q.param = {below}"
        f" AND q.key = ${len(args)} AND {exact})"
    )


def _units(asked: Asked) -> tuple[str, list[Any]]:
    """Return the statement for how many measurements have which unit, and, in the row without one, how many match at all."""
    args: list[Any] = []
    return (
        f"WITH {_measured(asked, args)} SELECT param, unit, count(*) AS n, min(rid) AS sample FROM n GROUP BY param, unit"
        " UNION ALL SELECT NULL, NULL, count(*), min(rid) FROM m"
    ), args


def _figures(asked: Asked, scale: _Scale) -> tuple[str, list[Any]]:
    args: list[Any] = []
    when = table(SERIES_TYPE).sources["date"][0].id
    measured = _measured(asked, args)
    value = scale.sql(args)
    args.append(_AT)
    dated = f"SELECT min(d.lo) FROM {{s}}.ix_date d WHERE d.rid = n.rid AND d.param = {when}"
    return (
        f"WITH {measured}, v AS MATERIALIZED (SELECT {value} AS x, ({dated}) AS at FROM n),"
        " a AS (SELECT avg(x) AS mean FROM v),"
        " d AS (SELECT x, at, (x - mean)::float8 AS off, extract(epoch FROM at)::float8 / 86400 AS day FROM v, a)"
        " SELECT count(*) AS count, sum(x) AS sum, min(x) AS minimum, max(x) AS maximum, avg(x) AS average,"
        f" percentile_cont(${len(args)}::float8[]) WITHIN GROUP (ORDER BY x::float8) AS parts,"
        " avg(off ^ 2) AS m2, avg(off ^ 3) AS m3, avg(off ^ 4) AS m4,"
        " regr_slope(x::float8, day) AS slope, regr_avgx(x::float8, day) AS day, regr_avgy(x::float8, day) AS level,"
        " min(day) AS start, min(at) AS first, max(at) AS last FROM d"
    ), args


def _sources(asked: Asked, limit: int) -> tuple[str, list[Any]]:
    args: list[Any] = []
    measured = _measured(asked, args)
    args.append(limit)
    return f"WITH {measured} SELECT DISTINCT rid FROM n ORDER BY rid DESC LIMIT ${len(args)}", args


# ---- units ----


def _measures(resource: dict[str, Any]) -> list[tuple[int, Measure]]:
    """Return the measurements of an Observation, with the parameter whose entries they are."""
    source, instances = table(SERIES_TYPE).sources["value-quantity"][0], _instances()
    whole = [(source.id, each) for each in quantity.measures(pairs_of(source, resource))]
    parts = [found for instance in composite.found_in(instances, resource) for found in quantity.measures(instance[1])]
    return [*whole, *((instances.param.id, each) for each in parts)]


def _named(asked: Asked, param: int, unit: int, body: bytes) -> Measure | None:
    """Return a measurement with the unit that stands in the index as `unit`."""
    key = asked.whole.tenant.key
    for at, measure in _measures(json.decode_trusted(body)):
        said = measure.code or measure.unit
        if at == param and (key(param, "q", said) if said else 0) == unit:
            return measure
    return None


def said(measure: Measure) -> str:
    """Return the unit as it may be told."""
    return measure.code or measure.unit or ""


def _scale(measures: Sequence[Measure]) -> _Scale:
    """Return how these units become the first one; Unprocessable when they cannot be compared."""
    if len({said(measure) for measure in measures}) == 1:
        return _Scale()
    bases = [quantity.canonical_span(measure) for measure in measures]
    wanted = measures[0].code or ""
    zero, one = quantity.canonical(Decimal(0), wanted), quantity.canonical(Decimal(1), wanted)
    if None in bases or len({base[2] for base in bases if base}) > 1 or zero is None or one is None:
        units = ", ".join(sorted({said(measure)[:32] or "none" for measure in measures}))
        raise Unprocessable(
            f"These measurements are in units that cannot be compared ({units}): narrow the time until they can.",
            "stats-units",
        )
    return _Scale("clo", zero[0], one[0])


# ---- figures ----


def _rounded(value: float | Decimal) -> Decimal:
    made = _DIGITS.create_decimal(repr(value) if isinstance(value, float) else value)
    return made.normalize(_DIGITS) if made == made.to_integral_value() and made.adjusted() < 15 else made


def _plain(value: Decimal) -> Decimal:
    """Return a Decimal without an exponent that nobody wrote."""
    return (
        value.quantize(Decimal(1))
        if value == value.to_integral_value() and value.adjusted() < 15
        else value.normalize()
    )


def _fill(figures: Figures, row: Any) -> None:
    values = {name: row[name] for name in ("sum", "minimum", "maximum", "average")}
    at = dict(zip(_AT, row["parts"], strict=True))
    values |= {name: at[place] for name, place in _PERCENTILES.items()}
    values |= {"4-dev": (at[0.75] - at[0.25]) / 2, "variance": row["m2"], "std-dev": math.sqrt(row["m2"])}
    if row["m2"] > 0:
        values |= {"skew": row["m3"] / row["m2"] ** 1.5, "kurtosis": row["m4"] / row["m2"] ** 2}
    figures.values = {name: _plain(_rounded(value)) for name, value in values.items()}
    figures.count, figures.first, figures.last = row["count"], row["first"], row["last"]
    if row["slope"] is not None:
        level = row["level"] + row["slope"] * (row["start"] - row["day"])
        figures.regression = _plain(_rounded(row["slope"])), _plain(_rounded(level))


async def figures(asked: Asked) -> Figures:
    """Return what the measurements come to; Unprocessable when their units cannot be compared."""
    rows = await fetch(asked.whole.tenant, *_units(asked))
    groups = sorted((row for row in rows if row["param"] is not None), key=lambda row: row["n"], reverse=True)
    [whole] = [row for row in rows if row["param"] is None]
    made = Figures(total=whole["n"], samples=[row["sample"] for row in rows if row["sample"] is not None])
    if not groups:
        return made
    if len(groups) > _MOST_UNITS:
        raise Unprocessable(f"These measurements are in more than {_MOST_UNITS} units; narrow the time.", "stats-units")
    bodies = {row.rid: row.body for row in await reads.fetch(asked.whole.tenant, made.samples)}
    named = [
        _named(asked, row["param"], row["unit"], bodies[row["sample"]]) for row in groups if row["sample"] in bodies
    ]
    measures = [measure for measure in named if measure is not None]
    if not measures:  # erased or changed since: nothing that could be told with its unit
        return made
    made.unit = measures[0]
    [row] = await fetch(asked.whole.tenant, *_figures(asked, _scale(measures)))
    if row["count"]:
        _fill(made, row)
    return made


async def sources(asked: Asked, limit: int) -> list[int]:
    """Return the rids of Observations that were measured, the newest written first."""
    return [row["rid"] for row in await fetch(asked.whole.tenant, *_sources(asked, limit))]
