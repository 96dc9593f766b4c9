"""Scores: by the definitions of each instrument, and by an evaluation of the Questionnaire's own expression."""

from __future__ import annotations

from typing import Any

import fhirpathpy
import pytest
from fhirpathpy.models import models
from hypothesis import given
from hypothesis import strategies as st

from profiles.psych.codes import LOINC, actigraphy
from profiles.psych.questionnaires import (
    CALCULATED,
    INSTRUMENTS,
    ORDINAL,
    Instrument,
    instrument_of,
    questionnaire,
    score,
)

BY = {each.name: each for each in INSTRUMENTS}


def answered(instrument: Instrument, grades: list[int | None]) -> dict[str, Any]:
    items = []
    for (_, code, _), grade in zip(instrument.items, grades, strict=True):
        if grade is None:
            continue
        system, answer, _ = instrument.answers[grade]
        coding = {"system": system or actigraphy(), "code": answer}
        coding["extension"] = [{"url": ORDINAL, "valueDecimal": grade}]  # type: ignore[assignment]
        items.append({"linkId": f"/{code}", "answer": [{"valueCoding": coding}]})
    url = questionnaire(instrument)["url"]
    return {"resourceType": "QuestionnaireResponse", "questionnaire": url, "status": "completed", "item": items}


@pytest.mark.parametrize(
    ("name", "most", "edges"),
    [
        ("phq-9", 27, {4: "minimal", 5: "mild", 10: "moderate", 15: "moderately severe", 20: "severe"}),
        ("gad-7", 21, {4: "minimal", 5: "mild", 10: "moderate", 15: "severe"}),
        ("isi", 28, {7: "none", 8: "subthreshold", 15: "moderate", 22: "severe"}),
        ("asrm", 20, {5: "below the cut-off", 6: "suggests mania or hypomania"}),
    ],
)
def test_range_and_bands(name: str, most: int, edges: dict[int, str]) -> None:
    instrument = BY[name]
    assert instrument.most == most
    for total, called in edges.items():
        grades: list[int | None] = []
        for _ in instrument.items:
            grades.append(min(total - sum(grades), len(instrument.answers) - 1))  # type: ignore[arg-type]
        found = score(instrument, answered(instrument, grades))
        assert (found.total, found.band, found.missing) == (total, called, 0)


@given(st.data())
def test_the_sum_that_the_questionnaire_itself_states(data: st.DataObject) -> None:
    instrument = data.draw(st.sampled_from(INSTRUMENTS))
    highest = len(instrument.answers) - 1
    grades = data.draw(
        st.lists(st.integers(0, highest), min_size=len(instrument.items), max_size=len(instrument.items))
    )
    response = answered(instrument, list(grades))
    [total] = [item for item in questionnaire(instrument)["item"] if item.get("readOnly")]
    [calculated] = [each for each in total["extension"] if each["url"] == CALCULATED]
    path = calculated["valueExpression"]["expression"].replace("%resource", "QuestionnaireResponse")
    assert path.endswith(".sum()")  # which fhirpathpy cannot do over a model
    stated = fhirpathpy.evaluate(response, path.removesuffix(".sum()"), {}, models["r4"])
    assert sum(map(int, stated)) == sum(grades) == score(instrument, response).total


def test_a_missing_item_gives_no_total() -> None:
    found = score(BY["phq-9"], answered(BY["phq-9"], [1, 2, None, 0, 0, 0, 0, 0, 0]))
    assert (found.total, found.band, found.missing) == (None, None, 1)


def test_an_answer_of_another_scale_is_no_answer() -> None:
    response = answered(BY["isi"], [1] * 7)
    response["item"][0]["answer"][0]["valueCoding"] = {"system": LOINC, "code": "LA6569-3"}
    assert score(BY["isi"], response).total is None


def test_which_instrument_a_response_answers() -> None:
    for instrument in INSTRUMENTS:
        assert instrument_of(answered(instrument, [0] * len(instrument.items))) is instrument
    assert instrument_of({"questionnaire": "http://loinc.org/q/44249-1"}) is BY["phq-9"]
    assert instrument_of({"questionnaire": "http://loinc.org/q/None"}) is None
    assert instrument_of({}) is None
