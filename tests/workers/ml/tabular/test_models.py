"""Tabular models: contributions add up, files fit together, odd inputs are abstained from, references say what was seen."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from fhir_server.settings import Settings
from workers.ml.evaluate.metrics import auc
from workers.ml.evaluate.regression import logit, sigmoid
from workers.ml.evaluate.rows import Rows
from workers.ml.registry import shelf
from workers.ml.registry.card import BadCard, read_card
from workers.ml.tabular import boost, linear, model, reference, risk, specs
from workers.ml.tabular.answer import Abstained, Answer
from workers.ml.tabular.boost import fit_boosted
from workers.ml.tabular.linear import fit_logistic
from workers.ml.tabular.train import make
from workers.twin.digest import Digest, Symptom

SHIPPED = ("episode-risk-07", "episode-risk-14", "outcome-imps-79", "treatment-response")


def made(seed: int = 0, n: int = 400, people: int = 40) -> Rows:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 4))
    y = (rng.random(n) < sigmoid(1.5 * x[:, 0] - x[:, 1])).astype(float)
    x[rng.random(x.shape) < 0.1] = np.nan
    return Rows(x, y, rng.integers(0, people, n), np.zeros(n, int), ("a", "b", "c", "d"))


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """A model made from rows by the same way as the shipped ones."""
    folder = tmp_path_factory.mktemp("weights") / "episode-risk-07"
    make(specs.risk(7), made(), folder)
    return shelf.named(str(folder), Settings(environment="test"))  # type: ignore[call-arg]


@pytest.fixture(scope="module")
def read(own):
    return model.read(own, Settings(environment="test"))  # type: ignore[call-arg]


def test_contributions_of_features_and_bias_are_the_log_odds(read):
    x = made(1, 50).x
    assert read.contributions(x).sum(axis=1) == pytest.approx(logit(read.probabilities(x)), abs=1e-4)
    said = read.answer(np.nan_to_num(x[0]))
    assert isinstance(said, Answer)
    total = said.bias + sum(part.adds for part in said.parts)
    assert total == pytest.approx(model.log_odds(said.probability), abs=1e-4)
    assert [abs(p.adds) for p in said.parts] == sorted((abs(p.adds) for p in said.parts), reverse=True)


@pytest.mark.parametrize("name", SHIPPED)
def test_the_shipped_models_add_up_and_hold_their_interval(name):
    found = model.read(shelf.shipped()[name], Settings(environment="test"))  # type: ignore[call-arg]
    rng = np.random.default_rng(2)
    low, high = found.reference["low"], found.reference["high"]
    for x in low + rng.random((20, len(low))) * (high - low):
        said = found.answer(x)
        assert isinstance(said, Answer)
        total = said.bias + sum(part.adds for part in said.parts)
        assert total == pytest.approx(model.log_odds(said.probability), abs=1e-4)
        assert 0 <= said.low <= said.high <= 1
        assert 0 < said.comparator < 1


def test_the_shipped_risk_models_take_what_the_twin_says():
    for name in SHIPPED[:2]:
        found = model.read(shelf.shipped()[name], Settings(environment="test"))  # type: ignore[call-arg]
        assert found.names == risk.NAMES
        assert "synthetic" in found.card.title
        assert found.reference.horizon == int(name[-2:])


def test_what_is_unlike_anything_learned_is_abstained_from(read):
    usual = np.zeros(4)
    assert isinstance(read.answer(usual), Answer)
    far = read.answer(np.array([0.0, 99.0, 0.0, 0.0]))
    assert isinstance(far, Abstained)
    assert (far.reason, far.text.rpartition(" ")[2]) == ("out-of-range", "b.")
    few = read.answer(np.array([0.0, np.nan, np.nan, np.nan]))
    assert isinstance(few, Abstained)
    assert few.reason == "too-few-inputs"


def test_a_model_is_made_to_the_byte_again(own, tmp_path):
    again = make(specs.risk(7), made(), tmp_path / "episode-risk-07")
    assert again == own.card
    assert read_card((tmp_path / "episode-risk-07" / "card.json").read_bytes()) == again


def test_files_of_different_models_are_refused(own, tmp_path):
    other = made(3)
    folder = tmp_path / "episode-risk-07"
    make(specs.risk(7), Rows(other.x[:, :3], other.y, other.who, other.day, ("a", "b", "z")), folder)
    mixed = {a.purpose: a for a in shelf.named(str(folder), Settings(environment="test")).card.artefacts}  # type: ignore[call-arg]
    foreign = next(a for a in own.card.artefacts if a.purpose == "reference")
    (folder / foreign.location).write_bytes(own.read("reference", Settings(environment="test")))  # type: ignore[call-arg]
    mixed["reference"] = foreign
    from workers.ml.registry.card import write_card

    card = shelf.named(str(folder), Settings(environment="test")).card  # type: ignore[call-arg]
    write_card(
        type(card)(**{f: getattr(card, f) for f in card.__slots__} | {"artefacts": tuple(mixed.values())}), folder
    )
    with pytest.raises(BadCard, match="different features"):
        model.read(shelf.named(str(folder), Settings(environment="test")), Settings(environment="test"))  # type: ignore[call-arg]


def test_xgboost_reads_back_what_it_wrote_and_nothing_else():
    rows = made(4)
    fitted = fit_boosted(rows, 10)
    again = boost.read(fitted.document(), rows.names)
    assert np.array_equal(again.predict(rows.x), fitted.predict(rows.x))
    with pytest.raises(ValueError, match="4 features"):
        boost.read(fitted.document(), ("a",))
    for junk in (b"{}", b"\x80\x04.", b'{"learner": 1}'):
        with pytest.raises(ValueError):
            boost.read(junk, rows.names)


def test_the_comparator_survives_json_and_counts_missing_as_usual():
    rows = made(5)
    fitted = fit_logistic(rows)
    again = linear.read(fitted.document())
    assert np.array_equal(again.probability(rows.x), fitted.probability(rows.x))
    assert again.probability(np.full((1, 4), np.nan)) == pytest.approx(sigmoid(np.array([fitted.intercept])))
    assert auc(rows.y, again.probability(rows.x)) > 0.75


@examples(max_examples=40)
@given(st.lists(st.one_of(st.none(), st.floats(-5, 5)), min_size=1, max_size=60))
def test_every_value_is_counted_in_one_bin(values):
    column = np.array([np.nan if value is None else value for value in values])
    found = reference.counted(column, np.linspace(-2, 2, 9))
    assert found.sum() == len(values)
    assert found[-1] == np.isnan(column).sum()


def test_recalibration_undoes_what_was_done():
    rng = np.random.default_rng(6)
    margin = rng.normal(size=20_000)
    y = (rng.random(20_000) < sigmoid(margin)).astype(float)
    intercept, slope = reference.recalibrated(y, sigmoid(2 * margin + 1))
    assert (intercept, slope) == pytest.approx((-0.5, 0.5), abs=0.06)


def test_risk_is_asked_of_deviations_and_trends_and_missing_stays_missing():
    from datetime import date, timedelta

    day = date(2026, 6, 30)

    def told(z: float) -> Digest:
        symptoms = (Symptom("phq-9", 12.0, 9.0, 15.0, 3, 4, None),)
        return Digest((("steps", 0.0, 1.0, 28, 1.0, z, z - 1, z + 1, "within"),), (), symptoms)

    found = dict(
        zip(risk.NAMES, risk.features({day - timedelta(days=i): told(float(-i)) for i in range(3)}, day), strict=True)
    )
    assert found["steps-deviation"] == 0
    assert found["steps-deviation-week"] == pytest.approx(-1)
    assert found["phq-9-trend"] == 12
    assert np.isnan(found["gad-7-trend"])
    assert np.isnan(found["sleep-duration-deviation"])
    two = dict(zip(risk.NAMES, risk.features({day: told(1.0), day - timedelta(days=1): told(1.0)}, day), strict=True))
    assert np.isnan(two["steps-deviation-week"]), "two days are no week"
