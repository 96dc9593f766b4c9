"""What a reader of a note by rules meets: few lines, the newest first, and in German no English word of the server's."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest

from profiles.psych.rules import RULES
from tests.workers.notes.records import END, record
from tests.workers.notes.test_checker import WHO, condition, problems, score, small
from workers.notes import words
from workers.notes.checker import checked
from workers.notes.drafter import draft
from workers.notes.note import markdown
from workers.notes.record import Record
from workers.twin.features import REASONS


def lines(known: Record, language: Any, kind: Any = "progress") -> list[str]:
    note = checked(draft(known, kind, language), known)
    assert [(each.text, each.problems) for each in note.statements if each.problems] == []
    return [each.text for each in note.statements]


def test_a_german_note_has_german_names_of_what_is_coded_or_ours() -> None:
    """Diagnoses, medicines, dosages, encounters, alerts and reasons; what nobody translated stands as it is."""
    given = {"text": "2.5 mg twice a day", "doseAndRate": [{"doseQuantity": {"value": 2.5, "unit": "mg"}}]}
    odd = {"text": "2 tablets after a heavy meal"}
    visit = {"resourceType": "Encounter", "id": "e", "status": "finished", "class": {"code": "AMB"},
             "type": [{"text": "Follow-up encounter"}], "period": {"start": "2026-06-12"}}  # fmt: skip
    told = {"resourceType": "MedicationStatement", "status": "active", "effectiveDateTime": "2026-06-03"}
    known = small(
        condition("c7", "Generalized anxiety disorder"), condition("c8", "Ménétrier's disease"), visit,
        told | {"id": "m7", "medicationCodeableConcept": {"text": "olanzapine"}, "dosage": [given]},
        told | {"id": "m8", "medicationCodeableConcept": {"text": "sertraline"}, "dosage": [odd]},
    )  # fmt: skip
    said = " ".join(lines(known, "de"))
    for each in (
        "Generalisierte Angststörung", "Olanzapin 2,5 mg zweimal täglich", "Verlaufskontakt", "Ménétrier's disease",
        "Sertralin 2 tablets after a heavy meal",
    ):  # fmt: skip
        assert each in said
    assert "Olanzapin 2,5 mg zweimal täglich" not in " ".join(lines(known, "en"))
    assert problems("Olanzapin 25 mg zweimal täglich: nach Angabe eingenommen.", "MedicationStatement/m7", known=known)
    assert problems("Panikstörung (aktiv).", "Condition/c7", known=known)


def test_every_word_of_ours_has_a_german_one() -> None:
    english = [*REASONS.values(), *(each.title for each in RULES)]
    assert [each for each in english if words.told("de", each) == each] == []


@pytest.mark.parametrize("language", ["en", "de"])
def test_many_totals_are_three_sentences(language: Any) -> None:
    """The newest and its day, the step to it, and those before in one line, each beside its own day."""
    totals = [("2026-06-02", 9), ("2026-06-07", 10), ("2026-06-12", 16), ("2026-06-20", 17), ("2026-06-26", 8)]
    known = Record(WHO, date(2026, 6, 1), date(2026, 6, 30), {
        f"Observation/s{n}": score(f"s{n}", day, total) for n, (day, total) in enumerate(totals)})  # fmt: skip
    said = [each for each in lines(known, language) if each.startswith("PHQ-9 ")]
    assert len(said) == 3
    if language == "en":
        assert said[0] == "PHQ-9 was 8 of 27 on 26 June 2026 (mild)."
        assert said[1] == "PHQ-9 fell from 17 (20 June 2026) to 8 (26 June 2026)."
        assert said[2] == "PHQ-9 before that: 9 (2 June 2026), 10 (7 June 2026), 16 (12 June 2026)."
    three = ("Observation/s0", "Observation/s1", "Observation/s2")
    wrong = "PHQ-9 before that: 10 (2 June 2026), 9 (7 June 2026), 16 (12 June 2026)."
    assert "mixed" in problems(wrong, *three, known=known)


def test_an_alert_says_the_scores_that_it_rests_on() -> None:
    issue = {
        "resourceType": "DetectedIssue", "id": "i", "status": "preliminary", "identifiedDateTime": "2026-06-20T09:00:00Z",
        "detail": "A symptom score rose by more than it means something", "implicated": [{"reference": "Observation/s1"}],
    }  # fmt: skip
    known = small(score("s1", "2026-06-19", 14), issue)
    [said] = [each for each in lines(known, "en") if each.startswith("Alert")]
    assert said.endswith('means something" (PHQ-9 14 on 19 June 2026).')
    [german] = [each for each in lines(known, "de") if each.startswith("Warnung")]
    assert german.endswith('bedeutsam ist" (PHQ-9 14 am 19.06.2026).')


def test_a_clock_time_is_late_or_early() -> None:
    said = [each for n in range(1, 6) for each in lines(record(n, back=45), "en") if each.startswith("Middle of the")]
    assert said
    assert not [each for each in said if "higher" in each or "lower" in each or " high " in each or " low " in each]
    assert any("unusually late" in each or "unusually early" in each for each in said)


@pytest.mark.parametrize("language", ["en", "de"])
def test_while_data_wait_nothing_is_asked_about_a_device_that_was_not_worn(language: Any) -> None:
    known = record(1, back=30, last=END + timedelta(days=5), behind=True)
    note = draft(known, "progress", language)
    course = next(s for s in note.sections if s.code == "course")
    assert course.statements[0].text.startswith(("Newer data waited", "Neuere Daten warteten"))
    asked = {words.sentence(language, key) for key in ("ask-worn",)}
    assert asked.isdisjoint(each.text for each in note.statements)
    waited = draft(record(1, back=30, last=END + timedelta(days=5)), "progress", language)
    assert asked <= {each.text for each in waited.statements}


def test_the_days_stand_under_the_title() -> None:
    known = small()
    assert markdown(draft(known, "soap", "en")).splitlines()[2] == "1 June 2026 to 30 June 2026"
    assert markdown(draft(known, "soap", "de")).splitlines()[2] == "01.06.2026 bis 30.06.2026"
