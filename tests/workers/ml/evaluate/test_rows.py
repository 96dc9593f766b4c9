"""No split lets anything of a tested person be learned, and no prediction depends on who else is tested."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from workers.ml.evaluate.chance import permutation, permuted
from workers.ml.evaluate.metrics import auc
from workers.ml.evaluate.rows import Rows, grouped, leaky, one_out, parts_of, predicted, rolling
from workers.ml.tabular.linear import logistic_model


def made(seed: int, n: int = 60, people: int = 9) -> Rows:
    rng = np.random.default_rng(seed)
    who = rng.integers(0, people, n)
    return Rows(rng.normal(size=(n, 2)), rng.integers(0, 2, n).astype(float), who, rng.integers(0, 30, n), ("a", "b"))


tables = st.builds(made, st.integers(0, 10_000), st.integers(10, 80), st.integers(2, 12))


@given(tables, st.integers(2, 6), st.integers(0, 50))
def test_nobody_is_learned_from_and_tested(rows, k, seed):
    for splits in (one_out(rows), grouped(rows, k, seed), rolling(rows, k, seed, (5, 15))):
        for fold in splits:
            assert not set(fold.train.who.tolist()) & set(rows.who[fold.test].tolist())


@given(tables, st.integers(2, 6), st.integers(0, 50))
def test_every_row_is_tested_once(rows, k, seed):
    for splits in (one_out(rows), grouped(rows, k, seed)):
        assert (np.sum([fold.test for fold in splits], axis=0) == 1).all()
    times = np.sum([fold.test for fold in rolling(rows, k, seed, (5, 15))], axis=0)
    assert (times == (rows.day >= 5)).all()


@given(tables, st.integers(0, 50))
def test_rolling_origins_learn_from_the_past_only(rows, seed):
    for fold in rolling(rows, 3, seed, (5, 15)):
        if len(fold.train.y):
            assert fold.train.day.max() < rows.day[fold.test].min()


@given(tables, st.integers(0, 50))
def test_what_is_fitted_sees_nothing_of_the_tested_people(rows, seed):
    """A spy instead of a model, and labels and features of a person changed: what others are told is all that may move."""
    seen: list[Rows] = []

    def spy(train: Rows):
        seen.append(train)
        return lambda x: np.zeros(len(x))

    predicted(rows, grouped(rows, 4, seed), spy)
    for fold, train in zip(grouped(rows, 4, seed), seen, strict=True):
        tested = {tuple(row) for row in rows.x[fold.test].tolist()}
        assert not tested & {tuple(row) for row in train.x.tolist()}


@given(tables)
def test_own_labels_never_reach_own_predictions(rows):
    person = rows.people()[0]
    turned = Rows(rows.x, np.where(rows.who == person, 1 - rows.y, rows.y), rows.who, rows.day, rows.names)
    fit = logistic_model(1.0)
    before, after = (predicted(each, one_out(each), fit)[rows.who == person] for each in (rows, turned))
    assert np.array_equal(before, after)


def test_a_prediction_knows_nothing_of_who_else_is_tested():
    rows = made(3)
    batches: list[int] = []

    def fit(train: Rows):
        def predict(x):
            batches.append(len(x))
            return x[:, 0] - x[:, 0].mean()  # scales itself by what it is given

        return predict

    predicted(rows, grouped(rows, 2, 0), fit)
    assert sorted(batches) == sorted(np.unique(rows.who, return_counts=True)[1].tolist())


def test_parts_hold_everybody_and_are_about_as_large():
    rows = made(4, 300, 40)
    parts = parts_of(rows, 5, 1)
    assert sorted(p for part in parts for p in part) == rows.people()
    sizes = [int(np.isin(rows.who, part).sum()) for part in parts]
    assert max(sizes) - min(sizes) <= 15


def test_days_of_the_same_people_on_both_sides_promise_what_people_apart_do_not_keep():
    """The reason for all of this: labels by person, features that only recognise the person."""
    rng = np.random.default_rng(5)
    who = np.repeat(np.arange(40), 10)
    x = rng.normal(size=(40, 3))[who] + 0.05 * rng.normal(size=(400, 3))
    rows = Rows(x, rng.integers(0, 2, 40).astype(float)[who], who, np.zeros(400, int), ("a", "b", "c"))

    def nearest(train: Rows):
        return lambda x: train.y[((x[:, None] - train.x[None]) ** 2).sum(axis=2).argmin(axis=1)]

    assert auc(rows.y, leaky(rows, 10, 0, nearest)) > 0.95
    assert auc(rows.y, predicted(rows, one_out(rows), nearest)) < 0.7


def test_permutation_deals_labels_between_people_and_finds_nothing_in_noise():
    who = np.repeat(np.arange(30), 3)
    rng = np.random.default_rng(6)
    y = rng.permutation(np.repeat((0.0, 1.0), 15))
    signal = Rows(y[who][:, None] + rng.normal(size=(90, 1)), y[who], who, np.zeros(90, int), ("a",))
    dealt = permuted(signal, rng)
    assert sorted(dealt.y) == sorted(signal.y)
    assert all(len(set(dealt.y[who == person])) == 1 for person in range(30))

    def score(rows: Rows) -> float:
        return auc(rows.y, predicted(rows, grouped(rows, 3, 0), logistic_model(1.0)))

    real, limit, p = permutation(signal, score, times=40)
    assert real > limit
    assert p < 0.05
    noise = Rows(rng.normal(size=(90, 1)), signal.y, who, signal.day, ("a",))
    assert permutation(noise, score, times=40)[2] > 0.05
