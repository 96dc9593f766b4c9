"""Metrics against scikit-learn and closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.ml.evaluate import metrics
from workers.ml.evaluate.chance import by_person
from workers.ml.evaluate.fairness import ages, by_group
from workers.ml.evaluate.regression import linear, logistic, sigmoid

sklearn_metrics = pytest.importorskip("sklearn.metrics")
linear_model = pytest.importorskip("sklearn.linear_model")


def drawn(seed: int, n: int = 400):
    rng = np.random.default_rng(seed)
    score = rng.normal(size=n)
    y = (rng.random(n) < sigmoid(score - 0.5)).astype(float)
    return y, score, rng


@given(st.integers(0, 10_000), st.integers(2, 60), st.integers(1, 8))
def test_auc_is_scikit_learns_with_ties_too(seed, n, levels):
    rng = np.random.default_rng(seed)
    y, score = (rng.random(n) < 0.5).astype(float), rng.integers(0, levels, n).astype(float)
    if 0 < y.sum() < n:
        assert metrics.auc(y, score) == pytest.approx(sklearn_metrics.roc_auc_score(y, score))
    else:
        assert math.isnan(metrics.auc(y, score))


def test_delongs_interval_holds_as_often_as_it_says():
    held = 0
    for seed in range(400):
        rng = np.random.default_rng(seed)
        y = np.repeat((0.0, 1.0), (40, 30))
        score = rng.normal(size=70) + y  # AUC of two normals a unit apart: Phi(1 / sqrt 2)
        found = metrics.auc_interval(y, score)
        held += found.low <= 0.5 * (1 + math.erf(0.5)) <= found.high
    assert 0.92 <= held / 400 <= 0.98


def test_brier_and_pinball_are_scikit_learns():
    y, score, _ = drawn(1)
    p = sigmoid(score)
    assert metrics.brier(y, p) == pytest.approx(sklearn_metrics.brier_score_loss(y, p))
    for tau in (0.05, 0.5, 0.9):
        oracle = sklearn_metrics.mean_pinball_loss(y, p, alpha=tau)
        assert metrics.pinball(y, p, tau) == pytest.approx(oracle)


@pytest.mark.parametrize("c", [0.1, 1.0, 1e6])
def test_logistic_regression_is_scikit_learns(c):
    y, score, rng = drawn(2)
    x = np.column_stack((score, rng.normal(size=(len(y), 3))))
    weight = rng.random(len(y)) + 0.5
    ours = logistic(x, y, ridge=1 / c, weight=weight)
    theirs = linear_model.LogisticRegression(C=c, tol=1e-10, max_iter=10_000).fit(x, y, sample_weight=weight)
    assert ours.coefficients == pytest.approx([theirs.intercept_[0], *theirs.coef_[0]], abs=1e-4)


def test_ridge_is_scikit_learns():
    _, score, rng = drawn(3)
    x = rng.normal(size=(len(score), 5))
    theirs = linear_model.Ridge(alpha=7.0).fit(x, score)
    assert linear(x, score, ridge=7.0) == pytest.approx([theirs.intercept_, *theirs.coef_])


def test_separable_outcomes_end_in_numbers():
    found = logistic(np.array([[-2.0], [-1.0], [1.0], [2.0]]), np.array([0.0, 0.0, 1.0, 1.0]))
    assert np.isfinite(found.coefficients).all()


def test_calibration_finds_what_was_done_to_the_probabilities():
    y, score, _ = drawn(4, 40_000)
    right, bold = metrics.calibration(y, sigmoid(score - 0.5)), metrics.calibration(y, sigmoid(2 * (score - 0.5)))
    assert right.slope.low < 1 < right.slope.high
    assert right.intercept.low < 0 < right.intercept.high
    assert bold.slope.value == pytest.approx(right.slope.value / 2, rel=1e-6)
    assert metrics.calibration(y, sigmoid(score)).intercept.value == pytest.approx(-0.5, abs=0.05)


def test_reliability_holds_every_row_once():
    y, score, _ = drawn(5)
    bins = metrics.reliability(y, sigmoid(score))
    assert sum(each.n for each in bins) == len(y)
    assert all(each.seen.low <= each.seen.value <= each.seen.high for each in bins)


def test_wilson_is_the_textbooks():
    assert metrics.wilson(2, 10) == pytest.approx((0.2, 0.05668, 0.50984), abs=1e-4)  # Newcombe 1998's method 3


def test_coverage_tells_of_the_worse_served():
    who = np.repeat(np.arange(10), 20)
    y = np.where(who == 0, 5.0, 0.0)
    found = metrics.coverage(y, np.full(200, -1.0), np.full(200, 1.0), who)
    assert found.overall == pytest.approx(0.9)
    assert found.tenth == pytest.approx(np.quantile([0.0] + [1.0] * 9, 0.1))
    assert found.people == 10


def test_psi_of_equal_distributions_is_nothing_and_of_moved_ones_known():
    assert metrics.psi(np.array([5.0, 5.0]), np.array([50.0, 50.0])) == 0
    assert metrics.psi(np.array([0.5, 0.5]), np.array([0.2, 0.8])) == pytest.approx(
        -0.3 * math.log(0.4) + 0.3 * math.log(1.6)
    )


def test_the_bootstrap_draws_people_and_not_rows():
    who = np.repeat(np.arange(20), 50)
    y = np.repeat(np.random.default_rng(6).random(20), 50)
    wide = by_person(lambda a, b: float(a.mean()), y, y, who, times=300)
    narrow = by_person(lambda a, b: float(a.mean()), y, y, np.arange(1000), times=300)
    assert wide.high - wide.low > 4 * (narrow.high - narrow.low)


def test_small_groups_are_suppressed_and_others_have_intervals():
    y, score, _ = drawn(7, 120)
    groups = ["few" if i < 12 else "many" for i in range(120)]
    few, many = by_group(y, sigmoid(score), groups)
    assert few == ("few", None, None, None, None, None)
    assert many.n == 108
    assert many.auc is not None
    assert many.auc.low < many.auc.value < many.auc.high
    assert ages([None, 29, 30, 61]) == ["unknown", "0-29", "30-44", "60+"]
