"""Features of the trailing seven local days: rest-activity rhythm and sleep regularity."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np

from workers.twin import intervals
from workers.twin.arrays import Bools, Floats
from workers.twin.baseline import unwrapped
from workers.twin.features import BY_CODE, FEATURES, Column
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
MONDAY_TO_FRIDAY = 5
MINIMUM_DAYS = 3
MINIMUM_PART = 0.8
"""Days of the window, and part of each, that must be worn."""

MINIMUM_PAIRS = 4
"""Pairs of neighbouring nights, of six, that must be known for the regularity index."""

SRI = "sleep-regularity-index"
CODES = tuple(feature.code for feature in FEATURES if feature.window == WINDOW and feature.code != SRI)

FORTNIGHT = 14
FREE_NIGHTS = 2
WORKING_NIGHTS = 5
"""Nights of the last 14 that must be known: of four that end on free days, of ten that end on working days."""


def rhythm(grid: Grids, fresh: int = 0) -> dict[str, Column]:
    """Return the rhythm features of every day over it and the six days before, from the days worn well enough."""
    activity = grid.activity[1:]
    days = len(activity)
    columns = {code: Column.blank(days) for code in CODES}
    part = (~np.isnan(activity)).mean(axis=1)
    recorded = np.asarray((~np.isnan(grid.counts[1:])).any(axis=1))
    worn = part >= MINIMUM_PART
    kept = np.where(worn[:, None], activity, np.nan)
    hours = hourly(kept.reshape(-1)).reshape(days, 24)
    for row in range(fresh, days):
        window = slice(max(0, row + 1 - WINDOW), row + 1)
        count = int(worn[window].sum())
        for column in columns.values():
            column.coverage[row] = count / WINDOW
        if count >= MINIMUM_DAYS:
            _fill(columns, row, kept[window], hours[window])
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
    flat = hours.reshape(-1)
    numbers = {
        "interdaily-stability": interdaily_stability(flat),
        "intradaily-variability": intradaily_variability(flat),
        "relative-amplitude": relative_amplitude(least.level, most.level),
        "l5": least.level,
        "l5-onset": least.onset,
        "m10": most.level,
        "m10-onset": most.onset,
        "mesor": wave.mesor,
        "amplitude": wave.amplitude,
        "acrophase": wave.acrophase if varies else np.nan,
    }
    days, subsets = intervals.rhythm(minutes, hours) if varies else (0, {})
    for code, number in numbers.items():
        f, about = BY_CODE[code], None
        if code in subsets and np.isfinite(number):
            about = intervals.jackknife(number, subsets[code], days, circular=f.circular, least=f.least, most=f.most)
        columns[code].put(row, number, "activity-counts", "clock-not-covered" if varies else "no-variation", about)


def regularity(found: Nights, fresh: int = 0) -> Column:
    """Return the sleep regularity index of the seven nights up to each day, from one kind of scoring for the whole window.

    A pair of neighbouring nights counts when 80 % of its minutes are known in both.
    """
    days = len(found.asleep)
    column = Column.blank(days)
    order = (SESSIONS, STAGED, SCORED)
    states = [found.states[method] for method in order]
    pairs = [_known_pairs(state) for state in states]
    for row in range(fresh, days):
        window = slice(max(0, row + 1 - WINDOW), row)
        counts = [int(known[window].sum()) for known in pairs]
        best = max(range(len(order)), key=lambda i: (counts[i], -i))
        column.coverage[row] = counts[best] / (WINDOW - 1)
        if counts[best] >= MINIMUM_PAIRS:
            near = states[best][window.start : row + 1]
            index = sleep_regularity_index(near, pairs[best][window])
            about = _regularity_about(index, near, pairs[best][window])
            column.put(row, index, order[best], "too-few-days", about)
        elif counts[best]:
            column.reason[row] = "too-few-days"
    return column


def _regularity_about(index: float, state: Floats, pairs: Bools) -> intervals.Interval | None:
    """Return the interval of the index from its pairs of nights."""
    both = (state[1:] + state[:-1])[pairs]
    keep = intervals.kept(len(both))
    known, same = (~np.isnan(both)).sum(axis=1), ((both == 0) | (both == 2)).sum(axis=1)
    subsets = 200 * (keep @ same) / (keep @ known) - 100
    return intervals.jackknife(index, subsets, len(both), circular=False, least=-100, most=100)


def social_jetlag(midpoint: Column, first: date, fresh: int = 0) -> Column:
    """Return |mean middle of sleep on free days - on working days| over 14 nights, in hours of the clock, by one method.

    Wittmann et al. 2006, Chronobiol Int 23:497. Whose week is not known: free days are Saturday and Sunday, the night that
    ends on one belongs to it. Hours are averaged around their circular mean.
    """
    days = len(midpoint.value)
    column = Column.blank(days)
    free = np.array([(first + timedelta(days=row)).weekday() >= MONDAY_TO_FRIDAY for row in range(days)])
    for row in range(fresh, days):
        window = slice(max(0, row + 1 - FORTNIGHT), row + 1)
        for method in (SESSIONS, STAGED, SCORED):
            own = np.array([name == method for name in midpoint.method[window]])
            counts = int(own[free[window]].sum()), int(own[~free[window]].sum())
            if counts[0] >= FREE_NIGHTS and counts[1] >= WORKING_NIGHTS:
                hours = midpoint.value[window]
                rest, work = unwrapped(hours[own & free[window]]), unwrapped(hours[own & ~free[window]])
                apart = abs((_mean_hour(rest) - _mean_hour(work) + 12) % 24 - 12)
                column.put(row, apart, method, "too-few-days", intervals.welch(apart, rest, work))
                break
            if own.any():
                column.reason[row] = "too-few-days"
        column.coverage[row] = np.count_nonzero(~np.isnan(midpoint.value[window])) / FORTNIGHT
    return column


def _mean_hour(hours: Floats) -> float:
    angle = hours * (2 * np.pi / 24)
    return float(np.arctan2(np.sin(angle).sum(), np.cos(angle).sum())) * 24 / (2 * np.pi)


def _known_pairs(state: Floats) -> Bools:
    """Return for each night whether it and the next one are known well enough."""
    if len(state) < 2:
        return np.zeros(0, bool)
    return np.asarray((~np.isnan(state[1:]) & ~np.isnan(state[:-1])).mean(axis=1) >= MINIMUM_PART)
