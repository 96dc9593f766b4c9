"""Whether the patients of now look like those that a model learned from: PSI of each input and of the probability, as a metric.

Counted in this process over the last thousands of answers and told once a hundred are in; .10 is worth a look, .25 a reason not to
rely on the model. Counts of everybody together, never of somebody.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np

from fhir_server.kit import metrics
from workers.ml.answers.patient import Known
from workers.ml.answers.shelf import Models
from workers.ml.evaluate.metrics import psi
from workers.ml.tabular import risk
from workers.ml.tabular.model import Tabular
from workers.ml.tabular.reference import counted
from workers.twin.arrays import Floats

ENOUGH: Final = 100
REMEMBERED: Final = 5_000


@dataclass(slots=True)
class Drift:
    """What was asked of one model of late: how many rows, and counts by bin of each feature and of the probability."""

    rows: float = 0.0
    features: Floats = field(default_factory=lambda: np.zeros((0, 0)))
    scores: Floats = field(default_factory=lambda: np.zeros(0))

    def add(self, model: Tabular, x: Floats) -> None:
        """Count rows (n, k); older ones fade once REMEMBERED are in."""
        edges = model.reference["edges"]
        now = np.array([counted(column, own) for column, own in zip(x.T, edges, strict=True)])
        score = counted(model.probabilities(x), model.reference["score_edges"])[:-1]
        if not self.rows:
            self.features, self.scores = np.zeros_like(now), np.zeros_like(score)
        self.rows, self.features, self.scores = self.rows + len(x), self.features + now, self.scores + score
        if self.rows > REMEMBERED:
            for part in (self.features, self.scores):
                part /= 2
            self.rows /= 2

    def indices(self, model: Tabular) -> dict[str, float]:
        """Return PSI by feature, and of the probability; nothing before ENOUGH rows are in."""
        if self.rows < ENOUGH:
            return {}
        found = {
            name: psi(reference, now)
            for name, reference, now in zip(model.names, model.reference["shares"], self.features, strict=True)
        }
        return found | {"probability": psi(model.reference["score_shares"], self.scores)}


_SEEN: dict[str, Drift] = {}


def watch(known: Known, models: Models) -> None:
    """Count what the risk models are asked about a patient, and show the indices."""
    x = risk.features(known.told, known.day)[None]
    for model in models.risks:
        if model.names != risk.NAMES:
            continue
        drift = _SEEN.setdefault(f"{model.card.name}-{model.card.version}", Drift())
        drift.add(model, x)
        for name, index in drift.indices(model).items():
            metrics.PSI.labels(model.card.name, name).set(index)
