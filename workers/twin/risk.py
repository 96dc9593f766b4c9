"""A crossing as FHIR: a RiskAssessment that says which rule began to hold and by which features, and what it is not.

The numbers stay in the twin's Observation (`basis`): late data that move a z-score do not change what was told.
"""

from __future__ import annotations

from datetime import UTC, tzinfo
from typing import Any

from workers.twin.codes import BASE
from workers.twin.crossings import Crossing
from workers.twin.features import BY_CODE
from workers.twin.ids import device_id, risk_id, state_id
from workers.twin.resources import Resource, concept, local_day, meta
from workers.twin.state import State

DISCLAIMER = (
    "This is a change against the person's own last four weeks, computed from wearable data by a fixed rule. "
    "It is not a diagnosis and not a calibrated probability; a clinician decides what it means."
)
WITHDRAWN = "Withdrawn: with data that came later the rule no longer holds on this day."


def risk_assessment(patient: str, state: State, crossing: Crossing, zone: tzinfo = UTC, base: str = BASE) -> Resource:
    """Return the RiskAssessment of a crossing; preliminary, because no clinician has looked at it."""
    rule = crossing.rule
    return {
        "resourceType": "RiskAssessment",
        "id": risk_id(patient, state.day, rule.code),
        "meta": meta("digital-twin-deviation", base),
        "status": "preliminary",
        "method": concept(rule.code, rule.display, base),
        "code": concept("baseline-deviation", "Deviation from the person's own baseline", base),
        "subject": {"reference": f"Patient/{patient}"},
        "occurrencePeriod": local_day(state, zone),
        "performer": {"reference": f"Device/{device_id()}"},
        "basis": [{"reference": f"Observation/{state_id(patient, state.day)}"}],
        "prediction": [
            {
                "outcome": concept("change-of-state", "Change of state that a clinician should look at", base),
                "qualitativeRisk": concept("raised-against-own-baseline", "Raised against own baseline", base),
                "rationale": _rationale(crossing),
            }
        ],
        "note": [{"text": DISCLAIMER}],
    }


def withdrawn(risk: Resource) -> Resource:
    """Return a RiskAssessment that late data have undone: entered in error, with the reason, otherwise as it was."""
    kept: dict[str, Any] = {key: value for key, value in risk.items() if key != "note"}
    return kept | {"status": "entered-in-error", "note": [{"text": DISCLAIMER}, {"text": WITHDRAWN}]}


def _rationale(crossing: Crossing) -> str:
    """Return the sentence that names the rule and its features."""
    parts = [f"{BY_CODE[code].display}: {direction} own baseline" for code, direction in crossing.features]
    return f"{crossing.rule.display}. {'; '.join(parts)}."
