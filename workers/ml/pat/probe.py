"""What a frozen description of a person's weeks tells of the group: logistic regression on it, inside each fold."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from workers.ml.evaluate.rows import Rows
from workers.ml.pat.folds import Days, Fit, Score
from workers.ml.pat.model import Embedder, Encoder
from workers.ml.pat.recipe import Recipe, Tell, quiet
from workers.ml.pat.shape import SHAPES, Shape
from workers.ml.pat.train import pretrained
from workers.ml.pat.weeks import Recorded, Reference
from workers.ml.tabular.linear import fit_logistic
from workers.twin.arrays import Floats

PENALTY = 0.1
"""C of the logistic regression, fixed before anything was looked at; the same as for hand-made features."""
Vector = Callable[[Days], Floats]
VectorOf = Callable[[Sequence[Recorded], int], Vector]
"""People to learn from and the number of the fold, to what describes anybody's days; labels are not used."""


def probe(vector_of: VectorOf) -> Fit:
    """Return the method that describes people by vectors and tells the group by logistic regression on them."""
    made: dict[int, Vector] = {}  # of each fold once: permutations of labels change the regression, not the description

    def fit(train: Sequence[Recorded], number: int) -> Score:
        if number not in made:
            made[number] = _remembered(vector_of(train, number))
        vector = made[number]
        x = np.array([vector(each.days) for each in train])
        y = np.array([float(each.depressed) for each in train])
        names = tuple(str(i) for i in range(x.shape[1]))
        rows = Rows(x, y, np.arange(len(y)), np.zeros(len(y), np.int64), names)
        model = fit_logistic(rows, c=PENALTY, balanced=True)
        return lambda days: float(model.margin(vector(days)[None])[0])

    return fit


def pretrained_vectors(recipe: Recipe, work: Path, tell: Tell = quiet, shape: Shape = SHAPES["S"]) -> VectorOf:
    """Return PAT pretrained on the people of the fold, and nobody else; runs are kept in `work` and resumed."""

    def vector_of(train: Sequence[Recorded], number: int) -> Vector:
        state = work / f"pat-fold-{number}-{recipe.seed}.safetensors"
        found = pretrained(train, recipe, shape, state=state, tell=tell)
        return _embedding(found.encoder, found.reference)

    return vector_of


def random_vectors(recipe: Recipe, shape: Shape = SHAPES["S"]) -> VectorOf:
    """Return PAT with the weights that pretraining begins with; only the scaling is of the fold's people."""

    def vector_of(train: Sequence[Recorded], _: int) -> Vector:
        torch.manual_seed(recipe.seed)
        return _embedding(Encoder(shape).eval(), Reference.of(train))

    return vector_of


def fixed_vectors(vector: Vector) -> VectorOf:
    """Return a description in which nothing is learnt, such as hand-made features."""
    return lambda _train, _number: vector


def _embedding(encoder: Encoder, reference: Reference) -> Vector:
    """Return the mean embedding (96) of somebody's weeks."""
    embedder = Embedder(encoder)

    def vector(days: Days) -> Floats:
        weeks = torch.from_numpy(reference.scale(Recorded("", days, depressed=False).weeks()))
        with torch.no_grad():
            found = [embedder(week[None])[0][0].numpy() for week in weeks]
        return np.asarray(np.mean(found, axis=0, dtype=np.float64), np.float64)

    return vector


def _remembered(vector: Vector) -> Vector:
    """Return the same, computed once for the same days."""
    known: dict[bytes, Floats] = {}

    def once(days: Days) -> Floats:
        key = hashlib.sha256(np.ascontiguousarray(days).tobytes()).digest()
        if key not in known:
            known[key] = vector(days)
        return known[key]

    return once
