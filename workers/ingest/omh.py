"""Open mHealth and IEEE 1752.1 data points: validated by the schema that they name, then samples of our measures.

https://opensource.ieee.org/omh/1752, https://www.openmhealth.org. What a body says beside its value goes along as it stands.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any, Final, NamedTuple

from fhir_server.kit import json
from workers.ingest.sample import Item, Number, Origin, Sample, Unusable, Value
from workers.ingest.schemas import BODIES, HEADER, OLDER, problems
from workers.ingest.times import Moment, later, moment

Body = dict[str, Any]

UNITS: Final[Mapping[str, str]] = {
    "beats/min": "/min", "breaths/min": "/min", "steps": "{steps}", "sec": "s", "Mo": "mo", "yr": "a", "in": "[in_i]",
    "ft": "[ft_i]", "yd": "[yd_i]", "mi": "[mi_i]", "lb": "[lb_av]", "oz": "[oz_av]", "gr": "[gr]", "Metric Ton": "t",
    "Ton": "[ston_av]", "C": "Cel", "F": "[degF]", "mmHg": "mm[Hg]", "laps": "{laps}", "skips": "{skips}", "strokes": "{strokes}",
    "movements": "{movements}", "steps/min": "{steps}/min", "strokes/min": "{strokes}/min", "skips/min": "{skips}/min",
    "laps/min": "{laps}/min", "movements/min": "{movements}/min", "strokes/lap": "{strokes}/{lap}",
}  # fmt: skip
"""Unit of the schemas: UCUM, where the two differ."""

STATISTICS: Final[Mapping[str, str]] = {
    "standard deviation": "std-dev", "20th percentile": "20-percent", "80th percentile": "80-percent",
    "lower quartile": "4-lower", "upper quartile": "4-upper", "quartile deviation": "4-dev", "1st quintile": "5-1",
    "2nd quintile": "5-2", "3rd quintile": "5-3", "4th quintile": "5-4",
}  # fmt: skip
"""Descriptive statistic: code of observation-statistics, where the two differ."""

STAGES: Final = {
    "REM_sleep": "rem",
    "Light_sleep": "light",
    "Deep_sleep": "deep",
    "Unknown_sleep": "asleep",
    "Awake": "awake",
}
_MS: Final = {"ps": "1e-9", "ns": "1e-6", "us": "0.001", "ms": "1", "sec": "1000", "min": "60000", "h": "3600000",
              "d": "86400000", "wk": "604800000"}  # fmt: skip


class Row(NamedTuple):
    """Which measure a schema is, where its value stands, and which other elements are parts of it."""

    measure: str
    value: str | None = None
    parts: Mapping[str, str] = {}


_SLEEP: Final = {
    "latency_to_sleep_onset": "sleep-latency", "latency_to_arising": "arising-latency", "light_sleep_duration": "light-sleep",
    "deep_sleep_duration": "deep-sleep", "rem_sleep_duration": "rem-sleep", "wake_after_sleep_onset": "wake-after-onset",
    "number_of_awakenings": "awakenings", "sleep_efficiency_percentage": "sleep-efficiency",
    "sleep_maintenance_efficiency_percentage": "sleep-efficiency", "awake_duration": "wake-after-onset",
}  # fmt: skip
_ACTIVITY: Final = {
    "distance": "distance", "cumulative_elevation_gain": "elevation-gain", "duration": "activity-duration",
    "duration_light_activity": "light-activity-duration", "duration_moderate_activity": "moderate-activity-duration",
    "duration_vigorous_activity": "vigorous-activity-duration", "average_speed": "speed", "kcal_burned": "energy-burned",
    "met_value": "met", "base_movement_quantity": "movements", "average_cadence": "cadence",
}  # fmt: skip
_PRESSURE: Final = {
    "systolic_blood_pressure": "systolic-blood-pressure",
    "diastolic_blood_pressure": "diastolic-blood-pressure",
}

ROWS: Final[Mapping[str, Row]] = {
    "omh:heart-rate": Row("heart-rate", "heart_rate"),
    "omh:step-count": Row("steps", "step_count"),
    "omh:sleep-duration": Row("sleep-session", "sleep_duration"),
    "omh:sleep-episode": Row("sleep-session", "total_sleep_time", _SLEEP),
    "ieee:sleep-episode": Row("sleep-session", "total_sleep_time", _SLEEP),
    "ieee:total-sleep-time": Row("sleep-session", "total_sleep_time"),
    "ieee:time-in-bed": Row("time-in-bed", "time_in_bed"),
    "ieee:sleep-stage-summary": Row("sleep-stage-summary", None, _SLEEP),
    "omh:physical-activity": Row("physical-activity", None, _ACTIVITY),
    "ieee:physical-activity": Row("physical-activity", None, _ACTIVITY),
    "omh:oxygen-saturation": Row(
        "oxygen-saturation", "oxygen_saturation", {"supplemental_oxygen_flow_rate": "oxygen-flow"}
    ),
    "omh:blood-glucose": Row("blood-glucose", "blood_glucose"),
    "omh:blood-pressure": Row("blood-pressure", None, _PRESSURE),
    "omh:body-temperature": Row("body-temperature", "body_temperature"),
    "omh:body-height": Row("body-height", "body_height"),
    "omh:body-weight": Row("body-weight", "body_weight"),
    "omh:forced-expiratory-volume-1-second": Row("fev1", "forced_expiratory_volume_1_second"),
    "omh:forced-vital-capacity": Row("fvc", "forced_vital_capacity"),
    "omh:respiratory-rate": Row("respiratory-rate", "respiratory_rate"),
    "omh:rr-interval": Row("rr-interval", "rr_interval"),
}
"""By namespace and name; the version is the schema's affair."""


def read(point: Any, source: str) -> Iterator[Item]:
    """Yield the samples of one data point, or what it has wrong; all of that, with its place."""
    wrong = list(_wrong(point))
    if wrong:
        yield from wrong
        return
    header, body = point["header"], point["body"]
    row = ROWS[_schema(header).rpartition(":")[0]]
    try:
        yield from _samples(row, header, body, source)
    except Unusable as error:
        yield error


def _schema(header: Body) -> str:
    named = header["schema_id"]
    return f"{named['namespace']}:{named['name']}:{named['version']}"


def _wrong(point: Any) -> Iterator[Unusable]:
    """Yield what keeps a data point from being read."""
    if not isinstance(point, dict) or not isinstance(point.get("header"), dict) or "body" not in point:
        yield Unusable("data-point", "A data point is an object with a header and a body.")
        return
    header = point["header"]
    older = _is_older(header)
    found = problems(header, OLDER if older else HEADER)
    yield from (Unusable("header", text, f"header.{path}".rstrip(".")) for path, text in found)
    if found:
        return
    schema = _schema(header)
    if schema not in BODIES:
        known = ", ".join(sorted(BODIES))
        yield Unusable("schema-unknown", f"There is no schema of this id; there are: {known}.", "header.schema_id")
        return
    try:
        if not older:  # which only recommend one
            uuid.UUID(header["uuid"])
    except ValueError:
        yield Unusable("header", "It is a UUID.", "header.uuid")
    for path, text in problems(point["body"], schema):
        yield Unusable("body", text, f"body.{path}".rstrip("."))


def _is_older(header: Body) -> bool:
    """Tell whether a header is one of Open mHealth from before IEEE 1752.1, which names its members otherwise."""
    return "uuid" not in header and "source_creation_date_time" not in header and "id" in header


def _told(header: Body) -> tuple[Moment | None, str | None, str]:
    """Return when the source told it, how it was measured, and the id of the data point.

    An older header's `creation_date_time` is when some store took it in: no word of the source, and never `issued`.
    """
    if not _is_older(header):
        where = "header.source_creation_date_time"
        return _moment(header["source_creation_date_time"], where), header.get("modality"), header["uuid"]
    came = header.get("acquisition_provenance", {})
    names = ("source_last_modification_date_time", "source_creation_date_time")
    told = next((_moment(came[n], f"header.acquisition_provenance.{n}") for n in names if n in came), None)
    return told, came.get("modality"), came.get("source_data_point_id", header["id"])


def _samples(row: Row, header: Body, body: Body, source: str) -> Iterator[Sample]:
    """Yield what a valid data point says."""
    issued, modality, point = _told(header)
    start, end, stated = _time_frame(body.get("effective_time_frame"), issued)
    origin = _origin(header, source)
    common: dict[str, Any] = {"origin": origin, "issued": issued and _full(issued), "method": modality}
    summary = body.get("sleep_stage_summary", body)
    statistic = body.get("descriptive_statistic") or summary.get("descriptive_statistic")
    measure, value = row.measure, _value(summary.get(row.value)) if row.value else None
    if measure == "oxygen-saturation" and body.get("measurement_method") == "pulse oximetry":
        measure = "oxygen-saturation-pulse"
    elif measure == "blood-glucose" and value is not None and value.unit == "mmol/L":
        measure = "blood-glucose-molar"
    yield Sample(
        measure=measure,
        start=start,
        end=end,
        value=value,
        text=body.get("activity_name"),
        parts=_parts(row, summary),
        statistic=STATISTICS.get(statistic, statistic) if statistic else None,
        details=_details(row, header, body, summary) | {"data-point": point},
        stated_time=stated,
        **common,
    )
    yield from _stages(body, common)


def _stages(body: Body, common: dict[str, Any]) -> Iterator[Sample]:
    """Yield the stages of a sleep, and the times asleep of a sleep that has no stages."""
    told = [
        (STAGES[each["sleep_stage_state"]], each["sleep_stage_time_frame"])
        for each in body.get("sleep_stage_episodes", ())
    ]
    told += [("asleep", {"time_interval": each}) for each in body.get("sleep_events", ())]
    for code, frame in told:
        start, end, stated = _time_frame(frame, None)
        yield Sample(measure="sleep-stage", start=start, end=end, code=code, stated_time=stated, **common)


def _value(found: Any) -> Value | None:
    if found is None:
        return None
    unit = found["unit"]
    return Value(found["value"], UNITS.get(unit, unit), unit)


def _parts(row: Row, body: Body) -> tuple[tuple[str, Value], ...]:
    plain = {"awakenings": "{#}", "met": "[MET]"}
    found: list[tuple[str, Value]] = []
    for name, part in row.parts.items():
        if name in body:
            value = Value(body[name], plain[part]) if part in plain else _value(body[name])
            assert value is not None
            found.append((part, value))
    return tuple(found)


def _details(row: Row, header: Body, body: Body, summary: Body) -> dict[str, str]:
    """Return everything that is said and has no element of its own in our profile."""
    placed = {row.value, *row.parts, "effective_time_frame", "activity_name", "descriptive_statistic", "sleep_events",
              "sleep_stage_summary", "sleep_stage_episodes"}  # fmt: skip
    left = {name: value for name, value in (body | summary).items() if name not in placed}
    left |= {name: header[name] for name in ("acquisition_rate", "external_datasheets") if name in header}
    return {name: value if isinstance(value, str) else json.encode(value).decode() for name, value in left.items()}


def _origin(header: Body, source: str) -> Origin:
    """Return who measured, as far as the header says: the software or hardware of its data sheets."""
    sheets = {
        sheet.get("datasheet_type"): sheet["datasheet_reference"] for sheet in header.get("external_datasheets", ())
    }
    name = (header.get("acquisition_provenance") or {}).get("source_name") or ""
    return Origin(
        source, name=str(name), model=str(sheets.get("hardware", "")), version=str(sheets.get("software", ""))
    )


def _moment(text: Any, where: str) -> Moment:
    """Read a date-time of the schemas: without an offset it is UTC (IEEE 1752.1), which says nothing of the local clock."""
    bare = isinstance(text, str) and len(text) > 10 and text[-1] not in "Zz" and not {"+", "-"} & set(text[11:])
    return moment(f"{text}Z" if bare else text, where=where)


def _full(when: Moment) -> str:
    """Return an instant: with seconds and offset."""
    return f"{when.text}T00:00:00Z" if when.whole_day else when.text


def _time_frame(frame: Any, otherwise: Moment | None) -> tuple[Moment, Moment | None, str | None]:
    """Return start and end of a time frame, and its words where FHIR cannot hold it."""
    where = "body.effective_time_frame"
    if frame is None:
        if otherwise is None:
            raise Unusable("time-missing", "Neither the body nor the source of the header says a time.", where)
        return otherwise, None, ""
    if "date_time" in frame:
        return _moment(frame["date_time"], f"{where}.date_time"), None, None
    interval = frame["time_interval"]
    ends = [
        _moment(interval[n], f"{where}.time_interval.{n}")
        for n in ("start_date_time", "end_date_time")
        if n in interval
    ]
    if len(ends) == 2:
        reversed_ = ends[1].ms < ends[0].ms
        return ends[0], ends[1], f"{ends[0].text}/{ends[1].text}" if reversed_ else None
    length = _milliseconds(interval["duration"])
    if length is None:
        return ends[0], None, json.encode(interval).decode()
    if "start_date_time" in interval:
        return ends[0], later(ends[0], length), None
    return later(ends[0], -length), ends[0], None


def _milliseconds(duration: Body) -> int | None:
    """Return a duration in ms; None for months and years, whose length is not told."""
    number: Number = duration["value"]
    factor = _MS.get(duration["unit"])
    return None if factor is None else round(Decimal(number) * Decimal(factor))
