"""The comparator beside every XGBoost model: logistic or ridge regression on standardised features, plain numbers in JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from workers.ml.evaluate.regression import linear, logistic, sigmoid
from workers.ml.evaluate.rows import Fit, Predict, Rows
from workers.twin.arrays import Floats


@dataclass(frozen=True, slots=True)
class Linear:
    """Standardised features times coefficients; a missing feature counts as the training mean, that is as nothing."""

    names: tuple[str, ...]
    mean: Floats
    scale: Floats
    coefficients: Floats
    intercept: float

    def margin(self, x: Floats) -> Floats:
        """Return the linear predictor of rows (n, k)."""
        return np.asarray(self.intercept + self.terms(x).sum(axis=1), np.float64)

    def terms(self, x: Floats) -> Floats:
        """Return what each feature adds to the predictor (n, k): the comparator's own explanation."""
        return np.asarray(np.nan_to_num((x - self.mean) / self.scale) * self.coefficients, np.float64)

    def probability(self, x: Floats) -> Floats:
        """Return probabilities."""
        return sigmoid(self.margin(x))

    def document(self) -> dict[str, Any]:
        """Return the model as JSON."""
        return {
            "features": list(self.names),
            "mean": self.mean.tolist(),
            "scale": self.scale.tolist(),
            "coefficients": self.coefficients.tolist(),
            "intercept": self.intercept,
        }


def read(document: dict[str, Any]) -> Linear:
    """Return the model that `document` wrote; KeyError or ValueError when it is something else."""
    names = tuple(str(name) for name in document["features"])
    mean, scale, each = (np.array(document[key], np.float64) for key in ("mean", "scale", "coefficients"))
    if not mean.shape == scale.shape == each.shape == (len(names),):
        raise ValueError("a linear model has a mean, a scale and a coefficient for each feature")
    return Linear(names, mean, scale, each, float(document["intercept"]))


def _standard(x: Floats) -> tuple[Floats, Floats, Floats]:
    known = np.where(np.isnan(x).all(axis=0), 0.0, x)
    mean = np.nanmean(known, axis=0)
    scale = np.nanstd(known, axis=0)
    scale[scale < 1e-12] = 1.0
    return mean, scale, np.nan_to_num((known - mean) / scale)


def fit_logistic(train: Rows, *, c: float = 1.0, balanced: bool = False) -> Linear:
    """Return logistic regression with penalty 1 / C on standardised features; `balanced` weights both outcomes alike."""
    mean, scale, z = _standard(train.x)
    weight = None
    if balanced:
        share = float(train.y.mean())
        weight = np.where(train.y > 0.5, 0.5 / share, 0.5 / (1 - share)) if 0 < share < 1 else None
    found = logistic(z, train.y, ridge=1 / c, weight=weight)
    return Linear(train.names, mean, scale, found.coefficients[1:], float(found.coefficients[0]))


def fit_ridge(train: Rows, *, ridge: float = 10.0) -> Linear:
    """Return ridge regression on standardised features."""
    mean, scale, z = _standard(train.x)
    found = linear(z, train.y, ridge=ridge)
    return Linear(train.names, mean, scale, found[1:], float(found[0]))


def logistic_model(c: float = 1.0, *, balanced: bool = False) -> Fit:
    """Return the Fit of logistic regression, for `evaluate.rows.predicted`."""

    def fit(train: Rows) -> Predict:
        return fit_logistic(train, c=c, balanced=balanced).probability

    return fit


def ridge_model(ridge: float = 10.0) -> Fit:
    """Return the Fit of ridge regression."""

    def fit(train: Rows) -> Predict:
        return fit_ridge(train, ridge=ridge).margin

    return fit
