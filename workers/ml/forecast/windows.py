"""A person's days as the rows that forecasters learn from: four weeks back, one day ahead, missing days left missing.

Values are told as distance from the person's own level, the mean of what is known of the trailing 28 days, so that a model learned
from other people speaks about this one. A row needs a value of its target within the last seven days.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Final, NamedTuple

import numpy as np

from workers.ml.evaluate.rows import Rows
from workers.twin.arrays import Floats, Ints

LENGTH: Final = 21
LEVEL: Final = 28
RECENT: Final = 7
QUANTILES: Final = (0.05, 0.25, 0.5, 0.75, 0.95)
MIDDLE: Final = QUANTILES.index(0.5)
MONDAY: Final = date(1970, 1, 5)


class Window(NamedTuple):
    """What is known at the end of each of n days: `x` (n, k), the day itself, and the value of the day after (NaN: unknown)."""

    x: Floats
    day: Ints
    y: Floats


def names(signals: Sequence[str], target: str) -> tuple[str, ...]:
    """Return the columns: level of each signal, weekday of the day ahead, lags of every signal, newest first, then summaries."""
    lags = [f"{signal}@{-back}" for back in range(LENGTH) for signal in signals]
    own = [f"{target} {part}" for part in ("last", "mean-3", "mean-7")]
    return (*(f"{signal} level" for signal in signals), "weekday-cos", "weekday-sin", "weekend", *lags, *own)


def window(days: Floats, target: int, first: date) -> Window:
    """Return the rows of one person; `days` (d, s) are values of signals on consecutive days from `first` on, NaN: none."""
    count, signals = days.shape
    found = [_row(days, target, row, first) for row in range(count)]
    kept = [(row, each) for row, each in enumerate(found) if each is not None]
    x = np.array([each for _, each in kept]).reshape(len(kept), signals * (LENGTH + 1) + 6)
    ahead = np.concatenate((days[1:, target], [np.nan]))
    rows = [row for row, _ in kept]
    return Window(x, np.array([first.toordinal() + row for row in rows], np.int64), ahead[rows])


def _row(days: Floats, target: int, row: int, first: date) -> Floats | None:
    """Return what is known at the end of a day, None when the target was not seen of late."""
    back = days[max(0, row - LEVEL + 1) : row + 1]
    own = back[:, target]
    recent = own[-RECENT:][~np.isnan(own[-RECENT:])]
    if not len(recent):
        return None
    known = (~np.isnan(back)).sum(axis=0)
    level = np.where(known, np.nansum(back, axis=0) / np.maximum(known, 1), np.nan)
    lags = np.full((LENGTH, days.shape[1]), np.nan)
    newest = back[::-1][:LENGTH] - level
    lags[: len(newest)] = newest
    weekday = (first + timedelta(days=row + 1)).weekday()
    angle = 2 * np.pi * weekday / 7
    summary = [recent[-1], recent[-3:].mean(), recent.mean()] - level[target]
    return np.concatenate((level, [np.cos(angle), np.sin(angle), float(weekday >= 5)], lags.ravel(), summary))


def rows_of(people: Sequence[tuple[date, Floats]], signals: Sequence[str], target: str) -> Rows:
    """Return everybody's rows whose next day is known; `day` is the ordinal of the day that is forecast."""
    place = list(signals).index(target)
    found = [window(days, place, first) for first, days in people]
    x = np.concatenate([each.x for each in found])
    y = np.concatenate([each.y for each in found])
    who = np.repeat(np.arange(len(found)), [len(each.y) for each in found])
    day = np.concatenate([each.day for each in found]) + 1
    return Rows(x, y, who.astype(np.int64), day, names(signals, target)).where(~np.isnan(y))


def columns(known: Mapping[date, Sequence[float]], count: int) -> tuple[date, Floats] | None:
    """Return days that are known by their date as consecutive ones, None when there are none."""
    if not known:
        return None
    first, last = min(known), max(known)
    days = np.full(((last - first).days + 1, count), np.nan)
    for day, values in known.items():
        days[(day - first).days] = values
    return first, days
