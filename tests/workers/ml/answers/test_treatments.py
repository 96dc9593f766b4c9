"""Response and outcome: asked where the record has ratings of a treatment's first weeks, of those ratings, not otherwise."""

from __future__ import annotations

from datetime import UTC, date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.settings import Settings
from workers.ml.answers.patient import SPREAD, TREATMENT, Known, Rating, answers
from workers.ml.answers.shelf import Models, opened
from workers.twin.codes import BASE

Json = dict[str, Any]
START = date(2026, 3, 2)


@pytest.fixture(scope="module")
def models() -> Models:
    return opened(Settings(environment="test", data=Path("unused")))  # type: ignore[call-arg]


def rating(after: int, value: float) -> Rating:
    return Rating(START + timedelta(days=after), value, f"Observation/{after}")


def asked(models: Models, today: int, **ratings: list[Rating]) -> list[Json]:
    """Return the RiskAssessments about somebody with nothing but ratings, so many days after the start."""
    known = Known(
        "p", UTC, START + timedelta(days=today), {}, {}, {name.replace("_", "-"): found for name, found in ratings.items()}, BASE
    )  # fmt: skip
    found = [each for each in answers(known, models) if each["resourceType"] == "RiskAssessment"]
    return [each for each in found if not each["method"]["coding"][0]["code"].startswith("episode-risk")]


def test_response_is_what_the_model_says_of_the_changes_of_two_weeks(models: Models) -> None:
    [said] = asked(models, 15, panss_total=[rating(0, 95), rating(7, 88), rating(14, 80)])
    assert models.response is not None
    x = np.array(
        [dict(zip(("change-week-1", "change-week-2"), (-7.0, -15.0), strict=True))[n] for n in models.response.names]
    )
    [prediction] = said["prediction"]
    wanted = 100 * models.response.probabilities(x[None])[0]
    assert float(prediction["probabilityDecimal"]) == pytest.approx(wanted, abs=0.06)
    assert said["basis"] == [{"reference": f"Observation/{day}"} for day in (0, 14, 7)]
    assert prediction["whenPeriod"] == {"start": "2026-03-03", "end": str(START + timedelta(days=56))}
    assert "Taken for granted" in said["note"][2]["text"]


def test_who_gets_better_is_told_a_higher_chance(models: Models) -> None:
    def chance(change: float) -> Decimal:
        [said] = asked(models, 15, panss_total=[rating(0, 95), rating(7, 95 + change / 2), rating(14, 95 + change)])
        return Decimal(said["prediction"][0]["probabilityDecimal"])

    assert chance(-25) > chance(-10) > chance(5)


def test_outcome_counts_from_baseline_and_one_week(models: Models) -> None:
    [better] = asked(models, 8, imps_79=[rating(0, 5.5), rating(7, 3.5)])
    [same] = asked(models, 8, imps_79=[rating(0, 5.5), rating(7, 5.5)])
    assert better["method"]["coding"][0]["code"] == "outcome-imps-79"
    assert better["prediction"][0]["probabilityDecimal"] > same["prediction"][0]["probabilityDecimal"]


def test_a_course_unlike_all_that_was_learned_from_gets_no_number(models: Models) -> None:
    [said] = asked(models, 15, panss_total=[rating(0, 30), rating(7, 200), rating(14, 200)])
    [prediction] = said["prediction"]
    assert "probabilityDecimal" not in prediction
    assert "out-of-range" in prediction["rationale"]


@pytest.mark.parametrize(
    ("today", "found"),
    [
        pytest.param(15, [], id="no rating"),
        pytest.param(15, [rating(0, 95), rating(14, 80)], id="the first week is missing"),
        pytest.param(15, [rating(0, 95), rating(7 + SPREAD + 1, 88), rating(14 + SPREAD + 1, 80)], id="off the week"),
        pytest.param(TREATMENT + 1, [rating(0, 95), rating(7, 88), rating(14, 80)], id="long ago"),
    ],
)
def test_without_the_ratings_of_the_first_weeks_nothing_is_said(
    models: Models, today: int, found: list[Rating]
) -> None:
    assert asked(models, today, panss_total=found) == []


@given(st.permutations([rating(0, 95), rating(6, 88), rating(15, 80), rating(16, 82)]))
def test_the_order_of_the_ratings_does_not_matter(models: Models, found: list[Rating]) -> None:
    [said] = asked(models, 20, panss_total=found)
    assert {each["reference"] for each in said["basis"]} == {"Observation/0", "Observation/6", "Observation/15"}
