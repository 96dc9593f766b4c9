"""Files of vendors: what is taken, what not and why, in bounded memory; values checked against what was put in."""

from __future__ import annotations

import io
import tracemalloc
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from fhir_server.validation.validate import validate
from tests.workers.ingest import making
from tests.workers.ingest.making import record
from workers.ingest import files, table
from workers.ingest.observe import observation
from workers.ingest.sample import Item, Left, Sample, Unusable
from workers.twin.signals import read as twin_reads

OSLO = ZoneInfo("Europe/Oslo")
HK = "HKQuantityTypeIdentifier"
WORKOUT = """<Workout workoutActivityType="HKWorkoutActivityTypeRunning" duration="30" durationUnit="min"
 sourceName="Watch of A" startDate="2026-01-05 18:00:00 +0100" endDate="2026-01-05 18:30:00 +0100"/>"""


def items(content: bytes, **more: Any) -> list[Item]:
    return [row.item for row in files.read(io.BytesIO(content), more.pop("source", None), **more)]


def samples(found: list[Item]) -> dict[str, list[Sample]]:
    wrong = [(item.reason, item.where) for item in found if isinstance(item, Unusable)]
    assert not wrong
    out: dict[str, list[Sample]] = {}
    for item in found:
        if isinstance(item, Sample):
            assert validate(observation("p", item)) == []
            out.setdefault(item.measure, []).append(item)
    return out


def test_apple_health() -> None:
    beats = [record(f"{HK}HeartRate", str(60 + i), f"2026-01-05 08:0{i // 2}:{30 * (i % 2):02d} +0100", unit="count/min")
             for i in range(6)]  # fmt: skip
    found = items(making.apple([
        *beats,
        record(f"{HK}StepCount", "120", "2026-01-05 08:00:00 +0100", "2026-01-05 08:07:30 +0100", "count"),
        record(f"{HK}OxygenSaturation", "0.97", "2026-01-05 03:00:00 +0100", unit="%"),
        record(f"{HK}HeartRateVariabilitySDNN", "48.2", "2026-01-05 04:00:00 +0100", "2026-01-05 04:01:00 +0100", "ms"),
        record("HKCategoryTypeIdentifierSleepAnalysis", "HKCategoryValueSleepAnalysisAsleepREM",
               "2026-01-05 01:00:00 +0100", "2026-01-05 01:20:00 +0100"),
        record("HKCategoryTypeIdentifierSleepAnalysis", "HKCategoryValueSleepAnalysisInBed",
               "2026-01-05 00:00:00 +0100", "2026-01-05 07:20:00 +0100"),
        record(f"{HK}BodyMass", "70", "2026-01-05 07:00:00 +0100", unit="kg",
               inside='<MetadataEntry key="HKWasUserEntered" value="1"/>'),
        record(f"{HK}DietaryWater", "1", "2026-01-05 07:00:00 +0100", unit="L"),
        WORKOUT,
    ]))  # fmt: skip
    assert [item.what for item in found if isinstance(item, Left)] == [f"{HK}DietaryWater"]
    by = samples(found)
    [series] = by["heart-rate"]
    assert series.series is not None
    assert list(series.series.numbers)[480:483] == [60.5, 62.5, 64.5]
    assert (series.start.text, len(series.series.numbers), series.statistic) == (
        "2026-01-05T00:00:00+01:00",
        1440,
        "average",
    )
    assert (series.origin.manufacturer, series.origin.source) == ("Apple Inc.", "apple-health/Watch of A")
    [steps] = by["steps"]
    assert (steps.value and steps.value.number, steps.end and steps.end.text) == (120, "2026-01-05T08:07:30+01:00")
    assert by["oxygen-saturation"][0].value.number == 97  # type: ignore[union-attr]
    assert str(by["hrv-sdnn"][0].value.number) == "48.2"  # type: ignore[union-attr]
    assert "hrv-rmssd" not in by
    assert [sample.code for sample in by["sleep-stage"]] == ["rem", "in-bed"]
    assert by["body-weight"][0].method == "self-reported"
    assert by["physical-activity"][0].text == "Running"
    assert all(sample.status == "preliminary" for each in by.values() for sample in each)


def test_apple_records_that_are_wrong_cost_themselves_only() -> None:
    found = items(making.apple([
        record(f"{HK}HeartRate", "&trap;", "2026-01-05 08:00:00 +0100", unit="count/min"),
        record(f"{HK}HeartRate", "61", "2026-13-05 08:00:00 +0100", unit="count/min"),
        record(f"{HK}HeartRate", "62", "1970-01-01 00:00:00 +0000", unit="count/min"),
        record(f"{HK}RespiratoryRate", "14", "2026-01-05 08:00:00 +0100", unit="furlong"),
        record(f"{HK}RespiratoryRate", "14", "2026-01-05 08:00:00 +0100", unit="count/min"),
    ]))  # fmt: skip
    wrong = [(item.reason, item.where) for item in found if isinstance(item, Unusable)]
    assert wrong[1:] == [("time-malformed", "Record[2].startDate"), ("time-implausible", "Record[3].startDate"),
                         ("unit", "Record[4].unit")]  # fmt: skip
    assert wrong[0][0] in {"number", "xml"}
    assert len([item for item in found if isinstance(item, Sample)]) == 1


def test_an_export_that_breaks_off_gives_what_stands_before() -> None:
    whole = making.apple([record(f"{HK}RespiratoryRate", "14", "2026-01-05 08:00:00 +0100", unit="count/min")] * 3)
    xml = b"<?xml version='1.0'?><HealthData>" + record(f"{HK}RespiratoryRate", "14", "2026-01-05 08:00:00 +0100",
                                                       unit="count/min").encode()  # fmt: skip
    found = items(xml + b"<Record type=")
    assert [type(item) for item in found] == [Sample, Unusable]
    with pytest.raises(Unusable, match="archive cannot be read"):
        items(whole[: len(whole) // 2])


@pytest.mark.slow
def test_a_long_export_is_read_in_bounded_memory() -> None:
    """Sixty thousand records, 700 days: more than are held: memory stays below 40 MB, whatever the length."""
    start = datetime(2020, 1, 1, tzinfo=UTC)
    times = (f"{start + timedelta(seconds=1000 * i):%Y-%m-%d %H:%M:%S} +0000" for i in range(60_000))
    lines = [record(f"{HK}HeartRate", str(50 + i % 80), at, unit="count/min") for i, at in enumerate(times)]
    content = making.apple(lines)
    del lines
    tracemalloc.start()
    found = sum(1 for _ in files.read(io.BytesIO(content), None))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found == 695
    assert peak < 40_000_000


def test_fitbit() -> None:
    found = items(making.fitbit({
        "Global Export Data/heart_rate-2026-01-05.json": [
            {"dateTime": "01/05/26 08:00:05", "value": {"bpm": 60, "confidence": 2}},
            {"dateTime": "01/05/26 08:00:20", "value": {"bpm": 62, "confidence": 3}},
            {"dateTime": "01/05/26 08:01:00", "value": {"bpm": 0, "confidence": 0}}],
        "Global Export Data/steps-2026-01-05.json": [
            {"dateTime": f"01/05/26 08:{minute:02d}:00", "value": str(minute)} for minute in range(10)],
        "Global Export Data/resting_heart_rate-2026-01-05.json": [
            {"dateTime": "01/05/26 00:00:00", "value": {"date": "01/05/26", "value": 58.31234, "error": 6.7}},
            {"dateTime": "01/06/26 00:00:00", "value": {"date": None, "value": 0.0, "error": 0.0}}],
        "Global Export Data/sleep-2026-01-05.json": [
            {"logId": 1, "dateOfSleep": "2026-01-06", "startTime": "2026-01-05T23:10:00.000",
             "endTime": "2026-01-06T07:00:00.000", "minutesAsleep": 430, "mainSleep": True, "type": "stages",
             "levels": {"data": [{"dateTime": "2026-01-05T23:10:00.000", "level": "wake", "seconds": 600},
                                 {"dateTime": "2026-01-05T23:20:00.000", "level": "deep", "seconds": 1800}]}}],
        "Heart Rate Variability/Daily Heart Rate Variability Summary - 2026-01-(1).csv":
            "timestamp,rmssd,nremhr,entropy\n2026-01-05T00:00:00,41.5,57.2,2.9\n2026-01-06T00:00:00,,,\n",
        "Global Export Data/badge.json": [],
    }), zone=OSLO)  # fmt: skip
    by = samples(found)
    assert Counter(item.what for item in found if isinstance(item, Left)) == {"file": 1}
    [beats] = by["heart-rate"]
    assert beats.series is not None
    assert [n for n in beats.series.numbers if n is not None] == [61]
    [steps] = by["steps"]
    assert steps.series is not None
    assert list(steps.series.numbers[480:490]) == list(range(10))
    assert steps.series.numbers[490] is None, "a minute that is not told is no zero"
    [night] = by["sleep-session"]
    assert (night.start.text, night.value and night.value.number) == ("2026-01-05T23:10:00+01:00", 430)
    assert night.details["mainSleep"] == "True"
    assert [(stage.code, stage.start.text) for stage in by["sleep-stage"]] == [
        ("awake", "2026-01-05T23:10:00+01:00"), ("deep", "2026-01-05T23:20:00+01:00")]  # fmt: skip
    assert str(by["hrv-rmssd"][0].value.number) == "41.5"  # type: ignore[union-attr]
    assert "hrv-sdnn" not in by
    assert len(by["resting-heart-rate"]) == 1


def test_fitbit_sleep_without_a_zone_is_refused_not_guessed() -> None:
    night = {"startTime": "2026-01-05T23:10:00.000", "endTime": "2026-01-06T07:00:00.000", "minutesAsleep": 430}
    [wrong] = items(making.fitbit({"Global Export Data/sleep-2026-01-05.json": [night]}))
    assert isinstance(wrong, Unusable)
    assert (wrong.reason, wrong.where) == ("time-zone-missing", "sleep-2026-01-05.json[0].startTime")


def fit_file() -> bytes:
    at = making.fit_time("2026-01-05T07:00:00+00:00")
    messages: list[tuple[int, list[making.Field]]] = [
        (0, [(0, "enum", 4), (1, "uint16", 1), (2, "uint16", 2697), (3, "uint32z", 12345)]),
        *((20, [(253, "uint32", at + i), (3, "uint8", 100 + i // 60)]) for i in range(180)),
        *((275, [(253, "uint32", at - 3600 + 600 * i), (0, "enum", stage)]) for i, stage in enumerate((1, 2, 3, 4, 1))),
        (18, [(253, "uint32", at + 180), (2, "uint32", at), (7, "uint32", 180_000), (9, "uint32", 50_000), (11, "uint16", 20),
              (5, "enum", 1)]),
        (34, [(253, "uint32", at + 180), (5, "uint32", at + 180 + 3600)]),
        (49, [(0, "uint16", 100)]),
    ]  # fmt: skip
    return making.fit(messages)


def test_fit() -> None:
    by = samples(items(fit_file()))
    [beats] = by["heart-rate"]
    assert beats.series is not None
    assert list(beats.series.numbers)[480:484] == [100, 101, 102, None]
    assert beats.start.text == "2026-01-05T00:00:00+01:00", "the offset is that of the activity's own clock"
    assert (beats.origin.manufacturer, beats.origin.serial) == ("garmin", "12345")
    [run] = by["physical-activity"]
    assert (run.text, dict(run.parts)["distance"].number, dict(run.parts)["energy-burned"].number) == (
        "running",
        500,
        20,
    )
    stages = [(stage.code, stage.start.text[11:16], stage.end and stage.end.text[11:16]) for stage in by["sleep-stage"]]
    assert stages == [("awake", "07:00", "07:10"), ("light", "07:10", "07:20"), ("deep", "07:20", "07:30"),
                      ("rem", "07:30", "07:40")]  # fmt: skip


def test_a_damaged_fit_file_says_so() -> None:
    content = bytearray(fit_file())
    content[-1] ^= 0xFF
    found = items(bytes(content))
    assert [item.reason for item in found if isinstance(item, Unusable)] == ["fit"]
    assert [type(item) for item in items(fit_file()[:200])] == [Unusable, Sample]


MAPPING = b"""
source = "study"
zone = "Europe/Oslo"
gap = "not-worn"
[time]
start = "when"
seconds = 60
format = "%d.%m.%Y %H:%M"
[[value]]
column = "counts"
type = "activity-counts"
[[value]]
column = "pulse"
type = "heart-rate"
"""


def test_csv_by_a_mapping() -> None:
    content = b"when,counts,pulse\n05.01.2026 08:00,12,61\n05.01.2026 08:01,NA,\n05.01.2026 08:02,x,62\nyesterday,1,1\n"
    found = items(content, by=table.mapping(MAPPING))
    told = [
        (item.measure, item.start.text, item.value.number) for item in found if isinstance(item, Sample) and item.value
    ]
    assert told == [("activity-counts", "2026-01-05T08:00:00+01:00", 12), ("heart-rate", "2026-01-05T08:00:00+01:00", 61),
                    ("heart-rate", "2026-01-05T08:02:00+01:00", 62)]  # fmt: skip
    assert [(item.code, item.start.text) for item in found if isinstance(item, Sample) and item.code] == [
        ("not-worn", "2026-01-05T08:01:00+01:00")
    ]
    wrong = [(item.reason, item.where) for item in found if isinstance(item, Unusable)]
    assert wrong == [("number", "line 4.counts"), ("time-malformed", "line 5.when")]


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ((b"[time]", b"[tim]"), "mapping"),
        ((b'type = "heart-rate"', b'type = "mood"'), "value[1].type"),
        ((b'type = "heart-rate"', b'type = "heart-rate"\nunit = "kg"'), "value[1].unit"),
        ((b"not-worn", b"lazy"), "gap"),
        ((b"Europe/Oslo", b"Middle/Earth"), "zone"),
        ((b"[[value]]", b"[value]"), "mapping"),
        ((b'start = "when"', b"start = 1"), "time.start"),
    ],
)
def test_a_mapping_that_is_wrong_says_where(change: tuple[bytes, bytes], where: str) -> None:
    with pytest.raises(Unusable) as caught:
        table.mapping(MAPPING.replace(*change))
    assert caught.value.where == where


def test_a_column_that_is_not_there() -> None:
    [wrong] = items(b"when,counts\n", by=table.mapping(MAPPING))
    assert isinstance(wrong, Unusable)
    assert (wrong.reason, wrong.where) == ("column-missing", "line 1")


@pytest.mark.parametrize("content", [b"", b"hello,world", b"\x89PNG\r\n", b"PK\x03\x04garbage"])
def test_what_is_no_file_that_is_known(content: bytes) -> None:
    with pytest.raises(Unusable):
        items(content)


def test_what_the_twin_gets_of_a_file() -> None:
    """The minute means and the stages of a FIT file, at the minutes in which they were measured."""
    found = [
        s for item in items(fit_file()) if isinstance(item, Sample) for s in twin_reads(observation("p", item)).samples
    ]
    told = {name: sum(len(s.value) for s in found if s.signal == name) for name in {s.signal for s in found}}
    assert told == {"heart-rate": 3, "sleep-stage": 4}
