"""PAT-S of our own: pretrained on the people of Depresjon alone, by people apart for training and for judging epochs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from workers.ml.pat.model import Encoder
from workers.ml.pat.pretrain import Run, pretrain
from workers.ml.pat.recipe import Recipe, Tell, quiet
from workers.ml.pat.shape import SHAPES, Shape
from workers.ml.pat.weeks import Recorded, Reference

JUDGES = 0.1
"""Share of the people whose weeks say which epoch is best; nothing else is fitted on them."""


@dataclass(frozen=True, slots=True, eq=False)
class Pretrained:
    """An encoder, the reference its weeks are scaled by, who it has learnt from, and its loss on who it has not."""

    encoder: Encoder
    reference: Reference
    people: tuple[str, ...]
    judges: tuple[str, ...]
    weeks: int
    steps: int
    loss: float


def pretrained(
    people: Sequence[Recorded],
    recipe: Recipe,
    shape: Shape = SHAPES["S"],
    *,
    state: Path | None = None,
    tell: Tell = quiet,
) -> Pretrained:
    """Return an encoder pretrained on these people and nobody else: scaling, weights and choice of epoch."""
    able = [each for each in people if len(each.weeks())]
    learners, judges = _apart(able, recipe.seed)
    reference = Reference.of(learners)
    seen, judged = (reference.scale(np.concatenate([each.weeks() for each in some])) for some in (learners, judges))
    encoder, run = pretrain(shape, seen, judged, recipe, state=state, tell=tell)
    return _told(encoder, reference, learners, judges, len(seen), run)


def _told(
    encoder: Encoder, reference: Reference, learners: list[Recorded], judges: list[Recorded], weeks: int, run: Run
) -> Pretrained:
    names = tuple(tuple(each.person for each in some) for some in (learners, judges))
    return Pretrained(encoder, reference, names[0], names[1], weeks, run.step, run.best)


def _apart(people: Sequence[Recorded], seed: int) -> tuple[list[Recorded], list[Recorded]]:
    """Return people to learn from and people to judge by, nobody in both; there must be two at least."""
    if len(people) < 2:
        raise ValueError("pretraining needs two people with seven full days at least")
    order = np.random.default_rng((seed, 3)).permutation(len(people))
    count = max(1, round(len(people) * JUDGES))
    judging = set(order[:count].tolist())
    return (
        [each for i, each in enumerate(people) if i not in judging],
        [each for i, each in enumerate(people) if i in judging],
    )
