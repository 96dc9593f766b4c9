"""Features of one local day: sleep, steps, activity, resting heart rate, wear time."""

from __future__ import annotations

from datetime import date

import numpy as np

from workers.twin import intervals
from workers.twin.arrays import DAY, DAY_MINUTES, Bools, Floats, Ints
from workers.twin.catalogue import SYMPTOMS
from workers.twin.features import BY_CODE, Column
from workers.twin.grids import WAKING, Grids, night, waking
from workers.twin.instruments import INSTRUMENTS
from workers.twin.intervals import QUANTILE, Interval
from workers.twin.nights import SCORED, Nights, midpoints
from workers.twin.recording import Recording, Track, ordinal

MINIMUM_WAKING = 0.8
"""Part of 08:00 to 22:00 that must be worn before a day's steps or activity are a number: half a day is not a low day."""

MINIMUM_NIGHT = 0.5
REST_MINUTES = 30
REST_KNOWN = 24
LEAST_SAMPLES = 3


def sleep(found: Nights) -> dict[str, Column]:
    """Return duration, midpoint and efficiency of the main sleep.

    Duration: minutes asleep as the device states them, or scored asleep within the longest rest. Midpoint: the middle
    between its start and end, in hours of the wall clock. Efficiency: minutes asleep of the minutes from start to end,
    only where the device tells time awake.
    """
    days = len(found.asleep)
    duration, midpoint, efficiency = Column.blank(days), Column.blank(days), Column.blank(days)
    middle = midpoints(found)
    for row in range(days):
        for column in (duration, midpoint, efficiency):
            column.coverage[row] = found.coverage[row]
        if not found.method[row]:
            if found.coverage[row] > 0:
                duration.reason[row] = midpoint.reason[row] = efficiency.reason[row] = "too-little-coverage"
            continue
        method, asleep, span = found.method[row], float(found.asleep[row]), float(found.span[row])
        absent = "no-sleep-found" if method == SCORED else "not-told-by-device"
        duration.put(row, asleep, method, absent)
        midpoint.put(row, float(middle[row]), method, absent)
        awake_told = np.isfinite(span) and asleep <= span - 1
        efficiency.put(row, 100 * asleep / span if awake_told else np.nan, method, absent)
    return {"sleep-duration": duration, "sleep-midpoint": midpoint, "sleep-efficiency": efficiency}


def steps(recording: Recording, grid: Grids, first: date) -> Column:
    """Return steps: the sum of the intervals where enough of the waking day was worn, else the total a device reports.

    A total that is no larger than the intervals of too short a time tells nothing more than they do.
    """
    days = len(grid.steps) - 1
    column = Column.blank(days)
    counted, worn = ~np.isnan(grid.steps[1:]), grid.worn[1:]
    column.coverage[:] = np.maximum(waking(counted), waking(worn))
    totals = np.where(counted, grid.steps[1:], 0.0).sum(axis=1)
    reported = by_day(recording.tracks.get("steps-daily"), ordinal(first), days)
    for row in range(days):
        if counted[row].any():
            enough = column.coverage[row] >= MINIMUM_WAKING
            about = _steps_about(float(totals[row]), grid.steps[1 + row], counted[row], worn[row]) if enough else None
            column.put(row, float(totals[row]) if enough else np.nan, "intervals", "too-little-coverage", about)
        if np.isnan(column.value[row]) and max(reported.get(row, [-1.0])) >= (
            totals[row] + 1 if counted[row].any() else 0
        ):
            column.put(row, max(reported[row]), "device-total", "no-data")
    column.coverage[column.coverage == 0] = np.nan  # a total alone does not tell how much of the day it is of
    return column


def _steps_about(value: float, minutes: Floats, counted: Bools, worn: Bools) -> Interval:
    """Return the interval of steps, by the minutes that coverage is told by."""
    known = max(counted[WAKING], worn[WAKING], key=np.count_nonzero)
    return intervals.unmeasured_sum(value, minutes[WAKING], known)


def activity(grid: Grids) -> Column:
    """Return the mean activity counts a minute over the worn minutes from 08:00 to 22:00."""
    window = grid.activity[1:, WAKING]
    known = ~np.isnan(window)
    column = Column.blank(len(window))
    column.coverage[:] = known.mean(axis=1)
    total = np.where(known, window, 0.0).sum(axis=1)
    for row in np.flatnonzero((~np.isnan(grid.counts[1:])).any(axis=1)):
        enough = column.coverage[row] >= MINIMUM_WAKING
        mean = float(total[row] / known[row].sum()) if enough else np.nan
        about = intervals.unmeasured_mean(window, int(row)) if enough else None
        column.put(int(row), mean, "activity-counts", "too-little-coverage", about)
    return column


def resting_heart_rate(grid: Grids) -> Column:
    """Return the lowest mean heart rate over 30 consecutive minutes of the local day with at least 24 of them measured.

    Only where half of 00:00 to 08:00 was measured, so that a day without its night is not taken for a faster heart.
    """
    heart = grid.heart[1:]
    known = ~np.isnan(heart)
    column = Column.blank(len(heart))
    column.coverage[:] = night(known)
    lowest, begin = _lowest_mean(heart)
    for row in np.flatnonzero(known.any(axis=1)).tolist():
        enough = column.coverage[row] >= MINIMUM_NIGHT and np.isfinite(lowest[row])
        value, about = np.nan, None
        if enough:
            value = float(lowest[row])
            about = intervals.batch_means(value, heart[row, begin[row] : begin[row] + REST_MINUTES])
        column.put(row, value, "lowest-30-minutes", "not-worn-at-night", about)
    return column


def _lowest_mean(heart: Floats) -> tuple[Floats, Ints]:
    """Return by day the lowest mean of 30 minutes and where it begins, NaN where no window is measured well enough."""
    known = ~np.isnan(heart)
    zero = np.zeros((len(heart), 1))
    total = np.hstack((zero, np.cumsum(np.where(known, heart, 0.0), axis=1)))
    count = np.hstack((zero, np.cumsum(known, axis=1)))
    total, count = (sums[:, REST_MINUTES:] - sums[:, :-REST_MINUTES] for sums in (total, count))
    means = np.where(count >= REST_KNOWN, total / np.maximum(count, 1), np.inf)
    lowest = means.min(axis=1)
    return np.where(np.isfinite(lowest), lowest, np.nan), np.asarray(means.argmin(axis=1), np.int64)


def reported_resting(recording: Recording, grid: Grids, first: date) -> Column:
    """Return the median of what devices report as resting heart rate for the day; coverage is the time that one was worn."""
    days = len(grid.worn) - 1
    column = Column.blank(days)
    column.coverage[:] = _worn(grid)
    for row, values in by_day(recording.tracks.get("resting-heart-rate"), ordinal(first), days).items():
        column.put(row, float(np.median(values)), "device", "no-data")
    return column


def variability(recording: Recording, grid: Grids, name: str, first: date) -> Column:
    """Return the median of a day's samples of heart rate variability by one method, RMSSD or SDNN, never one for the other.

    RMSSD = sqrt(mean of squared differences of successive NN intervals), SDNN = the standard deviation of NN intervals
    (Task Force 1996, Circulation 93:1043), as the device computed them. Samples of 00:00 to 08:00 where there are three,
    else of the whole day, else the day's number that a device reports; a baseline never mixes these.
    """
    days = len(grid.worn) - 1
    column = Column.blank(days)
    column.coverage[:] = _worn(grid)
    for row, values in by_day(recording.tracks.get(f"{name}-daily"), ordinal(first), days).items():
        column.put(row, float(np.median(values)), "device", "no-data")
    track = recording.tracks.get(name)
    if track is None:
        return column
    rows = track.local // DAY - ordinal(first)
    asleep = track.local % DAY < DAY // 3
    for row in np.unique(rows[(rows >= 0) & (rows < days)]).tolist():
        of_day = rows == row
        for method, chosen in (("samples-at-night", of_day & asleep), ("samples", of_day)):
            if np.count_nonzero(chosen) >= LEAST_SAMPLES:
                value, samples = float(np.median(track.value[chosen])), track.value[chosen]
                column.put(row, value, method, "no-data", intervals.of_median(value, samples))
                break
        else:
            column.reason[row] = column.reason[row] and "too-few-samples"
    return column


def scores(recording: Recording, first: date, days: int) -> dict[str, Column]:
    """Return the last total of each questionnaire that was filled in on the day, see `instruments.py`.

    Their coverage is 1: a total of which an answer is missing is none.
    """
    out = {}
    for name in (*SYMPTOMS, "phq-9-item-9"):
        column, track = Column.blank(days), recording.tracks.get(name)
        if track is not None:
            rows = track.local // DAY - ordinal(first)
            for place in np.lexsort((track.value, track.local)).tolist():
                if 0 <= rows[place] < days:
                    value = float(track.value[place])
                    column.put(int(rows[place]), value, "questionnaire", "no-data", _answered(name, value))
                    column.coverage[rows[place]] = 1.0
        out[name] = column
    return out


def _answered(name: str, value: float) -> Interval:
    """Return the interval of a total by the error of its instrument; a single answer is what was said."""
    if name not in INSTRUMENTS:
        return intervals.counted(value)
    half = QUANTILE * INSTRUMENTS[name].noise
    return intervals.about(value, half, "measurement-error", 0.0, BY_CODE[name].most)


def _worn(grid: Grids) -> Floats:
    """Return the part of each day that a device was worn; NaN of a day without anything measured by the minute."""
    part = np.asarray(grid.worn[1:].mean(axis=1), np.float64)
    return np.where(part > 0, part, np.nan)


def wear(grid: Grids) -> Column:
    """Return the hours in which a device measured something on the body."""
    column = Column.blank(len(grid.worn) - 1)
    part = grid.worn[1:].mean(axis=1)
    column.coverage[:] = part
    for row in np.flatnonzero(part > 0):
        hours = float(part[row]) * DAY_MINUTES / 60
        column.put(int(row), hours, "minutes", "no-data", intervals.counted(hours))
    return column


def by_day(track: Track | None, first: int, days: int) -> dict[int, list[float]]:
    """Return the values of a once-a-day signal by row; a period counts for the day of its middle."""
    out: dict[int, list[float]] = {}
    if track is None:
        return out
    rows = (track.local + track.duration // 2) // DAY - first
    for row, value in zip(rows.tolist(), track.value.tolist(), strict=True):
        if 0 <= row < days:
            out.setdefault(row, []).append(value)
    return out
