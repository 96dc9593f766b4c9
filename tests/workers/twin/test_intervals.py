"""Intervals of features: equal to leaving days out one way after the other, and right about as often as they say."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from workers.twin import intervals
from workers.twin.arrays import DAY_MINUTES, Floats
from workers.twin.baseline import unwrapped
from workers.twin.features import BY_CODE
from workers.twin.rhythm import (
    average_day,
    cosinor,
    extreme_window,
    hourly,
    interdaily_stability,
    intradaily_variability,
    relative_amplitude,
)


def _person(rng: np.random.Generator, days: int, level: float = 200) -> Floats:
    """Return days of somebody whose days scatter around one rhythm."""
    clock = np.arange(DAY_MINUTES) / 60
    phase = rng.normal(15, 0.8, (days, 1))
    size = level * rng.lognormal(0, 0.25, (days, 1))
    hourly_noise = np.repeat(rng.lognormal(0, 0.4, (days, 24)), 60, axis=1)
    return np.asarray(size * (1.05 + np.cos(2 * np.pi * (clock - phase) / 24)) * hourly_noise)


def _numbers(days: Floats) -> dict[str, float]:
    """Return every rhythm feature by the functions of `rhythm.py`."""
    profile = average_day(days)
    least, most = extreme_window(profile, 5, lowest=True), extreme_window(profile, 10, lowest=False)
    hours, wave = hourly(days.reshape(-1)), cosinor(days)
    return {
        "interdaily-stability": interdaily_stability(hours),
        "intradaily-variability": intradaily_variability(hours),
        "relative-amplitude": relative_amplitude(least.level, most.level),
        "l5": least.level, "l5-onset": least.onset, "m10": most.level, "m10-onset": most.onset,
        "mesor": wave.mesor, "amplitude": wave.amplitude, "acrophase": wave.acrophase,
    }  # fmt: skip


@pytest.mark.parametrize(("count", "gone"), [(3, 1), (5, 2), (7, 3)])
def test_subsets_are_what_the_features_are_of_the_days_that_stay(count: int, gone: int) -> None:
    rng = np.random.default_rng(count)
    window = np.full((7, DAY_MINUTES), np.nan)
    place = sorted(rng.choice(7, count, replace=False).tolist())
    window[place] = _person(rng, count)
    days, found = intervals.rhythm(window, hourly(window.reshape(-1)).reshape(7, 24))
    subsets = list(combinations(place, count - gone))
    assert days == count
    for i, stay in enumerate(subsets):
        only = np.full_like(window, np.nan)
        only[list(stay)] = window[list(stay)]
        for code, number in _numbers(only).items():
            assert found[code][i] == pytest.approx(number, rel=1e-9, abs=1e-9), code
    assert all(len(each) == len(subsets) for each in found.values())


def test_jackknife_of_a_mean_is_its_standard_error() -> None:
    values = np.random.default_rng(1).normal(10, 2, 7)
    keep = intervals.kept(7)
    found = intervals.jackknife(
        float(values.mean()), keep @ values / keep.sum(axis=1), 7, circular=False, least=0, most=99
    )
    assert found is not None
    assert found.high - values.mean() == pytest.approx(2.4469 * values.std(ddof=1) / np.sqrt(7), rel=1e-6)


def test_clock_hours_do_not_jump_at_midnight() -> None:
    subsets = np.array([23.9, 0.1, 23.8, 0.2] * 5)
    found = intervals.jackknife(0.0, subsets, 6, circular=True, least=0, most=24)
    assert found is not None
    assert -1 < found.low < 0 < found.high < 1


def test_a_week_holds_what_many_weeks_have_in_the_mean() -> None:
    rng = np.random.default_rng(7)
    weeks = [_person(rng, 7) for _ in range(80)]
    said = [_numbers(week) for week in weeks]
    subsets = [intervals.rhythm(week, hourly(week.reshape(-1)).reshape(7, 24))[1] for week in weeks]
    for code in said[0]:
        numbers, circular = np.array([each[code] for each in said]), BY_CODE[code].circular
        numbers = unwrapped(numbers) if circular else numbers
        truth, held = float(numbers.mean()), 0
        for number, own in zip(numbers.tolist(), subsets, strict=True):
            found = intervals.jackknife(number, own[code], 7, circular=circular, least=-99, most=1e9)
            assert found is not None
            held += found.low <= truth <= found.high
        assert held / len(weeks) >= 0.85, code


def test_minutes_that_are_missing_widen_and_whole_days_do_not() -> None:
    rng = np.random.default_rng(3)
    truth = np.repeat(rng.lognormal(5, 0.5, (200, 14)), 60, axis=1) * rng.lognormal(0, 0.3, (200, 840))
    seen = truth.copy()
    for row, start in enumerate(rng.integers(0, 690, 200).tolist()):
        seen[row, start : start + 150] = np.nan
    held = 0
    for row in range(200):
        about = intervals.unmeasured_mean(seen, row)
        assert about.low < np.nanmean(seen[row]) < about.high
        held += about.low <= truth[row].mean() <= about.high
        whole = intervals.unmeasured_mean(truth, row)
        assert whole.low == whole.high == pytest.approx(truth[row].mean())
    assert held / 200 >= 0.9


def test_steps_that_were_counted_were_made_and_more_may_have_been() -> None:
    rng = np.random.default_rng(4)
    truth = np.repeat(rng.poisson(20, (200, 14)), 60, axis=1) * (rng.random((200, 840)) < 0.3)
    held = 0
    for row, start in enumerate(rng.integers(0, 700, 200).tolist()):
        known = np.ones(840, bool)
        known[start : start + 140] = False
        value = float(truth[row][known].sum())
        about = intervals.unmeasured_sum(value, truth[row].astype(float), known)
        assert about.low == value < about.high
        held += truth[row].sum() <= about.high
        assert intervals.unmeasured_sum(value, truth[row].astype(float), np.ones(840, bool)) == (
            value,
            value,
            "unmeasured",
        )
    assert held / 200 >= 0.93


def test_ends_stay_within_what_the_number_can_be() -> None:
    assert intervals.about(0.98, 0.1, "samples", 0, 1) == (pytest.approx(0.88), 1, "samples")
    assert intervals.about(-5, 1, "samples") == (
        -5,
        -4,
        "samples",
    )  # a number out of bounds stays inside its own interval
    assert intervals.welch(0.5, np.array([3.0, 3.0]), np.array([2.5, 2.5, 2.5])) == (0.5, 0.5, "welch")
    assert intervals.welch(0.5, np.array([3.0, 4.0]), np.array([2.5, 2.6, 2.5])).low == 0
    assert intervals.batch_means(60, np.full(30, np.nan)) is None
    low, high, _ = intervals.batch_means(60, np.repeat([59.0, 61, 60, 60, 59, 61], 5)) or (0, 0, "")
    assert 59 < low < 60 < high < 61
