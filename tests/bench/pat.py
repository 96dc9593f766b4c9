"""PAT-S: the embedding of a week on one core, and ONNX beside torch; CPU time, so that neighbours do not count."""

from __future__ import annotations

from time import process_time
from timeit import repeat
from typing import Any

import numpy as np

from fhir_server.settings import Settings
from workers.ml.registry import shelf
from workers.ml.serve.pat import WEEK, PatService

ROUNDS, LOOPS = 5, 10
WEEK_MS = 30.0
"""What was asked for."""


def measure() -> dict[str, Any]:
    """Return milliseconds of an embedding (best of five rounds of ten weeks) and of opening a session."""
    settings = Settings()
    model = shelf.serving("embedding", settings)
    assert model is not None, "a model is shipped"
    data = model.read("serving", settings)
    week = np.random.default_rng(1).gamma(0.5, 300, WEEK).astype(np.float32)
    service = PatService(data)
    weeks = repeat(lambda: service.embed(week), number=LOOPS, repeat=ROUNDS, timer=process_time)
    opening = repeat(lambda: PatService(data), number=1, repeat=ROUNDS, timer=process_time)
    took = min(weeks) / LOOPS * 1e3
    return {
        "model": model.card.name,
        "week_ms": round(took, 1),
        "open_ms": round(min(opening) * 1e3, 1),
        "within_30_ms": took < WEEK_MS,
    }
