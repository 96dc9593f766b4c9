"""Rules evaluated: against a plain second evaluator, over generated series; what is missing never fires and never drops out."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.workers.rules import naive
from tests.workers.rules.made import chart
from workers.rules.chart import Answer, Chart, Deviating, Moment
from workers.rules.criterion import Criterion, evaluate
from workers.rules.expression import compiled
from workers.rules.metrics import ANY_SIGNAL, METRICS
from workers.rules.rule import Rule, judge

TODAY = date(2026, 5, 20)
NOON = Moment(datetime(2026, 5, 20, 12, tzinfo=UTC))
DAYS = [TODAY - timedelta(days=back) for back in range(10)]
NAMES = ("a", "b", "c")
METRIC = ("sleep-duration", "steps", "resting-heart-rate")

numbers = st.integers(0, 6).map(float)
series = st.fixed_dictionaries(
    {metric: st.dictionaries(st.sampled_from(DAYS), numbers, max_size=10) for metric in METRIC}
)


@st.composite
def asked(draw: st.DrawFn) -> dict[str, Any]:
    window = draw(st.integers(1, 5))
    return {
        "metric": draw(st.sampled_from(METRIC)), "of": draw(st.sampled_from(["value", "change"])), "window": window,
        "comparator": draw(st.sampled_from(["<", "<=", ">", ">="])), "limit": draw(numbers), "over": draw(st.integers(1, 4)),
        "days": draw(st.integers(0, window)), "missing": draw(st.sampled_from(["unknown", "unmet"])),
    }  # fmt: skip


trees = st.recursive(
    st.sampled_from(NAMES),
    lambda part: st.one_of(
        st.tuples(st.just("not"), part), st.tuples(st.sampled_from(["and", "or", "xor", "implies"]), part, part)
    ),
    max_leaves=4,
)


def criterion(name: str, of: dict[str, Any]) -> Criterion:
    metric = METRICS[of["metric"]]
    return Criterion(
        name,
        metric,
        of["of"],
        metric.unit,
        of["window"],
        of["comparator"],
        of["limit"],
        of["days"],
        of["over"],
        of["missing"],
    )


def made_chart(by_metric: dict[str, dict[date, float]]) -> Chart:
    days: dict[date, dict[str, float]] = {}
    for metric, found in by_metric.items():
        for day, number in found.items():
            days.setdefault(day, {})[metric] = number
    return chart(days)


def rule(criteria: tuple[Criterion, ...], condition: str) -> Rule:
    units = {each.name: None if each.comparator else each.unit for each in criteria}
    return Rule(
        "r", "https://rules.example/r", "1", "R", ("s", "c", "d"), "urgent", criteria, compiled(condition, units)
    )


def newest(metric: str) -> date:
    """Return the newest day that has a metric at noon: steps of a running day are not told yet."""
    return TODAY - timedelta(days=1) if metric == "steps" else TODAY


@settings(max_examples=300, deadline=None)
@given(series, asked())
def test_a_criterion_is_what_the_plain_evaluator_says(data: Any, of: dict[str, Any]) -> None:
    found = evaluate(criterion("a", of), made_chart(data), NOON)
    assert found.holds == naive.criterion(of, data, newest(of["metric"]))
    assert bool(found.reason) == (found.holds is None), "an unknown says why, an answer does not"


@settings(max_examples=300, deadline=None)
@given(series, st.tuples(asked(), asked(), asked()), trees)
def test_a_rule_is_what_the_plain_evaluator_says(data: Any, of: Any, tree: Any) -> None:
    criteria = tuple(criterion(name, each) for name, each in zip(NAMES, of, strict=True))
    verdict = judge(rule(criteria, naive.written(tree)), made_chart(data), NOON)
    values = {name: naive.criterion(each, data, newest(each["metric"])) for name, each in zip(NAMES, of, strict=True)}
    wanted = naive.holds(tree, values)
    if naive.used_once(tree) or verdict.fires is not None:
        assert verdict.fires == wanted


@settings(max_examples=300, deadline=None)
@given(series, st.tuples(asked(), asked(), asked()), trees, st.data())
def test_what_is_not_known_never_fires(data: Any, of: Any, tree: Any, drawn: st.DataObject) -> None:
    """Take away any numbers: what did not fire does not begin to, unless the newest of a window made room for an older one."""
    fixed = [each | {"days": each["days"] or 1, "missing": "unknown"} for each in of]
    criteria = tuple(criterion(name, each) for name, each in zip(NAMES, fixed, strict=True))
    made = rule(criteria, naive.written(tree))
    whole = judge(made, made_chart(data), NOON).fires
    gone = drawn.draw(st.sets(st.tuples(st.sampled_from(METRIC), st.sampled_from(DAYS))))
    less = {metric: {d: n for d, n in found.items() if (metric, d) not in gone} for metric, found in data.items()}
    fewer = judge(made, made_chart(less), NOON).fires
    assert fewer in (None, whole)


@settings(max_examples=100, deadline=None)
@given(series, asked(), st.randoms(use_true_random=False))
def test_the_order_of_arrival_does_not_matter(data: Any, of: Any, rng: random.Random) -> None:
    shuffled = {metric: dict(rng.sample(sorted(found.items()), len(found))) for metric, found in data.items()}
    one = criterion("a", of)
    assert evaluate(one, made_chart(data), NOON) == evaluate(one, made_chart(shuffled), NOON)


def test_the_future_is_not_known() -> None:
    one = Criterion("a", METRICS["sleep-duration"], "value", "min", 3, ">", 5.0, 1)
    assert evaluate(one, made_chart({"sleep-duration": {TODAY: 9.0}}), NOON).holds is True
    dawn = Moment(datetime(2026, 5, 20, 7, tzinfo=UTC))
    assert evaluate(one, made_chart({"sleep-duration": {TODAY: 9.0}}), dawn).holds is None, "the night is not over"
    at = int(datetime(2026, 5, 20, 13, tzinfo=UTC).timestamp() * 1000)
    answered = Criterion("a", METRICS["phq-9-item-9"], "value", "{score}", 14, ">", 0, 1)
    assert evaluate(answered, chart(answers={"phq-9-item-9": [Answer(TODAY, at, 2, 1)]}), NOON).holds is None


def deviating(of: str, **days: tuple[float, float, float]) -> Chart:
    found = {TODAY - timedelta(days=int(back[1:])): {of: Deviating(*each)} for back, each in days.items()}
    return chart({day: {of: 1.0} for day in found}, found)


def test_a_deviation_that_may_be_none_is_not_certain_enough() -> None:
    one = Criterion("a", METRICS["sleep-duration"], "deviation", "1", 3, "<=", -2.0, 2)
    assert evaluate(one, deviating("sleep-duration", d0=(-3, -4, -2), d1=(-3, -4, -2)), NOON).holds is True
    doubtful = evaluate(one, deviating("sleep-duration", d0=(-3, -7, 1), d1=(-3, -4, -2), d2=(0, -1, 1)), NOON)
    assert (doubtful.holds, doubtful.reason) == (None, "too-uncertain")
    assert evaluate(one, deviating("sleep-duration", d0=(-1, -2, 1), d1=(0, -1, 1)), NOON).holds is False
    without = evaluate(one, chart({day: {"sleep-duration": 1.0} for day in DAYS}), NOON)
    assert (without.holds, without.reason) == (None, "no-baseline")


def test_silence_is_counted_from_the_last_sample_and_never_of_who_has_no_device() -> None:
    one = Criterion("a", METRICS[ANY_SIGNAL], "age", "d", 30, ">=", 3)
    assert evaluate(one, chart(measured={TODAY - timedelta(days=3): {"steps": 0.1}}), NOON).holds is True
    assert evaluate(one, chart(measured={TODAY - timedelta(days=2): {"steps": 0.1}}), NOON).holds is False
    nobody = evaluate(one, chart(measured={TODAY - timedelta(days=31): {"steps": 0.1}}), NOON)
    assert (nobody.holds, nobody.reason) == (None, "never-measured")
    scored = chart(measured={TODAY: {"phq-9": 1.0}})
    assert evaluate(one, scored, NOON).holds is None, "an answer is no device"


def test_a_measured_part_of_nothing_is_a_number_where_there_is_a_device() -> None:
    one = Criterion("a", METRICS["steps"], "value", "{steps}", 2, "<", 100, 2)
    part = Criterion("a", METRICS[ANY_SIGNAL], "measured", "1", 3, "<", 0.5, 3)
    partly = chart(measured={TODAY - timedelta(days=1): {"heart-rate": 0.2}})
    assert evaluate(part, partly, NOON).holds is True
    assert evaluate(part, chart(), NOON).holds is None
    assert evaluate(one, partly, NOON).holds is None, "a day without steps is not a day of no steps"


def test_numbers_stand_in_the_expression_with_their_units() -> None:
    sleep = Criterion("sleep", METRICS["sleep-duration"], "value", "min", 2)
    hearts = Criterion("pulse", METRICS["resting-heart-rate"], "value", "/min", 2)
    made = rule((sleep, hearts), "%sleep < 5 'h' and %pulse / 60 > 1.5 '/min'")
    assert judge(made, chart({TODAY: {"sleep-duration": 299.0, "resting-heart-rate": 95.0}}), NOON).fires is True
    assert judge(made, chart({TODAY: {"sleep-duration": 301.0, "resting-heart-rate": 95.0}}), NOON).fires is False
    assert judge(made, chart({TODAY: {"resting-heart-rate": 95.0}}), NOON).fires is None
    assert judge(made, chart({TODAY: {"resting-heart-rate": 60.0}}), NOON).fires is False


def test_a_change_around_midnight_is_small() -> None:
    one = Criterion("a", METRICS["sleep-midpoint"], "change", "h", 1, ">", 2.0, 0, 1)
    late = chart({TODAY: {"sleep-midpoint": 0.5}, TODAY - timedelta(days=1): {"sleep-midpoint": 23.5}})
    found = evaluate(one, late, NOON)
    assert (found.holds, found.number) == (False, 1.0)
