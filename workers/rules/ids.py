"""Deterministic ids: an alert raised twice on the same evidence is the same resource twice."""

from __future__ import annotations

import base64
import hashlib
from typing import Final

ENGINE: Final = "clarity-rules"
PREFIX: Final = "alert-"
"""How all ids of what the rules write begin, the Device aside."""
ENGINE_VERSION: Final = "1"
"""Version of how rules are evaluated; part of the Device's id, not of an alert's: an alert stays the same alert."""


def device_id() -> str:
    """Return the id of the Device that stands for this software."""
    return f"{ENGINE}-{ENGINE_VERSION}"


def alert_id(rule: str, patient: str, evidence: str) -> str:
    """Return the id of an alert, and of its Task: by the rule's url, the patient, and the evidence that raised it."""
    return hashed("alert", rule, patient, evidence)


def suppressed_id(rule: str, patient: str, by: str) -> str:
    """Return the id of what says that an alert was held back, and by which alert or override."""
    return hashed("held", rule, patient, by)


def message_id(alert: str, step: int, recipient: str) -> str:
    """Return the id of the Communication to one recipient."""
    return hashed("message", alert, str(step), recipient)


def provenance_id(alert: str, what: str) -> str:
    """Return the id of the Provenance of what was written about an alert at one occasion."""
    return hashed("provenance", alert, what)


def hashed(kind: str, *parts: str) -> str:
    """Return an id of 37 characters out of a kind and parts."""
    digest = hashlib.sha256("\x1f".join((kind, *parts, ENGINE)).encode()).digest()
    return f"{PREFIX}{base64.b32encode(digest[:19]).decode().rstrip('=').lower()}"
