"""Make a forecaster of one signal: backtest, network learned from everybody, baselines' errors, card. Needs torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np

from workers.ml.evaluate.metrics import coverage
from workers.ml.evaluate.rows import Rows
from workers.ml.forecast import lstm
from workers.ml.forecast.conformal import adapted
from workers.ml.forecast.served import BASELINES, LSTM, SIGNALS
from workers.ml.forecast.windows import MIDDLE, QUANTILES
from workers.ml.registry.card import Card, Figure, write_card
from workers.ml.registry.checkpoint import artefact_of
from workers.ml.tabular.model import arrays
from workers.twin.arrays import Floats

TITLES: Final[Mapping[str, str]] = {
    "resting-heart-rate-reported": "resting heart rate",
    "steps": "steps",
    "sleep-duration": "minutes asleep",
    "hrv-rmssd": "heart rate variability (RMSSD)",
}
ATTRIBUTES: Final[dict[str, str]] = {
    "developer-contact": "The Clarity project, by its issue tracker.",
    "funding": "None.",
    "output-type": "Prediction: a number with an interval.",
    "intended-use": "To show what the next day would usually look like, so that a day that differs is seen.",
    "intended-population": "Adults who wear a consumer watch.",
    "intended-users": "Clinicians who know the patient and read the card, and the patient.",
    "decision-role": "Informs; it never replaces a clinical judgement, starts nothing and stops nothing by itself.",
    "out-of-scope": "More than a day ahead; people whose level is outside that of the training people; any diagnosis.",
    "known-risks": "71 volunteers of one study with one make of watch, most of them healthy; nobody was chosen for an illness.",
    "training-criteria": "LifeSnaps (CC BY 4.0): people with 14 days or more, days with a value on the next day.",
    "demographic-variables": "None are used.",
    "fairness-approach": "None beyond leaving demographic variables out; intervals adapt to each person.",
    "update-process": "Made anew by the command of its recipe; another version is another Device.",
    "validity-internal": "See the figures above: rolling origin, people apart; docs/models/lifesnaps.md.",
}


def make(signal: str, rows: Rows, tested: Rows, said: Mapping[str, Floats], folder: Path) -> Card:
    """Write the files and the card of a signal's forecaster; `said` are quantiles of the tested rows, by model, LSTM among them.

    What is served is decided by the backtest: the LSTM when its MAE is below both baselines', else the better one of them.
    """
    errors = {name: float(np.abs(tested.y - q[:, MIDDLE]).mean()) for name, q in said.items()}
    baseline = min(BASELINES, key=lambda name: errors[name])
    serves = LSTM if errors["LSTM"] < errors[baseline] else baseline
    network = lstm.trained(rows)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "forecast.onnx").write_bytes(lstm.export(network, rows.x.shape[1]))
    (folder / "reference.safetensors").write_bytes(arrays(_reference(rows, signal), rows.names))
    card = Card(
        name=f"forecast-{signal}",
        version="1.0",
        title=f"Next day's {TITLES[signal]}",
        use="forecast",
        method=f"LSTM of {lstm.HIDDEN} units, quantiles, adaptive conformal interval" if serves == LSTM else serves,
        summary=(
            f"The next day's {TITLES[signal]} with a 90 % interval that adapts to the person, from the last weeks of "
            f"{', '.join(TITLES[each] for each in SIGNALS)}. Learned from healthy volunteers (LifeSnaps). Served: {serves}."
        ),
        licence="Apache-2.0. Learned from LifeSnaps (Yfantidou et al. 2022, CC BY 4.0).",
        artefacts=(
            artefact_of(folder / "forecast.onnx", "serving"),
            artefact_of(folder / "reference.safetensors", "reference"),
        ),
        attributes=ATTRIBUTES | {"output-value": f"The next day's {TITLES[signal]}: median and 90 % interval."},
        recipe={
            "command": f"./clarity models train lstm {signal}", "seed": 7, "epochs": lstm.EPOCHS, "rows": len(rows.y),
            "signal": signal, "serves": serves, "baseline": baseline,
        },
        figures=_figures(tested, said, errors, baseline),
        comparator=baseline,
    )  # fmt: skip
    write_card(card, folder)
    return card


def _reference(rows: Rows, signal: str) -> dict[str, Floats]:
    level = rows.x[:, SIGNALS.index(signal)]
    found = [rows.y - (level + rows.x[:, column]) for column in BASELINES.values()]
    return {
        "errors": np.array([np.quantile(each, QUANTILES) - np.median(each) for each in found]),
        "low": np.array([level.min()]),
        "high": np.array([level.max()]),
    }


def _figures(
    tested: Rows, said: Mapping[str, Floats], errors: Mapping[str, float], baseline: str
) -> tuple[Figure, ...]:
    protocol, people = "rolling origin, 5 parts of people", len(tested.people())
    q, beside = said["LSTM"], said[baseline]
    bands = [adapted(each[:, 0], each[:, -1], tested.y, tested.who, tested.day) for each in (q, beside)]
    own, other = (coverage(tested.y, *band, tested.who) for band in bands)
    return (
        Figure("MAE of the LSTM", protocol, round(errors["LSTM"], 4), people, comparator=f"{baseline} {errors[baseline]:.4g}"),
        Figure("skill, 1 - MAE / MAE of the comparator", protocol, round(1 - errors["LSTM"] / errors[baseline], 4), people),
        Figure("coverage of the adapted 90 % interval", protocol, round(own.overall, 4), people, comparator=f"{other.overall:.3f}"),
        Figure("coverage, 10th percentile person", protocol, round(own.tenth, 4), own.people, comparator=f"{other.tenth:.3f}"),
    )  # fmt: skip
