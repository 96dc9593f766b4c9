"""Depresjon, leave one person out: what a week or two of minutes tell of a group, and what days of the same people pretend."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np

from workers.ml.evaluate.chance import by_person, permutation
from workers.ml.evaluate.fairness import LEAST, by_group
from workers.ml.evaluate.metrics import auc, auc_interval, brier, calibration
from workers.ml.evaluate.rows import Fit, Rows, leaky, one_out, predicted
from workers.ml.tables.markdown import Tell, interval, made_by, number, prose, table
from workers.ml.tabular import depresjon
from workers.ml.tabular.boost import boosted_model
from workers.ml.tabular.linear import logistic_model
from workers.twin.arrays import Floats

LOGISTIC: Final = logistic_model(0.1, balanced=True)
MODELS: Final[Mapping[str, Fit]] = {
    "logistic regression, C = 0.1, balanced": LOGISTIC,
    "XGBoost, depth 2": boosted_model(),
}


def evaluate(sets: Path, work: Path, tell: Tell) -> str:
    """Return the page of Depresjon."""
    _ = work  # nothing takes long enough to be resumed
    found = depresjon.people(sets / "depresjon")
    tell(f"depresjon: {len(found)} people, {sum(len(days) for _, days in found)} days")
    rows, days = depresjon.by_person(found), depresjon.by_day(found)
    said = {name: predicted(rows, one_out(rows), fit) for name, fit in MODELS.items()}
    tell("depresjon: permutations")
    real, limit, p = permutation(rows, lambda each: auc(each.y, predicted(each, one_out(each), LOGISTIC)), times=100)
    return "\n".join(
        [
            "# Depresjon: people with depression against controls",
            "",
            made_by("depresjon"),
            "",
            prose(
                f"{len(found)} people ({int(rows.y.sum())} with depression), {len(days.y)} days of minute counts "
                "(Garcia-Ceja et al. 2018). One row a person: mean and SD over days of 16 daily features, IS and IV. One person "
                "is left out at a time; scaling and fitting see the others only. One fixed set of features, nothing tuned."
            ),
            "",
            table(
                ("model", "AUC", "Brier", "calibration slope", "intercept"),
                [_row(name, rows.y, p_) for name, p_ in said.items()],
            ),
            "",
            prose(
                "Reference for the logistic model on these features: .901 (.81 to .97). With labels dealt anew between people "
                f"(100 times, the whole procedure each time) 95 % of AUCs lie below {number(limit)}; the real one is "
                f"{number(real)}, p = {number(p)}. Small data of one clinic and one kind of watch: the group of a person is "
                "told, not an episode, and nobody's depression."
            ),
            "",
            "## By group",
            "",
            *_fairness(sets, found, rows, said),
            "",
            "## A warning, not a result: days of the same people on both sides",
            "",
            *_warning(days, tell),
            "",
        ]
    )  # fmt: skip


def _fairness(sets: Path, found: list[tuple[str, Floats]], rows: Rows, said: Mapping[str, Floats]) -> list[str]:
    """Return the figures of the logistic model by sex and by age."""
    known = depresjon.groups(sets / "depresjon")
    model, p = next(iter(said.items()))
    names = [found[person][0] for person in rows.who]
    told = [group for part in (0, 1) for group in by_group(rows.y, p, [known[name][part] for name in names])]
    shown = [
        (
            each.name,
            str(each.n),
            interval(each.auc),
            interval(each.intercept, 2),
            interval(each.ppv, 2),
            interval(each.tpr, 2),
        )
        if each.n is not None
        else (each.name, f"fewer than {LEAST} of one outcome", "-", "-", "-", "-")
        for each in told
    ]
    return [
        table(("group", "people", "AUC", "intercept", "PPV at .5", "TPR at .5"), shown),
        "",
        prose(
            f"The {model}; ethnicity, language and social determinants are not in the data. Groups too small for a figure are "
            "named and not shown: of these data little can be said of fairness, and nothing is claimed."
        ),
    ]


def _row(name: str, y: Floats, p: Floats) -> list[str]:
    recalibrated = calibration(y, p)
    return [
        name, interval(auc_interval(y, p)), number(brier(y, p)), interval(recalibrated.slope, 2),
        interval(recalibrated.intercept, 2),
    ]  # fmt: skip


def _warning(days: Rows, tell: Tell) -> list[str]:
    """Return what one row a day gives, by folds of days (leaky) and by people apart."""
    tell("depresjon: days")
    fit = boosted_model()
    mixed, apart = leaky(days, 10, 0, fit), predicted(days, one_out(days), fit)
    mean = [float(np.mean(apart[days.who == person])) for person in days.people()]
    label = np.array([days.y[days.who == person][0] for person in days.people()])
    return [
        table(
            ("XGBoost, a row a day", "AUC"),
            [
                ("10 folds of days: the person's other days are learned from", number(auc(days.y, mixed))),
                ("one person left out, days counted", interval(by_person(auc, days.y, apart, days.who))),
                ("one person left out, mean of the person's days", interval(auc_interval(label, np.array(mean)))),
            ],
        ),
        "",
        "The first line recognises people. Published figures on this data set that split by days are of its kind.",
    ]
