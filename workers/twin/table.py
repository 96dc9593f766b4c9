"""All features of a stretch of local days in one pass over a recording."""

from __future__ import annotations

from datetime import date

import numpy as np

from workers.twin import daily, weekly
from workers.twin.arrays import Floats
from workers.twin.features import Table
from workers.twin.grids import Grids, grids
from workers.twin.nights import Nights, nights, rest_by
from workers.twin.recording import Recording
from workers.twin.sleep import sadeh, scripps


def table(recording: Recording, first: date, last: date, fresh: int = 0) -> Table:
    """Return the features of the local days from `first` to `last`, those of windows and of scored sleep from row `fresh` on.

    The sleep of the first day needs the blocks of the day before; windows reach back into the table only, so their
    first rows (six, of social jetlag thirteen) see shorter windows.
    """
    days = (last - first).days + 1
    grid = grids(recording, first, days)
    found = nights(recording, grid.counts, first, fresh)
    columns = daily.sleep(found)
    columns["steps"] = daily.steps(recording, grid, first)
    columns["activity-mean"] = daily.activity(grid)
    columns["resting-heart-rate"] = daily.resting_heart_rate(grid)
    columns["resting-heart-rate-reported"] = daily.reported_resting(recording, grid, first)
    columns["wear-time"] = daily.wear(grid)
    columns |= weekly.rhythm(grid, fresh)
    columns["sleep-regularity-index"] = weekly.regularity(found, fresh)
    columns["social-jetlag"] = weekly.social_jetlag(columns["sleep-midpoint"], first, fresh)
    columns["sleep-duration-sadeh"] = rest_by(grid.counts, "actigraphy-sadeh", sadeh, fresh)
    columns["sleep-duration-scripps"] = rest_by(grid.counts, "actigraphy-scripps", scripps, fresh)
    for name in ("hrv-rmssd", "hrv-sdnn"):
        columns[name] = daily.variability(recording, grid, name, first)
    columns |= daily.scores(recording, first, days)
    return Table(first, days, columns, _coverage(grid, found))


def _coverage(grid: Grids, found: Nights) -> dict[str, Floats]:
    """Return the measured part of each day by signal; for sleep 1 where the night is known."""
    out = {
        "heart-rate": (~np.isnan(grid.heart[1:])).mean(axis=1),
        "activity-counts": (~np.isnan(grid.activity[1:])).mean(axis=1),
        "steps": (~np.isnan(grid.steps[1:])).mean(axis=1),
        "sleep": np.array([float(bool(method)) for method in found.method]),
    }
    return {name: part for name, part in out.items() if part.any()}
