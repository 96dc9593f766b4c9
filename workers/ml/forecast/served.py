"""A forecaster as it serves: the LSTM by ONNX Runtime where its backtest beat both baselines, else the better baseline, by name.

Beside the card: `forecast.onnx` and `reference.safetensors`, which holds `errors` (2, 5), quantiles of the errors of the baselines
on the training rows around their point, and `low`, `high`, the range of the target's level among the training people.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Final

import numpy as np
import onnxruntime

from fhir_server.settings import Settings
from workers.ml.forecast.conformal import Adaptive
from workers.ml.forecast.windows import LENGTH, MIDDLE, window
from workers.ml.registry.card import BadCard, Card
from workers.ml.registry.shelf import Model
from workers.ml.tabular.answer import Abstained
from workers.ml.tabular.model import file_numbers
from workers.twin.arrays import Floats

SIGNALS: Final = ("resting-heart-rate-reported", "steps", "sleep-duration", "hrv-rmssd")
"""Daily signals by the twin's names; the order is the models'."""

LEAST: Final = 7
"""Days with a value of the signal that a forecast needs."""

LSTM: Final = "lstm"
BASELINES: Final[Mapping[str, int]] = {"persistence": -3, "moving mean of 7 days": -1}
"""Name of each baseline and the column of `windows` that it is, as distance from the level."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """The day after the last: median and 90 % interval, adapted to the person over `judged` forecasts, `held` of which held.

    `method` is what is served, `comparator` the median of the better baseline, by its name.
    """

    median: float
    low: float
    high: float
    method: str
    comparator: float
    comparator_name: str
    judged: int
    held: int


@dataclass(frozen=True, slots=True, eq=False)
class Forecaster:
    """A model that was read, with its card."""

    card: Card
    signal: str
    serves: str
    baseline: str
    session: onnxruntime.InferenceSession
    reference: Mapping[str, Floats]

    def quantiles(self, x: Floats) -> Floats:
        """Return what is forecast of rows (n, k) of `windows`: (n, 5), in the signal's unit."""
        if self.serves == LSTM:
            return np.asarray(self.session.run(None, {"x": x.astype(np.float32)})[0], np.float64)
        place = list(BASELINES).index(self.serves)
        return np.asarray(self.point(x, self.serves)[:, None] + self.reference["errors"][place], np.float64)

    def point(self, x: Floats, baseline: str) -> Floats:
        """Return a baseline's forecast of rows."""
        return np.asarray(x[:, SIGNALS.index(self.signal)] + x[:, BASELINES[baseline]], np.float64)

    def forecast(self, days: Floats, first: date) -> Forecast | Abstained:
        """Return the forecast of the day after the last of `days` (d, 4), consecutive days from `first` on, NaN: none."""
        target = SIGNALS.index(self.signal)
        known = int((~np.isnan(days[:, target])).sum())
        if known < LEAST:
            return Abstained("too-few-inputs", f"{known} days with a value are known; {LEAST} are needed.")
        rows = window(days, target, first)
        if not len(rows.day) or rows.day[-1] != first.toordinal() + len(days) - 1:
            return Abstained("too-few-inputs", "There is no value of the last seven days.")
        if refused := self._unlike(float(rows.x[-1, target])):
            return refused
        said = self.quantiles(rows.x)
        own, held, judged = Adaptive(), 0, 0
        for row, y in zip(said[:-1], rows.y[:-1], strict=True):
            if not np.isnan(y):
                low, high = own.band(row[0], row[-1])
                judged, held = judged + 1, held + int(low <= y <= high)
                own.learn(row[0], row[-1], y)
        low, high = own.band(said[-1, 0], said[-1, -1])
        compared = float(self.point(rows.x[-1:], self.baseline)[0])
        return Forecast(
            float(said[-1, MIDDLE]), float(low), float(high), self.serves, compared, self.baseline, judged, held
        )

    def _unlike(self, level: float) -> Abstained | None:
        low, high = float(self.reference["low"][0]), float(self.reference["high"][0])
        reach = 0.25 * (high - low)
        if low - reach <= level <= high + reach:
            return None
        return Abstained("out-of-range", "The person's level lies outside that of anybody who was learned from.")


def read(model: Model, settings: Settings) -> Forecaster:
    """Return the forecaster that the files beside a card are; BadCard when they do not fit together."""
    recipe = model.card.recipe
    signal, serves, baseline = (str(recipe.get(key, "")) for key in ("signal", "serves", "baseline"))
    if signal not in SIGNALS or serves not in (LSTM, *BASELINES) or baseline not in BASELINES:
        raise BadCard(f"{model.card.name}: recipe does not say which signal is forecast, and by what")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    data = model.read("serving", settings)
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    width = session.get_inputs()[0].shape[-1]
    if width != len(SIGNALS) * (LENGTH + 1) + 6:
        raise BadCard(f"{model.card.name}: the network takes {width} columns")
    reference = file_numbers(model.read("reference", settings), ("errors", "low", "high"))
    return Forecaster(model.card, signal, serves, baseline, session, reference)
