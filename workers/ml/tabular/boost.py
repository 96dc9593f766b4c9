"""XGBoost as this project uses it: one thread, fixed seed, JSON, native contributions. The only file that imports xgboost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
import numpy as np
import xgboost

from workers.ml.evaluate.rows import Fit, Predict, Rows
from workers.twin.arrays import Floats

PARAMETERS: Final[Mapping[str, Any]] = {
    "objective": "binary:logistic",
    "max_depth": 2,
    "eta": 0.1,
    "subsample": 0.8,
    "colsample_bytree": 0.8,
    "min_child_weight": 2,
    "lambda": 1.0,
    "tree_method": "exact",
    "nthread": 1,
    "seed": 7,
}
ROUNDS: Final = 100


class Boosted:
    """A booster with the names of its features."""

    def __init__(self, booster: xgboost.Booster, names: Sequence[str]) -> None:
        self._booster, self.names = booster, tuple(names)

    def margin(self, x: Floats) -> Floats:
        """Return the sums of the trees, for rows (n, k); log odds where the objective is logistic."""
        return np.asarray(self._booster.predict(xgboost.DMatrix(x, nthread=1), output_margin=True), np.float64)

    def predict(self, x: Floats) -> Floats:
        """Return what the objective says: probabilities, or numbers."""
        return np.asarray(self._booster.predict(xgboost.DMatrix(x, nthread=1)), np.float64)

    def contributions(self, x: Floats) -> Floats:
        """Return what each feature adds to the margin (n, k + 1), the last column the bias: exact TreeSHAP, rows sum to it."""
        return np.asarray(self._booster.predict(xgboost.DMatrix(x, nthread=1), pred_contribs=True), np.float64)

    def document(self) -> bytes:
        """Return the model in XGBoost's JSON."""
        return bytes(self._booster.save_raw("json"))


def read(document: bytes, names: Sequence[str]) -> Boosted:
    """Return the model of an XGBoost JSON; ValueError when it is not one, or has other features."""
    try:
        told = msgspec.json.decode(document)["learner"]["learner_model_param"]["num_feature"]
    except (msgspec.MsgspecError, KeyError, TypeError) as error:
        raise ValueError("not a model in XGBoost's JSON") from error
    if int(told) != len(names):
        raise ValueError(f"the model has {told} features, {len(names)} are named")
    booster = xgboost.Booster({"nthread": 1})
    try:
        booster.load_model(bytearray(document))
    except xgboost.core.XGBoostError as error:
        raise ValueError("XGBoost cannot read the model") from error
    return Boosted(booster, names)


def fit_boosted(train: Rows, rounds: int = ROUNDS, **parameters: Any) -> Boosted:
    """Return XGBoost fitted on the rows."""
    data = xgboost.DMatrix(train.x, label=train.y, nthread=1)
    booster = xgboost.train(dict(PARAMETERS) | parameters, data, num_boost_round=rounds)
    return Boosted(booster, train.names)


def boosted_model(rounds: int = ROUNDS, **parameters: Any) -> Fit:
    """Return the Fit of XGBoost, for `evaluate.rows.predicted`."""

    def fit(train: Rows) -> Predict:
        return fit_boosted(train, rounds, **parameters).predict

    return fit
