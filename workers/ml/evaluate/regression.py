"""Logistic and linear regression by Newton's method, with ridge and weights: what comparators and calibration rest on."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from workers.twin.arrays import Floats

_STEPS: Final = 100
_ENOUGH: Final = 1e-10


class Fitted(NamedTuple):
    """Intercept first, then a coefficient for each column; `covariance` is the inverse of the (penalised) information."""

    coefficients: Floats
    covariance: Floats


def sigmoid(margin: Floats) -> Floats:
    """Return 1 / (1 + exp(-margin)) without overflow."""
    return np.asarray(0.5 * (1 + np.tanh(0.5 * margin)), np.float64)


def logit(p: Floats, edge: float = 1e-6) -> Floats:
    """Return ln(p / (1 - p)), p kept `edge` away from 0 and 1."""
    clipped = np.clip(p, edge, 1 - edge)
    return np.asarray(np.log(clipped / (1 - clipped)), np.float64)


def logistic(
    x: Floats, y: Floats, *, ridge: float = 0.0, weight: Floats | None = None, offset: Floats | None = None
) -> Fitted:
    """Minimise sum w_i loss_i + ridge/2 |b|^2, the intercept free; `x` (n, k) has no column of ones.

    The same as scikit-learn's LogisticRegression(C=1/ridge). Steps are halved until the loss falls, so separable data
    end at the last step instead of overflowing.
    """
    design = np.column_stack((np.ones(len(y)), x))
    weights = np.ones(len(y)) if weight is None else weight
    fixed = np.zeros(len(y)) if offset is None else offset
    penalty = np.full(design.shape[1], ridge)
    penalty[0] = 0.0
    b = np.zeros(design.shape[1])

    def loss(at: Floats) -> float:
        margin = design @ at + fixed
        return float((weights * (np.logaddexp(0, margin) - y * margin)).sum() + 0.5 * (penalty * at * at).sum())

    information = np.eye(len(b))
    for _ in range(_STEPS):
        p = sigmoid(design @ b + fixed)
        gradient = design.T @ (weights * (p - y)) + penalty * b
        information = design.T @ (design * (weights * p * (1 - p))[:, None]) + np.diag(penalty)
        step = np.linalg.lstsq(information, gradient, rcond=None)[0]
        size, here = 1.0, loss(b)
        while size > _ENOUGH and loss(b - size * step) > here:
            size /= 2
        b = b - size * step
        if float(np.abs(size * step).max()) < _ENOUGH:
            break
    return Fitted(b, np.asarray(np.linalg.pinv(information), np.float64))


def linear(x: Floats, y: Floats, *, ridge: float = 0.0) -> Floats:
    """Return intercept and coefficients of ridge regression, the intercept free."""
    centre, middle = x.mean(axis=0), float(y.mean())
    inner = (x - centre).T @ (x - centre) + ridge * np.eye(x.shape[1])
    slopes = np.linalg.lstsq(inner, (x - centre).T @ (y - middle), rcond=None)[0]
    return np.concatenate(([middle - float(centre @ slopes)], slopes))
