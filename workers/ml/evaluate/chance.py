"""What chance alone would give: bootstrap over people, and permutation of labels between people."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from workers.ml.evaluate.metrics import Interval
from workers.ml.evaluate.rows import Rows
from workers.twin.arrays import Floats, Ints


def by_person(
    measure: Callable[[Floats, Floats], float], y: Floats, score: Floats, who: Ints, *, seed: int = 0, times: int = 1000
) -> Interval:
    """Return a measure with the percentile interval of drawing whole people with replacement."""
    places = [np.flatnonzero(who == person) for person in np.unique(who)]
    rng, found = np.random.default_rng(seed), []
    for _ in range(times):
        drawn = np.concatenate([places[i] for i in rng.integers(0, len(places), len(places))])
        found.append(measure(y[drawn], score[drawn]))
    kept = np.array(found)[np.isfinite(found)]
    low, high = np.quantile(kept, (0.025, 0.975)) if len(kept) else (np.nan, np.nan)
    return Interval(measure(y, score), float(low), float(high))


def permuted(rows: Rows, rng: np.random.Generator) -> Rows:
    """Return the rows with labels dealt anew: between people where each has one label, else within all rows."""
    people = rows.people()
    own = [np.unique(rows.y[rows.who == person]) for person in people]
    if any(len(labels) > 1 for labels in own):
        return Rows(rows.x, rng.permutation(rows.y), rows.who, rows.day, rows.names)
    dealt = dict(zip(people, rng.permutation([float(labels[0]) for labels in own]), strict=True))
    return Rows(rows.x, np.array([dealt[int(w)] for w in rows.who]), rows.who, rows.day, rows.names)


def permutation(
    rows: Rows, evaluate: Callable[[Rows], float], *, seed: int = 0, times: int = 200
) -> tuple[float, float, float]:
    """Return the measure of the true labels, the 95th percentile under permuted ones, and p of the whole procedure refitted."""
    rng = np.random.default_rng(seed)
    real = evaluate(rows)
    null = np.array([evaluate(permuted(rows, rng)) for _ in range(times)])
    return real, float(np.quantile(null, 0.95)), float((1 + (null >= real).sum()) / (1 + times))
