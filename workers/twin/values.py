"""The numbers of an Observation or component: value, unit and the SampledData string, checked against the signal's row.

https://hl7.org/fhir/R4/datatypes.html#SampledData
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, NamedTuple

import numpy as np

from workers.twin.arrays import Floats, Ints
from workers.twin.catalogue import STAGES, Signal
from workers.twin.codes import BASE, LOINC, UCUM, actigraphy
from workers.twin.instruments import ANSWERS

SLACK = 60_000
"""How far, in ms, a stage's stated duration may be from the length of its period."""

NOT_A_NUMBER = frozenset({"E", "U", "L"})
"""Error, above and below what the sensor can tell: no number is known, so none is used."""


class Values(NamedTuple):
    """Numbers in the signal's unit; `step` is ms from one to the next, None for a single value."""

    numbers: Floats
    places: Ints
    step: float | None
    length: int
    dropped: int


def values(part: dict[str, Any], signal: Signal, duration: int, base: str = BASE) -> Values | str:
    """Return the numbers that an Observation or component states for the signal, or the reason why there are none."""
    if "valueSampledData" in part:
        return _sampled(part["valueSampledData"], signal)
    number = _single(part, signal, duration, base)
    if isinstance(number, str):
        return number
    if not signal.low <= number <= signal.high:
        return "out-of-range"
    return Values(np.array([number + 0.0]), np.zeros(1, np.int64), None, 1, 0)


def _single(part: dict[str, Any], signal: Signal, duration: int, base: str) -> float | str:
    """Return one number out of value[x]."""
    if "valueQuantity" in part:
        quantity = part["valueQuantity"]
        if "comparator" in quantity:
            return "comparator"
        if "value" not in quantity:
            return "value-missing"
        factor = _factor(quantity, signal)
        if factor is None:
            return "unit"
        number = float(quantity["value"]) * factor
        return _whole_stage(number, signal, duration)
    if "valueInteger" in part:
        return float(part["valueInteger"]) if signal.plain else "unit"
    if "valueCodeableConcept" in part and signal.shape == "stage":
        return _coded_stage(part["valueCodeableConcept"], base)
    if "valueCodeableConcept" in part and signal.shape == "score":
        return _coded_answer(part["valueCodeableConcept"])
    return "value-missing"


def _whole_stage(number: float, signal: Signal, duration: int) -> float | str:
    """Return the stage when the stated duration fills the period; a mere total within a longer sleep has no place in time."""
    if signal.shape != "stage":
        return number
    if signal.stage is None:
        return number if number in STAGES.values() else "out-of-range"
    return float(signal.stage) if abs(number * 1000 - duration) <= SLACK else "stage-not-placed"


def _coded_stage(concept: dict[str, Any], base: str) -> float | str:
    """Return the number of a stage that is given as a code of ours."""
    system = actigraphy(base)
    for coding in concept.get("coding", ()):
        if coding.get("system") == system and coding.get("code") in STAGES:
            return float(STAGES[coding["code"]])
    return "unit"


def _coded_answer(concept: dict[str, Any]) -> float | str:
    """Return the number of an answer that is given as a code of LOINC."""
    codes = [coding.get("code") for coding in concept.get("coding", ()) if coding.get("system") == LOINC]
    return next((float(ANSWERS[code]) for code in codes if code in ANSWERS), "unit")


def _factor(quantity: dict[str, Any], signal: Signal) -> float | None:
    """Return the factor of the unit: by its code; by its text only where no code is given."""
    code, system = quantity.get("code"), quantity.get("system")
    if code is None:
        return signal.units.get(quantity.get("unit", ""))
    return signal.units.get(code if system in {UCUM, None} else f"{system}|{code}")


def _sampled(data: dict[str, Any], signal: Signal) -> Values | str:
    """Return the numbers of a SampledData: origin + factor x sample, without those that are no number."""
    if signal.shape in {"day", "session", "score"} or signal.stage is not None:
        return "sampled-data-not-for-this-signal"
    factor = _factor(data["origin"], signal)
    if factor is None:
        return "unit"
    if data.get("dimensions", 1) != 1:
        return "sampled-data-dimensions"
    step = float(data["period"])
    if not 0 < step <= signal.longest:
        return "interval-too-long"
    if "data" not in data:
        return "value-missing"
    numbers = _parse(data["data"])
    if numbers is None:
        return "sampled-data-malformed"
    origin, scale = float(data["origin"].get("value", 0)), float(data.get("factor", Decimal(1)))
    numbers = (origin + scale * numbers) * factor + 0.0  # never -0.0: equal numbers are equal bytes
    good = (numbers >= signal.low) & (numbers <= signal.high)
    if signal.shape == "stage":
        good &= numbers == np.round(numbers)
    index = np.flatnonzero(good).astype(np.int64)
    return Values(numbers[index], index, step, len(numbers), len(numbers) - len(index))


def _parse(text: str) -> Floats | None:
    """Return the samples as floats, NaN for E, U and L; None when something else stands there."""
    tokens = text.split()
    if "E" in text or "U" in text or "L" in text:
        tokens = ["nan" if token in NOT_A_NUMBER else token for token in tokens]
    try:
        return np.array(tokens, np.float64)
    except ValueError:
        return None
