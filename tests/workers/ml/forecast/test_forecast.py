"""Forecasts: rows know nothing of the day ahead, intervals adapt, the network that serves is the one that was trained."""

from __future__ import annotations

from datetime import date

import numpy as np
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from fhir_server.settings import Settings
from workers.ml.evaluate.metrics import coverage
from workers.ml.forecast import models, served
from workers.ml.forecast.conformal import adapted
from workers.ml.forecast.served import SIGNALS, Forecast
from workers.ml.forecast.windows import LENGTH, MIDDLE, columns, names, rows_of, window
from workers.ml.registry import shelf
from workers.ml.tabular.answer import Abstained

FIRST = date(2026, 1, 5)


def days(seed: int, count: int = 60, signals: int = 2) -> np.ndarray:
    rng = np.random.default_rng(seed)
    found = 60 + np.cumsum(rng.normal(size=(count, signals)), axis=0) * 0.3 + rng.normal(size=(count, signals))
    found[rng.random(found.shape) < 0.2] = np.nan
    return found


def people(count: int = 6):
    return [(FIRST, days(seed)) for seed in range(count)]


@examples(max_examples=25, deadline=None)
@given(st.integers(0, 1000), st.integers(1, 50))
def test_a_row_is_the_same_whatever_comes_after(seed, cut):
    whole = days(seed)
    before, after = window(whole[:cut], 0, FIRST), window(whole, 0, FIRST)
    assert np.array_equal(before.x, after.x[: len(before.x)], equal_nan=True)


def test_rows_say_what_their_names_say():
    found = days(1)
    rows, columns_ = window(found, 0, FIRST), names(("a", "b"), "a")
    assert rows.x.shape[1] == len(columns_)
    at = rows.day.tolist().index(FIRST.toordinal() + 40)
    row = dict(zip(columns_, rows.x[at], strict=True))
    assert row["a level"] == pytest.approx(np.nanmean(found[13:41, 0]))
    for back in range(LENGTH):
        assert row[f"b@{-back}"] == pytest.approx(found[40 - back, 1] - np.nanmean(found[13:41, 1]), nan_ok=True)
    assert row["a level"] + row["a mean-7"] == pytest.approx(np.nanmean(found[34:41, 0]))
    assert row["weekend"] == float((FIRST.toordinal() + 41) % 7 in (6, 0))  # ordinal 7 is a Sunday


def test_unknown_days_stay_unknown():
    found = columns({FIRST: [1.0, np.nan], date(2026, 1, 8): [2.0, 3.0]}, 2)
    assert found is not None
    assert np.isnan(found[1][1:3]).all()
    assert columns({}, 2) is None


@pytest.mark.parametrize("name", models.NUMBERS)
def test_quantiles_are_in_order_and_baselines_are_what_they_say(name):
    rows = rows_of(people(), ["a", "b"], "a")
    said = models.NUMBERS[name](rows)(rows.x)
    assert said.shape == (len(rows.y), 5)
    assert (np.diff(said, axis=1) >= 0).all()
    if name == "persistence":
        last = rows.x[:, 0] + rows.x[:, -3]
        assert said[:, MIDDLE] == pytest.approx(last)


@pytest.mark.parametrize("name", models.ANSWERS)
def test_yes_or_no_is_a_probability(name):
    told = [(first, np.where(np.isnan(each), np.nan, each > 60)) for first, each in people()]
    answers = rows = rows_of(told, ["a", "b"], "a")
    said = models.ANSWERS[name](answers)(rows.x)
    assert ((said >= 0) & (said <= 1)).all()


def test_intervals_hold_for_everybody_though_the_band_is_wrong_for_each():
    """People whose noise differs tenfold, one band for all: it holds 90 % overall and of some people almost nothing."""
    rng = np.random.default_rng(2)
    who, day = np.repeat(np.arange(30), 120), np.tile(np.arange(120), 30)
    y = rng.normal(size=len(who)) * np.geomspace(0.5, 5, 30)[who]
    width = float(np.quantile(np.abs(y), 0.9))
    low, high = np.full(len(y), -width), np.full(len(y), width)
    assert coverage(y, low, high, who).tenth < 0.75
    told = coverage(y, *adapted(low, high, y, who, day), who)
    assert 0.87 <= told.overall <= 0.93
    assert told.tenth >= 0.83


def test_an_interval_knows_nothing_of_its_own_outcome():
    who, day, zero = np.zeros(10, int), np.arange(10), np.zeros(10)
    one = adapted(zero - 1, zero + 1, zero, who, day)
    other = adapted(zero - 1, zero + 1, np.append(zero[:9], 99.0), who, day)
    assert np.array_equal(one, other)


@pytest.fixture(scope="module")
def network():
    lstm = pytest.importorskip("workers.ml.forecast.lstm")
    rows = rows_of(people(), ["a", "b"], "a")
    return lstm, rows, lstm.trained(rows, epochs=2)


def test_what_serves_is_what_was_trained(network):
    lstm, rows, trained = network
    data = lstm.export(trained, rows.x.shape[1])
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    for count in (1, 7, len(rows.y)):
        x = rows.x[:count]
        ours = session.run(None, {"x": x.astype(np.float32)})[0]
        assert np.isfinite(ours).all()
        assert ours == pytest.approx(lstm.said(trained, x), abs=1e-5, rel=1e-6)
        assert (np.diff(ours, axis=1) > 0).all()


def test_training_is_the_same_twice(network):
    lstm, rows, trained = network
    again = lstm.trained(rows, epochs=2)
    assert np.array_equal(lstm.said(again, rows.x), lstm.said(trained, rows.x))


def forecasters():
    return [model for model in shelf.shipped().values() if model.card.use == "forecast"]


@pytest.mark.parametrize("model", forecasters(), ids=lambda model: model.card.name)
def test_shipped_forecasters_forecast_or_say_why_not(model):
    found = served.read(model, Settings(environment="test"))  # type: ignore[call-arg]
    usual = {"resting-heart-rate-reported": 62.0, "steps": 8000.0, "sleep-duration": 420.0, "hrv-rmssd": 40.0}
    rng = np.random.default_rng(3)
    known = np.array([usual[s] for s in SIGNALS]) * (1 + 0.05 * rng.normal(size=(60, 4)))
    said = found.forecast(known, FIRST)
    assert isinstance(said, Forecast)
    assert said.low < said.median < said.high
    assert said.median == pytest.approx(usual[found.signal], rel=0.15)
    assert said.judged > 40
    assert 0.75 <= said.held / said.judged <= 1
    few = found.forecast(known[:4], FIRST)
    assert isinstance(few, Abstained)
    odd = found.forecast(known * 100, FIRST)
    assert isinstance(odd, Abstained)
    assert odd.reason == "out-of-range"
    stale = np.concatenate((known, np.full((9, 4), np.nan)))
    assert isinstance(found.forecast(stale, FIRST), Abstained)


@pytest.mark.parametrize("model", forecasters(), ids=lambda model: model.card.name)
def test_the_network_is_served_only_where_it_beat_both_baselines(model):
    figures = {figure.measure: figure.value for figure in model.card.figures}
    better = figures["skill, 1 - MAE / MAE of the comparator"] > 0
    assert (model.card.recipe["serves"] == served.LSTM) == better
