"""The LSTM forecaster, in torch: for training only. What serves reads the ONNX that `export` writes.

One layer of 32 reads the last 21 days, each day's signals as distance from the person's level in training spreads, with a mask
of what was measured; its last state, the levels, the weekday and how much the target varied give five ordered quantiles, or one
logit for yes or no. It starts at the anchor, a linear forecast from the last value and the means of three and seven days (fitted
on the same training rows), and learns what that leaves.
"""

from __future__ import annotations

import warnings
from typing import Final

import numpy as np
import torch
from torch import nn

from workers.ml.evaluate.regression import linear
from workers.ml.evaluate.rows import Fit, Predict, Rows
from workers.ml.forecast.models import target_of
from workers.ml.forecast.windows import LENGTH, MIDDLE, QUANTILES
from workers.twin.arrays import Floats

HIDDEN: Final = 32
EPOCHS: Final = 14
BATCH: Final = 64
RATE: Final = 3e-3


class Forecaster(nn.Module):
    """Rows (n, k) of `windows` to quantiles (n, 5) in the target's unit, or to a probability (n, 1)."""

    def __init__(self, signals: int, target: int, scale: Floats, levels: Floats, anchor: Floats, *, yes: bool) -> None:
        super().__init__()
        self.signals, self.target, self.yes, self.unrolled = signals, target, yes, False
        spreads = np.maximum(np.nanstd(levels, axis=0), 1e-3)
        buffers = {"scale": scale, "level_mean": np.nanmean(levels, axis=0), "level_scale": spreads, "anchor": anchor}
        for name, values in buffers.items():
            self.register_buffer(name, torch.tensor(values, dtype=torch.float32))
        self.lstm = nn.LSTM(2 * signals, HIDDEN, batch_first=True)
        self.drop = nn.Dropout(0.2)
        self.head = nn.Linear(HIDDEN + signals + 7, 1 if yes else len(QUANTILES))
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return what is forecast; the target's level is added back."""
        s, own = self.signals, self.get_buffer("scale")[self.target]
        levels = torch.nan_to_num((x[:, :s] - self.get_buffer("level_mean")) / self.get_buffer("level_scale"))
        days = x[:, s + 3 : s + 3 + s * LENGTH].reshape(-1, LENGTH, s).flip(1)
        known = (~torch.isnan(days)).to(x.dtype)
        last = self._read(torch.cat((torch.nan_to_num(days) / self.get_buffer("scale"), known), dim=2))
        vary = self._varied(days[:, :, self.target] / own, known[:, :, self.target])
        parts = (self.drop(last), levels, x[:, s : s + 3], x[:, -3:] / own, vary)
        out = self.head(torch.cat(parts, dim=1))
        base = self.get_buffer("anchor")[0] + x[:, -3:] @ self.get_buffer("anchor")[1:, None]
        level = x[:, self.target : self.target + 1]
        if self.yes:
            share = torch.clamp(level + base, 0.03, 0.97)
            return torch.sigmoid(torch.log(share / (1 - share)) + out)
        middle = out[:, MIDDLE : MIDDLE + 1]
        up = torch.cumsum(nn.functional.softplus(out[:, MIDDLE + 1 :]), dim=1)
        down = torch.flip(torch.cumsum(nn.functional.softplus(torch.flip(out[:, :MIDDLE], (1,))), dim=1), (1,))
        return level + base + own * torch.cat((middle - down, middle, middle + up), dim=1)

    def _read(self, days: torch.Tensor) -> torch.Tensor:
        """Return the LSTM's last state; step by step for the exporter, which cannot follow torch's own kernel."""
        if not self.unrolled:
            seen: torch.Tensor = self.lstm(days)[0]
            return seen[:, -1]
        weight, bias = self.lstm.get_parameter, self.lstm.get_parameter
        inputs = days @ weight("weight_ih_l0").T + bias("bias_ih_l0") + bias("bias_hh_l0")
        state = cell = torch.zeros_like(inputs[:, 0, :HIDDEN])
        for step in range(LENGTH):
            gates = inputs[:, step] + state @ weight("weight_hh_l0").T
            enter, forget, new, leave = gates.chunk(4, dim=1)
            cell = torch.sigmoid(forget) * cell + torch.sigmoid(enter) * torch.tanh(new)
            state = torch.sigmoid(leave) * torch.tanh(cell)
        return state

    @staticmethod
    def _varied(values: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
        """Return the mean absolute distance of the target's days from its level, (n, 1), in training spreads."""
        far = torch.nan_to_num(values).abs() * known
        return (far.sum(dim=1, keepdim=True) + 1) / (known.sum(dim=1, keepdim=True) + 1)


def _made(train: Rows, *, yes: bool) -> Forecaster:
    """Return an untrained network with spreads of the training rows."""
    signals = (len(train.names) - 6) // (LENGTH + 1)
    target = train.names.index(f"{target_of(train)} level")
    days = train.x[:, signals + 3 : 2 * signals + 3]
    scale, levels = np.nanstd(days, axis=0), train.x[:, :signals]
    anchor = linear(train.x[:, -3:], train.y - levels[:, target], ridge=10.0)
    return Forecaster(signals, target, np.maximum(np.nan_to_num(scale, nan=1.0), 1e-3), levels, anchor, yes=yes)


def _loss(said: torch.Tensor, y: torch.Tensor, model: Forecaster) -> torch.Tensor:
    if model.yes:
        return nn.functional.binary_cross_entropy(said[:, 0], y)
    far = (y[:, None] - said) / model.get_buffer("scale")[model.target]
    taus = torch.tensor(QUANTILES)
    return torch.maximum(taus * far, (taus - 1) * far).mean()


def trained(train: Rows, *, yes: bool = False, seed: int = 7, epochs: int = EPOCHS) -> Forecaster:
    """Return a network trained on the rows: fixed epochs, no look at anything else."""
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    model = _made(train, yes=yes)
    x, y = torch.tensor(train.x, dtype=torch.float32), torch.tensor(train.y, dtype=torch.float32)
    steps = epochs * (-(-len(y) // BATCH))
    optimiser = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=RATE, total_steps=steps)
    generator = torch.Generator().manual_seed(seed)
    model.train()
    for _ in range(epochs):
        order = torch.randperm(len(y), generator=generator)
        for start in range(0, len(y), BATCH):
            some = order[start : start + BATCH]
            optimiser.zero_grad()
            _loss(model(x[some]), y[some], model).backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            schedule.step()
    return model.eval()


def said(model: Forecaster, x: Floats) -> Floats:
    """Return what the network says of rows (n, k)."""
    with torch.no_grad():
        return np.asarray(model(torch.tensor(x, dtype=torch.float32)).numpy(), np.float64)


def lstm(*, yes: bool = False, seeds: tuple[int, ...] = (7,)) -> Fit:
    """Return the Fit of the network, the mean of several seeds."""

    def fit(train: Rows) -> Predict:
        models = [trained(train, yes=yes, seed=seed) for seed in seeds]

        def predict(x: Floats) -> Floats:
            mean = np.mean([said(model, x) for model in models], axis=0)
            return np.asarray(mean[:, 0] if yes else mean, np.float64)

        return predict

    return fit


def export(model: Forecaster, width: int) -> bytes:
    """Return the network as ONNX: input `x` (n, width), output `y` (n, 5) or (n, 1)."""
    model.unrolled = True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # torch's exporter uses what torch has deprecated
            program = torch.onnx.export(
                model, (torch.zeros(2, width),), dynamo=True, input_names=["x"], output_names=["y"],
                dynamic_shapes={"x": {0: torch.export.Dim("n", min=1)}}, verbose=False,
            )  # fmt: skip
    finally:
        model.unrolled = False
    assert program is not None
    proto = program.model_proto
    for part in (
        *proto.graph.node,
        *proto.graph.value_info,
        *proto.graph.input,
        *proto.graph.output,
        proto.graph,
        proto,
    ):
        part.ClearField("metadata_props")  # stack traces of whoever exported
    return bytes(proto.SerializeToString())
