"""PHQ-9 and GAD-7 every other week: QuestionnaireResponse with the answers, Observation with the score and the items."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

import numpy as np

from workers.demo.chance import Chance
from workers.demo.codes import ANSWERS, GAD7, PHQ9, coding, loinc
from workers.demo.episodes import effect
from workers.demo.people import Person, Resource
from workers.twin.codes import CATEGORY, LOINC, UCUM

EVERY: Final = 14


class Instrument(NamedTuple):
    """A questionnaire: panel, total score and items in LOINC."""

    name: str
    panel: str
    total: tuple[str, str]
    items: tuple[tuple[str, str], ...]


INSTRUMENTS: Final = (
    Instrument("phq9", "44249-1", ("44261-6", "Patient Health Questionnaire 9 item (PHQ-9) total score [Reported]"), PHQ9),
    Instrument("gad7", "69737-5", ("70274-6", "Generalized anxiety disorder 7 item (GAD-7) total score [Reported.PHQ]"), GAD7),
)  # fmt: skip


def answered(who: Person) -> Iterator[Resource]:
    """Yield what the person filled in over the days of the demo; about one in ten is missed."""
    offset = int(who.chance("questionnaires").integers(EVERY))
    for days in range(offset, who.days, EVERY):
        day = who.first + timedelta(days=days)
        for instrument in INSTRUMENTS:
            rng = who.chance(instrument.name, day.isoformat())
            if rng.random() < 0.9:
                yield from _filled(rng, who, instrument, day)


def _filled(rng: Chance, who: Person, instrument: Instrument, day: date) -> Iterator[Resource]:
    """Yield the response and the score of one questionnaire."""
    change = effect(who.episode, day)
    usual = who.diagnosis.phq9 + change.phq9 if instrument.name == "phq9" else who.diagnosis.gad7 + change.gad7
    items = _items(rng, usual + rng.normal(0, 1.5), len(instrument.items))
    when = datetime(day.year, day.month, day.day, 9, int(rng.integers(60)), tzinfo=ZoneInfo(who.place[4])).isoformat()
    stem = f"{who.id}-{instrument.name}-{day:%Y%m%d}"
    yield {
        "resourceType": "QuestionnaireResponse",
        "id": f"{stem}-answers",
        "questionnaire": f"http://loinc.org/q/{instrument.panel}",
        "status": "completed",
        "subject": who.reference,
        "authored": when,
        "source": who.reference,
        "item": [_item(code, text, score) for (code, text), score in zip(instrument.items, items, strict=True)],
    }
    yield {
        "resourceType": "Observation",
        "id": stem,
        "status": "final",
        "category": [{"coding": [coding(CATEGORY, "survey", "Survey")]}],
        "code": loinc(*instrument.total),
        "subject": who.reference,
        "effectiveDateTime": when,
        "performer": [who.reference],
        "valueQuantity": {"value": sum(items), "unit": "{score}", "system": UCUM, "code": "{score}"},
        "derivedFrom": [{"reference": f"QuestionnaireResponse/{stem}-answers"}],
        "component": [
            {"code": loinc(code, text), "valueInteger": score}
            for (code, text), score in zip(instrument.items, items, strict=True)
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


def _item(code: str, text: str, score: int) -> Resource:
    """Return an answered item."""
    answer, display = ANSWERS[score]
    return {
        "linkId": f"/{code}",
        "text": text,
        "answer": [{"valueCoding": {"system": LOINC, "code": answer, "display": display}}],
    }
