"""Does the twin find the episodes of the demo, how late, how often does it cry wolf; and does the page say what was measured?"""

from __future__ import annotations

import statistics
from datetime import date

import pytest

from fhir_server.cli.twin import PAGE
from workers.demo.evaluate import HEADINGS, METHODS, SEEDS, Found, _alarms, evaluate, page
from workers.demo.generate import DAYS, PATIENTS

TWIN, ALONE = "twin: all rules, change points too", "baseline alone: its rules"


def check(found: Found) -> None:
    assert len(found.hits) >= 0.7 * len(found.lags)
    assert statistics.median(found.hits) <= 4
    assert found.false / found.weeks <= 0.1


def test_episodes_are_found_early_and_calm_weeks_stay_calm() -> None:
    found = evaluate((7,), 6)
    assert set(found) == set(METHODS)
    check(found[TWIN])
    assert len(found[TWIN].lags) == 3
    assert found[TWIN].weeks > 40


@pytest.mark.slow
def test_the_page_says_what_the_whole_cohorts_give() -> None:
    found = evaluate()
    check(found[TWIN])
    assert len(found[TWIN].hits) >= len(found[ALONE].hits)
    assert PAGE.read_text() == page(found, SEEDS, PATIENTS, DAYS)


def test_an_alarm_is_the_first_day_after_a_quiet_week() -> None:
    days = [date(2026, 5, day) for day in (1, 2, 8, 9, 17, 30)]
    assert list(_alarms(days)) == [date(2026, 5, 1), date(2026, 5, 17), date(2026, 5, 30)]


def test_a_row_of_a_method_that_found_nothing() -> None:
    assert Found([None], 0, 3.0).row() == ["0 of 1", "-", "-", "0 of 1", "0", "0.000"]
    assert len(Found([1, 2, 5], 1, 2.0).row()) == len(HEADINGS)
