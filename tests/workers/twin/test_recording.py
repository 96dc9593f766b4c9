"""Samples on one wall clock: offsets, zones, changes of the clock, several devices."""

from __future__ import annotations

from datetime import UTC, date, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from tests.workers.twin.observations import counts, heart_rate, observation, quantity
from workers.twin.block import gather
from workers.twin.recording import Recording, minute_grid, zone_offsets
from workers.twin.signals import read

OSLO = ZoneInfo("Europe/Oslo")
SPRING, AUTUMN = date(2026, 3, 29), date(2026, 10, 25)


def recording(*resources, zone=UTC):
    return Recording.of(gather((i, 1, read(resource)) for i, resource in enumerate(resources, 1)), zone)


def grid(recorded, signal, first, days=1):
    return minute_grid(recorded.tracks.get(signal), signal, first, days)


def clock(cells):
    """Return {HH:MM: value} of the known minutes of one day."""
    return {f"{m // 60:02d}:{m % 60:02d}": cells[m] for m in np.flatnonzero(~np.isnan(cells)).tolist()}


@pytest.mark.parametrize(
    ("when", "minute"),
    [
        ("2026-05-01T10:00:00+02:00", "10:00"),
        ("2026-05-01T10:00:00-07:00", "10:00"),
        ("2026-05-01T08:00:00Z", "10:00"),
        ("2026-05-01T08:00:00+00:00", "08:00"),
    ],
)
def test_the_offset_of_the_sample_then_the_zone(when, minute):
    found = grid(recording(heart_rate(when), zone=OSLO), "heart-rate", date(2026, 5, 1))
    assert clock(found[0]) == {minute: 60}


@pytest.mark.parametrize(("day", "minutes"), [(SPRING, 1380), (AUTUMN, 1500)])
def test_a_day_of_minutes_follows_a_change_of_the_clock(day, minutes):
    start = f"{day}T00:00:00+0{1 if day == SPRING else 2}:00"
    text = " ".join(str(m) for m in range(minutes))
    cells = grid(recording(counts(start, text), zone=OSLO), "activity-counts", day)[0]
    found = clock(cells)
    assert found["23:59"] == minutes - 1
    assert found["01:59"] == 119
    assert (found.get("02:30"), found["03:00"]) == ((None, 120) if day == SPRING else (180.0, 240))
    following = grid(recording(counts(start, text), zone=OSLO), "activity-counts", day + timedelta(days=1))
    assert np.isnan(following).all()


def test_an_own_offset_that_is_not_the_zones_stays():
    text = " ".join(["1"] * 1440)
    cells = grid(recording(counts(f"{SPRING}T00:00:00+09:00", text), zone=OSLO), "activity-counts", SPRING)[0]
    assert np.count_nonzero(~np.isnan(cells)) == 1440


def test_zone_offsets_around_a_change():
    change = 1774746000000  # 2026-03-29T01:00Z
    assert zone_offsets(np.array([change - 1, change, change + 1]), OSLO).tolist() == [60, 120, 120]
    assert zone_offsets(np.array([-(10**17), 10**17]), OSLO).tolist() == [0, 0]


def test_the_device_that_covers_most_of_a_day_counts():
    short = counts("2026-05-01T10:00:00+00:00", "9 9", device={"reference": "Device/a"})
    long = counts("2026-05-01T10:00:00+00:00", "1 2 3", device={"reference": "Device/b"})
    assert clock(grid(recording(short, long), "activity-counts", date(2026, 5, 1))[0]) == {
        "10:00": 1,
        "10:01": 2,
        "10:02": 3,
    }


def test_short_epochs_add_up_to_a_minute_and_long_intervals_spread():
    half = counts("2026-05-01T10:00:00+00:00", "1 2 3", period="30000")
    assert clock(grid(recording(half), "activity-counts", date(2026, 5, 1))[0]) == {"10:00": 3, "10:01": 6}
    period = {"start": "2026-05-01T10:00:00+00:00", "end": "2026-05-01T10:03:00+00:00"}
    steps = observation("55423-8", effectivePeriod=period, valueQuantity=quantity(90, "{steps}"))
    assert clock(grid(recording(steps), "steps", date(2026, 5, 1))[0]) == {"10:00": 30, "10:01": 30, "10:02": 30}


def test_overlapping_intervals_of_one_device_are_not_added():
    def steps(start, end, value):
        period = {"start": f"2026-05-01T{start}:00+00:00", "end": f"2026-05-01T{end}:00+00:00"}
        return observation("55423-8", effectivePeriod=period, valueQuantity=quantity(value, "{steps}"))

    found = grid(recording(steps("10:00", "10:10", 100), steps("10:05", "10:15", 100)), "steps", date(2026, 5, 1))
    assert np.nansum(found) == 150


def test_days_with_data():
    recorded = recording(heart_rate("2026-05-01T23:30:00Z"), zone=OSLO)
    assert recorded.days_with_data() == [date(2026, 5, 2)]
    assert Recording.of({}).days_with_data() == []
