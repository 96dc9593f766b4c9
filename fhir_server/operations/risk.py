"""`Patient/{id}/$risk`: what the models of risk, treatment response and outcome say of the patient, from the newest data."""

from __future__ import annotations

from typing import Final

from fhir_server.context import RequestContext
from fhir_server.interactions.call import Call, Json, Result
from fhir_server.operations import predicted
from workers.ml.registry.card import Use

USES: Final[tuple[Use, ...]] = ("risk-prediction", "treatment-response", "outcome-prediction")
DEFINITION: Json = predicted.definition(
    "risk",
    "Risk",
    "The newest RiskAssessment of each model of risk, treatment response and outcome: probability in percent, horizon, interval, "
    "inputs, comparator, or why nothing is said. Never a diagnosis.",
)


async def handle(ctx: RequestContext, call: Call) -> Result:
    """Answer `GET` or `POST Patient/{id}/$risk`."""
    return await predicted.answer(ctx, call, DEFINITION, USES)
