"""The minute grids that several features share, with the day before the first one in front, and when a device was worn."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np

from workers.twin.arrays import DAY_MINUTES, Bools, Floats
from workers.twin.nights import unworn
from workers.twin.recording import Recording, minute_grid

WAKING = slice(8 * 60, 22 * 60)
"""The minutes of the clock from 08:00 to 22:00."""

HOLD = 10
"""Minutes for which a measured heart rate stands until the next one: consumer devices measure every 1 to 10 minutes."""


@dataclass(frozen=True, slots=True, eq=False)
class Grids:
    """(1 + days, 1440) by local minute; the first row is the day before. `activity` is NaN where not worn."""

    heart: Floats
    counts: Floats
    activity: Floats
    steps: Floats
    worn: Bools


def grids(recording: Recording, first: date, days: int) -> Grids:
    """Return the grids of the days from `first` and of the day before."""
    before = first - timedelta(days=1)
    tracks = recording.tracks
    heart = _held(minute_grid(tracks.get("heart-rate"), "heart-rate", before, days + 1))
    counts = minute_grid(tracks.get("activity-counts"), "activity-counts", before, days + 1)
    steps = minute_grid(tracks.get("steps"), "steps", before, days + 1)
    activity = counts.copy()
    if not np.isnan(counts).all():
        activity.reshape(-1)[unworn(counts.reshape(-1), 0)] = np.nan
    worn = ~np.isnan(heart) | ~np.isnan(activity) | (np.nan_to_num(steps) > 0)
    return Grids(heart, counts, activity, steps, worn)


def _held(grid: Floats) -> Floats:
    """Return the grid with each number standing for up to HOLD minutes, until the next one."""
    flat = grid.reshape(-1).copy()
    known = ~np.isnan(flat)
    last = np.maximum.accumulate(np.where(known, np.arange(len(flat)), -HOLD - 1))
    near = ~known & (np.arange(len(flat)) - last < HOLD)
    flat[near] = flat[last[near]]
    return flat.reshape(-1, DAY_MINUTES)


def waking(grid: Bools) -> Floats:
    """Return the part of 08:00 to 22:00 that holds, by day."""
    return np.asarray(grid[:, WAKING].mean(axis=1), np.float64)


def night(grid: Bools) -> Floats:
    """Return the part of 00:00 to 08:00 that holds, by day."""
    return np.asarray(grid[:, : 8 * 60].mean(axis=1), np.float64)
