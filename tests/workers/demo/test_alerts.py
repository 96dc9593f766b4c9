"""Alarm fatigue on the demo: what counts as an alert of an episode, and does the page say what was measured?"""

from __future__ import annotations

from datetime import UTC, date, timedelta

import pytest

from fhir_server.cli.rules import PAGE
from tests.workers.rules.made import chart
from workers.demo.alerts import BEGIN, FINISH, HEADINGS, Case, Told, cases, evaluate, named, placed, rules, table
from workers.demo.evaluate import SEEDS
from workers.demo.generate import DAYS, PATIENTS
from workers.rules.chart import Deviating

FIRST = date(2026, 3, 2)


def quiet(*, episode: tuple[int, int] | None, still: range) -> Case:
    """Return somebody of whom nothing but activity is known, far below usual on some days."""
    days = [FIRST + timedelta(days=i) for i in range(42)]
    far = {True: Deviating(-4, -5, -3), False: Deviating(0.5, 0.1, 0.9)}
    made = {day: {"activity-mean": far[i in still]} for i, day in enumerate(days)}
    told = (FIRST + timedelta(days=episode[0]), FIRST + timedelta(days=episode[1])) if episode else None
    return Case("x", chart({day: {"activity-mean": 1.0} for day in days}, made), tuple(days), UTC, told)


def test_an_alert_is_of_an_episode_or_false() -> None:
    found, together = evaluate([quiet(episode=(14, 27), still=range(16, 24)), quiet(episode=None, still=range(30, 34))])
    told = found["inactivity"]
    assert told.lags == [5], "three of four days, each known when it is over"
    assert told.false == 1
    assert told.first == [5]
    assert told.weeks == 12
    assert (len(together.lags), together.false) == (1, 1)
    assert set(found) == {named(rule) for rule in rules()}


def test_the_row_of_a_rule() -> None:
    assert len(Told().row()) == len(HEADINGS)
    row = Told([0, 5], 2, [0, None], 8.0, 10, 4).row()
    assert row == ["4", "0.500", "2 (50%)", "1 (25%)", "1 of 2", "0", "40%"]


def test_the_table_takes_its_place() -> None:
    section = table({"x": Told()}, Told(), (1, 2), 3, 4)
    page = placed("# Rules\n", section)
    assert page.startswith("# Rules\n\n<!-- evaluation -->")
    assert placed(page, f"{BEGIN}\nnew\n{FINISH}") == f"# Rules\n\n{BEGIN}\nnew\n{FINISH}\n"


def test_episodes_of_a_small_cohort_are_told_and_calm_weeks_stay_calm() -> None:
    found, together = evaluate(cases((7,), 4))
    assert sum(first is not None for first in together.first) == 2
    assert together.false / together.weeks < 0.25
    assert found["device-silence"].unknown == 0


@pytest.mark.slow
def test_the_page_says_what_the_whole_cohorts_give() -> None:
    by_rule, together = evaluate(cases(SEEDS))
    assert table(by_rule, together, SEEDS, PATIENTS, DAYS) in PAGE.read_text("utf-8")
