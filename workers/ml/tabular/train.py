"""Make a tabular model out of rows: files, figures and card; everything that a reader must know stands in its `Spec`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from workers.ml.evaluate.chance import by_person
from workers.ml.evaluate.metrics import Interval, auc, brier, calibration
from workers.ml.evaluate.rows import Fit, Rows, grouped, predicted
from workers.ml.registry.card import Card, Figure, Use, write_card
from workers.ml.registry.checkpoint import artefact_of
from workers.ml.tabular import reference
from workers.ml.tabular.boost import boosted_model, fit_boosted
from workers.ml.tabular.linear import fit_logistic, logistic_model
from workers.ml.tabular.model import arrays, linear_arrays
from workers.twin.arrays import Floats

FILES = {"serving": "model.json", "comparator": "comparator.safetensors", "reference": "reference.safetensors"}
FOLDS, SEED, C = 10, 0, 1.0


@dataclass(frozen=True, slots=True)
class Spec:
    """What is trained and what its card says; `horizon` in days, `unit` what a row belongs to (person, investigator)."""

    name: str
    use: Use
    title: str
    summary: str
    licence: str
    horizon: int
    unit: str
    command: str
    attributes: Mapping[str, str]
    rounds: int = 100
    parameters: Mapping[str, Any] = field(default_factory=dict)
    version: str = "1.0"


def make(spec: Spec, rows: Rows, folder: Path) -> Card:
    """Write the model's files and card into a folder and return the card.

    Figures, recalibration and reference rest on predictions for people who were left out; the model that is kept has learned
    from everybody.
    """
    boosted, compared = boosted_model(spec.rounds, **spec.parameters), logistic_model(C)
    apart, beside = (_left_out(rows, fit) for fit in (boosted, compared))
    folder.mkdir(parents=True, exist_ok=True)
    numbers = reference.numbers(rows, apart, spec.horizon)
    written = {
        "serving": fit_boosted(rows, spec.rounds, **spec.parameters).document(),
        "comparator": linear_arrays(fit_logistic(rows, c=C)),
        "reference": arrays(numbers, rows.names),
    }
    for purpose, data in written.items():
        (folder / FILES[purpose]).write_bytes(data)
    card = Card(
        name=spec.name,
        version=spec.version,
        title=spec.title,
        use=spec.use,
        method=f"XGBoost 3.2, {spec.rounds} trees, {rows.x.shape[1]} features, recalibrated by people who were left out",
        summary=spec.summary,
        licence=spec.licence,
        artefacts=tuple(artefact_of(folder / FILES[purpose], purpose) for purpose in written),
        attributes=dict(spec.attributes),
        recipe={"command": spec.command, "folds": FOLDS, "seed": SEED, "rows": len(rows.y)},
        figures=_figures(spec, rows, apart, beside),
        comparator="logistic regression on the same features",
    )
    write_card(card, folder)
    return card


def _left_out(rows: Rows, fit: Fit) -> Floats:
    return predicted(rows, grouped(rows, FOLDS, SEED), fit)


def _figures(spec: Spec, rows: Rows, p: Floats, beside: Floats) -> tuple[Figure, ...]:
    protocol = f"{FOLDS} folds by {spec.unit}"
    people = len(rows.people()) if spec.unit == "person" else len(rows.y)
    own, other = calibration(rows.y, p), calibration(rows.y, beside)
    areas = [by_person(auc, rows.y, each, rows.who, times=500) for each in (p, beside)]
    briers = [by_person(brier, rows.y, each, rows.who, times=500) for each in (p, beside)]
    mean = float(rows.y.mean())

    def figure(measure: str, found: Interval, comparator: str) -> Figure:
        known = bool(np.isfinite([found.low, found.high]).all())
        value, low, high = (round(each, 4) for each in found)
        return Figure(measure, protocol, value, people, low if known else None, high if known else None, comparator)

    return (
        figure("AUC", areas[0], f"logistic regression {areas[1].value:.3f}"),
        figure(
            "Brier score", briers[0], f"logistic regression {briers[1].value:.3f}, the mean {mean * (1 - mean):.3f}"
        ),
        figure("calibration slope, before recalibration", own.slope, f"logistic regression {other.slope.value:.2f}"),
        figure(
            "calibration intercept, before recalibration",
            own.intercept,
            f"logistic regression {other.intercept.value:.2f}",
        ),
    )
