"""`Observation/$stats`: statistics over the measurements of a subject (R4 `observation-operation-stats.html`).

One Observation for each code, its statistics as components; `search/statistics.py` computes them. What was entered in error or
cancelled is no measurement. R4's value set leaves some choices: deviation and variance are those of the measurements (divided by
N), percentiles interpolate linearly, kurtosis is 3 for a normal distribution, and a regression has two components, its gradient a
day and its value at the first measurement.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

from fhir_server.audit.record import audit_row
from fhir_server.auth import policy
from fhir_server.context import RequestContext
from fhir_server.errors import BadRequest, Unprocessable
from fhir_server.interactions.call import Call, Json, Result
from fhir_server.kit import clock, json
from fhir_server.kit.clock import instant
from fhir_server.operations.parameters import Given, read_parameters
from fhir_server.search import run, statistics
from fhir_server.search.escape import escape
from fhir_server.search.kinds.quantity import Measure
from fhir_server.search.parse import parse_query
from fhir_server.search.statistics import Asked, Figures
from fhir_server.storage import reads
from fhir_server.storage.reads import Stored
from fhir_server.storage.visibility import Visibility

TYPE = "Observation"
SYSTEM = "http://terminology.hl7.org/CodeSystem/observation-statistics"

DEFINITION: Json = {
    "resourceType": "OperationDefinition",
    "id": "Observation-stats",
    "url": "http://hl7.org/fhir/OperationDefinition/Observation-stats",
    "name": "Stats",
    "status": "active",
    "kind": "operation",
    "affectsState": False,
    "code": "stats",
    "comment": "Variance and deviation divide by N; percentiles interpolate linearly; kurtosis is 3 for a normal distribution.",
    "resource": [TYPE],
    "system": False,
    "type": True,
    "instance": False,
    "parameter": [
        {"name": "subject", "use": "in", "min": 1, "max": "1", "type": "uri"},
        {"name": "code", "use": "in", "min": 0, "max": "*", "type": "string"},
        {"name": "system", "use": "in", "min": 0, "max": "1", "type": "uri"},
        {"name": "coding", "use": "in", "min": 0, "max": "*", "type": "Coding"},
        {
            "name": "duration",
            "use": "in",
            "min": 0,
            "max": "1",
            "type": "decimal",
            "documentation": "Hours, back from now.",
        },
        {"name": "period", "use": "in", "min": 0, "max": "1", "type": "Period"},
        {"name": "statistic", "use": "in", "min": 1, "max": "*", "type": "code"},
        {"name": "include", "use": "in", "min": 0, "max": "1", "type": "boolean"},
        {"name": "limit", "use": "in", "min": 0, "max": "1", "type": "positiveInt"},
        {"name": "statistics", "use": "out", "min": 1, "max": "*", "type": "Observation"},
        {"name": "source", "use": "out", "min": 0, "max": "*", "type": "Observation"},
    ],
}

STATISTICS = (
    "average", "maximum", "minimum", "count", "total-count", "median", "std-dev", "sum", "variance", "20-percent", "80-percent",
    "4-lower", "4-upper", "4-dev", "5-1", "5-2", "5-3", "5-4", "skew", "kurtosis", "regression",
)  # fmt: skip
_SHORT = {"min": "minimum", "max": "maximum"}
_BARE = frozenset({"count", "total-count", "skew", "kurtosis"})
"""Statistics without the unit of the measurements."""
_MOST_CODES = 50
_MOST_SOURCES = 10_000
_LONGEST = 24 * 366 * 200


@dataclass(frozen=True, slots=True)
class _Code:
    """A code that statistics are asked of; no system means any."""

    system: str | None
    code: str

    @property
    def token(self) -> str:
        return escape(self.code) if self.system is None else f"{escape(self.system)}|{escape(self.code)}"

    @property
    def concept(self) -> Json:
        return {"coding": [({"system": self.system} if self.system else {}) | {"code": self.code}]}


async def handle(ctx: RequestContext, call: Call) -> Result:
    """Answer `GET` or `POST Observation/$stats`: a Parameters resource with one `statistics` for each code, and its sources."""
    visibility = await policy.visibility(ctx, TYPE, "search-type")
    given = read_parameters(DEFINITION, call)
    wanted = _statistics(given)
    codes, common = _codes(given), _criteria(given)
    out: list[Json] = []
    found: dict[int, Stored] = {}
    limit = _limit(given)
    for code in codes:
        asked = await _asked(ctx, visibility, code, common)
        figures = await statistics.figures(asked)
        out.append({"name": "statistics", "resource": _observation(code, figures, wanted, str(given["subject"][0]))})
        rids = await statistics.sources(asked, _MOST_SOURCES + 1) if limit else []
        for row in await reads.fetch(ctx.tenant, [*figures.samples, *rids][: limit + len(figures.samples)]):
            found[row.rid] = row
        if limit > _MOST_SOURCES < len(rids):
            text = f"There are more than {_MOST_SOURCES} sources: say with limit how many are wanted."
            raise Unprocessable(text, "stats-sources", "limit")
        out += [
            {"name": "source", "resource": json.decode_trusted(found[rid].body)} for rid in rids[:limit] if rid in found
        ]
    patients = sorted({patient for each in found.values() for patient in each.patients})
    audit = [audit_row(ctx, "operation", 200, type=TYPE, patients=patients)]
    return Result(200, json.encode({"resourceType": "Parameters", "parameter": out}), audit=audit)


async def _asked(ctx: RequestContext, visibility: Visibility, code: _Code, common: Sequence[tuple[str, str]]) -> Asked:
    made = []
    for name in ("code", "component-code"):
        query = parse_query(TYPE, [*common, (name, code.token)], lenient=False, base=ctx.tenant.base)
        made.append(await run.prepare(ctx.tenant, query, visibility, policy.sees(ctx)))
    return Asked(made[0], made[1], code.code)


# ---- parameters ----


def _refused(name: str, sentence: str) -> BadRequest:
    return BadRequest(f"{name} {sentence}.", "parameter-value", name)


def _statistics(given: Given) -> list[str]:
    names = [_SHORT.get(part, part) for text in given["statistic"] for part in str(text).split(",")]
    if not all(name in STATISTICS for name in names):
        raise _refused("statistic", f"is one of {', '.join(STATISTICS)}")
    return list(dict.fromkeys(names))


def _codes(given: Given) -> list[_Code]:
    system = given.get("system", [None])[0]
    found = [_Code(system, str(text)) for text in given.get("code", [])]
    for coding in given.get("coding", []):
        if not isinstance(coding, dict) or not isinstance(coding.get("code"), str):
            raise _refused("coding", "has a code")
        found.append(_Code(coding.get("system"), coding["code"]))
    found = list(dict.fromkeys(found))
    if not found or not all(each.code for each in found):
        raise BadRequest(
            "Say what is measured: code (and system), or coding.", "parameter-missing", "code", code="required"
        )
    if len(found) > _MOST_CODES:
        raise _refused("code", f"is given {_MOST_CODES} times at most")
    return found


def _criteria(given: Given) -> list[tuple[str, str]]:
    """Return subject, time and status as search parameters."""
    if "duration" in given and "period" in given:
        raise BadRequest("Give duration or period, not both.", "parameter-value", "period")
    out = [("subject", escape(str(given["subject"][0]))), ("status:not", "entered-in-error,cancelled")]
    if "duration" in given:
        hours = given["duration"][0]
        if not isinstance(hours, int | Decimal) or isinstance(hours, bool) or not 0 < hours <= _LONGEST:
            raise _refused("duration", f"is a number of hours, {_LONGEST} at most")
        out.append(("date", f"ge{instant(clock.now() - timedelta(hours=float(hours)))}"))
    for period in given.get("period", []):
        if not isinstance(period, dict) or not ("start" in period or "end" in period):
            raise _refused("period", "has a start, an end or both")
        out += [("date", f"ge{period['start']}")] if "start" in period else []
        out += [("date", f"le{period['end']}")] if "end" in period else []
    return out


def _limit(given: Given) -> int:
    """Return how many sources are wanted of each code."""
    if given.get("include", [False])[0] is not True:
        return 0
    limit = given.get("limit", [_MOST_SOURCES + 1])[0]
    if not isinstance(limit, int) or isinstance(limit, bool) or limit < 1:
        raise _refused("limit", "is a whole number of at least 1")
    return min(limit, _MOST_SOURCES + 1) if "limit" not in given else min(limit, _MOST_SOURCES)


# ---- answer ----


def _observation(code: _Code, figures: Figures, wanted: Sequence[str], subject: str) -> Json:
    made: Json = {
        "resourceType": TYPE,
        "status": "final",
        "code": code.concept,
        "subject": {"reference": subject},
    }
    if figures.first is not None and figures.last is not None:
        made["effectivePeriod"] = {"start": instant(figures.first), "end": instant(figures.last)}
    made["issued"] = instant(clock.now())
    made["component"] = [component for name in wanted for component in _components(name, figures)]
    return made


def _components(name: str, figures: Figures) -> list[Json]:
    if name in ("count", "total-count"):
        return [_component(name, Decimal(figures.count if name == "count" else figures.total), None)]
    if name == "regression" and figures.regression is not None:
        gradient, intercept = figures.regression
        return [
            _component(name, gradient, _a_day(figures.unit), "gradient, a day"),
            _component(name, intercept, figures.unit, "intercept, at the first measurement"),
        ]
    value = figures.values.get(name)
    if value is None:
        absent = {
            "coding": [{"system": "http://terminology.hl7.org/CodeSystem/data-absent-reason", "code": "not-applicable"}]
        }
        return [{"code": _concept(name), "dataAbsentReason": absent}]
    return [
        _component(
            name, value, None if name in _BARE else _squared(figures.unit) if name == "variance" else figures.unit
        )
    ]


def _component(name: str, value: Decimal, unit: Measure | None, text: str | None = None) -> Json:
    return {"code": _concept(name, text), "valueQuantity": {"value": value} | _unit(unit)}


def _concept(name: str, text: str | None = None) -> Json:
    return {"coding": [{"system": SYSTEM, "code": name}]} | ({"text": text} if text else {})


def _unit(unit: Measure | None) -> Json:
    if unit is None:
        return {}
    named = {"unit": unit.unit or unit.code, "system": unit.system, "code": unit.code}
    return {name: value for name, value in named.items() if value}


def _derived(unit: Measure | None, form: str) -> Measure | None:
    """Return a unit made of the measurements' unit; only UCUM says how to write it, others become text."""
    if unit is None or not statistics.said(unit):
        return None
    if unit.system == "http://unitsofmeasure.org" and unit.code:
        code = form.format(f"({unit.code})")
        return Measure(unit.lo, unit.hi, unit.system, code, code)
    return Measure(unit.lo, unit.hi, None, None, form.format(f"({statistics.said(unit)})"))


def _squared(unit: Measure | None) -> Measure | None:
    return _derived(unit, "{0}2")


def _a_day(unit: Measure | None) -> Measure | None:
    return _derived(unit, "{0}/d") or Measure(Decimal(0), Decimal(0), "http://unitsofmeasure.org", "/d", "/d")
