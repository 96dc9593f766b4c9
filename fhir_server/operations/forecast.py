"""`Patient/{id}/$forecast`: the next day's signals as the forecasters see them, with intervals that adapt to the patient."""

from __future__ import annotations

from fhir_server.context import RequestContext
from fhir_server.interactions.call import Call, Json, Result
from fhir_server.operations import predicted

DEFINITION: Json = predicted.definition(
    "forecast",
    "Forecast",
    "The newest RiskAssessment of each forecaster: the next day's median and 90 % interval of a daily signal, by the model that a "
    "backtest found best, with the baseline beside it. Never a diagnosis.",
)


async def handle(ctx: RequestContext, call: Call) -> Result:
    """Answer `GET` or `POST Patient/{id}/$forecast`."""
    return await predicted.answer(ctx, call, DEFINITION, ("forecast",))
