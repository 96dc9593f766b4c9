"""Masked pretraining as published: nine patches of ten hidden, MSE over all minutes, Adam, plateau, early stop.

Chance is a function of seed and step, so that a run that was broken off and resumed ends in the same weights.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.optim import Adam
from torch.optim.lr_scheduler import ReduceLROnPlateau

from fhir_server.kit import clock, json
from workers.ml.pat.model import Encoder, Reconstructor
from workers.ml.pat.recipe import Progress, Recipe, Tell, quiet
from workers.ml.pat.resume import load_run, save_run
from workers.ml.pat.shape import Shape
from workers.ml.pat.weeks import Singles


@dataclass(slots=True)
class Run:
    """A pretraining under way; everything of it that a resumed one needs is written by `save`."""

    model: Reconstructor
    adam: Adam
    plateau: ReduceLROnPlateau
    step: int = 0
    best: float = float("inf")
    since: int = 0
    kept: dict[str, Tensor] | None = None

    @classmethod
    def begin(cls, shape: Shape, recipe: Recipe, device: torch.device) -> Run:
        """Return a run at its first step, weights by the recipe's seed."""
        torch.manual_seed(recipe.seed)
        model = Reconstructor(Encoder(shape), recipe.masked).to(device)
        adam = Adam(model.parameters(), lr=recipe.rate, eps=1e-7)
        return cls(model, adam, ReduceLROnPlateau(adam, factor=0.5, patience=recipe.patience))

    def judge(self, valid: float) -> None:
        """Keep the weights when the loss on people not trained on is the best so far."""
        self.plateau.step(valid)
        self.since += 1
        if valid < self.best:
            self.best, self.since = valid, 0
            self.kept = {name: value.detach().clone() for name, value in self.model.state_dict().items()}


def device() -> torch.device:
    """Return the GPU when there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def pretrain(
    shape: Shape,
    weeks: Singles,
    valid: Singles,
    recipe: Recipe | None = None,
    *,
    state: Path | None = None,
    tell: Tell = quiet,
) -> tuple[Encoder, Run]:
    """Return the encoder of the best epoch, on the CPU, and the run.

    `weeks` and `valid` are (n, 10080), scaled, of different people. With `state`, the run is written there after every
    epoch and goes on from there when it was broken off under the same recipe with the same weeks.
    """
    recipe = recipe or Recipe()
    if not len(weeks) or not len(valid):
        raise ValueError("pretraining needs weeks to learn from and weeks of other people to be judged by")
    where = device()
    run = Run.begin(shape, recipe, where)
    made_by = _made_by(shape, weeks, valid, recipe)
    if state is not None and state.exists():
        load_run(run, state, made_by)
    seen, judged = torch.from_numpy(weeks), torch.from_numpy(valid).to(where)
    began, first = clock.monotonic(), run.step
    losses: list[float] = []
    while run.step < recipe.steps and run.since < recipe.stop:
        losses.append(_step(run, seen, recipe))
        run.step += 1
        if run.step % max(1, len(weeks) // recipe.batch) == 0 or run.step == recipe.steps:
            run.judge(_validate(run, judged, recipe))
            rate = (run.step - first) / (clock.monotonic() - began)
            tell(
                Progress(
                    run.step, recipe.steps, float(np.mean(losses)), run.best, rate, (recipe.steps - run.step) / rate
                )
            )
            losses.clear()
            if state is not None:
                save_run(run, state, made_by)
    if run.kept is not None:
        run.model.load_state_dict(run.kept)
    return run.model.encoder.cpu().eval(), run


def _made_by(shape: Shape, weeks: Singles, valid: Singles, recipe: Recipe) -> str:
    """Return what tells one run from another: recipe and people, but not how many steps, so that more may follow."""
    digest = hashlib.sha256()
    for array in (weeks, valid):
        digest.update(np.ascontiguousarray(array).tobytes())
    said = {"shape": shape.name, "weeks": digest.hexdigest(), **asdict(recipe)}
    del said["steps"]
    return json.encode(said).decode()


def _step(run: Run, weeks: Tensor, recipe: Recipe) -> float:
    """Learn from one batch; one permutation of the patches for all of it."""
    chance = np.random.default_rng((recipe.seed, run.step))
    where = run.model.mask.device
    batch = weeks[torch.from_numpy(_chosen(len(weeks), run.step, recipe))].to(where)
    order = torch.from_numpy(chance.permutation(run.model.encoder.shape.tokens)).to(where)
    torch.manual_seed(int(chance.integers(2**62)))  # dropout
    run.model.train()
    loss = (run.model(batch, order) - batch).square().mean()
    run.adam.zero_grad()
    loss.backward()
    run.adam.step()
    return float(loss.detach())


def _chosen(count: int, step: int, recipe: Recipe) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Return the rows of a step's batch: each epoch is a shuffle of its own, its short last batch left out."""
    size = min(recipe.batch, count)
    epoch, place = divmod(step, max(1, count // size))
    order = np.random.default_rng((recipe.seed, 1, epoch)).permutation(count)
    return np.asarray(order[place * size : (place + 1) * size], np.int64)


def _validate(run: Run, weeks: Tensor, recipe: Recipe) -> float:
    """Return the loss on other people under permutations that are always the same."""
    run.model.eval()
    chance = np.random.default_rng((recipe.seed, 2))
    with torch.no_grad():
        total = 0.0
        for batch in _batches(weeks, recipe.batch):
            order = torch.from_numpy(chance.permutation(run.model.encoder.shape.tokens)).to(weeks.device)
            total += float((run.model(batch, order) - batch).square().mean()) * len(batch)
    return total / len(weeks)


def _batches(weeks: Tensor, size: int) -> Iterator[Tensor]:
    for start in range(0, len(weeks), size):
        yield weeks[start : start + size]
