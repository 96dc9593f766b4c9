"""Deterministic ids: what is computed twice is the same resource twice."""

from __future__ import annotations

import base64
import hashlib
from datetime import date

from workers.twin.codes import ALGORITHM, ALGORITHM_VERSION


def device_id() -> str:
    """Return the id of the Device that stands for this software."""
    return f"{ALGORITHM}-{ALGORITHM_VERSION}"


def state_id(patient: str, day: date) -> str:
    """Return the id of a patient's twin state of a local day, for this version of the algorithm."""
    return _hashed("state", patient, day.isoformat())


def risk_id(patient: str, day: date, rule: str) -> str:
    """Return the id of the RiskAssessment of a rule that began to hold on a day."""
    return _hashed("risk", patient, day.isoformat(), rule)


def embedding_id(patient: str, monday: date, model: str) -> str:
    """Return the id of what a model says of a patient's week."""
    return _hashed("embedding", patient, monday.isoformat(), model)


def provenance_id(target: str) -> str:
    """Return the id of the Provenance of a computed resource, given as Type/id."""
    return _hashed("provenance", target)


def _hashed(*parts: str) -> str:
    """Return an id of 36 characters out of the kind, the algorithm and the parts."""
    digest = hashlib.sha256("\x1f".join((*parts, ALGORITHM, ALGORITHM_VERSION)).encode()).digest()
    return f"twin-{base64.b32encode(digest[:19]).decode().rstrip('=').lower()}"
