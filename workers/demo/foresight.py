"""The risk model against the demo's ground truth: calibration, what an alert threshold costs, and what it does not foresee.

Cohorts are of other seeds than the model was learned from. An alert is a day on or above the threshold when none of the seven days
before was; it is true when an episode lies on any of the days ahead.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np

from fhir_server.settings import Settings
from workers.demo import cohort
from workers.demo.cohort import Days, ahead
from workers.demo.cohort import cohort as days_of
from workers.ml.evaluate.chance import by_person
from workers.ml.evaluate.metrics import auc, brier, calibration, reliability
from workers.ml.evaluate.rows import Rows
from workers.ml.registry import shelf
from workers.ml.tables.markdown import Tell, interval, made_by, number, prose, table
from workers.ml.tabular import model as tabular
from workers.ml.tabular import specs
from workers.ml.tabular.model import Tabular
from workers.twin.arrays import Bools, Floats, Ints

SEEDS: Final = (9, 10)
THRESHOLDS: Final = (0.1, 0.2, 0.3, 0.5, 0.7, 0.9)
QUIET: Final = 7


def evaluate(sets: Path, work: Path, tell: Tell) -> str:
    """Return the page of the demo."""
    _ = sets
    tell("demo: cohorts")
    found, parts = days_of(SEEDS, work), list[str]()
    for horizon in specs.HORIZONS:
        tell(f"demo: {horizon} days")
        name = specs.risk(horizon).name
        model = tabular.read(shelf.shipped()[name], Settings())  # type: ignore[call-arg]
        parts += _horizon(found, model, horizon)
    return "\n".join(
        ["# The demo: risk of an episode against the truth", "", made_by("demo"), "", _preface(found), "", *parts]
    )


def _preface(found: Days) -> str:
    return prose(
        f"Invented patients of seeds {', '.join(map(str, SEEDS))} ({len(np.unique(found.who))} patients, {len(found.who)} days "
        f"from day {cohort.SETTLED + 1} on); the models learned from seeds {', '.join(map(str, specs.SEEDS))}. Half of them have "
        "an episode whose onset was drawn at random: there is no sign before it, so no model can foresee one, and a table below "
        "shows that ours does not. What is learned is to recognise an episode that has begun and will go on. **About real people "
        "none of this says anything.** Intervals draw whole people."
    )


def _horizon(found: Days, model: Tabular, horizon: int) -> list[str]:
    rows = ahead(found, horizon)
    p, beside = model.probabilities(rows.x), model.comparator.probability(rows.x)
    refused = np.array([model.abstains(x) is not None for x in rows.x])
    onsets = ahead(found, horizon, onsets=True)
    lines = [
        _judged("XGBoost", rows, p), _judged("logistic regression", rows, beside),
        _judged("XGBoost, onset ahead, among the well", onsets, model.probabilities(onsets.x)),
        _judged("logistic regression, onset ahead, among the well", onsets, model.comparator.probability(onsets.x)),
    ]  # fmt: skip
    return [
        f"## {horizon} days ahead", "",
        prose(
            f"An episode on any of the next {horizon} days: {100 * rows.y.mean():.1f} % of {len(rows.y)} days. Abstained: "
            f"{int(refused.sum())} days, which are judged here all the same."
        ), "",
        table(("model and task", "AUC", "Brier", "Brier of the mean", "slope", "intercept"), lines), "",
        "Reliability of XGBoost:", "",
        table(("days", "said", "seen"), [(str(b.n), number(b.said), interval(b.seen)) for b in reliability(rows.y, p)]), "",
        "What a threshold costs:", "",
        table(
            ("alert from", "alerts", "true", "false", "of alerts true", "false a patient-month", "episodes with an alert"),
            [_costs(found, model, horizon, limit) for limit in THRESHOLDS],
        ), "",
    ]  # fmt: skip


def _judged(name: str, rows: Rows, p: Floats) -> list[str]:
    recalibrated, mean = calibration(rows.y, p), float(rows.y.mean())
    return [
        name, interval(by_person(auc, rows.y, p, rows.who, times=500)), number(brier(rows.y, p)), number(mean * (1 - mean)),
        interval(recalibrated.slope, 2), interval(recalibrated.intercept, 2),
    ]  # fmt: skip


def _costs(found: Days, model: Tabular, horizon: int, threshold: float) -> list[str]:
    """Return how many alerts a threshold gives, how many of them are true, and in how many episodes there is one."""
    rows = ahead(found, horizon)
    p = model.probabilities(rows.x)
    true = false = caught = ill = 0
    for person in rows.people():
        own = rows.who == person
        days, label = rows.day[own], rows.y[own]
        alerts = _alerts(days, p[own] >= threshold)
        true += int(label[alerts].sum())
        false += int((1 - label[alerts]).sum())
        ill += int(label.any())
        caught += int(bool(label[alerts].any()))
    months = float((rows.y == 0).sum()) / 30.4
    share = number(true / (true + false), 2) if true + false else "-"
    return [
        number(threshold, 1), str(true + false), str(true), str(false), share, number(false / months, 2), f"{caught} of {ill}",
    ]  # fmt: skip


def _alerts(days: Ints, told: Bools) -> list[int]:
    """Return the places of days on which an alert begins."""
    out: list[int] = []
    last = -QUIET - 1
    for place in np.argsort(days).tolist():
        if told[place]:
            if days[place] - last > QUIET:
                out.append(place)
            last = int(days[place])
    return out
