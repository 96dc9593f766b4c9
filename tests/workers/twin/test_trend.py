"""The trend of symptoms: it follows questionnaires, learns from signals, widens without data, and its interval holds."""

from __future__ import annotations

import numpy as np
import pytest

from workers.twin.features import FEATURES, Column
from workers.twin.trend import WINDOW, trends


def columns(scores, **values):
    days = len(scores)
    found = {feature.code: Column.blank(days) for feature in FEATURES}
    for code, known in {"phq-9": scores, **values}.items():
        for day, value in enumerate(known):
            found[code].put(day, value, "m", "no-data")
    return found


def every(n, days, value):
    return [value(day) if day % n == 0 else np.nan for day in range(days)]


def trend(found, row):
    return next(each for each in trends(found, row) if each.instrument.name == "phq-9")


def test_without_a_questionnaire_there_is_no_number_but_a_reason():
    found = columns([np.nan] * 90)
    assert {(each.value, each.reason) for each in trends(found, 89)} == {(None, "no-questionnaire")}
    old = columns([12.0] + [np.nan] * 99)
    assert trend(old, WINDOW - 1).value is not None
    assert trend(old, WINDOW).reason == "no-questionnaire"


def test_it_follows_the_scores_and_narrows():
    found = columns(every(7, 80, lambda day: 15.0))
    first, last = trend(found, 0), trend(found, 77)
    assert last.value == pytest.approx(15, abs=0.7)
    assert last.high - last.low < first.high - first.low
    assert (last.questionnaires, last.age) == (12, 0)


def test_it_widens_where_data_are_missing():
    found = columns([*every(7, 50, lambda day: 10.0), *[np.nan] * 33])
    widths = [trend(found, row).high - trend(found, row).low for row in range(49, 83)]
    assert widths == sorted(widths)
    assert widths[-1] > 1.5 * widths[0]
    assert trend(found, 82).age == 33
    steps = [8000 + 900 * (day % 3) for day in range(83)]
    activity = [200 + 20 * (day % 4) for day in range(83)]
    midpoint = [3 + 0.4 * (day % 2) for day in range(83)]
    more = columns(
        [*every(7, 50, lambda day: 10.0), *[np.nan] * 33],
        steps=steps,
        **{"activity-mean": activity, "sleep-midpoint": midpoint},
    )
    assert trend(more, 82).coverage > 0.9
    gone = columns(
        [*every(7, 50, lambda day: 10.0), *[np.nan] * 33],
        steps=[*steps[:60], *[np.nan] * 23], **{"activity-mean": activity[:60], "sleep-midpoint": midpoint[:60]},
    )  # fmt: skip
    assert trend(gone, 82).passive is None
    assert trend(gone, 82).high - trend(gone, 82).low > trend(more, 82).high - trend(more, 82).low


def test_signals_move_it_between_questionnaires_and_the_person_says_how_much():
    """Somebody whose score follows their steps: after the last questionnaire the steps fall."""

    def person(sign):
        wave = [np.sin(day / 6) for day in range(84)]
        steps = [8000 - 2500 * wave[day] for day in range(76)] + [2000.0] * 8
        activity = [250 - 60 * wave[day] for day in range(76)] + [90.0] * 8
        scores = [12 + sign * 4 * wave[day] if day % 5 == 0 and day <= 70 else np.nan for day in range(84)]
        return columns(scores, steps=steps, **{"activity-mean": activity, "resting-heart-rate": [60 + w for w in wave]})

    with_it, against_it = person(1), person(-1)
    assert trend(with_it, 83).loading > 1 > trend(against_it, 83).loading
    assert trend(with_it, 83).value > trend(with_it, 75).value + 1
    assert trend(against_it, 83).value < trend(with_it, 83).value - 2


def test_intervals_hold_what_they_promise():
    """Levels that walk as the model says, scores with its noise: nine of ten of the 95 % intervals hold the level at least."""
    rng, inside, total = np.random.default_rng(5), 0, 0
    for _ in range(60):
        level = np.clip(12 + np.cumsum(rng.normal(0, 0.15 * 27 / np.sqrt(14), 84)), 0, 27)
        scores = [float(np.clip(level[d] + rng.normal(0, 2.3), 0, 27)) if d % 14 == 3 else np.nan for d in range(84)]
        found = columns(scores)
        for row in range(20, 84, 9):
            each = trend(found, row)
            inside += each.low <= level[row] <= each.high
            total += 1
    assert 0.9 <= inside / total <= 0.99


def test_nothing_after_the_day_is_used():
    rng = np.random.default_rng(1)
    scores = every(7, 84, lambda day: float(rng.integers(0, 27)))
    whole = columns(scores, steps=rng.normal(8000, 900, 84).tolist())
    past = columns(scores[:60], steps=whole["steps"].value[:60].tolist())
    assert trends(whole, 59) == trends(past, 59)
