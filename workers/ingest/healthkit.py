"""Apple HealthKit samples: the names of its types and units, as an app sends them (JSON) and as export.xml has them.

https://developer.apple.com/documentation/healthkit. Percentages are fractions there. The method of HRV is SDNN.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, Final, NamedTuple

from workers.ingest.neutral import DELETION, shown
from workers.ingest.sample import Item, Left, Number, Origin, Sample, Unusable, Value
from workers.ingest.times import Moment, moment


class Row(NamedTuple):
    """The measure of a type, and what a `count` is there."""

    measure: str
    each: str = "/min"


QUANTITIES: Final[Mapping[str, Row]] = {
    "HeartRate": Row("heart-rate"),
    "RestingHeartRate": Row("resting-heart-rate"),
    "HeartRateVariabilitySDNN": Row("hrv-sdnn"),
    "RespiratoryRate": Row("respiratory-rate"),
    "OxygenSaturation": Row("oxygen-saturation"),
    "StepCount": Row("steps", "{steps}"),
    "DistanceWalkingRunning": Row("distance"),
    "DistanceCycling": Row("distance"),
    "DistanceSwimming": Row("distance"),
    "ActiveEnergyBurned": Row("energy-burned"),
    "AppleExerciseTime": Row("active-duration"),
    "BodyMass": Row("body-weight"),
    "Height": Row("body-height"),
    "BodyTemperature": Row("body-temperature"),
    "AppleSleepingWristTemperature": Row("skin-temperature"),
    "BloodGlucose": Row("blood-glucose"),
}
"""By the name after HKQuantityTypeIdentifier."""

SLEEP: Final = {
    "InBed": "in-bed", "Asleep": "asleep", "AsleepUnspecified": "asleep", "AsleepCore": "light", "AsleepDeep": "deep",
    "AsleepREM": "rem", "Awake": "awake", "0": "in-bed", "1": "asleep", "2": "awake", "3": "light", "4": "deep", "5": "rem",
}  # fmt: skip
UNITS: Final = {
    "count/min": "/min", "ms": "ms", "s": "s", "min": "min", "hr": "h", "km": "km", "m": "m", "cm": "cm", "mi": "[mi_i]",
    "ft": "[ft_i]", "in": "[in_i]", "yd": "[yd_i]", "kcal": "kcal", "Cal": "kcal", "cal": "cal", "kJ": "kJ", "kg": "kg",
    "g": "g", "lb": "[lb_av]", "oz": "[oz_av]", "degC": "Cel", "degF": "[degF]", "K": "K", "%": "%", "mg/dL": "mg/dL",
    "mmol<180.1558800000541>/L": "mmol/L", "mmol/L": "mmol/L",
}  # fmt: skip
QUANTITY, CATEGORY = "HKQuantityTypeIdentifier", "HKCategoryTypeIdentifier"


def read(item: Any, source: str) -> Item:
    """Return the sample of one JSON object {type, startDate, endDate, value, unit, sourceName, device, metadata}."""
    try:
        if not isinstance(item, dict):
            raise Unusable("sample", "A HealthKit sample is an object.")
        if item.get("deleted") or item.get("deletedObject"):
            raise Unusable("deletion", DELETION)
        return record({name: _flat(value) for name, value in item.items()}, source)
    except Unusable as error:
        return error


def _flat(value: Any) -> Any:
    return str(value) if isinstance(value, int | Decimal) and not isinstance(value, bool) else value


def record(item: Mapping[str, Any], source: str) -> Sample | Left:
    """Return the sample of a record as it is named in both forms; Unusable says what is wrong."""
    type_ = item.get("type")
    if not isinstance(type_, str):
        raise Unusable("type-missing", "A HealthKit sample says its type.", "type")
    start, end = moment(item.get("startDate"), where="startDate"), moment(item.get("endDate"), where="endDate")
    origin = origin_of(item, source)
    common: dict[str, Any] = {
        "origin": origin,
        "start": start,
        "issued": _issued(item),
        "method": "self-reported" if _entered(item) else "sensed" if origin.model or origin.manufacturer else None,
    }
    if type_ == f"{CATEGORY}SleepAnalysis":
        code = SLEEP.get(str(item.get("value", "")).removeprefix("HKCategoryValueSleepAnalysis"))
        if code is None:
            raise Unusable("stage", "There is no such stage in HKCategoryValueSleepAnalysis.", "value")
        return Sample(measure="sleep-stage", end=end, code=code, **common)
    row = QUANTITIES.get(type_.removeprefix(QUANTITY))
    if row is None or not type_.startswith(QUANTITY):
        return Left("type-not-kept", shown(type_))
    measure, value = row.measure, _value(row, item)
    if measure == "blood-glucose" and value.unit == "mmol/L":
        measure = "blood-glucose-molar"
    return Sample(
        measure=measure, end=None if end.ms == start.ms and measure != "steps" else end, value=value, **common
    )


def _value(row: Row, item: Mapping[str, Any]) -> Value:
    unit = item.get("unit")
    try:
        number = Decimal(str(item.get("value")))
    except InvalidOperation as error:
        raise Unusable("number", "It is a number.", "value") from error
    if not number.is_finite():
        raise Unusable("number", "It is a number.", "value")
    ucum = row.each if unit == "count" else UNITS.get(str(unit))
    if ucum is None:
        raise Unusable("unit", "This unit of HealthKit is not known here.", "unit")
    if ucum == "%":
        number *= 100
    plain: Number = int(number) if number == number.to_integral_value() else number.normalize()
    return Value(plain, ucum, str(unit))


def origin_of(item: Mapping[str, Any], source: str) -> Origin:
    """Return the app that wrote it and the device; export.xml has that as <<HKDevice: …>, name:…, manufacturer:…>."""
    said = item.get("device")
    if isinstance(said, str):
        pairs = [part.partition(":") for part in said.strip("<>").split(", ")[1:]]
        said = {name.strip(): value.strip().rstrip(">") for name, _, value in pairs}
    said = said if isinstance(said, dict) else {}

    def word(*names: str) -> str:
        return next((str(said[name])[:200] for name in names if said.get(name)), "")

    app = str(item.get("sourceName") or "")[:200]
    return Origin(
        f"{source}/{app}" if app else source,
        name=word("name"),
        manufacturer=word("manufacturer"),
        model=word("hardware", "hardwareVersion", "model"),
        serial=word("localIdentifier", "udiDeviceIdentifier"),
        version=word("software", "softwareVersion"),
    )


def _entered(item: Mapping[str, Any]) -> bool:
    metadata = item.get("metadata")
    told = metadata.get("HKWasUserEntered") if isinstance(metadata, dict) else None
    return str(told).lower() in {"1", "true", "yes"}


def _issued(item: Mapping[str, Any]) -> str | None:
    made = item.get("creationDate")
    return None if made is None else _full(moment(made, where="creationDate"))


def _full(when: Moment) -> str:
    return f"{when.text}T00:00:00Z" if when.whole_day else when.text
