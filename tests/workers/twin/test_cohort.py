"""The cohort's numbers, derived anew from LifeSnaps: people with 14 days or more, their medians and spreads."""

from __future__ import annotations

import csv
import gzip
from collections import defaultdict

import numpy as np
import pytest

from tests.shared_data import shared
from workers.twin.baseline import NORMAL
from workers.twin.cohort import COHORT

COLUMNS = {
    "steps": ("steps", 500.0),
    "sleep-duration": ("minutesAsleep", -1.0),
    "resting-heart-rate-reported": ("resting_hr", -1.0),
    "hrv-rmssd": ("rmssd", -1.0),
}
"""The column of each feature, and what a day must exceed: few steps are a day on which the watch lay on the table."""


def robust(values):
    centre = float(np.median(values))
    return centre, NORMAL * float(np.median(np.abs(values - centre)))


@pytest.mark.parametrize("code", COHORT)
def test_every_norm_is_what_the_data_say(code):
    column, least = COLUMNS[code]
    people = defaultdict(list)
    with gzip.open(shared("lifesnaps") / "daily.csv.gz", "rt") as file:
        for row in csv.DictReader(file):
            if row[column] not in ("", None) and float(row[column]) > least:
                people[row["id"]].append(float(row[column]))
    own = [robust(np.array(days)) for days in people.values() if len(days) >= 14]
    centre, between = robust(np.array([median for median, _ in own]))
    logs, log_spread = robust(np.log(np.array([spread for _, spread in own if spread > 0])))
    found = centre, between, float(np.exp(logs)), log_spread
    assert found == pytest.approx(tuple(COHORT[code]), rel=0.01)
    assert len(own) >= 35
