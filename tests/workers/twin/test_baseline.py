"""Personal baselines: robust, circular where the clock is, and honest about how sure they are."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.twin.baseline import baseline, deviation
from workers.twin.cohort import COHORT
from workers.twin.features import BY_CODE, Column

CODES = ("sleep-duration", "sleep-midpoint", "interdaily-stability", "steps")
DURATION, MIDPOINT, STABILITY, STEPS = (BY_CODE[code] for code in CODES)


def column(values, methods=None):
    methods = methods or ["m"] * len(values)
    return Column(np.array(values, float), np.full(len(values), np.nan), [""] * len(values), methods)


def test_median_and_mad_of_the_28_days_before():
    values = [9999] * 5 + [400, 500] * 14 + [100]
    base = baseline(DURATION, column(values), len(values) - 1, shrunk=False)
    assert (base.median, base.mad, base.days, base.centre, base.weight) == (450, 50, 28, 450, 1)
    assert base.spread == pytest.approx(74.13)
    far = deviation(DURATION, 100, base)
    assert far.z == pytest.approx(-350 / 74.13)
    assert far.direction == "below"


def test_too_few_days_and_other_methods_give_none():
    assert baseline(MIDPOINT, column([3] * 9 + [4]), 9) is None
    assert baseline(MIDPOINT, column([3] * 10 + [4]), 10) is not None
    assert baseline(DURATION, column([400] * 2 + [100]), 2) is None
    assert baseline(DURATION, column([400] * 3 + [100]), 3) is not None
    assert baseline(DURATION, column([400] * 20 + [100], ["a"] * 20 + ["b"]), 20) is None


def test_few_days_are_shrunk_to_the_cohort_and_many_stand_alone():
    norm = COHORT["steps"]
    days = [2000 + 500 * (i % 3) for i in range(28)]
    bases = [baseline(STEPS, column([*days[:n], 2000]), n) for n in (3, 7, 14, 28)]
    weights = [base.weight for base in bases]
    assert weights == sorted(weights)
    assert all(base.median <= base.centre <= norm.centre for base in bases)
    assert bases[0].centre - bases[0].median > 8 * (bases[-1].centre - bases[-1].median)
    spreads = [base.spread for base in bases]
    assert spreads == sorted(spreads, reverse=True)
    own = baseline(STEPS, column([*days, 2000]), 28, shrunk=False)
    assert own.spread < spreads[-1] < norm.spread
    errors = [base.centre_error * base.spread**2 for base in bases]
    assert errors == sorted(errors, reverse=True)
    assert errors[0] < norm.between**2


def test_three_days_do_not_raise_an_alarm_by_themselves():
    far = deviation(STEPS, 9000, baseline(STEPS, column([2000, 2100, 1900, 9000]), 3))
    assert far.z > 0
    assert far.direction == "within"


def test_a_windowed_feature_is_not_compared_with_its_own_days():
    values = [0.5] * 28 + [0.9] * 6 + [0.9]
    assert baseline(STABILITY, column(values), 34).median == 0.5


def test_the_spread_is_never_below_the_resolution():
    base = baseline(DURATION, column([400] * 28 + [410]), 28, shrunk=False)
    assert (base.mad, base.spread) == (0, DURATION.resolution)


def test_clock_hours_wrap():
    values = [23.5, 0.5] * 14 + [3.0]
    base = baseline(MIDPOINT, column(values), 28)
    assert base.median % 24 == pytest.approx(0)
    assert base.mad == pytest.approx(0.5)
    assert deviation(MIDPOINT, 21, base).z == pytest.approx(-deviation(MIDPOINT, 3, base).z)


def test_few_days_widen_the_interval():
    few, many = (deviation(MIDPOINT, 6, baseline(MIDPOINT, column([3, 4] * (n // 2) + [6]), n)) for n in (10, 28))
    assert few.z == many.z
    assert few.high - few.low > many.high - many.low
    values = [0.45, 0.55] * 14 + [0.9] * 7
    overlapping = deviation(STABILITY, 0.9, baseline(STABILITY, column(values), 34))
    assert (overlapping.z, overlapping.direction) == (pytest.approx(0.4 / 0.0741, abs=0.01), "within")


def test_the_interval_covers_as_often_as_it_says():
    rng = np.random.default_rng(4)
    hit = 0
    for _ in range(1500):
        values = rng.normal(420, 60, 29)
        values[-1] = 540
        base = baseline(DURATION, column(values), 28)
        far = deviation(DURATION, 540, base)
        hit += far.low <= 2 <= far.high
    assert 0.90 <= hit / 1500 <= 0.985


@given(st.lists(st.floats(0, 1440, allow_subnormal=False), min_size=29, max_size=29), st.randoms(use_true_random=False))
def test_the_order_of_earlier_days_does_not_matter(values, random):
    shuffled = values[:-1]
    random.shuffle(shuffled)
    assert baseline(DURATION, column(values), 28) == baseline(DURATION, column([*shuffled, values[-1]]), 28)
