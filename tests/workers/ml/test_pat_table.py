"""The table of PAT: nothing of a fold's test people reaches what scores them, chance looks like chance, a signal like one."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from workers.ml.pat.folds import folds
from workers.ml.pat.probe import fixed_vectors, probe
from workers.ml.pat.recipe import Recipe
from workers.ml.pat.weeks import Recorded
from workers.ml.tables import pat

SEED = 3


def people(count: int, *, shift: float = 0.0, days: int = 7) -> list[Recorded]:
    rng = np.random.default_rng(1)
    made = []
    for i in range(count):
        depressed = i % 2 == 0
        level = 100 + rng.normal(0, 20) + shift * depressed
        made.append(Recorded(f"p{i}", rng.poisson(level, (days, 1440)).astype(np.float64), depressed))
    return made


def mean(days: np.ndarray) -> np.ndarray:
    return np.array([days.mean()])


def test_what_describes_the_tested_is_made_of_the_others_once_a_fold() -> None:
    everybody, seen = people(12), []

    def vector_of(train, number):
        seen.append((number, {each.person for each in train}))
        return mean

    pat.compared(everybody, {"spy": probe(vector_of)}, 3, SEED, 5, lambda _: None)
    made = folds(everybody, 3, SEED)
    assert [number for number, _ in seen] == [0, 1, 2]
    for number, names in seen:
        assert names == {each.person for each in made[number].train}


def test_a_signal_is_found_and_its_absence_too() -> None:
    fit = {"mean": probe(fixed_vectors(mean))}
    clear = pat.compared(people(24, shift=60), fit, 4, SEED, 40, lambda _: None)["mean"]
    none = pat.compared(people(24), {"mean": probe(fixed_vectors(mean))}, 4, SEED, 40, lambda _: None)["mean"]
    assert clear.pooled.value > 0.9
    assert clear.pooled.low > clear.chance
    assert clear.p < 0.05
    assert none.pooled.low < 0.5 < none.pooled.high or none.p > 0.05
    y = np.array([float(i % 2 == 0) for i in range(24)])
    far = pat.difference(y, clear.scores, none.scores, SEED)
    assert far.low > 0


def test_the_page_is_made_by_pretraining_in_every_fold(tmp_path: Path) -> None:
    everybody = people(4)
    methods = pat.methods_of(Recipe(steps=1, batch=1), tmp_path, lambda _: None)
    found = pat.compared(everybody, methods, 2, SEED, 2, lambda _: None)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "pat-fold-0-20261.safetensors",
        "pat-fold-1-20261.safetensors",
    ]
    text = pat.page(everybody, found)
    assert all(name in text for name in methods)
    assert "4 people" in text
    again = pat.compared(
        everybody, pat.methods_of(Recipe(steps=1, batch=1), tmp_path, lambda _: None), 2, SEED, 2, lambda _: None
    )
    assert pat.page(everybody, again) == text, "seeds are fixed and finished runs are taken up"
