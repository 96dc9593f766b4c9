"""Android Health Connect records, as an app serialises them: record class, its members, `metadata`.

https://developer.android.com/reference/androidx/health/connect/client/records/package-summary. The method of HRV is RMSSD.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final, NamedTuple

from workers.ingest.neutral import DELETION, number, shown, text
from workers.ingest.sample import Item, Left, Origin, Sample, Unusable, Value
from workers.ingest.times import Moment, moment, of


class Row(NamedTuple):
    """The measure of a record, the path of its number and the unit in which it stands there."""

    measure: str
    path: str
    unit: str


ROWS: Final[Mapping[str, Row]] = {
    "Steps": Row("steps", "count", "{steps}"),
    "RestingHeartRate": Row("resting-heart-rate", "beatsPerMinute", "/min"),
    "HeartRateVariabilityRmssd": Row("hrv-rmssd", "heartRateVariabilityMillis", "ms"),
    "OxygenSaturation": Row("oxygen-saturation", "percentage", "%"),
    "RespiratoryRate": Row("respiratory-rate", "rate", "/min"),
    "Distance": Row("distance", "distance.inMeters", "m"),
    "ActiveCaloriesBurned": Row("energy-burned", "energy.inKilocalories", "kcal"),
    "Weight": Row("body-weight", "weight.inKilograms", "kg"),
    "Height": Row("body-height", "height.inMeters", "m"),
    "BodyTemperature": Row("body-temperature", "temperature.inCelsius", "Cel"),
    "BloodGlucose": Row("blood-glucose-molar", "level.inMillimolesPerLiter", "mmol/L"),
}
STAGES: Final = {1: "awake", 2: "asleep", 4: "light", 5: "deep", 6: "rem", 7: "awake"}
"""SleepSessionRecord.StageType; 0 (unknown) and 3 (out of bed) are no stage of sleep."""
_METHODS: Final = {1: "actively recorded", 2: "automatically recorded", 3: "manual entry"}
_PRESSURE: Final = {"systolic": "systolic-blood-pressure", "diastolic": "diastolic-blood-pressure"}


def read(item: Any, source: str) -> Iterator[Item]:
    """Yield the samples of one record."""
    try:
        if not isinstance(item, dict):
            raise Unusable("sample", "A Health Connect record is an object.")
        if "deleted" in item or item.get("type") == "DeletionChange":
            raise Unusable("deletion", DELETION)
        name = text(item, "type").removesuffix("Record")
        common = _common(item, source)
        if name == "HeartRate":
            yield from _heart(item, common)
        elif name == "SleepSession":
            yield from _sleep(item, common)
        elif name == "BloodPressure":
            yield _pressure(item, common)
        elif name == "ExerciseSession":
            kind = text(item, "title") or text(item, "exerciseType") or "exercise"
            yield Sample(measure="physical-activity", text=kind, **_interval(item), **common)
        elif name in ROWS:
            yield _plain(ROWS[name], item, common)
        else:
            yield Left("type-not-kept", shown(text(item, "type") or "type"))
    except Unusable as error:
        yield error


def _plain(row: Row, item: Mapping[str, Any], common: dict[str, Any]) -> Sample:
    value = Value(_number(item, row.path), row.unit)
    when = _interval(item) if "startTime" in item else {"start": _time(item, "time", "zoneOffset")}
    return Sample(measure=row.measure, value=value, **when, **common)


def _heart(item: Mapping[str, Any], common: dict[str, Any]) -> Iterator[Sample]:
    samples = item.get("samples")
    if not isinstance(samples, list):
        raise Unusable("samples", "A HeartRateRecord has a list of samples.", "samples")
    offset = item.get("startZoneOffset")
    for i, each in enumerate(samples):
        where = f"samples[{i}]"
        if not isinstance(each, dict):
            raise Unusable("samples", "A sample has a time and beatsPerMinute.", where)
        start = _shifted(each.get("time"), offset, f"{where}.time")
        value = Value(number(each.get("beatsPerMinute"), f"{where}.beatsPerMinute"), "/min")
        yield Sample(measure="heart-rate", start=start, value=value, **common)


def _sleep(item: Mapping[str, Any], common: dict[str, Any]) -> Iterator[Sample]:
    """Yield the stages, and the session with the time slept where stages tell it: a session alone says time in bed."""
    session = _interval(item)
    slept: list[tuple[int, int]] = []
    stages = item.get("stages") or []
    if not isinstance(stages, list):
        raise Unusable("stages", "stages are a list.", "stages")
    for i, each in enumerate(stages):
        where = f"stages[{i}]"
        if not isinstance(each, dict):
            raise Unusable("stages", "A stage has startTime, endTime and stage.", where)
        code = STAGES.get(int(number(each.get("stage"), f"{where}.stage")))
        when = _interval(
            each | {"startZoneOffset": item.get("startZoneOffset"), "endZoneOffset": item.get("endZoneOffset")}, where
        )
        if code is None:
            continue
        if code != "awake":
            slept.append((when["start"].ms, when["end"].ms))
        yield Sample(measure="sleep-stage", code=code, **when, **common)
    length = session["end"].ms - session["start"].ms
    measure, seconds = ("sleep-session", _covered(slept)) if slept else ("time-in-bed", length)
    yield Sample(measure=measure, value=Value(seconds // 1000, "s"), **session, **common)


def _covered(intervals: list[tuple[int, int]]) -> int:
    """Return how many ms some intervals cover; where they overlap it counts once."""
    total, until = 0, 0
    for start, end in sorted(intervals):
        total += max(0, end - max(start, until))
        until = max(until, end)
    return total


def _pressure(item: Mapping[str, Any], common: dict[str, Any]) -> Sample:
    parts = tuple(
        (part, Value(_number(item, f"{name}.inMillimetersOfMercury"), "mm[Hg]")) for name, part in _PRESSURE.items()
    )
    return Sample(measure="blood-pressure", start=_time(item, "time", "zoneOffset"), parts=parts, **common)


def _common(item: Mapping[str, Any], source: str) -> dict[str, Any]:
    metadata = item.get("metadata") or {}
    if not isinstance(metadata, dict):
        raise Unusable("metadata", "metadata is an object.", "metadata")
    app = metadata.get("dataOrigin")
    package = text(app, "packageName", "metadata.dataOrigin.") if isinstance(app, dict) else ""
    device = metadata.get("device") if isinstance(metadata.get("device"), dict) else {}
    changed = metadata.get("lastModifiedTime")
    said = {name: text(device or {}, name, "metadata.device.") for name in ("manufacturer", "model")}
    return {
        "origin": Origin(f"{source}/{package}" if package else source, **said),
        "issued": moment(changed, where="metadata.lastModifiedTime").text if changed is not None else None,
        "method": _METHODS.get(metadata.get("recordingMethod", 0)),
    }


def _interval(item: Mapping[str, Any], where: str = "") -> dict[str, Any]:
    prefix = f"{where}." if where else ""
    start = _time(item, "startTime", "startZoneOffset", prefix)
    return {"start": start, "end": _time(item, "endTime", "endZoneOffset", prefix)}


def _time(item: Mapping[str, Any], name: str, offset: str, prefix: str = "") -> Moment:
    return _shifted(item.get(name), item.get(offset), f"{prefix}{name}")


def _shifted(given: Any, offset: Any, where: str) -> Moment:
    """Return an instant (Z) at the offset of the wall clock that the record states apart from it."""
    read = moment(given, where=where)
    if not isinstance(offset, str) or not read.text.endswith("Z"):
        return read
    clock = moment(f"2000-01-01T00:00:00{'+00:00' if offset == 'Z' else offset}", where="zoneOffset")
    zone = datetime.fromisoformat(clock.text).tzinfo
    return of(datetime.fromisoformat(read.text).astimezone(zone), where)


def _number(item: Mapping[str, Any], path: str) -> Any:
    found: Any = item
    for step in path.split("."):
        found = found.get(step) if isinstance(found, dict) else None
    return number(found, path)
