"""Rows of data that know whose they are, and splits in which nobody stands on both sides.

Leakage is made impossible by shape: a model is fitted by a function that is handed the training rows of a fold and nothing else,
and predicts from features alone (never labels), one person at a time, so that a prediction cannot depend on who else is tested.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from workers.twin.arrays import Bools, Floats, Ints

Predict: TypeAlias = Callable[[Floats], Floats]
"""Features (n, k) of one person to n predictions, or to (n, q) quantiles."""


@dataclass(frozen=True, slots=True)
class Rows:
    """`x` (n, k) features, `y` (n) what is to be predicted, `who` (n) the person or investigator, `day` (n) when."""

    x: Floats
    y: Floats
    who: Ints
    day: Ints
    names: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.x.shape != (len(self.y), len(self.names)) or not len(self.y) == len(self.who) == len(self.day):
            raise ValueError("rows of features, labels, people and days are as many, and columns have names")

    def where(self, mask: Bools) -> Rows:
        """Return some of the rows."""
        return Rows(self.x[mask], self.y[mask], self.who[mask], self.day[mask], self.names)

    def only(self, names: Sequence[str]) -> Rows:
        """Return the rows with some of the columns."""
        return Rows(self.x[:, [self.names.index(n) for n in names]], self.y, self.who, self.day, tuple(names))

    def people(self) -> list[int]:
        """Return whose rows these are, sorted."""
        return [int(each) for each in np.unique(self.who)]


Fit: TypeAlias = Callable[[Rows], Predict]
"""What makes a model: it is given a fold's training rows only."""


@dataclass(frozen=True, slots=True)
class Fold:
    """Rows to learn from and places of the rows to be predicted; nobody is in both, by construction."""

    train: Rows
    test: Bools


def folds_of(rows: Rows, parts: Sequence[Sequence[int]]) -> Iterator[Fold]:
    """Yield a fold for each part: its people are tested, all others learned from."""
    for part in parts:
        test = np.isin(rows.who, np.array(part, np.int64))
        yield Fold(rows.where(~test), test)


def one_out(rows: Rows) -> Iterator[Fold]:
    """Yield a fold for each person (leave one person out)."""
    return folds_of(rows, [[who] for who in rows.people()])


def parts_of(rows: Rows, k: int, seed: int) -> list[list[int]]:
    """Return the people in k parts, drawn by the seed, the next always to the part with the fewest rows."""
    people = np.array(rows.people())
    counts = {int(p): int(n) for p, n in zip(*np.unique(rows.who, return_counts=True), strict=True)}
    parts: list[list[int]] = [[] for _ in range(min(k, len(people)))]
    sizes = [0] * len(parts)
    for person in np.random.default_rng(seed).permutation(people).tolist():
        place = sizes.index(min(sizes))
        parts[place].append(person)
        sizes[place] += counts[person]
    return parts


def grouped(rows: Rows, k: int, seed: int) -> Iterator[Fold]:
    """Yield k folds of people (or investigators)."""
    return folds_of(rows, parts_of(rows, k, seed))


def rolling(rows: Rows, k: int, seed: int, origins: Sequence[int]) -> Iterator[Fold]:
    """Yield folds of people at each origin: learned from others before the origin, tested from there to the next one.

    So a prediction knows nothing of its person's labels and nothing of anybody's future.
    """
    ends = [*origins[1:], int(rows.day.max()) + 1]
    for part in parts_of(rows, k, seed):
        tested = np.isin(rows.who, np.array(part, np.int64))
        for start, end in zip(origins, ends, strict=True):
            test = tested & (rows.day >= start) & (rows.day < end)
            if test.any():
                yield Fold(rows.where(~tested & (rows.day < start)), test)


def predicted(rows: Rows, folds: Iterator[Fold], fit: Fit) -> Floats:
    """Return what models say of rows that they have not seen; NaN where no fold tested a row."""
    out: Floats | None = None
    for fold in folds:
        predict = fit(fold.train)
        for person in np.unique(rows.who[fold.test]).tolist():
            place = fold.test & (rows.who == person)
            said = predict(rows.x[place])
            if out is None:
                out = np.full((len(rows.y), *said.shape[1:]), np.nan)
            out[place] = said
    return np.full(len(rows.y), np.nan) if out is None else out


def leaky(rows: Rows, k: int, seed: int, fit: Fit) -> Floats:
    """Return predictions by folds of single rows, the same person on both sides: a warning in a table, never a result."""
    part = np.random.default_rng(seed).permutation(len(rows.y)) % k
    out = np.empty(len(rows.y))
    for number in range(k):
        out[part == number] = fit(rows.where(part != number))(rows.x[part == number])
    return out
