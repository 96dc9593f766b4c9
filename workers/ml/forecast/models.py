"""Forecasters of a number by quantiles, and of yes or no by probability: each a Fit that sees its training rows only.

A forecast of a number is (n, 5): the quantiles of `windows.QUANTILES`. Point models add the quantiles of their own errors on the
training rows; XGBoost learns the quantiles.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np

from workers.ml.evaluate.rows import Fit, Predict, Rows
from workers.ml.forecast.windows import LENGTH, QUANTILES
from workers.ml.tabular.boost import fit_boosted
from workers.ml.tabular.linear import fit_logistic, fit_ridge
from workers.twin.arrays import Floats

_LAGS: Final = 7
Point = Callable[[Floats], Floats]


def target_of(rows: Rows) -> str:
    """Return what is forecast."""
    return rows.names[-1].removesuffix(" mean-7")


def _level(rows: Rows) -> int:
    return rows.names.index(f"{target_of(rows)} level")


def _banded(train: Rows, point: Point) -> Predict:
    """Return a point forecast with the quantiles of its errors on the training rows around it."""
    errors = np.quantile(train.y - point(train.x), QUANTILES)
    errors -= np.median(train.y - point(train.x))
    return lambda x: np.asarray(point(x)[:, None] + errors, np.float64)


def persistence(train: Rows) -> Predict:
    """Forecast the last value that is known."""
    level = _level(train)
    return _banded(train, lambda x: np.asarray(x[:, level] + x[:, -3], np.float64))


def moving_mean(train: Rows) -> Predict:
    """Forecast the mean of what is known of the last seven days."""
    level = _level(train)
    return _banded(train, lambda x: np.asarray(x[:, level] + x[:, -1], np.float64))


def short(train: Rows) -> Rows:
    """Return the rows with the columns that tables of a week need: no lags beyond it."""
    signals = (len(train.names) - 6) // (LENGTH + 1)
    kept = [*range(signals + 3 + signals * _LAGS), *range(len(train.names) - 3, len(train.names))]
    return train.only([train.names[i] for i in kept])


def _shortened(train: Rows) -> tuple[Rows, list[int], int]:
    """Return short rows with the target as distance from its level, the kept columns, and the level's place."""
    level, kept = _level(train), short(train)
    places = [train.names.index(name) for name in kept.names]
    return Rows(kept.x, train.y - train.x[:, level], train.who, train.day, kept.names), places, level


def ridge(train: Rows) -> Predict:
    """Forecast by ridge regression of the distance from the level."""
    rows, places, level = _shortened(train)
    model = fit_ridge(rows, ridge=50.0)
    return _banded(train, lambda x: np.asarray(x[:, level] + model.margin(x[:, places]), np.float64))


def boosted(train: Rows) -> Predict:
    """Forecast by XGBoost's quantile regression of the distance from the level; quantiles that cross are put in order."""
    rows, places, level = _shortened(train)
    model = fit_boosted(
        rows, 120, objective="reg:quantileerror", quantile_alpha=np.array(QUANTILES), max_depth=3, eta=0.08,
        min_child_weight=10, tree_method="hist",
    )  # fmt: skip
    return lambda x: np.asarray(x[:, level, None] + np.sort(model.predict(x[:, places]), axis=1), np.float64)


def _usual(train: Rows, x: Floats, place: int) -> Floats:
    """Return the share of yes among recent answers, drawn towards everybody's by two answers' worth."""
    level, share = _level(train), float(train.y.mean())
    return np.asarray((7 * np.clip(x[:, level] + x[:, place], 0, 1) + 2 * share) / 9, np.float64)


def persistence_yes(train: Rows) -> Predict:
    """Say how often yes follows the last answer."""
    level = _level(train)

    def last(x: Floats) -> Floats:
        return np.asarray(np.round(x[:, level] + x[:, -3]), np.float64)

    before = last(train.x)
    said = {kind: (train.y[before == kind].sum() + 1) / ((before == kind).sum() + 2) for kind in (0.0, 1.0)}
    return lambda x: np.array([said[each] for each in last(x).tolist()])


def moving_mean_yes(train: Rows) -> Predict:
    """Say the share of yes among the answers of the last seven days."""
    return lambda x: _usual(train, x, -1)


def logistic_yes(train: Rows) -> Predict:
    """Say it by logistic regression."""
    rows = short(train)
    places = [train.names.index(name) for name in rows.names]
    model = fit_logistic(rows, c=0.02)
    return lambda x: model.probability(x[:, places])


def boosted_yes(train: Rows) -> Predict:
    """Say it by XGBoost."""
    rows = short(train)
    places = [train.names.index(name) for name in rows.names]
    model = fit_boosted(rows, 80, max_depth=3, eta=0.06, min_child_weight=10, tree_method="hist")
    return lambda x: model.predict(x[:, places])


NUMBERS: Final[Mapping[str, Fit]] = {
    "persistence": persistence,
    "moving mean of 7 days": moving_mean,
    "ridge regression": ridge,
    "XGBoost": boosted,
}
ANSWERS: Final[Mapping[str, Fit]] = {
    "persistence": persistence_yes,
    "moving mean of 7 days": moving_mean_yes,
    "logistic regression": logistic_yes,
    "XGBoost": boosted_yes,
}
