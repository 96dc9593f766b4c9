"""One criterion of a rule, evaluated to true, false or unknown, and an unknown says why.

A day without the number never satisfies a criterion and never drops out of one: of "3 of 4 days" with one day unknown the answer is
true when three known days are enough, false when even the unknown day could not make three, else unknown.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final, Literal, NamedTuple

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


class Point(NamedTuple):
    """One day or answer: its number, or why there is none; `sure` is False for a deviation that may be none."""

    when: str
    number: float | None
    reason: str = ""
    sure: bool = True


def evaluate(criterion: Criterion, chart: Chart, moment: Moment) -> Finding:
    """Return what a criterion says at a moment."""
    points = _POINTS[criterion.metric.kind, criterion.of](criterion, chart, moment)
    if criterion.comparator and criterion.days:
        return _counted(criterion, points)
    newest = next((point for point in points if point.number is not None), None)
    if newest is None or newest.number is None:
        return Finding(None, None, _why(criterion, points), "", 0, len(points))
    if not criterion.comparator:
        return Finding(None, newest.number, "", newest.when, 1, len(points))
    met = COMPARATORS[criterion.comparator](newest.number, criterion.limit)
    if met and not newest.sure:
        return Finding(None, newest.number, "too-uncertain", newest.when, 1, len(points))
    return Finding(met, newest.number, "", newest.when, 1, len(points))


def _counted(criterion: Criterion, points: list[Point]) -> Finding:
    """Return whether enough days of the window satisfy the criterion."""
    compare = COMPARATORS[criterion.comparator]
    met = [p for p in points if p.number is not None and p.sure and compare(p.number, criterion.limit)]
    unsure = [p for p in points if p.number is not None and not p.sure and compare(p.number, criterion.limit)]
    known = sum(point.number is not None for point in points)
    newest = next((p.number for p in points if p.number is not None), None)
    if len(met) >= criterion.days:
        return Finding(True, met[0].number, "", met[0].when, known, len(points))
    open_ = len(unsure) + (len(points) - known if criterion.missing == "unknown" else 0)
    if known and len(met) + open_ < criterion.days:
        return Finding(False, newest, "", "", known, len(points))
    if not known:
        return Finding(None, None, _why(criterion, points), "", 0, len(points))
    reason = "too-uncertain" if len(points) == known else "too-few-days"
    return Finding(None, newest, reason, "", known, len(points))


def _why(criterion: Criterion, points: list[Point]) -> str:
    told = {point.reason for point in points} - {""}
    if len(told) == 1:
        return told.pop()
    return "not-answered" if criterion.metric.kind == "answer" else "not-known"


def _window(criterion: Criterion, moment: Moment) -> list[date]:
    newest = criterion.metric.newest(moment)
    return [newest - timedelta(days=back) for back in range(criterion.window)]


def _number(chart: Chart, day: date, code: str) -> tuple[float | None, str]:
    found = chart.day(day)
    if found is None:
        return None, "not-known"
    return found.numbers.get(code, (None, "not-known"))


def _values(criterion: Criterion, chart: Chart, moment: Moment) -> list[Point]:
    code = criterion.metric.code
    return [Point(day.isoformat(), _number(chart, day, code)[0], "not-known") for day in _window(criterion, moment)]


def _deviations(criterion: Criterion, chart: Chart, moment: Moment) -> list[Point]:
    out = []
    for day in _window(criterion, moment):
        found = chart.day(day)
        far = found.deviations.get(criterion.metric.code) if found else None
        if far is None:
            known = found is not None and found.numbers.get(criterion.metric.code, (None, ""))[0] is not None
            out.append(Point(day.isoformat(), None, "no-baseline" if known else "not-known"))
        else:
            out.append(Point(day.isoformat(), far.z, "", far.low > 0 or far.high < 0))
    return out


def _changes(criterion: Criterion, chart: Chart, moment: Moment) -> list[Point]:
    out = []
    for day in _window(criterion, moment):
        now = _number(chart, day, criterion.metric.code)[0]
        before = _number(chart, day - timedelta(days=criterion.over), criterion.metric.code)[0]
        if now is None or before is None:
            out.append(Point(day.isoformat(), None, "not-known" if now is None else "no-earlier-value"))
            continue
        far = now - before
        out.append(Point(day.isoformat(), (far + 12) % 24 - 12 if criterion.metric.circular else far))
    return out


def _answers(criterion: Criterion, chart: Chart, moment: Moment) -> list[Point]:
    first = _window(criterion, moment)[-1]
    found = chart.answered(criterion.metric.code, moment)
    return [Point(instant(each.at), each.value) for each in found if each.day >= first]


def _answer_changes(criterion: Criterion, chart: Chart, moment: Moment) -> list[Point]:
    """Return each answer against the one before it, of another day, when that is not too long ago."""
    first, found = _window(criterion, moment)[-1], chart.answered(criterion.metric.code, moment)
    out = []
    for place, each in enumerate(found):
        if each.day < first:
            break
        earlier = next((one for one in found[place + 1 :] if one.day < each.day), None)
        if earlier is None or (each.day - earlier.day).days > criterion.over:
            out.append(Point(instant(each.at), None, "no-earlier-value"))
        else:
            out.append(Point(instant(each.at), each.value - earlier.value))
    return out


def _measured_parts(chart: Chart, day: date, code: str) -> float:
    found = chart.day(day)
    if found is None or not found.parts:
        return 0.0
    return max(found.parts.values()) if code == ANY_SIGNAL else found.parts.get(code, 0.0)


def _parts(criterion: Criterion, chart: Chart, moment: Moment) -> list[Point]:
    """Return how much of each day a signal was measured; of somebody whom nothing measures nothing is known."""
    code, newest = criterion.metric.code, moment.today - timedelta(days=1)
    days = [newest - timedelta(days=back) for back in range(criterion.window)]
    parts = [_measured_parts(chart, day, code) for day in days]
    if not any(parts):
        return [Point(day.isoformat(), None, "never-measured") for day in days]
    return [Point(day.isoformat(), part) for day, part in zip(days, parts, strict=True)]


def _age(criterion: Criterion, chart: Chart, moment: Moment) -> list[Point]:
    """Return for how many days there has been nothing of a signal or feature; unknown when the window has nothing at all."""
    code, feature = criterion.metric.code, criterion.metric.kind == "feature"
    for back in range(criterion.window + 1):
        day = moment.today - timedelta(days=back)
        there = _number(chart, day, code)[0] is not None if feature else _measured_parts(chart, day, code) > 0
        if there:
            return [Point(moment.today.isoformat(), float(back))]
    return [Point(moment.today.isoformat(), None, "never-measured")]


def _answer_age(criterion: Criterion, chart: Chart, moment: Moment) -> list[Point]:
    found = chart.answered(criterion.metric.code, moment)
    if not found or (age := (moment.today - found[0].day).days) > criterion.window:
        return [Point(moment.today.isoformat(), None, "not-answered")]
    return [Point(moment.today.isoformat(), float(age))]


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
