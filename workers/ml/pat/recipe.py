"""How PAT is pretrained, and how far a training is; no framework, so that commands need none to say what they can do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to pretrain; the defaults are ours for a small corpus, `PUBLISHED` has what the paper did otherwise."""

    steps: int = 120
    batch: int = 32
    rate: float = 1e-3
    masked: float = 0.9
    patience: int = 10
    """Epochs without a better loss after which the rate is halved."""
    stop: int = 250
    """Epochs without a better loss after which training ends."""
    seed: int = 20261


PUBLISHED = Recipe(steps=1_000_000, batch=128, patience=10, stop=250)


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a training is: steps done, the losses, how fast, and seconds until the last step."""

    step: int
    steps: int
    loss: float
    valid: float
    per_second: float
    remaining: float


Tell = Callable[[Progress], None]


def quiet(_: Progress) -> None:
    """Tell nobody."""
