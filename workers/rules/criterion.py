"""One criterion of a rule, evaluated to true, false or unknown, and an unknown says why.

A day without the number never satisfies a criterion and never drops out of one: of "3 of 4 days" with one day unknown the answer is
true when three known days are enough, false when even the unknown day could not make three, else unknown.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final, Literal, NamedTuple, TypeAlias

from workers.rules.chart import Chart, Moment
from workers.rules.metrics import ANY_SIGNAL, Metric

Of = Literal["value", "deviation", "change", "age", "measured"]
Missing = Literal["unknown", "unmet"]

COMPARATORS: Final[Mapping[str, Callable[[float, float], bool]]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip

REASONS: Final[Mapping[str, str]] = {
    "not-answered": "no answer within the window",
    "not-known": "no number within the window",
    "too-few-days": "too few days of the window are known",
    "no-baseline": "no own baseline yet",
    "too-uncertain": "the deviation is not certain enough: its 95 % interval contains zero",
    "no-earlier-value": "no earlier value to compare with",
    "never-measured": "no device measured anything within the window",
}
"""Why a criterion is neither true nor false."""


@dataclass(frozen=True, slots=True)
class Criterion:
    """`of` the metric, `comparator` and `limit` (in `unit`, which is that of the metric); `window` days back.

    With `days`, so many days (answers) of the window must satisfy it; without, the newest number decides. Without a comparator it
    is the newest number itself, for comparisons in the expression. `over`: days between the two values of a change.
    """

    name: str
    metric: Metric
    of: Of
    unit: str
    window: int
    comparator: str = ""
    limit: float = 0.0
    days: int = 0
    over: int = 0
    missing: Missing = "unknown"
    shown: str = ""
    """The limit as it is written in the rule."""


class Finding(NamedTuple):
    """`holds` is None when unknown, then `reason` says why; `when` is the newest day or instant that made it true."""

    holds: bool | None
    number: float | None = None
    reason: str = ""
    when: str = ""
    known: int = 0
    asked: int = 0


Point: TypeAlias = tuple[date | int, float | None, str, bool]
"""A day or the instant of an answer: its number, or why there is none; last, False for a deviation that may be none."""


def evaluate(criterion: Criterion, chart: Chart, moment: Moment) -> Finding:
    """Return what a criterion says at a moment."""
    points = _POINTS[criterion.metric.kind, criterion.of](criterion, chart, moment)
    if criterion.comparator and criterion.days:
        return _counted(criterion, points)
    for when, number, _, sure in points:
        if number is None:
            continue
        if not criterion.comparator:
            return Finding(None, number, "", _text(when), 1, len(points))
        met = COMPARATORS[criterion.comparator](number, criterion.limit)
        if met and not sure:
            return Finding(None, number, "too-uncertain", _text(when), 1, len(points))
        return Finding(met, number, "", _text(when), 1, len(points))
    return Finding(None, None, _why(criterion, points), "", 0, len(points))


def _counted(criterion: Criterion, points: list[Point]) -> Finding:
    """Return whether enough days of the window satisfy the criterion."""
    compare, limit = COMPARATORS[criterion.comparator], criterion.limit
    met = unsure = known = 0
    first: Point | None = None
    newest: float | None = None
    for point in points:
        number = point[1]
        if number is None:
            continue
        newest = number if newest is None else newest
        known += 1
        if compare(number, limit):
            met += point[3]
            unsure += not point[3]
            first = point if first is None and point[3] else first
    if first is not None and met >= criterion.days:
        return Finding(True, first[1], "", _text(first[0]), known, len(points))
    if not known:
        return Finding(None, None, _why(criterion, points), "", 0, len(points))
    open_ = unsure + (len(points) - known if criterion.missing == "unknown" else 0)
    if met + open_ < criterion.days:
        return Finding(False, newest, "", "", known, len(points))
    reason = "too-uncertain" if len(points) == known else "too-few-days"
    return Finding(None, newest, reason, "", known, len(points))


def _text(when: date | int) -> str:
    return instant(when) if isinstance(when, int) else when.isoformat()


def _why(criterion: Criterion, points: list[Point]) -> str:
    told = {point[2] for point in points} - {""}
    if len(told) == 1:
        return told.pop()
    return "not-answered" if criterion.metric.kind == "answer" else "not-known"


def _window(criterion: Criterion, chart: Chart, moment: Moment) -> list[date]:
    return chart.window(criterion.metric.newest(moment), criterion.window)


def _values(criterion: Criterion, chart: Chart, moment: Moment) -> list[Point]:
    code, out = criterion.metric.code, list[Point]()
    for day in _window(criterion, chart, moment):
        found = chart.day(day)
        out.append((day, found.number(code) if found else None, "not-known", True))
    return out


def _deviations(criterion: Criterion, chart: Chart, moment: Moment) -> list[Point]:
    code, out = criterion.metric.code, list[Point]()
    for day in _window(criterion, chart, moment):
        found = chart.day(day)
        far = found.deviation(code) if found else None
        if far is None:
            known = found is not None and found.number(code) is not None
            out.append((day, None, "no-baseline" if known else "not-known", True))
        else:
            out.append((day, far.z, "", far.low > 0 or far.high < 0))
    return out


def _changes(criterion: Criterion, chart: Chart, moment: Moment) -> list[Point]:
    code, out = criterion.metric.code, list[Point]()
    days = chart.window(criterion.metric.newest(moment), criterion.window + criterion.over)
    for place in range(criterion.window):
        day, found, earlier = days[place], chart.day(days[place]), chart.day(days[place + criterion.over])
        now, before = found.number(code) if found else None, earlier.number(code) if earlier else None
        if now is None or before is None:
            out.append((day, None, "not-known" if now is None else "no-earlier-value", True))
            continue
        far = now - before
        out.append((day, (far + 12) % 24 - 12 if criterion.metric.circular else far, "", True))
    return out


def _answers(criterion: Criterion, chart: Chart, moment: Moment) -> list[Point]:
    first = _window(criterion, chart, moment)[-1]
    found = chart.answered(criterion.metric.code, moment)
    return [(each.at, each.value, "", True) for each in found if each.day >= first]


def _answer_changes(criterion: Criterion, chart: Chart, moment: Moment) -> list[Point]:
    """Return each answer against the one before it, of another day, when that is not too long ago."""
    first, found = _window(criterion, chart, moment)[-1], chart.answered(criterion.metric.code, moment)
    out: list[Point] = []
    for place, each in enumerate(found):
        if each.day < first:
            break
        earlier = next((one for one in found[place + 1 :] if one.day < each.day), None)
        if earlier is None or (each.day - earlier.day).days > criterion.over:
            out.append((each.at, None, "no-earlier-value", True))
        else:
            out.append((each.at, each.value - earlier.value, "", True))
    return out


def _measured_part(chart: Chart, day: date, code: str) -> float:
    found = chart.day(day)
    if found is None or not found.parts:
        return 0.0
    return max(found.parts.values()) if code == ANY_SIGNAL else found.parts.get(code, 0.0)


def _parts(criterion: Criterion, chart: Chart, moment: Moment) -> list[Point]:
    """Return how much of each day a signal was measured; of somebody whom nothing measures nothing is known."""
    days = chart.window(moment.today - timedelta(days=1), criterion.window)
    parts = [_measured_part(chart, day, criterion.metric.code) for day in days]
    if not any(parts):
        return [(day, None, "never-measured", True) for day in days]
    return [(day, part, "", True) for day, part in zip(days, parts, strict=True)]


def _age(criterion: Criterion, chart: Chart, moment: Moment) -> list[Point]:
    """Return for how many days there has been nothing of a signal or feature; unknown when the window has nothing at all."""
    code, feature = criterion.metric.code, criterion.metric.kind == "feature"
    for back, day in enumerate(chart.window(moment.today, criterion.window + 1)):
        if feature:
            found = chart.day(day)
            there = found is not None and found.number(code) is not None
        else:
            there = _measured_part(chart, day, code) > 0
        if there:
            return [(moment.today, float(back), "", True)]
    return [(moment.today, None, "never-measured", True)]


def _answer_age(criterion: Criterion, chart: Chart, moment: Moment) -> list[Point]:
    found = chart.answered(criterion.metric.code, moment)
    if not found or (age := (moment.today - found[0].day).days) > criterion.window:
        return [(moment.today, None, "not-answered", True)]
    return [(moment.today, float(age), "", True)]


def instant(at: int) -> str:
    """Return ms since 1970 as text that sorts by time."""
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=at)).isoformat(timespec="milliseconds")


_POINTS: Final[Mapping[tuple[str, str], Callable[[Criterion, Chart, Moment], list[Point]]]] = {
    ("feature", "value"): _values,
    ("feature", "deviation"): _deviations,
    ("feature", "change"): _changes,
    ("feature", "age"): _age,
    ("signal", "age"): _age,
    ("signal", "measured"): _parts,
    ("answer", "value"): _answers,
    ("answer", "change"): _answer_changes,
    ("answer", "age"): _answer_age,
}
"""By kind of metric and what is asked of it: the numbers of the window, newest first."""

ASKED: Final = frozenset(_POINTS)
