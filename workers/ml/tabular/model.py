"""A tabular model as it serves: XGBoost, recalibrated, with its logistic comparator, its reference and its abstentions.

Three files beside the card: `model.json` (XGBoost), `comparator.safetensors` and `reference.safetensors` (numbers by name, features
in the metadata). The reference holds what the training people looked like and what was seen in people who were left out:

| name | shape | what |
|---|---|---|
| `recalibration` | 2 | intercept and slope on the log odds |
| `low`, `high` | k | smallest and largest value of each feature |
| `edges`, `shares` | k x 9, k x 11 | deciles of each feature; share of rows in each bin, the last: missing |
| `score_edges`, `score_shares` | 9, 10 | the same of the probability |
| `bins` | b x 3 | mean probability, low and high of what was seen there (95 %, whole people drawn) |
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from safetensors.numpy import load, save

from fhir_server.settings import Settings
from workers.ml.evaluate.regression import logit, sigmoid
from workers.ml.registry.card import BadCard, Card
from workers.ml.registry.shelf import Model
from workers.ml.tabular import boost
from workers.ml.tabular.answer import Abstained, Answer, Part
from workers.ml.tabular.boost import Boosted
from workers.ml.tabular.linear import Linear
from workers.twin.arrays import Floats

MARGIN: Final = 0.5
"""A value farther outside the training range than this part of its width is not judged."""

KNOWN: Final = 0.5
"""Part of the features that must be known."""

_LINEAR: Final = ("mean", "scale", "coefficients", "intercept")
_REFERENCE: Final = ("recalibration", "low", "high", "edges", "shares", "score_edges", "score_shares", "bins")


@dataclass(frozen=True, slots=True, eq=False)
class Reference:
    """Numbers of the table above; `horizon` in days."""

    numbers: Mapping[str, Floats]
    horizon: int

    def __getitem__(self, name: str) -> Floats:
        return self.numbers[name]


@dataclass(frozen=True, slots=True, eq=False)
class Tabular:
    """A model that was read, with its card."""

    card: Card
    names: tuple[str, ...]
    booster: Boosted
    comparator: Linear
    reference: Reference

    def probabilities(self, x: Floats) -> Floats:
        """Return recalibrated probabilities of rows (n, k)."""
        intercept, slope = self.reference["recalibration"]
        return sigmoid(np.asarray(intercept + slope * self.booster.margin(x), np.float64))

    def contributions(self, x: Floats) -> Floats:
        """Return what each feature adds to the log odds (n, k + 1), the last column the bias; rows sum to them."""
        intercept, slope = self.reference["recalibration"]
        found = slope * self.booster.contributions(x)
        found[:, -1] += intercept
        return np.asarray(found, np.float64)

    def answer(self, x: Floats) -> Answer | Abstained:
        """Return what is said of one row (k)."""
        refused = self.abstains(x)
        if refused is not None:
            return refused
        row = x[None]
        p, adds = float(self.probabilities(row)[0]), self.contributions(row)[0]
        low, high = self.interval(p)
        values = [None if np.isnan(value) else float(value) for value in x]
        parts = sorted(map(Part, self.names, values, adds[:-1].tolist()), key=lambda part: -abs(part.adds))
        return Answer(p, low, high, float(self.comparator.probability(row)[0]), float(adds[-1]), tuple(parts))

    def abstains(self, x: Floats) -> Abstained | None:
        """Return why nothing is said of a row, None when something can be."""
        known = ~np.isnan(x)
        if known.mean() < KNOWN:
            return Abstained("too-few-inputs", f"{int(known.sum())} of {len(x)} inputs are known; half are needed.")
        low, high = self.reference["low"], self.reference["high"]
        reach = MARGIN * (high - low)
        outside = [n for n, v, a, b in zip(self.names, x, low - reach, high + reach, strict=True) if v < a or v > b]
        if outside:
            return Abstained("out-of-range", f"Unlike anything that was learned from: {', '.join(outside)}.")
        return None

    def interval(self, p: float) -> tuple[float, float]:
        """Return what was seen at such probabilities, between bins in proportion; the probability itself may lie outside."""
        bins = self.reference["bins"]
        low, high = (float(np.interp(p, bins[:, 0], bins[:, column])) for column in (1, 2))
        return low, high


def read(model: Model, settings: Settings) -> Tabular:
    """Return the model that the files beside a card are; BadCard when they do not fit together."""
    comparator, names = _arrays(model.read("comparator", settings), _LINEAR)
    reference, of_reference = _arrays(model.read("reference", settings), _REFERENCE)
    if names != of_reference or any(len(reference[name]) != len(names) for name in ("low", "high", "edges", "shares")):
        raise BadCard(f"the files of {model.card.name} have different features")
    try:
        booster = boost.read(model.read("serving", settings), names)
    except ValueError as error:
        raise BadCard(f"{model.card.name}: {error}") from error
    linear = Linear(
        names, comparator["mean"], comparator["scale"], comparator["coefficients"], float(comparator["intercept"][0])
    )
    return Tabular(model.card, names, booster, linear, Reference(reference, int(reference["horizon"][0])))


def file_numbers(data: bytes, wanted: Sequence[str]) -> dict[str, Floats]:
    """Return the arrays of a file of numbers; BadCard when one of those wanted is missing."""
    return _arrays(data, wanted)[0]


def _arrays(data: bytes, wanted: Sequence[str]) -> tuple[dict[str, Floats], tuple[str, ...]]:
    """Return arrays by name and the features, which are the names of empty ones in their order: `feature/007/steps`."""
    found = load(data)
    names = tuple(key.split("/", 2)[2] for key in sorted(found) if key.startswith("feature/"))
    if missing := set(wanted) - found.keys():
        raise BadCard(f"a file of numbers lacks {', '.join(sorted(missing))}")
    return {key: np.asarray(value, np.float64) for key, value in found.items() if "/" not in key}, names


def arrays(numbers: Mapping[str, Floats], names: Sequence[str]) -> bytes:
    """Return numbers and names of features as safetensors; equal ones give equal bytes."""
    features = {f"feature/{place:03}/{name}": np.zeros(0) for place, name in enumerate(names)}
    return bytes(save({**features, **{key: np.ascontiguousarray(value) for key, value in numbers.items()}}))


def linear_arrays(model: Linear) -> bytes:
    """Return the comparator's file."""
    numbers = {
        "mean": model.mean,
        "scale": model.scale,
        "coefficients": model.coefficients,
        "intercept": np.array([model.intercept]),
    }
    return arrays(numbers, model.names)


def log_odds(p: float) -> float:
    """Return the log odds of a probability."""
    return float(logit(np.array([p]))[0])
