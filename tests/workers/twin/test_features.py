"""Features of days: what they are worth where the data are known, and no number where too little is."""

from __future__ import annotations

from datetime import UTC, date, timedelta

import numpy as np
import pytest

from tests.workers.twin.observations import OURS, counts, observation, quantity, sleep
from workers.twin.block import gather
from workers.twin.features import BY_CODE, FEATURES, REASONS
from workers.twin.recording import Recording
from workers.twin.signals import read
from workers.twin.table import table

DAY = date(2026, 5, 4)


def features(*resources, first=DAY, last=DAY, zone=UTC):
    recorded = Recording.of(gather((i, 1, read(resource)) for i, resource in enumerate(resources, 1)), zone)
    return table(recorded, first, last)


def number(found, code, row=0):
    column = found.columns[code]
    return column.reason[row] or column.value[row]


def at(day, clock):
    return f"{day}T{clock}:00+00:00"


def active(day, device="Device/d"):
    """A day of counts: quiet until 07:00 and from 23:00."""
    minutes = np.arange(1440)
    text = " ".join(np.where((minutes >= 420) & (minutes < 1380), 200 + minutes % 7, 0).astype(str))
    quiet = text.split()
    for minute in (60, 240, 400):
        quiet[minute] = "12"
    return counts(at(day, "00:00"), " ".join(quiet), device={"reference": device})


def test_every_feature_has_a_column_and_every_reason_a_sentence():
    found = features()
    assert set(found.columns) == set(BY_CODE)
    assert {number(found, feature.code) for feature in FEATURES} == {"no-data"}
    assert all(reason in REASONS for column in found.columns.values() for reason in column.reason if reason)


def test_a_sleep_session():
    found = features(sleep(at(DAY - timedelta(days=1), "23:00"), at(DAY, "07:00"), 432))
    assert number(found, "sleep-duration") == 432
    assert number(found, "sleep-midpoint") == 3
    assert number(found, "sleep-efficiency") == pytest.approx(90)


def test_a_sleep_without_time_awake_has_no_efficiency_and_without_times_no_midpoint():
    assert number(features(sleep(at(DAY, "00:00"), at(DAY, "07:00"), 420)), "sleep-efficiency") == "not-told-by-device"
    total = observation("93832-4", effectiveDateTime=str(DAY), valueQuantity=quantity(7, "h"))
    found = features(total)
    assert (number(found, "sleep-duration"), number(found, "sleep-midpoint")) == (420, "not-told-by-device")


def test_pieces_of_a_night_are_joined_and_a_nap_is_not_the_night():
    before = DAY - timedelta(days=1)
    pieces = [sleep(at(before, "23:00"), at(DAY, "02:00"), 170), sleep(at(DAY, "02:30"), at(DAY, "07:00"), 260)]
    nap = sleep(at(DAY, "14:00"), at(DAY, "15:00"), 55)
    found = features(*pieces, nap)
    assert (number(found, "sleep-duration"), number(found, "sleep-midpoint")) == (430, 3)


def test_overlapping_reports_of_a_night_are_one():
    before = DAY - timedelta(days=1)
    first = sleep(at(before, "23:00"), at(DAY, "07:00"), 430)
    again = sleep(at(before, "23:05"), at(DAY, "07:01"), 425)
    assert number(features(first, again), "sleep-duration") == 430


def test_stages_make_a_night():
    def stage(start, end, code):
        concept = {"coding": [{"system": OURS, "code": code}]}
        period = {"start": at(DAY, start), "end": at(DAY, end)}
        return observation("sleep-stage", OURS, effectivePeriod=period, valueCodeableConcept=concept)

    found = features(stage("00:00", "03:00", "light"), stage("03:00", "03:30", "awake"), stage("03:30", "06:00", "rem"))
    assert (number(found, "sleep-duration"), number(found, "sleep-midpoint")) == (330, 3)
    assert number(found, "sleep-efficiency") == pytest.approx(100 * 330 / 360)


def test_a_night_from_activity():
    found = features(active(DAY - timedelta(days=1)), active(DAY))
    assert number(found, "sleep-duration") == pytest.approx(480, abs=15)
    assert number(found, "sleep-midpoint") == pytest.approx(3, abs=0.2)
    assert found.columns["sleep-duration"].method == ["actigraphy-cole-kripke"]
    assert number(features(active(DAY)), "sleep-duration") == "too-little-coverage"


def test_a_device_on_the_table_is_not_asleep():
    off = counts(at(DAY - timedelta(days=1), "00:00"), " ".join(["0"] * 2880))
    found = features(off)
    assert number(found, "sleep-duration") in {"too-little-coverage", "no-data"}
    assert number(found, "activity-mean") == "too-little-coverage"
    assert number(found, "wear-time") == "no-data"


def test_half_a_day_is_not_a_low_day():
    def steps(hours):
        period = {"start": at(DAY, "00:00"), "end": at(DAY, f"{hours:02d}:00")}
        sampled = {
            "origin": quantity(0, "{steps}"),
            "period": 3_600_000,
            "dimensions": 1,
            "data": " ".join(["400"] * hours),
        }
        return observation("55423-8", effectivePeriod=period, valueSampledData=sampled)

    assert number(features(steps(12)), "steps") == "too-little-coverage"
    assert number(features(steps(22)), "steps") == 8800
    total = observation("41950-7", effectiveDateTime=str(DAY), valueQuantity=quantity(5000, "{steps}"))
    found = features(steps(12), total)
    assert (number(found, "steps"), found.columns["steps"].method) == (5000, ["device-total"])


def test_resting_heart_rate_is_the_lowest_half_hour_of_a_measured_night():
    def heart(first, beats):
        sampled = {"origin": quantity(0, "/min"), "period": 60_000, "dimensions": 1, "data": " ".join(map(str, beats))}
        return observation("8867-4", effectiveDateTime=at(DAY, first), valueSampledData=sampled)

    night = [70] * 200 + [50] * 30 + [40] * 5 + [70] * 200
    assert number(features(heart("00:00", night)), "resting-heart-rate") == pytest.approx((50 * 25 + 40 * 5) / 30)
    assert number(features(heart("12:00", [60] * 500)), "resting-heart-rate") == "not-worn-at-night"
    reported = observation("40443-4", effectiveDateTime=str(DAY), valueQuantity=quantity(55, "/min"))
    assert number(features(reported), "resting-heart-rate-reported") == 55


def test_rhythm_needs_three_days():
    days = [DAY + timedelta(days=i) for i in range(4)]
    found = features(*(active(day) for day in days), first=DAY, last=days[-1])
    assert [number(found, "interdaily-stability", row) for row in (0, 1)] == ["too-few-days"] * 2
    assert number(found, "interdaily-stability", 2) == pytest.approx(1)
    assert 1 <= number(found, "l5-onset", 3) <= 2
    assert number(found, "m10", 3) == pytest.approx(203, abs=1)
    assert found.columns["m10"].coverage.tolist() == pytest.approx([1 / 7, 2 / 7, 3 / 7, 4 / 7])


def test_regularity_of_equal_nights_is_100():
    days = [DAY + timedelta(days=i) for i in range(6)]
    nights = [sleep(at(day - timedelta(days=1), "23:00"), at(day, "07:00"), 440) for day in days]
    found = features(*nights, last=days[-1])
    assert number(found, "sleep-regularity-index", 3) == "too-few-days"
    assert number(found, "sleep-regularity-index", 5) == 100


def test_the_same_counts_by_sadeh_and_scripps():
    found = features(active(DAY - timedelta(days=1)), active(DAY))
    for scoring in ("sadeh", "scripps"):
        assert number(found, f"sleep-duration-{scoring}") == pytest.approx(480, abs=20)
        assert found.columns[f"sleep-duration-{scoring}"].method == [f"actigraphy-{scoring}"]
        assert number(features(active(DAY)), f"sleep-duration-{scoring}") == "too-little-coverage"


def test_social_jetlag_is_free_days_against_working_days():
    days = [DAY + timedelta(days=i) for i in range(14)]  # DAY is a Monday
    nights = [
        sleep(
            at(day, "01:00" if day.weekday() >= 5 else "00:00"),
            at(day, "09:30" if day.weekday() >= 5 else "07:00"),
            400,
        )
        for day in days
    ]
    found = features(*nights, last=days[-1])
    assert number(found, "social-jetlag", 13) == pytest.approx(5.25 - 3.5)
    assert number(found, "social-jetlag", 6) == pytest.approx(1.75)
    assert number(found, "social-jetlag", 5) == "too-few-days"
    assert number(features(), "social-jetlag") == "no-data"


def test_variability_keeps_its_method():
    def variability(code, clock, value, system=OURS):
        return observation(code, system, effectiveDateTime=at(DAY, clock), valueQuantity=quantity(value, "ms"))

    night = [variability("hrv-rmssd", f"0{hour}:00", 30 + hour) for hour in range(5)]
    found = features(*night, variability("hrv-rmssd", "15:00", 200))
    assert (number(found, "hrv-rmssd"), found.columns["hrv-rmssd"].method) == (32, ["samples-at-night"])
    assert number(found, "hrv-sdnn") == "no-data"
    spot = [variability("80404-7", f"1{hour}:00", 40 + hour, "http://loinc.org") for hour in range(3)]
    assert number(features(*spot), "hrv-sdnn") == 41
    assert number(features(*spot[:2]), "hrv-sdnn") == "too-few-samples"
    period = {"start": at(DAY, "00:00"), "end": at(DAY, "07:00")}
    whole = observation("hrv-rmssd", OURS, effectivePeriod=period, valueQuantity=quantity(44, "ms"))
    found = features(whole)
    assert (number(found, "hrv-rmssd"), found.columns["hrv-rmssd"].method) == (44, ["device"])
