"""Everything that the models say of one patient, from what the daybook keeps and the rating scales of the record. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta, tzinfo
from typing import Final

import numpy as np

from workers.ml.answers.assessment import About, assessed, foretold, provenance
from workers.ml.answers.shelf import Models
from workers.ml.forecast.served import SIGNALS
from workers.ml.forecast.windows import columns
from workers.ml.registry.card import Card
from workers.ml.registry.resources import model_device, model_library
from workers.ml.tabular import risk
from workers.ml.tabular.model import Tabular
from workers.twin.arrays import Floats
from workers.twin.daybook import Page
from workers.twin.digest import Digest
from workers.twin.ids import state_id
from workers.twin.resources import Resource

HISTORY: Final = 75
"""Days that are read: four weeks before the first of the forecasts by which intervals have adapted."""

SCALES: Final = ("panss-total", "imps-79")
SPREAD: Final = 3
"""Days by which a rating may miss its week."""

TREATMENT: Final = 70
"""Days for which the first weeks of a treatment are of interest."""


@dataclass(frozen=True, slots=True)
class Rating:
    """One score of a rating scale: when, how much, and the Observation that says so."""

    day: date
    value: float
    reference: str


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a patient: pages and states by local day, ratings by scale, the last day with a state."""

    patient: str
    zone: tzinfo
    day: date
    pages: Mapping[date, Page]
    told: Mapping[date, Digest]
    ratings: Mapping[str, Sequence[Rating]]
    base: str


def answers(known: Known, models: Models) -> list[Resource]:
    """Return RiskAssessments with their Provenance, and the Devices and cards of the models that said them."""
    made: list[Resource] = []
    cards: dict[str, Card] = {}
    for about, card, resource in (*_risks(known, models), *_forecasts(known, models), *_treatments(known, models)):
        cards[card.name] = card
        made += [resource, provenance(f"RiskAssessment/{resource['id']}", about, card)]
    for card in cards.values():
        made += [model_device(card, known.base), model_library(card, known.base)]
    return made


_Said = Iterator[tuple[About, Card, Resource]]


def _about(known: Known, day: date, basis: Iterable[str]) -> About:
    return About(known.patient, day, known.zone, tuple(sorted(set(basis))), known.base)


def _risks(known: Known, models: Models) -> _Said:
    x = risk.features(known.told, known.day)
    week = [day for back in range(risk.WEEK) if (day := known.day - timedelta(days=back)) in known.told]
    about = _about(known, known.day, (f"Observation/{state_id(known.patient, day)}" for day in week))
    for model in models.risks:
        if model.names == risk.NAMES:
            outcome = f"An episode on any of the next {model.reference.horizon} days (synthetic model)"
            yield about, model.card, assessed(about, model.card, outcome, model.reference.horizon, model.answer(x))


def _forecasts(known: Known, models: Models) -> _Said:
    found = columns({day: _values(page) for day, page in known.pages.items()}, len(SIGNALS))
    if found is None:
        return
    first, days = found
    days = days[: (known.day - first).days + 1]
    about = _about(known, known.day, (f"Observation/{state_id(known.patient, day)}" for day in list(known.told)[-28:]))
    for model in models.forecasts:
        if not np.isnan(days[:, SIGNALS.index(model.signal)]).all():
            yield about, model.card, foretold(about, model.card, model.signal, model.forecast(days, first))


def _values(page: Page) -> list[float]:
    numbers = {number[0]: number[1] for number in page.numbers}
    return [np.nan if (value := numbers.get(code)) is None else value for code in SIGNALS]


def _treatments(known: Known, models: Models) -> _Said:
    """Yield response and outcome where the record has the ratings of a treatment's first weeks."""
    wanted = ((models.response, "panss-total", (1, 2)), (models.outcome, "imps-79", (1,)))
    for model, scale, weeks in wanted:
        course = None if model is None else _course(known.ratings.get(scale, ()), weeks, known.day)
        if model is None or course is None:
            continue
        start, *later = course
        about = replace(
            _about(known, start.day, (each.reference for each in course)),
            assumed=f"Taken for granted, not read from the record: an antipsychotic was started on {start.day} and goes on.",
        )
        x = _inputs(model, start.value, [each.value - start.value for each in later])
        if x is not None:
            yield (
                about,
                model.card,
                assessed(about, model.card, model.card.title, model.reference.horizon, model.answer(x)),
            )


def _inputs(model: Tabular, start: float, changes: Sequence[float]) -> Floats | None:
    """Return the features that a model of ratings takes, None for a model that takes others."""
    values = {f"change-week-{i}": change for i, change in enumerate(changes, 1)}
    values |= {"imps-79-baseline": start, "imps-79-change-week-1": changes[0], "drug": 1.0}
    return np.array([values[name] for name in model.names]) if set(model.names) <= values.keys() else None


def _course(ratings: Sequence[Rating], weeks: Sequence[int], today: date) -> list[Rating] | None:
    """Return the newest rating that has one at each of the weeks after it, with those, while the treatment is of interest."""
    for start in sorted(ratings, key=lambda each: each.day, reverse=True):
        if (today - start.day).days > TREATMENT:
            return None
        later = [_near(ratings, start.day + timedelta(weeks=week)) for week in weeks]
        kept = [each for each in later if each is not None and each.day > start.day]
        if len(kept) == len(weeks):
            return [start, *kept]
    return None


def _near(ratings: Sequence[Rating], day: date) -> Rating | None:
    near = [each for each in ratings if abs((each.day - day).days) <= SPREAD]
    return min(near, key=lambda each: abs((each.day - day).days), default=None)
