"""Features of the trailing seven local days: rest-activity rhythm and sleep regularity."""

from __future__ import annotations

import numpy as np

from workers.twin.arrays import Bools, Floats
from workers.twin.features import FEATURES, Column
from workers.twin.grids import Grids
from workers.twin.nights import SCORED, SESSIONS, STAGED, Nights
from workers.twin.rhythm import (
    average_day,
    cosinor,
    extreme_window,
    hourly,
    interdaily_stability,
    intradaily_variability,
    relative_amplitude,
    sleep_regularity_index,
)

WINDOW = 7
MINIMUM_DAYS = 3
MINIMUM_PART = 0.8
"""Days of the window, and part of each, that must be worn."""

MINIMUM_PAIRS = 4
"""Pairs of neighbouring nights, of six, that must be known for the regularity index."""

SRI = "sleep-regularity-index"
CODES = tuple(feature.code for feature in FEATURES if feature.window == WINDOW and feature.code != SRI)


def rhythm(grid: Grids) -> dict[str, Column]:
    """Return the rhythm features of every day over it and the six days before, from the days worn well enough."""
    activity = grid.activity[1:]
    days = len(activity)
    columns = {code: Column.blank(days) for code in CODES}
    part = (~np.isnan(activity)).mean(axis=1)
    recorded = np.asarray((~np.isnan(grid.counts[1:])).any(axis=1))
    worn = part >= MINIMUM_PART
    kept = np.where(worn[:, None], activity, np.nan)
    hours = hourly(kept.reshape(-1)).reshape(days, 24)
    for row in range(days):
        window = slice(max(0, row + 1 - WINDOW), row + 1)
        count = int(worn[window].sum())
        for column in columns.values():
            column.coverage[row] = count / WINDOW
        if count >= MINIMUM_DAYS:
            _fill(columns, row, kept[window], hours[window].reshape(-1))
        elif recorded[window].any():
            for column in columns.values():
                column.reason[row] = "too-few-days"
    return columns


def _fill(columns: dict[str, Column], row: int, minutes: Floats, hours: Floats) -> None:
    """Put one window's numbers into its row."""
    profile = average_day(minutes)
    least, most = extreme_window(profile, 5, lowest=True), extreme_window(profile, 10, lowest=False)
    wave = cosinor(minutes)
    varies = float(np.nanmax(minutes)) > float(np.nanmin(minutes))
    numbers = {
        "interdaily-stability": interdaily_stability(hours),
        "intradaily-variability": intradaily_variability(hours),
        "relative-amplitude": relative_amplitude(least.level, most.level),
        "l5": least.level,
        "l5-onset": least.onset,
        "m10": most.level,
        "m10-onset": most.onset,
        "mesor": wave.mesor,
        "amplitude": wave.amplitude,
        "acrophase": wave.acrophase if varies else np.nan,
    }
    for code, number in numbers.items():
        columns[code].put(row, number, "activity-counts", "clock-not-covered" if varies else "no-variation")


def regularity(found: Nights) -> Column:
    """Return the sleep regularity index of the seven nights up to each day, from one kind of scoring for the whole window.

    A pair of neighbouring nights counts when 80 % of its minutes are known in both.
    """
    days = len(found.asleep)
    column = Column.blank(days)
    order = (SESSIONS, STAGED, SCORED)
    states = [found.states[method] for method in order]
    pairs = [_known_pairs(state) for state in states]
    for row in range(days):
        window = slice(max(0, row + 1 - WINDOW), row)
        counts = [int(known[window].sum()) for known in pairs]
        best = max(range(len(order)), key=lambda i: (counts[i], -i))
        column.coverage[row] = counts[best] / (WINDOW - 1)
        if counts[best] >= MINIMUM_PAIRS:
            index = sleep_regularity_index(states[best][window.start : row + 1], pairs[best][window])
            column.put(row, index, order[best], "too-few-days")
        elif counts[best]:
            column.reason[row] = "too-few-days"
    return column


def _known_pairs(state: Floats) -> Bools:
    """Return for each night whether it and the next one are known well enough."""
    if len(state) < 2:
        return np.zeros(0, bool)
    return np.asarray((~np.isnan(state[1:]) & ~np.isnan(state[:-1])).mean(axis=1) >= MINIMUM_PART)
