"""The reference of a model: recalibration, ranges, bins for drift, and what was seen at which probability; made in training."""

from __future__ import annotations

from typing import Final

import numpy as np

from workers.ml.evaluate.chance import by_person
from workers.ml.evaluate.regression import logistic, logit, sigmoid
from workers.ml.evaluate.rows import Rows
from workers.twin.arrays import Floats

_DECILES: Final = np.linspace(0, 1, 11)[1:-1]
BINS: Final = 8
EDGE: Final = 1e-4


def recalibrated(y: Floats, out_of_fold: Floats) -> Floats:
    """Return intercept and slope that make out-of-fold probabilities right on the log odds."""
    found = logistic(logit(out_of_fold)[:, None], y, ridge=0.01)
    return np.array([found.coefficients[0], found.coefficients[1]])


def numbers(rows: Rows, out_of_fold: Floats, horizon: int, seed: int = 0) -> dict[str, Floats]:
    """Return the arrays of `model.Reference` from rows and the probabilities that people got who were left out."""
    calibration = recalibrated(rows.y, out_of_fold)
    p = sigmoid(calibration[0] + calibration[1] * logit(out_of_fold))
    edges = np.array([_edges(column) for column in rows.x.T])
    score_edges = np.quantile(p, _DECILES)
    return {
        "recalibration": calibration,
        "low": np.nanmin(rows.x, axis=0),
        "high": np.nanmax(rows.x, axis=0),
        "edges": edges,
        "shares": np.array([shares(column, own) for column, own in zip(rows.x.T, edges, strict=True)]),
        "score_edges": score_edges,
        "score_shares": shares(p, score_edges)[:-1],
        "bins": _bins(rows, p, seed),
        "horizon": np.array([float(horizon)]),
    }


def _edges(column: Floats) -> Floats:
    return np.asarray(np.nanquantile(column, _DECILES), np.float64)


def counted(values: Floats, edges: Floats) -> Floats:
    """Return how many values lie in each bin between edges, the last bin for missing ones."""
    known = values[~np.isnan(values)]
    inside = np.bincount(np.searchsorted(edges, known, side="right"), minlength=len(edges) + 1)
    return np.append(inside, len(values) - len(known)).astype(np.float64)


def shares(values: Floats, edges: Floats) -> Floats:
    """Return the share of values in each bin, the last for missing ones."""
    return counted(values, edges) / max(1, len(values))


def _bins(rows: Rows, p: Floats, seed: int) -> Floats:
    """Return mean probability, low and high of what was seen in bins of equally many rows; whole people are drawn."""
    cuts = np.unique(np.quantile(p, np.linspace(0, 1, BINS + 1)[1:-1]))
    place = np.searchsorted(cuts, p, side="right")
    out = []
    for number in range(len(cuts) + 1):
        some = place == number
        if some.sum() < 2:
            continue
        y, who = rows.y[some], rows.who[some]
        found = by_person(lambda a, b: float(a.mean()), y, p[some], who, seed=seed, times=400)  # noqa: ARG005
        people = len(np.unique(who))
        # People who all are well, or all ill, vary in no draw: the rule of three says what may still be.
        low = found.low if found.low < 1 else max(0.0, 1 - 3 / people)
        high = found.high if found.high > 0 else min(1.0, 3 / people)
        out.append((float(p[some].mean()), low, high))
    return np.array(sorted(out))
