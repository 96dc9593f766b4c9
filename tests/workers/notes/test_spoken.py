"""What anybody wrote about death or self-harm: found wherever it stands, quoted, and never given to a model."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from tests.workers.notes.records import record as demo_record
from workers.notes.checker import checked
from workers.notes.drafter import draft
from workers.notes.note import markdown
from workers.notes.prompt import segments
from workers.notes.record import Record
from workers.notes.spoken import spoken

Json = dict[str, Any]
DAY = "2026-06-10"
ITEM9: Json = {
    "resourceType": "QuestionnaireResponse", "id": "form", "status": "completed", "authored": "2026-06-12T09:00:00Z",
    "questionnaire": "http://loinc.org/q/44249-1",
    "item": [{"linkId": "/44260-8", "text": "Thoughts that you would be better off dead",
              "answer": [{"valueCoding": {"code": "LA6568-5", "display": "Not at all"}}]}],
}  # fmt: skip


def record(*found: Json, texts: Any = None) -> Record:
    every = {f"{r['resourceType']}/{r['id']}": r for r in (ITEM9, *found)}
    return Record("Patient/p", date(2026, 6, 1), date(2026, 6, 30), every, texts=texts or {})


def said(known: Record, language: Any = "en") -> list[str]:
    note = checked(draft(known, "progress", language), known)
    assert [(each.text, each.problems) for each in note.statements if each.problems] == []
    return [each.text for each in note.sections[0].statements] if note.sections[0].code == "risk" else []


def active(**more: Any) -> Json:
    return {"clinicalStatus": {"coding": [{"code": "active"}]}, **more}


PLACES: dict[str, tuple[Json, str]] = {
    "condition": (active(resourceType="Condition", code={"text": "Suicidal thoughts"}, recordedDate=DAY), "Suicidal thoughts"),
    "old, active": (active(resourceType="Condition", code={"text": "Suicidal thoughts"}, onsetDateTime="2019-01-01"), "Suicidal"),
    "no date": (active(resourceType="Condition", code={"text": "Deliberate self-harm"}), "Deliberate self-harm"),
    "code only": (active(resourceType="Condition", code={"coding": [{"code": "R45.851"}]}, recordedDate=DAY), "R45.851"),
    "display": (active(resourceType="Condition", code={"text": "Crisis", "coding": [{"display": "Suicide attempt"}]}),
        "Suicide attempt"),
    "message": ({"resourceType": "Communication", "status": "completed", "sent": f"{DAY}T20:00:00Z",
                 "payload": [{"contentString": "I want to kill myself tonight"}]}, "I want to kill myself tonight"),
    "undated message": ({"resourceType": "Communication", "status": "completed",
                         "payload": [{"contentString": "Ich will nicht mehr leben"}]}, "Ich will nicht mehr leben"),
    "accepted": ({"resourceType": "Observation", "status": "final", "effectiveDateTime": DAY,
                  "code": {"coding": [{"code": "risk-statement"}], "text": "Statement about risk"},
                  "valueString": "Reports a death wish."}, "Reports a death wish."),
    "note": ({"resourceType": "Observation", "status": "final", "effectiveDateTime": DAY, "code": {"text": "Weight"},
              "valueQuantity": {"value": 70, "unit": "kg"}, "note": [{"text": "Says SI is present."}]}, "Says SI is present."),
    "coded answer": ({"resourceType": "Observation", "status": "final", "effectiveDateTime": DAY,
                      "code": {"text": "Suicidal ideation"}, "valueCodeableConcept": {"text": "with intent"}},
                          "Suicidal ideation: with intent"),
    "question": ({"resourceType": "QuestionnaireResponse", "status": "completed", "authored": f"{DAY}T08:00:00Z",
                  "item": [{"linkId": "1", "text": "Have you wished you were dead?", "answer": [{"valueBoolean": True}]}]},
                 "Have you wished you were dead?: yes"),
    "flag": ({"resourceType": "Flag", "status": "active", "code": {"text": "Suicide watch"},
        "period": {"start": "2020-01-01"}}, "Suicide watch"),
    "person's assessment": ({"resourceType": "RiskAssessment", "status": "final", "occurrenceDateTime": DAY,
                             "performer": {"reference": "Practitioner/d"}, "mitigation": "Safety plan: hang himself means removed"},
                            "Safety plan"),
    "issue": ({"resourceType": "DetectedIssue", "status": "final", "identifiedDateTime": DAY,
        "detail": "Took an overdose"}, "Took an overdose"),
    "quotes and lines": ({"resourceType": "Communication", "status": "completed", "sent": DAY,
                          "payload": [{"contentString": 'He said "I want\nto die".'}]}, "He said 'I want to die'."),
    "encounter": ({"resourceType": "Encounter", "status": "finished", "class": {"code": "EMER"}, "period": {"start": DAY},
                   "reasonCode": [{"text": "Suicide attempt"}]}, "Suicide attempt"),
}  # fmt: skip


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("language", ["en", "de"])
def test_it_stands_first_beside_not_at_all(place: str, language: Any) -> None:
    resource, words = PLACES[place]
    found = said(record(resource | {"id": "x"}), language)
    assert words in found[0]
    assert any('"Not at all"' in each for each in found)


def test_of_a_document_the_sentences_that_speak_of_it() -> None:
    long = "Sleeps badly. " * 60 + "Suicidal ideation with a plan. " + "Eats well. " * 40
    document = {"resourceType": "DocumentReference", "id": "d", "status": "current", "date": f"{DAY}T10:00:00Z"}
    [first, *_] = said(record(document, texts={"DocumentReference/d": long}))
    assert '"Suicidal ideation with a plan."' in first
    assert "Sleeps" not in first


@pytest.mark.parametrize("resource", [
    active(resourceType="Condition", id="x", code={"text": "Migraine"}),
    {"resourceType": "Condition", "id": "x", "code": {"text": "Suicidal thoughts"}, "onsetDateTime": "2019-01-01",
     "clinicalStatus": {"coding": [{"code": "resolved"}]}},
    {"resourceType": "Communication", "id": "x", "status": "completed", "sent": "2026-01-01",
        "payload": [{"contentString": "I want to die"}]},
    {"resourceType": "RiskAssessment", "id": "x", "status": "final", "occurrenceDateTime": DAY,
     "performer": {"reference": "Device/model"}, "prediction": [{"rationale": "probability of self-harm"}]},
])  # fmt: skip
def test_what_is_not_of_the_time_or_nobodys_words(resource: Json) -> None:
    assert len(said(record(resource))) == 1


def test_software_says_nothing_in_anybodys_words() -> None:
    """The demo's states, scores and forms name item 9 hundreds of times; nobody wrote anything."""
    assert spoken(demo_record(2, back=45)) == []


def test_a_day_with_two_answers_shows_both() -> None:
    other = ITEM9 | {"id": "later", "item": [{"linkId": "/44260-8", "answer": [
        {"valueCoding": {"code": "LA6571-9", "display": "Nearly every day"}}]}]}  # fmt: skip
    found = " ".join(said(record(other)))
    assert '"Not at all"' in found
    assert '"Nearly every day"' in found


@pytest.mark.parametrize("place", PLACES)
def test_nothing_of_it_goes_to_a_model(place: str) -> None:
    resource, words = PLACES[place]
    known = record(resource | {"id": "x"})
    note = draft(known, "progress", "en")
    sent = [s for each in segments(known, "progress", "en", note.statements, 4000) for s in each.task.sources]
    assert all(words not in each.text for each in sent)
    assert words in markdown(note)


def test_the_title_of_an_alert_is_nobodys_words() -> None:
    """What a rule wrote is told as an alert; what a person wrote beside it, and an alert by somebody else, is quoted."""
    title, tag = "PHQ-9 item 9: thoughts of death or self-harm on any day", {"tag": [{"code": "rules"}]}
    ours = {"meta": tag, "detail": title, "author": {"reference": "Device/clarity-rules-1"}}
    issue: Json = {
        "resourceType": "DetectedIssue",
        "id": "i",
        "status": "preliminary",
        "identifiedDateTime": f"{DAY}T08:00:00Z",
    }
    message: Json = {
        "resourceType": "Communication", "id": "m", "status": "completed", "sender": {"reference": "Device/clarity-rules-1"},
        "payload": [{"contentString": "Answer about thoughts of death or self-harm"}], "meta": tag,
    }  # fmt: skip
    told = " ".join(said(record(issue | ours, message)))
    assert "Written" not in told
    assert "item 9" in told
    beside = issue | ours | {"mitigation": [{"action": {"text": "Called: she wants to die."}}]}
    assert 'Written on 10 June 2026, verbatim: "Called: she wants to die."' in " ".join(said(record(beside)))
    assert title in " ".join(said(record(issue | ours | {"author": {"reference": "Practitioner/x"}})))
    note = draft(record(issue | ours), "progress", "en")
    assert [each.text for each in note.statements if each.topic == "alert"] == [f'Alert of 10 June 2026: "{title}".']
