"""A calendar week of activity counts as an Observation of 96 numbers, or the reason why there are none. Pure.

A week is Monday to Sunday on the person's clock, so that each minute of a life is in one embedding. It counts once its Sunday
was recorded. Nothing volatile stands in the resource: equal weeks give equal resources.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from decimal import Decimal
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from workers.ml.registry.card import Card
from workers.ml.registry.resources import device_of, library_of, model_id
from workers.ml.serve.pat import Embedded, PatService
from workers.twin.arrays import DAY_MINUTES, Floats
from workers.twin.codes import BASE, CATEGORY, digital_twin, profile
from workers.twin.features import REASONS
from workers.twin.grids import grids
from workers.twin.ids import embedding_id, provenance_id
from workers.twin.recording import Recording, start_of
from workers.twin.resources import ABSENT, concept, meta

Resource = dict[str, Any]
CODE: Final = "actigraphy-embedding"
DAYS: Final = 7
UNLIKE: Final = "unlike-training"
WHY: Final = {
    "too-little-coverage": REASONS["too-little-coverage"],
    UNLIKE: "The counts are too far from those that the model has learnt from, as of another kind of device.",
}
NOTE: Final = (
    "Numbers that describe a week of activity, for comparison with other weeks; no clinical meaning of their own, not a diagnosis. "
    "Attention says which minutes weighed, not which mattered."
)
_FACTOR: Final = Decimal("0.000001")


@dataclass(frozen=True, slots=True, eq=False)
class Week:
    """Seven local days from a Monday: counts (7, 1440), NaN where nothing was measured or worn; whether the Sunday was."""

    monday: date
    counts: Floats

    @property
    def coverage(self) -> float:
        """The measured part of the day of which least was measured."""
        return float((~np.isnan(self.counts)).mean(axis=1).min())

    @property
    def recorded(self) -> bool:
        """Whether the week counts: something was measured on its Sunday."""
        return not bool(np.isnan(self.counts[-1]).all())


def blocks_of(monday: date) -> tuple[date, date]:
    """Return the first and last UTC day whose blocks a week is made of: with the day before, whatever the zone."""
    return monday - timedelta(days=2), monday + timedelta(days=DAYS)


def week_of(recording: Recording, monday: date) -> Week:
    """Return a week of a recording that was made of `blocks_of`."""
    return Week(monday, grids(recording, monday, DAYS).activity[1:])


def judged(week: Week, card: Card, service: PatService) -> Embedded | str:
    """Return what the model says of a week, or the code of the reason why it says nothing."""
    if week.coverage < card.limits["coverage"]:
        return "too-little-coverage"
    found = service.embed(np.asarray(week.counts.reshape(-1), np.float32))
    return UNLIKE if found.strangeness > card.limits["strangeness"] else found


def observation(
    patient: str, week: Week, found: Embedded | str, card: Card, zone: tzinfo = UTC, base: str = BASE
) -> Resource:
    """Return the week's Observation: vector and attention, or the reason."""
    resource: Resource = {
        "resourceType": "Observation",
        "id": embedding_id(patient, week.monday, model_id(card)),
        "meta": meta(CODE, base),
        "status": "final",
        "category": [{"coding": [{"system": CATEGORY, "code": "activity", "display": "Activity"}]}],
        "code": concept(CODE, "A week of activity as numbers", base),
        "subject": {"reference": f"Patient/{patient}"},
        "effectivePeriod": _period(week.monday, zone),
        "method": {"coding": [{"system": digital_twin(base), "code": model_id(card)}], "text": card.title},
        "device": {"reference": device_of(card)},
        "derivedFrom": [_sources(week.monday, base)],
        "note": [{"text": NOTE}],
    }
    if isinstance(found, str):
        return resource | {"extension": [_facts(week, None, card, base)], "dataAbsentReason": _absent(found, base)}
    return resource | {"extension": [_facts(week, found, card, base)], "component": [_attention(found, base)]}


def provenance(made: Resource, card: Card, base: str = BASE) -> Resource:
    """Return by which model the Observation was made and from what; `recorded` is the end of the week, not of the run."""
    target = f"Observation/{made['id']}"
    kind = {"system": "http://terminology.hl7.org/CodeSystem/provenance-participant-type", "code": "assembler"}
    return {
        "resourceType": "Provenance",
        "id": provenance_id(target),
        "meta": meta(None, base),
        "target": [{"reference": target}],
        "occurredPeriod": made["effectivePeriod"],
        "recorded": made["effectivePeriod"]["end"],
        "agent": [{"type": {"coding": [kind]}, "who": {"reference": device_of(card)}}],
        "entity": [{"role": "source", "what": made["derivedFrom"][0]}],
    }


def vector(made: Resource) -> NDArray[np.float32] | None:
    """Return the 96 numbers of an Observation, None where it has none."""
    for part in made["extension"][0]["extension"]:
        if part["url"] == "vector":
            return np.frombuffer(base64.b64decode(part["valueBase64Binary"]), "<f4").astype(np.float32)
    return None


def _facts(week: Week, found: Embedded | None, card: Card, base: str) -> Resource:
    """Return the extension with the vector (little-endian float32) and what a reader needs to judge it."""
    facts: list[Resource] = [
        {"url": "card", "valueReference": {"reference": library_of(card)}},
        {"url": "coverage", "valueDecimal": _rounded(week.coverage)},
    ]
    if found is not None:
        data = base64.b64encode(found.vector.round(4).astype("<f4").tobytes()).decode()
        facts += [
            {"url": "strangeness", "valueDecimal": _rounded(found.strangeness)},
            {"url": "width", "valueInteger": len(found.vector)},
            {"url": "vector", "valueBase64Binary": data},
        ]
    return {"url": profile("actigraphy-embedding-facts", base), "extension": facts}


def _attention(found: Embedded, base: str) -> Resource:
    """Return each patch's share of the attention as a series over the week: a number for so many minutes."""
    patch = DAYS * DAY_MINUTES // len(found.attention)
    sampled = {
        "origin": {"value": 0, "system": "http://unitsofmeasure.org", "code": "1"},
        "period": patch * 60_000,
        "factor": _FACTOR,
        "dimensions": 1,
        "data": " ".join(str(round(float(share) / float(_FACTOR))) for share in found.attention),
    }
    return {"code": concept("actigraphy-attention", "Share of the attention", base), "valueSampledData": sampled}


def _absent(reason: str, base: str) -> Resource:
    unknown = {"system": ABSENT, "code": "unknown", "display": "Unknown"}
    return {"coding": [{"system": digital_twin(base), "code": reason}, unknown], "text": WHY[reason]}


def _sources(monday: date, base: str) -> Resource:
    value = f"{monday}/{monday + timedelta(days=DAYS - 1)}"
    identifier = {"system": f"{base}/NamingSystem/signal-days", "value": value}
    return {"type": "Observation", "identifier": identifier, "display": "Activity counts of these local days"}


def _period(monday: date, zone: tzinfo) -> Resource:
    end = start_of(monday + timedelta(days=DAYS), zone).astimezone(UTC) - timedelta(milliseconds=1)
    return {"start": _instant(start_of(monday, zone)), "end": _instant(end.astimezone(zone))}


def _instant(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds")


def _rounded(value: float) -> Decimal:
    return Decimal(value).quantize(Decimal("0.001"))
