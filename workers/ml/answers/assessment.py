"""An answer as FHIR: a RiskAssessment of the profile `prediction`, by the model's Device, with interval, inputs and comparator.

R4 counts probabilities in percent (ras-2: at most 100). What a model abstains from is a RiskAssessment too, with the reason and no
number: silence must not look like safety.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from decimal import Decimal
from typing import Any, Final

from workers.ml.answers.ids import prediction_id
from workers.ml.forecast.served import LSTM, Forecast
from workers.ml.registry.card import Card, Use
from workers.ml.registry.resources import device_of, library_of, model_id
from workers.ml.tabular.answer import Abstained, Answer
from workers.twin.codes import BASE, UCUM, origin, profile
from workers.twin.features import BY_CODE
from workers.twin.ids import provenance_id
from workers.twin.recording import start_of
from workers.twin.resources import Resource, concept

DISCLAIMER: Final = (
    "Computed by a statistical model from data of other people; see its card. It is not a diagnosis, a model can be wrong about "
    "anybody, and a clinician decides what it means."
)
USES: Final[Mapping[Use, str]] = {
    "embedding": "Embedding of actigraphy",
    "treatment-response": "Response to a treatment",
    "outcome-prediction": "Outcome of a treatment",
    "risk-prediction": "Risk of an episode",
    "forecast": "Forecast of a daily signal",
}
SHOWN: Final = 8
"""Inputs that are listed, those that add most first."""


@dataclass(frozen=True, slots=True)
class About:
    """Whom and from when: patient, last local day of the data, zone, and what it rests on as references."""

    patient: str
    day: date
    zone: tzinfo = UTC
    basis: tuple[str, ...] = ()
    base: str = BASE
    assumed: str | None = None
    """What is taken for granted about the patient and does not stand in the record."""


def _meta(name: str | None, base: str) -> Resource:
    """Return the meta of what models write: not the twin's tag, so that who waits for its crossings is not told of forecasts."""
    tag = {"system": origin(base), "code": "prediction", "display": "Said by a model"}
    return {"tag": [tag]} if name is None else {"profile": [profile(name, base)], "tag": [tag]}


def assessed(about: About, card: Card, outcome: str, horizon: int, said: Answer | Abstained) -> Resource:
    """Return the RiskAssessment of a probability; `horizon` in days after the day of the data."""
    if isinstance(said, Abstained):
        return _assessment(about, card, horizon, {"outcome": {"text": outcome}, **_abstained(said, about.base)})
    prediction: Resource = {
        "extension": [
            _extension("prediction-interval", about.base, low=_percent(said.low), high=_percent(said.high)),
            _extension(
                "prediction-comparator", about.base, name=card.comparator or "", probability=_percent(said.comparator)
            ),
            *(
                _extension("prediction-input", about.base, name=part.feature, value=_short(part.value), adds=_short(part.adds))
                for part in said.parts[:SHOWN]
            ),
        ],
        "outcome": {"text": outcome},
        "probabilityDecimal": _percent(said.probability),
        "rationale": _why(said),
    }  # fmt: skip
    return _assessment(about, card, horizon, prediction)


def foretold(about: About, card: Card, signal: str, said: Forecast | Abstained) -> Resource:
    """Return the RiskAssessment of the next day's number of a signal: median, 90 % interval, comparator."""
    feature = BY_CODE[signal]
    outcome = {"text": f"Next day: {feature.display}"}
    if isinstance(said, Abstained):
        return _assessment(about, card, 1, {"outcome": outcome, **_abstained(said, about.base)})

    def amount(value: float) -> Resource:
        return {"value": _rounded(value, feature.decimals), "system": UCUM, "code": feature.unit}

    served = "LSTM" if said.method == LSTM else said.method
    prediction = {
        "extension": [
            _extension("prediction-value", about.base, value=amount(said.median)),
            _extension("prediction-interval", about.base, low=amount(said.low), high=amount(said.high)),
            _extension("prediction-comparator", about.base, name=said.comparator_name, value=amount(said.comparator)),
        ],
        "outcome": outcome,
        "rationale": (
            f"Median and 90 % interval by {served}. Of the person's last {said.judged} such intervals {said.held} held. "
            f"Beside it: {said.comparator_name}."
        ),
    }
    return _assessment(about, card, 1, prediction)


def _assessment(about: About, card: Card, horizon: int, prediction: Resource) -> Resource:
    first = about.day + timedelta(days=1)
    when = {"start": first.isoformat(), "end": (about.day + timedelta(days=horizon)).isoformat()}
    made: Resource = {
        "resourceType": "RiskAssessment",
        "id": prediction_id(about.patient, model_id(card), about.day),
        "meta": _meta("prediction", about.base),
        "status": "preliminary",
        "method": _method(card, about.base),
        "code": concept("prediction", "Prediction by a model", about.base),
        "subject": {"reference": f"Patient/{about.patient}"},
        "occurrencePeriod": local_day(about.day, about.zone),
        "performer": {"reference": device_of(card)},
        "basis": [{"reference": name} for name in about.basis],
        "prediction": [prediction | {"whenPeriod": when}],
        "note": [{"text": text} for text in (DISCLAIMER, f"Model card: {library_of(card)}.", about.assumed) if text],
    }
    return made if made["basis"] else made | {"basis": [{"display": "No data"}]}


def _method(card: Card, base: str) -> Resource:
    """Return by which model, and what it is for: a code to search by."""
    codings = [*concept(card.name, card.title, base)["coding"], *concept(card.use, USES[card.use], base)["coding"]]
    return {"coding": codings, "text": card.method}


def provenance(target: str, about: About, card: Card) -> Resource:
    """Return who computed the target (Type/id) from what; `recorded` is the end of the day of the data, not of the run."""
    sources: list[Resource] = [{"reference": name} for name in about.basis]
    return {
        "resourceType": "Provenance",
        "id": provenance_id(target),
        "meta": _meta(None, about.base),
        "target": [{"reference": target}],
        "recorded": local_day(about.day, about.zone)["end"],
        "agent": [
            {
                "type": {
                    "coding": [
                        {
                            "system": "http://terminology.hl7.org/CodeSystem/provenance-participant-type",
                            "code": "assembler",
                            "display": "Assembler",
                        }
                    ]
                },
                "who": {"reference": device_of(card)},
            }
        ],
        "entity": [{"role": "source", "what": what} for what in (*sources, {"reference": library_of(card)})],
    }


def local_day(day: date, zone: tzinfo) -> Resource:
    """Return the local day as a Period."""
    start, following = start_of(day, zone), start_of(day + timedelta(days=1), zone)
    end = (following.astimezone(UTC) - timedelta(milliseconds=1)).astimezone(zone)
    return {"start": _instant(start), "end": _instant(end)}


def _instant(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds")


def _abstained(said: Abstained, base: str) -> Resource:
    risk = concept("no-prediction", "The model says nothing", base)
    return {"qualitativeRisk": risk, "rationale": f"No prediction ({said.reason}): {said.text}"}


def _why(said: Answer) -> str:
    named = [f"{part.feature} {'raises' if part.adds > 0 else 'lowers'} it" for part in said.parts[:3] if part.adds]
    low, high = _percent(said.low), _percent(said.high)
    own, other = _percent(said.probability), _percent(said.comparator)
    texts = [
        f"{own} %, where {low} to {high} % were seen at such probabilities in people who were not learned from (95 %)"
    ]
    if not low <= own <= high:
        texts.append("The model's own number lies outside of what was seen: it is badly calibrated there")
    texts.append(
        f"The comparator says {other} %" + ("" if low <= other <= high else ": the two disagree, rely on neither")
    )
    return ". ".join([*texts, *(["; ".join(named)] if named else [])]) + "."


def _extension(of: str, base: str, /, **parts: Any) -> Resource:
    """Return an extension whose parts are of the type that their values are; what is None is left out."""
    types: Sequence[tuple[type, str]] = ((str, "valueString"), (Mapping, "valueQuantity"), (Decimal, "valueDecimal"))
    made: list[Resource] = []
    for key, value in parts.items():
        if value is not None:
            type_ = next((typed for kind, typed in types if isinstance(value, kind)), "valueDecimal")
            made.append({"url": key, type_: value})
    return {"url": profile(of, base), "extension": made}


def _percent(p: float) -> Decimal:
    """Return a probability in percent with one decimal; never 0 or 100, which no model knows."""
    return Decimal(min(99.9, max(0.1, 100 * p))).quantize(Decimal("0.1"))


def _rounded(value: float, decimals: int) -> Decimal | int:
    rounded = Decimal(value).quantize(Decimal(1).scaleb(-decimals)) + 0
    return rounded if decimals else int(rounded)


def _short(value: float | None) -> Decimal | None:
    return None if value is None else Decimal(value).quantize(Decimal("0.001")) + 0


def inputs_of(names: Iterable[str]) -> tuple[str, ...]:
    """Return references sorted, each once."""
    return tuple(sorted(set(names)))
