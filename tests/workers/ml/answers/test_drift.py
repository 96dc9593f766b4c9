"""Drift: nothing is told of few, little of the same people, much of others; the index is the one of the definition."""

from __future__ import annotations

from datetime import UTC, date
from pathlib import Path

import numpy as np
import pytest

from fhir_server.kit import metrics
from fhir_server.settings import Settings
from workers.ml.answers import drift
from workers.ml.answers.drift import ENOUGH, REMEMBERED, Drift
from workers.ml.answers.patient import Known
from workers.ml.answers.shelf import Models, opened
from workers.ml.tabular.model import Tabular
from workers.twin.arrays import Floats
from workers.twin.codes import BASE


@pytest.fixture(scope="module")
def models() -> Models:
    return opened(Settings(environment="test", data=Path("unused")))  # type: ignore[call-arg]


@pytest.fixture(scope="module")
def model(models: Models) -> Tabular:
    return models.risks[0]


def like_training(model: Tabular, n: int, seed: int = 0) -> Floats:
    """Draw rows whose features fall into the training's bins as often as the training's did."""
    rng = np.random.default_rng(seed)
    columns = []
    for edges, shares in zip(model.reference["edges"], model.reference["shares"], strict=True):
        middles = np.concatenate([[edges[0] - 1], (edges[1:] + edges[:-1]) / 2, [edges[-1] + 1], [np.nan]])
        columns.append(middles[rng.choice(len(middles), size=n, p=shares / shares.sum())])
    return np.array(columns).T


def test_nothing_is_told_before_enough_are_in(model: Tabular) -> None:
    seen = Drift()
    seen.add(model, like_training(model, ENOUGH - 1))
    assert seen.indices(model) == {}


def test_people_like_those_of_the_training_show_no_drift(model: Tabular) -> None:
    seen = Drift()
    seen.add(model, like_training(model, 2_000))
    told = seen.indices(model)
    assert {*model.names, "probability"} == told.keys()
    assert max(told[name] for name in model.names) < 0.05


def test_one_input_that_shifts_is_the_one_that_is_told(model: Tabular) -> None:
    x = like_training(model, 500)
    x[:, 3] = model.reference["high"][3] + 1
    seen = Drift()
    for part in np.array_split(x, 50):
        seen.add(model, part)
    told = seen.indices(model)
    assert told.pop(model.names[3]) > 0.25
    assert max(value for name, value in told.items() if name != "probability") < 0.1


def test_what_was_long_ago_fades(model: Tabular) -> None:
    seen = Drift()
    shifted = like_training(model, 500)
    shifted[:, 0] = model.reference["high"][0] + 1
    seen.add(model, shifted)
    then = seen.indices(model)[model.names[0]]
    for seed in range(3 * REMEMBERED // 500):
        seen.add(model, like_training(model, 500, seed))
    assert seen.rows <= REMEMBERED + 500
    assert seen.indices(model)[model.names[0]] < 0.1 < 0.25 < then


def test_a_hundred_answers_about_patients_end_in_the_metric(
    models: Models, model: Tabular, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drift, "_SEEN", {})
    nobody = Known("p", UTC, date(2026, 3, 2), {}, {}, {}, BASE)
    for _ in range(ENOUGH):
        drift.watch(nobody, models)
    index = metrics.PSI.labels(model.card.name, model.names[0])._value.get()
    assert index > 0.25  # nothing is known of anybody, which is not what was learned from
