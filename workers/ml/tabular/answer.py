"""What a model says of one row: a probability with its interval, why, what the comparator says; or why it says nothing."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Part:
    """What one feature adds to the log odds; `value` is the feature's number, None when it is missing."""

    feature: str
    value: float | None
    adds: float


@dataclass(frozen=True, slots=True)
class Answer:
    """Probabilities from 0 to 1. `low` to `high` is what was seen at such probabilities, with 95 %, in people not learned from:
    where the model is badly calibrated, its probability lies outside.
    """

    probability: float
    low: float
    high: float
    comparator: float
    bias: float
    parts: tuple[Part, ...]
    """Sorted by how much they add; with the bias they sum to the log odds."""


@dataclass(frozen=True, slots=True)
class Abstained:
    """No probability: `reason` is a code, `text` says which feature it is about."""

    reason: str
    text: str
