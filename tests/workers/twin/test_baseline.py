"""Personal baselines: robust, circular where the clock is, and honest about how sure they are."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.twin.baseline import Baseline, baseline, deviation
from workers.twin.features import BY_CODE, Column

DURATION, MIDPOINT, STABILITY = (BY_CODE[code] for code in ("sleep-duration", "sleep-midpoint", "interdaily-stability"))


def column(values, methods=None):
    methods = methods or ["m"] * len(values)
    return Column(np.array(values, float), np.full(len(values), np.nan), [""] * len(values), methods)


def test_median_and_mad_of_the_28_days_before():
    values = [9999] * 5 + [400, 500] * 14 + [100]
    base = baseline(DURATION, column(values), len(values) - 1)
    assert (base.median, base.mad, base.days) == (450, 50, 28)
    assert base.spread == pytest.approx(74.13)
    far = deviation(DURATION, 100, base)
    assert far.z == pytest.approx(-350 / 74.13)
    assert far.direction == "below"


def test_too_few_days_and_other_methods_give_none():
    assert baseline(DURATION, column([400] * 9 + [100]), 9) is None
    assert baseline(DURATION, column([400] * 10 + [100]), 10) is not None
    assert baseline(DURATION, column([400] * 20 + [100], ["a"] * 20 + ["b"]), 20) is None


def test_a_windowed_feature_is_not_compared_with_its_own_days():
    values = [0.5] * 28 + [0.9] * 6 + [0.9]
    assert baseline(STABILITY, column(values), 34).median == 0.5


def test_the_spread_is_never_below_the_resolution():
    base = baseline(DURATION, column([400] * 28 + [410]), 28)
    assert (base.mad, base.spread) == (0, DURATION.resolution)


def test_clock_hours_wrap():
    values = [23.5, 0.5] * 14 + [3.0]
    base = baseline(MIDPOINT, column(values), 28)
    assert base.median % 24 == pytest.approx(0)
    assert base.mad == pytest.approx(0.5)
    assert deviation(MIDPOINT, 21, base).z == pytest.approx(-deviation(MIDPOINT, 3, base).z)


def test_few_days_widen_the_interval():
    few, many = (deviation(DURATION, 700, Baseline(400, 50, 74, n)) for n in (10, 28))
    assert few.z == many.z
    assert few.high - few.low > many.high - many.low
    overlapping = deviation(STABILITY, 0.9, Baseline(0.5, 0.05, 0.08, 28))
    assert (overlapping.z, overlapping.direction) == (pytest.approx(5), "within")


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
