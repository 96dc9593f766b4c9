"""Fine-tuning learns what can be learnt, weighs classes, and keeps the best epoch; published weights become a model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from fhir_server.settings import Settings
from tests.shared_data import shared
from tests.workers.ml.naive_pat import keras_weights, write_h5
from workers.ml.pat import finetune as room
from workers.ml.pat.finetune import Labelled, Tuning, class_weights, finetune, published_rate
from workers.ml.pat.model import Encoder
from workers.ml.pat.published import imported
from workers.ml.pat.shape import MINUTES, SHAPES
from workers.ml.registry import shelf


def labelled(count: int, seed: int) -> Labelled:
    """Return weeks whose level tells the outcome."""
    rng = np.random.default_rng(seed)
    outcome = (np.arange(count) % 2).astype(np.float64)
    weeks = rng.normal(size=(count, MINUTES)) * 0.3 + 2 * outcome[:, None] - 1
    return Labelled(weeks.astype(np.float32), outcome)


def test_a_signal_is_learnt_and_the_encoder_of_a_probe_stays() -> None:
    torch.manual_seed(1)
    encoder = Encoder(SHAPES["S"])
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    tuning = Tuning(epochs=3, batch=4, rate=1e-2, frozen=True)
    model, best = finetune(encoder, labelled(4, 1), labelled(4, 2), tuning)
    assert best == 1.0
    assert all(torch.equal(value, before[name]) for name, value in model.encoder.state_dict().items())


def test_the_best_epoch_is_kept_and_patience_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    found = iter([0.6, 0.8, 0.7, 0.7, 0.9])
    monkeypatch.setattr(room, "auc", lambda *_: next(found))
    monkeypatch.setattr(room, "scores", lambda *_: np.zeros(2))
    monkeypatch.setattr(room, "_epoch", lambda model, *_: model.head[1].bias.data.add_(1).sum().item())
    model, best = finetune(Encoder(SHAPES["S"]), labelled(2, 1), labelled(2, 2), Tuning(patience=2))
    assert best == 0.8
    assert torch.equal(model.head[1].bias.detach(), torch.full((128,), 2.0)), "of the second epoch"


def test_rates_and_weights_are_the_published_ones() -> None:
    assert published_rate(Encoder(SHAPES["S"])) == 1e-5
    assert published_rate(Encoder(SHAPES["Conv-L"])) == 1e-6
    without, having = class_weights(np.array([0.0] * 9 + [1.0]))
    assert having / without == pytest.approx(9)
    assert 0.9 * without + 0.1 * having == pytest.approx(1)
    with pytest.raises(ValueError, match="both kinds"):
        Labelled(np.zeros((2, MINUTES), np.float32), np.zeros(2))


@pytest.mark.slow
def test_published_weights_become_a_model_that_says_whose_they_are(tmp_path: Path) -> None:
    file = write_h5(tmp_path / "PAT-S_29k_weights.h5", keras_weights("S"))
    card = imported(file, shared("depresjon"), tmp_path / "pat-s-published")
    model = shelf.named(str(tmp_path / "pat-s-published"), Settings(environment="test", data=tmp_path))  # type: ignore[call-arg]
    assert model.card == card
    assert "CC BY 4.0" in card.licence
    assert "NHANES" in card.attribute("known-risks")
    assert len(model.read("serving", Settings(environment="test", data=tmp_path))) > 1_000_000  # type: ignore[call-arg]
