"""What alert rules are made of in FHIR: code systems, the profile, its extensions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from profiles.psych.codes import BASE

Resource = dict[str, Any]

REASONS: Final[Mapping[str, str]] = {
    "self-harm": "Answer about thoughts of death or self-harm",
    "sleep-loss": "Sleep loss",
    "circadian-collapse": "Rhythm of rest and activity",
    "inactivity": "Inactivity",
    "resting-heart-rate": "Resting heart rate",
    "score-deterioration": "Symptom score",
    "device-silence": "No data from devices",
}
"""Reason classes: all that a message says of an alert."""

ACTIONS: Final[Mapping[str, str]] = {
    "alert-rule": "Evaluation of alert rules",
    "review-alert": "Look at an alert and decide",
    "alert-override": "Another limit of an alert rule for one patient, or none",
    "suppressed-cooldown": "Not raised: an alert of this rule was raised a short time before",
    "suppressed-override": "Not raised: the rule is switched off for this patient",
}
"""Codes of what the rule engine writes."""

EXTENSIONS: Final = (
    ("alert-criterion", "A criterion of an alert rule: metric, comparator, value, window", ("PlanDefinition.action",)),
    ("alert-policy", "Cooldown, escalation and quiet hours of an alert rule", ("PlanDefinition.action",)),
    ("alert-evidence", "Which evidence raised an alert, and what each criterion said", ("DetectedIssue",)),
    ("alert-override", "Other limits of an alert rule for one patient, or off, with the reason", ("Basic",)),
)  # fmt: skip


def reasons(base: str = BASE) -> str:
    """Return the URL of the CodeSystem of `REASONS`."""
    return f"{base}/CodeSystem/alert-reason"


def actions(base: str = BASE) -> str:
    """Return the URL of the CodeSystem of `ACTIONS`."""
    return f"{base}/CodeSystem/alerting"
