"""PHQ-9 and GAD-7 every other week: QuestionnaireResponse with the answers, Observation with the score and the items."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np

from profiles.psych.questionnaires import GAD7, PHQ9, Instrument
from workers.demo.chance import Chance
from workers.demo.codes import coding, concept
from workers.demo.episodes import effect
from workers.demo.people import Person, Resource
from workers.twin.codes import CATEGORY, UCUM

EVERY: Final = 14


ASKED: Final = (("phq9", PHQ9), ("gad7", GAD7))
"""Name in ids and in seeds, and the questionnaire."""


def answered(who: Person) -> Iterator[Resource]:
    """Yield what the person filled in over the days of the demo; about one in ten is missed."""
    offset = int(who.chance("questionnaires").integers(EVERY))
    for days in range(offset, who.days, EVERY):
        day = who.first + timedelta(days=days)
        for name, instrument in ASKED:
            rng = who.chance(name, day.isoformat())
            if rng.random() < 0.9:
                yield from _filled(rng, who, name, instrument, day)


def _filled(rng: Chance, who: Person, name: str, instrument: Instrument, day: date) -> Iterator[Resource]:
    """Yield the response and the score of one questionnaire."""
    change = effect(who.episode, day)
    usual = who.diagnosis.phq9 + change.phq9 if instrument is PHQ9 else who.diagnosis.gad7 + change.gad7
    items = _items(rng, usual + rng.normal(0, 1.5), len(instrument.items))
    when = datetime(day.year, day.month, day.day, 9, int(rng.integers(60)), tzinfo=ZoneInfo(who.place[4])).isoformat()
    stem = f"{who.id}-{name}-{day:%Y%m%d}"
    yield {
        "resourceType": "QuestionnaireResponse",
        "id": f"{stem}-answers",
        "questionnaire": f"http://loinc.org/q/{instrument.panel}",
        "status": "completed",
        "subject": who.reference,
        "authored": when,
        "source": who.reference,
        "item": [
            _item(code, text, instrument.answers[score])
            for (_, code, text), score in zip(instrument.items, items, strict=True)
        ],
    }
    yield {
        "resourceType": "Observation",
        "id": stem,
        "status": "final",
        "category": [{"coding": [coding(CATEGORY, "survey", "Survey")]}],
        "code": concept(*instrument.total),
        "subject": who.reference,
        "effectiveDateTime": when,
        "performer": [who.reference],
        "valueQuantity": {"value": sum(items), "unit": "{score}", "system": UCUM, "code": "{score}"},
        "derivedFrom": [{"reference": f"QuestionnaireResponse/{stem}-answers"}],
        "component": [
            {"code": concept(*item), "valueInteger": score} for item, score in zip(instrument.items, items, strict=True)
        ],
    }


def _items(rng: Chance, total: float, count: int) -> list[int]:
    """Return item scores of 0 to 3 that add up to about a total, the last item (self-harm in PHQ-9) mostly low."""
    target = int(np.clip(round(total), 0, 3 * count - 2))
    items = [0] * count
    while sum(items) < target:
        place = int(rng.integers(count - (rng.random() < 0.85)))
        if items[place] < 3:
            items[place] += 1
        elif all(score == 3 for score in items[:-1]):
            items[-1] += 1
    return items


def _item(code: str, text: str, answer: tuple[str, str, str]) -> Resource:
    """Return an answered item."""
    return {"linkId": f"/{code}", "text": text, "answer": [{"valueCoding": coding(*answer)}]}
