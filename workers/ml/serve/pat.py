"""PAT served by ONNX Runtime: a week of counts to an embedding, with the attention that each minute got."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from workers.twin.arrays import DAY_MINUTES

Singles = NDArray[np.float32]
INPUT: Final = "counts"
OUTPUTS: Final = ("embedding", "attention", "strangeness")
WEEK: Final = 7 * DAY_MINUTES


@dataclass(frozen=True, slots=True, eq=False)
class Embedded:
    """What the model says of one week."""

    vector: Singles
    """(96): the mean of the week's tokens."""
    attention: Singles
    """(patches): each patch's share of the last layer's attention, summing to 1."""
    strangeness: float
    """Mean distance in SD from the weeks that the model knows."""

    def minutes(self) -> Singles:
        """Return (10080): each minute's share of the attention, equal within a patch, summing to 1."""
        patch = WEEK // len(self.attention)
        return np.repeat(self.attention / patch, patch)


class PatService:
    """A session over the bytes of an exported PAT; one thread, so that nightly work never takes the whole machine."""

    def __init__(self, data: bytes) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])

    def run(self, weeks: Singles) -> tuple[Singles, Singles, Singles]:
        """Return embeddings (n, 96), attention (n, patches), strangeness (n) of weeks (n, 10080), NaN where unknown."""
        if weeks.ndim != 2 or weeks.shape[1] != WEEK:
            raise ValueError(f"a week has {WEEK} minutes; these have the shape {weeks.shape}")
        embedding, attention, strangeness = self._session.run(list(OUTPUTS), {INPUT: weeks.astype(np.float32)})
        return embedding, attention, strangeness

    def embed(self, week: Singles) -> Embedded:
        """Return what the model says of one week (10080)."""
        vectors, attention, strangeness = self.run(week.reshape(1, -1))
        return Embedded(vectors[0], attention[0], float(strangeness[0]))
