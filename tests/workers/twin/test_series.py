"""Parts of a day as points: what lay still for hours was not worn, which is no zero."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest

from tests.workers.twin.observations import counts
from tests.workers.twin.test_recording import recording
from workers.twin.grids import grids
from workers.twin.series import Buckets, minutes

FIRST, LAST = date(2026, 5, 1), date(2026, 5, 2)


def two_days():
    """Active by day; from 20:30 the device lies on the table until 02:00, and for an hour at noon of the second day."""
    first, second = np.full(1440, 100), np.full(1440, 100)
    first[1230:] = 0
    second[:120] = second[720:780] = 0
    text = (" ".join(str(x) for x in day) for day in (first, second))
    return recording(*(counts(f"{day}T00:00:00Z", t) for day, t in zip((FIRST, LAST), text, strict=True)))


@pytest.mark.parametrize(("resolution", "size"), [("minute", 1), ("five-minutes", 5), ("hour", 60)])
def test_not_worn_is_a_gap_and_an_hour_of_rest_a_zero(resolution, size):
    found = two_days()
    line = minutes(Buckets(resolution, FIRST, LAST), found.tracks["activity-counts"], "activity-counts")
    worn = ~np.isnan(grids(found, FIRST, 2).activity[1:]).reshape(-1, size).all(axis=1)
    assert len(line.total) == 2880 // size
    assert np.array_equal(np.isnan(line.total[:, 0]), ~worn)
    assert line.gaps == [(-(-1230 // size), 1560 // size - 1, "not-worn")]
    assert (line.total[2160 // size : 2220 // size] == 0).all()
    assert np.nansum(line.total) == 100 * (1230 + 1440 - 120 - 60)


def test_what_began_the_evening_before_is_known_in_a_window_that_begins_at_midnight():
    """20:30 to 02:00: of the second day alone two hours, which would be too few."""
    track = two_days().tracks["activity-counts"]
    line = minutes(Buckets("five-minutes", LAST, LAST), track, "activity-counts")
    assert line.gaps == [(0, 23, "not-worn")]
