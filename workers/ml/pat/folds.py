"""Evaluation in which nobody is on both sides: methods are handed people to learn from, then weeks without a label."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from workers.ml.pat.weeks import Recorded
from workers.twin.arrays import Floats

Days = Floats
"""(days, 1440) of one person whose label the method is not told."""
Score = Callable[[Days], float]
Fit = Callable[[Sequence[Recorded], int], Score]
"""People to learn from (labels and all) and the number of the fold, to a score of anybody else's days."""


@dataclass(frozen=True, slots=True)
class Fold:
    """People to learn from and people to be scored; making one with somebody in both is an error."""

    train: tuple[Recorded, ...]
    test: tuple[Recorded, ...]

    def __post_init__(self) -> None:
        both = {each.person for each in self.train} & {each.person for each in self.test}
        if both:
            raise ValueError(f"{len(both)} people are on both sides of a fold")


def folds(people: Sequence[Recorded], count: int, seed: int) -> list[Fold]:
    """Return folds by person, each with its share of both groups."""
    if len({each.person for each in people}) != len(people):
        raise ValueError("a person stands in the list twice: put all that is known of a person into one entry")
    chance = np.random.default_rng((seed, 4))
    place = np.zeros(len(people), np.int64)
    for group in (True, False):
        members = np.array([i for i, each in enumerate(people) if each.depressed is group], np.int64)
        place[chance.permutation(members)] = np.arange(len(members)) % count
    return [
        Fold(
            tuple(each for each, at in zip(people, place, strict=True) if at != fold),
            tuple(each for each, at in zip(people, place, strict=True) if at == fold),
        )
        for fold in range(count)
    ]


def out_of_fold(made: Sequence[Fold], fit: Fit) -> dict[str, float]:
    """Return the score of every person by a method that was fitted without that person."""
    scores: dict[str, float] = {}
    for number, fold in enumerate(made):
        score = fit(fold.train, number)
        scores |= {each.person: score(each.days) for each in fold.test}
    return scores
