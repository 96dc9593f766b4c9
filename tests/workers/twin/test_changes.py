"""Change points: a shift of the level is found, dated and measured; noise, odd days and gaps are none."""

from __future__ import annotations

import numpy as np
import pytest

from workers.twin.changes import FARTHEST, OLDEST, SURE, WINDOW, changes, run_lengths
from workers.twin.features import BY_CODE, Column

STEPS, MIDPOINT = BY_CODE["steps"], BY_CODE["sleep-midpoint"]


def column(values):
    return Column(np.array(values, float), np.full(len(values), np.nan), [""] * len(values), ["m"] * len(values))


def of(values, feature=STEPS):
    return changes([(feature, column(values))], range(len(values)))[feature.code]


def days(seed, shift=0.0, at=40, length=60):
    values = np.random.default_rng(seed).normal(8000, 1500, length)
    values[at:] += shift * 1500
    return values


@pytest.mark.parametrize("seed", range(5))
def test_a_shift_is_found_within_days_and_dated(seed):
    found = of(days(seed, -4))
    first = next(day for day in range(40, 60) if found[day].told)
    assert 42 <= first <= 47
    told = found[first + 3]
    assert 40 - 1 <= first + 3 + 1 - told.age <= 40 + 1
    assert told.first <= told.age <= told.last
    assert -9 < told.shift <= -2.5


def test_noise_is_no_change():
    told = [day.told for seed in range(40) for day in of(days(seed))[14:]]
    assert sum(told) / len(told) < 0.01


def test_an_odd_day_and_a_gap_are_no_change():
    values = days(3)
    values[50] = 30000
    assert not any(day.told for day in of(values)[14:])
    values = days(3)
    gap = column(values)
    gap.value[30:40], gap.method[30:40] = np.nan, [""] * 10
    found = changes([(STEPS, gap)], range(60))["steps"]
    assert found[35] is None
    assert not any(day.told for day in found[40:])


def test_a_day_beyond_all_measure_is_an_odd_day_like_any_other():
    """Its density is 0 under either normal: the posterior stays one, and the far day no change."""
    values = days(3)
    values[50] = 1e9
    posterior = run_lengths(np.clip((values[None, 18:60] - 8000) / 1500, -FARTHEST, FARTHEST))
    assert posterior.sum() == pytest.approx(1)
    assert not any(day.told for day in of(values)[14:])


def test_a_change_is_over_when_it_has_become_usual():
    found = of(days(1, -5, at=30, length=75))
    assert found[30 + OLDEST // 2].told
    assert not found[30 + WINDOW].told


def test_clock_hours_wrap():
    values = np.array([23.8, 0.1] * 20 + [3.9, 4.2] * 5)
    found = of(values, MIDPOINT)
    assert found[46].told
    assert found[46].shift > 2
    assert not any(day.told for day in of(np.array([23.8, 0.1] * 25), MIDPOINT)[14:])


def test_the_posterior_is_that_of_the_definition():
    """Against the recursion written down plainly, without outliers in the data the mixture hardly matters."""
    window = np.random.default_rng(2).normal(0, 1, (1, 12))
    posterior = run_lengths(window)[0]
    runs = {0: (1.0, 1 / 9, 0.0)}
    for x in window[0]:
        grown, restart = {}, 0.0
        for length, (weight, count, total) in runs.items():
            mean, variance = total / count, 1 + 1 / count
            inside = 0.95 * np.exp(-0.5 * (x - mean) ** 2 / variance) / np.sqrt(variance)
            outside = 0.05 * np.exp(-0.5 * (x / 8) ** 2) / 8
            part = inside / (inside + outside)
            joint = weight * (inside + outside)
            restart += joint / 60
            grown[length + 1] = joint * 59 / 60, count + part, total + part * x
        runs = {0: (restart, 1 / 9, 0.0)} | grown
        norm = sum(weight for weight, _, _ in runs.values())
        runs = {length: (weight / norm, c, t) for length, (weight, c, t) in runs.items()}
    assert posterior == pytest.approx([runs[length][0] for length in range(13)])
    assert posterior.sum() == pytest.approx(1)
    assert SURE < 1
