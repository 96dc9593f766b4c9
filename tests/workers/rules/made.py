"""Made-up evidence for rules: charts of plain numbers, filled questionnaires, care teams."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any

import msgspec

from workers.rules.chart import Answer, Chart, Deviating
from workers.twin.daybook import Page, Summary, encode
from workers.twin.digest import Digest
from workers.twin.instruments import PHQ9

Json = dict[str, Any]


def filled(patient: str, when: datetime, answers: Sequence[int | None]) -> Json:
    """Return a PHQ-9 as a QuestionnaireResponse; None is an item that was left out."""
    items = zip(PHQ9.loinc, answers, strict=True)
    return {
        "resourceType": "QuestionnaireResponse",
        "id": f"{patient}-{when:%Y%m%d%H%M}",
        "questionnaire": "http://loinc.org/q/44249-1",
        "status": "completed",
        "subject": {"reference": f"Patient/{patient}"},
        "authored": when.isoformat(),
        "item": [{"linkId": f"/{code}", "answer": [{"valueInteger": n}]} for code, n in items if n is not None],
    }


def team(patient: str, **members: str) -> Json:
    """Return a care team of people by role."""
    roles = {"psychiatrist": "80584001", "psychologist": "59944000", "nurse": "224587008"}
    return {
        "resourceType": "CareTeam",
        "id": f"{patient}-team",
        "status": "active",
        "subject": {"reference": f"Patient/{patient}"},
        "participant": [
            {
                "role": [{"coding": [{"system": "http://snomed.info/sct", "code": roles[role]}]}],
                "member": {"reference": who},
            }
            for role, who in members.items()
        ],
    }


def chart(
    numbers: Mapping[date, Mapping[str, float]] | None = None,
    deviations: Mapping[date, Mapping[str, Deviating]] | None = None,
    measured: Mapping[date, Mapping[str, float]] | None = None,
    answers: Mapping[str, Sequence[Answer]] | None = None,
) -> Chart:
    """Return a chart of days with these numbers of features, deviations, measured parts of signals, and answers."""
    numbers, deviations, measured = numbers or {}, deviations or {}, measured or {}
    kept = {}
    for day in {*numbers, *deviations, *measured}:
        said = tuple((code, value, None, "", "") for code, value in numbers.get(day, {}).items())
        signals = tuple(Summary(name, 1, 0, 0, 0, 0, part) for name, part in measured.get(day, {}).items())
        against = tuple(
            (code, 0.0, 1.0, 28, 1.0, d.z, d.low, d.high, "") for code, d in deviations.get(day, {}).items()
        )
        kept[day] = (encode(Page(said, (), signals, ())), msgspec.msgpack.encode(Digest(against, (), ())))
    return Chart(kept, answers or {})
