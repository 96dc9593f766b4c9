"""Observations to samples: what counts, what is refused and why."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from fhir_server.kit import json as kit
from tests.shared_data import shared
from tests.workers.twin.observations import LOINC, OURS, counts, heart_rate, observation, quantity, sleep
from workers.twin.catalogue import NAMES
from workers.twin.effective import CALENDAR_DAY, UNKNOWN_OFFSET
from workers.twin.signals import NOTHING, read, signals_of

START = "2026-05-01T10:00:00+02:00"
HOUR = {"start": START, "end": "2026-05-01T11:00:00+02:00"}
AT_EIGHT = 1777622400000


def reasons(resource):
    return [refusal.reason for refusal in read(resource).refused]


def test_a_heart_rate():
    (samples,) = read(heart_rate(START, "72.5")).samples
    assert (samples.signal, samples.device, samples.offset) == ("heart-rate", "Device/d", 120)
    assert (samples.start.tolist(), samples.duration.tolist(), samples.value.tolist()) == ([AT_EIGHT], [0], [72.5])


@pytest.mark.parametrize(
    ("when", "offset"),
    [
        ("2026-05-01T08:00:00Z", UNKNOWN_OFFSET),
        ("2026-05-01T08:00:00-00:00", UNKNOWN_OFFSET),
        ("2026-05-01T08:00:00+00:00", 0),
    ],
)
def test_z_states_an_instant_but_no_wall_clock(when, offset):
    (samples,) = read(heart_rate(when)).samples
    assert (samples.start.tolist(), samples.offset) == ([AT_EIGHT], offset)


def test_sampled_data_with_errors_between():
    (samples,) = read(counts(START, "0 12.5 E 7 U L 3")).samples
    assert samples.value.tolist() == [0, 12.5, 7, 3]
    assert [(start - AT_EIGHT) // 60_000 for start in samples.start.tolist()] == [0, 1, 3, 6]
    assert set(samples.duration.tolist()) == {60_000}
    assert [(r.reason, r.count) for r in read(counts(START, "0 E U")).refused] == [("sample-not-usable", 2)]


def test_sampled_data_origin_and_factor():
    resource = counts(START, "1 2")
    resource["valueSampledData"] |= {"origin": quantity(10, "{counts}"), "factor": Decimal("2.5")}
    assert read(resource).samples[0].value.tolist() == [12.5, 15]


def test_sampled_data_must_fit_its_period():
    resource = counts(START, " ".join(["1"] * 60)) | {"effectivePeriod": HOUR}
    del resource["effectiveDateTime"]
    assert not reasons(resource)
    resource["valueSampledData"]["data"] = " ".join(["1"] * 90)
    assert reasons(resource) == ["sampled-data-length"]


def test_one_series_does_not_touch_a_year_of_days():
    sampled = {"origin": quantity(0, "/min"), "period": 3_600_000, "dimensions": 1, "data": " ".join(["60"] * 800)}
    assert reasons(observation("8867-4", effectiveDateTime=START, valueSampledData=sampled)) == ["interval-too-long"]


def test_steps_need_an_interval():
    steps = observation("55423-8", valueQuantity=quantity(500, "{steps}"))
    assert read(steps | {"effectivePeriod": HOUR}).samples[0].duration.tolist() == [3_600_000]
    assert reasons(steps | {"effectiveDateTime": START}) == ["interval-missing"]
    (day,) = read(steps | {"effectiveDateTime": "2026-05-01"}).samples
    assert (day.signal, day.offset, day.duration.tolist()) == ("steps-daily", CALENDAR_DAY, [86_400_000])
    (total,) = read(observation("41950-7", valueInteger=9000, effectiveDateTime=START)).samples
    assert (total.signal, total.value.tolist()) == ("steps-daily", [9000])


def test_sleep_takes_the_offset_of_waking():
    (samples,) = read(sleep("2026-03-28T23:00:00+01:00", "2026-03-29T07:00:00+02:00", 400)).samples
    assert (samples.offset, samples.value.tolist(), samples.duration.tolist()) == (120, [24000], [7 * 3_600_000])


def test_stages():
    coded = {"coding": [{"system": OURS, "code": "rem"}]}
    (samples,) = read(observation("sleep-stage", OURS, effectivePeriod=HOUR, valueCodeableConcept=coded)).samples
    assert (samples.signal, samples.value.tolist()) == ("sleep-stage", [4])
    deep = observation("93831-6", effectivePeriod=HOUR, valueQuantity=quantity(60, "min"))
    assert read(deep).samples[0].value.tolist() == [3]
    total = observation("93831-6", effectivePeriod=HOUR, valueQuantity=quantity(20, "min"))
    assert reasons(total) == ["stage-not-placed"]


def test_components_inherit_time_and_device():
    panel = observation("85353-1", effectiveDateTime=START)
    panel["component"] = [
        {"code": {"coding": [{"system": LOINC, "code": "8867-4"}]}, "valueQuantity": quantity(61, "/min")},
        {"code": {"coding": [{"system": LOINC, "code": "9279-1"}]}, "valueQuantity": quantity(14, "/min")},
        {"code": {"coding": [{"system": LOINC, "code": "8867-4"}]}, "valueQuantity": quantity(61, "kg")},
    ]
    reading = read(panel)
    assert [(s.signal, s.value.tolist()) for s in reading.samples] == [("heart-rate", [61])]
    assert [(r.reason, r.expression) for r in reading.refused] == [("unit", "Observation.component[2]")]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"status": "entered-in-error"}, "status"),
        ({"status": "cancelled"}, "status"),
        ({"status": "registered"}, "status"),
        ({"effectiveDateTime": "2026-05"}, "time-too-coarse"),
        ({"effectiveDateTime": "2026-05-01"}, "time-too-coarse"),
        ({"effectiveDateTime": None}, "time-missing"),
        ({"effectiveDateTime": "1969-12-31T23:59:59Z"}, "time-implausible"),
        ({"effectiveDateTime": "9999-12-31T23:59:59Z"}, "time-implausible"),
        ({"effectiveDateTime": "2026-05-01T10:00:60Z"}, "time-malformed"),
        ({"effectivePeriod": {"start": START, "end": "2026-05-01T09:00:00+02:00"}}, "period-reversed"),
        ({"effectivePeriod": {"start": START, "end": "2026-05-02T10:00:00+02:00"}}, "interval-too-long"),
        ({"valueQuantity": quantity(72, "kg")}, "unit"),
        ({"valueQuantity": {"value": 72}}, "unit"),
        ({"valueQuantity": quantity(72, "/min") | {"comparator": "<"}}, "comparator"),
        ({"valueQuantity": quantity(720, "/min")}, "out-of-range"),
        ({"valueQuantity": None, "dataAbsentReason": {"text": "not measured"}}, "value-missing"),
        ({"valueQuantity": None, "valueString": "72"}, "value-missing"),
    ],
)
def test_what_cannot_be_used_says_why(change, reason):
    resource = {key: value for key, value in (heart_rate(START) | change).items() if value is not None}
    reading = read(resource)
    assert (reading.samples, [r.reason for r in reading.refused]) == ((), [reason])


def test_what_is_no_signal_and_what_the_twin_wrote():
    assert read(observation("718-7", valueQuantity=quantity(14, "g/dL"))) is NOTHING
    tag = {"system": "https://fhir.clarity.example/CodeSystem/origin", "code": "twin"}
    assert read(heart_rate(START, meta={"tag": [tag]})) is NOTHING
    assert signals_of(heart_rate(START)) == {"heart-rate"}


def test_stored_numbers_of_signals_stay():
    stored = (
        "heart-rate",
        "resting-heart-rate",
        "steps",
        "steps-daily",
        "activity-counts",
        "sleep-session",
        "sleep-stage",
    )
    assert NAMES[: len(stored)] == stored


def test_a_base_of_ones_own():
    base = "https://hospital.example"
    resource = counts(START, "1 2 3")
    resource["code"]["coding"][0]["system"] = f"{base}/CodeSystem/actigraphy"
    assert read(resource) is NOTHING
    assert len(read(resource, base).samples) == 1


def test_personal_health_devices():
    folder = shared("ieee-11073-phd")
    spot = read(kit.decode((folder / "numeric-spotnumeric.json").read_bytes()))
    assert [(s.signal, s.value.tolist(), s.offset) for s in spot.samples] == [("heart-rate", [48], -300)]
    for path in sorted(folder.glob("*.json")):
        resource = json.loads(path.read_text(), parse_float=Decimal)
        if resource["resourceType"] == "Observation":
            read(resource)
