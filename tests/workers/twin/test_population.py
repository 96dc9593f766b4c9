"""Suppression: no group of fewer than 11, none that could be worked out, and figures that are rounded."""

from __future__ import annotations

from datetime import date

from hypothesis import given
from hypothesis import strategies as st

from workers.twin.features import BY_CODE
from workers.twin.population import LEAST, age_group, cells, suppressed

STEPS = BY_CODE["steps"]


@given(st.dictionaries(st.sampled_from("abcdefgh"), st.integers(0, 40), min_size=1))
def test_nothing_small_is_shown_or_worked_out(counts):
    hidden = suppressed(counts)
    assert all(count >= LEAST for group, count in counts.items() if group not in hidden)
    if hidden and hidden != set(counts):
        assert len(hidden) >= 2
        assert sum(counts[group] for group in hidden) >= LEAST


@given(st.dictionaries(st.sampled_from("abcdefgh"), st.integers(LEAST, 40), min_size=1))
def test_nothing_is_hidden_without_need(counts):
    assert suppressed(counts) == set()


def test_one_small_group_hides_the_next_one():
    assert suppressed({"a": 5, "b": 12, "c": 30}) == {"a", "b"}
    assert suppressed({"a": 5, "b": 6, "c": 30}) == {"a", "b"}
    assert suppressed({"a": 5, "b": 5, "c": 11, "d": 30}) == {"a", "b", "c"}


def test_cells():
    everybody, groups = cells(STEPS, {"f": [5000.0 + 90 * i for i in range(12)], "m": [7000.0] * 3})
    assert everybody.people == 15
    assert {cell.people for cell in groups} == {None}
    assert {cell.median for cell in groups} == {None}
    everybody, groups = cells(STEPS, {"f": [5000.0 + 90 * i for i in range(12)], "m": [7000.0] * 20})
    assert [cell.people for cell in groups] == [12, 20]
    assert all(number % STEPS.resolution == 0 for cell in groups for number in (cell.median, cell.lower, cell.upper))
    everybody, groups = cells(STEPS, {"f": [1.0] * 6, "m": [2.0] * 4})
    assert everybody.people is None
    assert cells(STEPS, {})[0].people is None


def test_ages():
    on = date(2026, 6, 30)
    assert age_group(date(1986, 6, 30), on) == "40-49"
    assert age_group(date(1986, 7, 1), on) == "30-39"
    assert age_group(date(1920, 1, 1), on) == "90+"
    assert age_group(None, on) == "unknown"
