"""QuestionnaireResponses scored: the instruments, all ways to state an answer, and no total where one is missing."""

from __future__ import annotations

from datetime import UTC, date
from decimal import Decimal

import pytest

from tests.workers.twin.observations import LOINC, observation, quantity
from workers.twin.block import gather
from workers.twin.instruments import GAD7, INSTRUMENTS, PHQ9, severity
from workers.twin.questionnaires import score
from workers.twin.recording import Recording
from workers.twin.signals import read
from workers.twin.state import states
from workers.twin.table import table

CODES = ("LA6568-5", "LA6569-3", "LA6570-1", "LA6571-9")
OURS = "https://fhir.clarity.example/CodeSystem/actigraphy"


def coded(value):
    return {"valueCoding": {"system": LOINC, "code": CODES[value]}}


def response(instrument, values, answer=coded, links=None, **rest):
    links = (
        links or [f"/{code}" for code in instrument.loinc] or [f"{instrument.name}-{i + 1}" for i in range(len(values))]
    )
    items = [{"linkId": link, "answer": [answer(value)]} for link, value in zip(links, values, strict=False)]
    return {
        "resourceType": "QuestionnaireResponse",
        "questionnaire": f"http://example.org/Questionnaire/{instrument.panels[-1]}|1.0",
        "status": "completed",
        "subject": {"reference": "Patient/p"},
        "authored": "2026-05-04T09:00:00+02:00",
        "item": items,
    } | rest


@pytest.mark.parametrize("instrument", INSTRUMENTS.values(), ids=list(INSTRUMENTS))
def test_every_instrument_from_lowest_to_highest(instrument):
    def integer(value):
        return {"valueInteger": value}

    for value in range(instrument.highest + 1):
        found = score(response(instrument, [value] * instrument.items, integer))
        assert (found.instrument, found.total, found.reason) == (instrument, value * instrument.items, "")
    assert found.total == instrument.most
    assert found.severity == instrument.bands[-1][1]


@pytest.mark.parametrize(
    "answer",
    [
        coded,
        lambda v: {"valueInteger": v},
        lambda v: {"valueDecimal": Decimal(v)},
        lambda v: {"valueCoding": {"system": OURS, "code": f"grade-{v}"}},
        lambda v: {
            "valueCoding": {
                "code": "x",
                "extension": [{"url": "http://hl7.org/fhir/StructureDefinition/ordinalValue", "valueDecimal": v}],
            }
        },
    ],
    ids=["loinc", "integer", "decimal", "own-code", "ordinal-value"],
)
def test_ways_to_state_an_answer(answer):
    found = score(response(PHQ9, [1, 2, 3, 0, 1, 2, 3, 0, 1], answer))
    assert (found.total, found.item(8), found.severity) == (13, 1, "moderate")


def test_bands_begin_where_the_papers_say():
    assert [severity(PHQ9, n) for n in (4, 5, 9, 10, 14, 15, 19, 20)] == [
        "minimal", "mild", "mild", "moderate", "moderate", "moderately-severe", "moderately-severe", "severe",
    ]  # fmt: skip
    assert [severity(INSTRUMENTS["isi"], n) for n in (7, 8, 14, 15, 21, 22)] == [
        "none", "subthreshold", "subthreshold", "moderate", "moderate", "severe",
    ]  # fmt: skip
    assert severity(INSTRUMENTS["asrm"], 5) == "below-cutoff"


def test_no_total_where_it_would_be_a_guess():
    whole = [1] * 9
    assert score(response(PHQ9, whole[:8])).reason == "item-missing"
    assert score(response(PHQ9, whole[:8])).total is None
    assert score(response(PHQ9, whole, status="in-progress")).reason == "status"
    assert score(response(PHQ9, whole, lambda v: {"valueString": "often"})).reason == "answer-unknown"
    assert score(response(PHQ9, whole, lambda v: {"valueInteger": 4})).reason == "answer-out-of-range"
    assert (
        score(response(PHQ9, whole, lambda v: {"valueCoding": {"system": "urn:x", "code": "1"}})).reason
        == "answer-unknown"
    )
    twice = response(PHQ9, whole)
    twice["item"].append({"linkId": "/44250-9", "answer": [{"valueInteger": 3}]})
    assert score(twice).reason == "item-repeated"


def test_which_questionnaire_it_is():
    other = response(PHQ9, [1] * 9, questionnaire="http://example.org/Questionnaire/intake")
    assert score(other).instrument is PHQ9
    assert score({"resourceType": "QuestionnaireResponse", "status": "completed"}) is None
    nested = response(GAD7, [2] * 7)
    nested["item"] = [{"linkId": "group", "item": nested["item"]}, {"linkId": "/69737-5-x"}]
    assert score(nested).total == 14
    difficult = response(PHQ9, [1] * 9)
    difficult["item"].append({"linkId": "/69722-7", "answer": [{"valueCoding": {"system": LOINC, "code": "LA6573-5"}}]})
    assert score(difficult).total == 9


def test_a_response_and_its_score_are_one_sample_and_the_item_about_self_harm_is_kept():
    answers = response(PHQ9, [1, 1, 1, 1, 1, 1, 1, 1, 2])
    total = observation("44261-6", effectiveDateTime="2026-05-04T09:00:00+02:00", valueQuantity=quantity(10, "{score}"))
    del total["device"]
    total["component"] = [{"code": {"coding": [{"system": LOINC, "code": "44260-8"}]}, "valueInteger": 2}]
    day = date(2026, 5, 4)
    for resources in ((answers,), (total,), (answers, total), (total, answers)):
        recording = Recording.of(gather((i, 1, read(r)) for i, r in enumerate(resources, 1)), UTC)
        found = table(recording, day, day).columns
        assert (found["phq-9"].value[0], found["phq-9-item-9"].value[0]) == (10, 2)
        assert len(recording.tracks["phq-9"]) == 1
    (state,) = states(gather([(1, 1, read(answers))]))
    assert state.feature("phq-9").value == 10


def test_an_unscored_response_says_why():
    reading = read(response(PHQ9, [1] * 5))
    assert [refusal.reason for refusal in reading.refused] == ["item-missing"]
    assert reading.samples == ()
    assert read(response(PHQ9, [1] * 9) | {"authored": "2026"}).refused[0].reason == "time-too-coarse"
    assert read({"resourceType": "QuestionnaireResponse", "status": "completed", "item": []}).samples == ()


def test_scores_of_isi_and_asrm_as_observations_and_of_a_day():
    whole = observation("isi-total", OURS, effectiveDateTime="2026-05-04", valueInteger=15)
    weeks = {"start": "2026-04-27T09:00:00+02:00", "end": "2026-05-04T09:00:00+02:00"}
    week = observation("asrm-total", OURS, effectivePeriod=weeks, valueQuantity=quantity(7, "{score}"))
    found = table(Recording.of(gather([(1, 1, read(whole)), (2, 1, read(week))])), date(2026, 5, 4), date(2026, 5, 4))
    assert (found.columns["isi"].value[0], found.columns["asrm"].value[0]) == (15, 7)
