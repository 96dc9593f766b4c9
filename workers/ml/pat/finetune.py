"""Fine-tuning as published: Adam 1e-5 (S, M) or 1e-6 (L), batches of 64, class weights, early stop on the AUC of other people."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torch.optim import Adam

from fhir_server.kit import clock
from workers.ml.evaluate.metrics import auc
from workers.ml.pat.model import Classifier, Encoder
from workers.ml.pat.pretrain import device
from workers.ml.pat.recipe import Progress, Tell, quiet
from workers.ml.pat.weeks import Singles
from workers.twin.arrays import Floats

_LARGE_RATE, _RATE = 1e-6, 1e-5


@dataclass(frozen=True, slots=True)
class Tuning:
    """How to fine-tune; `rate` 0 takes the published one of the size, `frozen` trains the head alone (linear probe)."""

    epochs: int = 2000
    batch: int = 64
    patience: int = 250
    rate: float = 0.0
    frozen: bool = False
    seed: int = 20261


@dataclass(frozen=True, slots=True, eq=False)
class Labelled:
    """Scaled weeks (n, 10080) and whether the outcome was there (n)."""

    weeks: Singles
    outcome: Floats

    def __post_init__(self) -> None:
        if len(self.weeks) != len(self.outcome) or not 0 < self.outcome.sum() < len(self.outcome):
            raise ValueError("fine-tuning needs a label for each week, and weeks of both kinds")


def finetune(
    encoder: Encoder, train: Labelled, valid: Labelled, tuning: Tuning | None = None, *, tell: Tell = quiet
) -> tuple[Classifier, float]:
    """Return the classifier of the best epoch, on the CPU, and its AUC on `valid`, whose people must be others."""
    tuning = tuning or Tuning()
    where = device()
    torch.manual_seed(tuning.seed)
    model = Classifier(encoder).to(where)
    model.encoder.requires_grad_(not tuning.frozen)
    adam = Adam([p for p in model.parameters() if p.requires_grad], lr=tuning.rate or published_rate(encoder), eps=1e-7)
    best, since, kept = -1.0, 0, model.state_dict()
    began = clock.monotonic()
    for epoch in range(1, tuning.epochs + 1):
        loss = _epoch(model, adam, train, tuning, epoch)
        found = auc(valid.outcome, scores(model, valid.weeks))
        since += 1
        if found > best:
            best, since = found, 0
            kept = {name: value.detach().clone() for name, value in model.state_dict().items()}
        rate = epoch / (clock.monotonic() - began)
        tell(Progress(epoch, tuning.epochs, loss, best, rate, (tuning.epochs - epoch) / rate))
        if since >= tuning.patience:
            break
    model.load_state_dict(kept)
    return model.cpu().eval(), best


def published_rate(encoder: Encoder) -> float:
    """Return the published learning rate of a size."""
    return _LARGE_RATE if encoder.shape.name.endswith("L") else _RATE


def class_weights(outcome: Floats) -> tuple[float, float]:
    """Return the weights of weeks without and with the outcome, by which both kinds weigh alike and the mean weight is 1."""
    share = float(outcome.mean())
    return 0.5 / (1 - share), 0.5 / share


def scores(model: Classifier, weeks: Singles, batch: int = 64) -> Floats:
    """Return the logit of each week."""
    model.eval()
    where = next(model.parameters()).device
    with torch.no_grad():
        parts = [model(torch.from_numpy(weeks[i : i + batch]).to(where)).cpu() for i in range(0, len(weeks), batch)]
    return torch.cat(parts).numpy().astype(np.float64)


def _epoch(model: Classifier, adam: Adam, train: Labelled, tuning: Tuning, epoch: int) -> float:
    """Learn from every week once; return the mean weighted loss."""
    model.train()
    where = next(model.parameters()).device
    without, having = class_weights(train.outcome)
    order = np.random.default_rng((tuning.seed, epoch)).permutation(len(train.outcome))
    losses = []
    for start in range(0, len(order), tuning.batch):
        chosen = order[start : start + tuning.batch]
        target: Tensor = torch.from_numpy(train.outcome[chosen]).float().to(where)
        weight = torch.where(target > 0.5, having, without)
        logits = model(torch.from_numpy(train.weeks[chosen]).to(where))
        loss = functional.binary_cross_entropy_with_logits(logits, target, weight)
        adam.zero_grad()
        torch.autograd.backward(loss)
        adam.step()
        losses.append(float(loss.detach()))
    return float(np.mean(losses))
