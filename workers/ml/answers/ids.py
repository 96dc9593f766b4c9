"""Deterministic ids: what is predicted twice by one version of a model from one day is the same resource twice."""

from __future__ import annotations

import base64
import hashlib
from datetime import date


def prediction_id(patient: str, model: str, day: date) -> str:
    """Return the id of the RiskAssessment of a model (its Device's id) from what was known at the end of a day."""
    digest = hashlib.sha256("\x1f".join(("prediction", patient, model, day.isoformat())).encode()).digest()
    return f"pred-{base64.b32encode(digest[:19]).decode().rstrip('=').lower()}"
