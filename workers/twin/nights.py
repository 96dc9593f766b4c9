"""The main sleep of each night: from the device's sleep sessions, else its sleep stages, else from activity counts.

The night of a day ends on it: a sleep belongs to the local day on which it ends, and the 24 hours scored for regularity run
from noon to noon. Nothing in a row depends on what comes after its day.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

import numpy as np

from workers.twin.arrays import DAY, DAY_MINUTES, MINUTE, Bools, Floats, Ints, runs
from workers.twin.catalogue import SLEEP_STAGES
from workers.twin.features import Column
from workers.twin.recording import Recording, Track, ordinal
from workers.twin.sleep import cole_kripke, not_worn

SESSIONS, STAGED, SCORED = "sleep-session", "sleep-stage", "actigraphy-cole-kripke"
"""Where a night comes from; a baseline never mixes them."""

GAP = 60 * MINUTE
"""Two sleeps less than this apart are one, with a time awake in between."""

HALF_DAY = 720
REST_WINDOW = 61
SHORTEST_REST = 60
MINIMUM_KNOWN = 0.8


@dataclass(slots=True, eq=False)
class Nights:
    """Per night: minutes asleep, minutes from falling asleep or going to bed to the end, wall-clock ms of start and end."""

    asleep: Floats
    span: Floats
    start: Floats
    end: Floats
    coverage: Floats
    method: list[str]
    states: dict[str, Floats]
    """By method (nights, 1440) from noon to noon: 1 asleep, 0 awake, NaN unknown."""


@dataclass(frozen=True, slots=True)
class _Episode:
    """One sleep on the wall clock: start and end None where only a total is reported."""

    day: int
    device: int
    asleep: float
    start: int | None
    end: int | None
    told: int = 0
    """Milliseconds between start and end of which the device says something."""


def nights(recording: Recording, counts: Floats, first: date, fresh: int = 0) -> Nights:
    """Return the nights that end on `first` and later; `counts` is the activity grid that starts one day earlier.

    Of nights before row `fresh` that are scored from counts only `states` is told, which regularity looks at.
    """
    days = len(counts) - 1
    unknown = np.full(days, np.nan)
    out = Nights(unknown.copy(), unknown.copy(), unknown.copy(), unknown.copy(), unknown.copy(), [""] * days, {})
    stages, sessions = recording.tracks.get(STAGED), recording.tracks.get(SESSIONS)
    _score(out, counts, first, fresh)
    for method, episodes in ((STAGED, _staged(stages)), (SESSIONS, _sessions(sessions))):
        placed = _place(out, episodes, ordinal(first), days, method, stages if method == STAGED else None)
        out.states[method] = _states(placed, stages, ordinal(first), days)
    return out


def _sessions(track: Track | None) -> list[_Episode]:
    """Return reported sleeps, of overlapping ones of a device the one with most sleep, short gaps closed."""
    if track is None:
        return []
    found: list[_Episode] = []
    columns = (track.device, track.local, track.duration, track.value, track.calendar)
    for device, start, duration, seconds, calendar in zip(*(column.tolist() for column in columns), strict=True):
        if calendar or duration == 0:
            found.append(_Episode(start // DAY, device, seconds / 60, None, None))
        else:
            end = start + duration
            asleep = min(seconds / 60, duration / MINUTE)
            found.append(_Episode((end - 1) // DAY, device, asleep, start, end, duration))
    return _joined(found)


def _staged(track: Track | None) -> list[_Episode]:
    """Return sleeps put together from stages: minutes in a stage of sleep, from the first such minute to the last."""
    if track is None:
        return []
    slept = np.isin(track.value, SLEEP_STAGES)
    columns = (track.device[slept], track.local[slept], track.duration[slept])
    found = [
        _Episode((start + duration - 1) // DAY, device, duration / MINUTE, start, start + duration, duration)
        for device, start, duration in zip(*(column.tolist() for column in columns), strict=True)
    ]
    return _joined(found)


def _joined(episodes: list[_Episode]) -> list[_Episode]:
    """Return the episodes of each device with overlaps resolved and gaps shorter than GAP closed."""
    whole = [episode for episode in episodes if episode.start is None]
    timed = sorted((e for e in episodes if e.start is not None), key=lambda e: (e.device, e.start, e.end))
    out: list[_Episode] = []
    for episode in timed:
        last = out[-1] if out else None
        if last is None or last.device != episode.device or _start(episode) >= _stop(last) + GAP:
            out.append(episode)
        elif _start(episode) < _stop(last):
            better = max(last, episode, key=lambda e: (e.asleep, _stop(e) - _start(e), -_start(e)))
            out[-1] = better
        else:
            asleep, told = last.asleep + episode.asleep, last.told + episode.told
            out[-1] = _Episode(episode.day, last.device, asleep, last.start, episode.end, told)
    return whole + out


def _start(episode: _Episode) -> int:
    """Return the start of a timed episode."""
    assert episode.start is not None
    return episode.start


def _stop(episode: _Episode) -> int:
    """Return the end of a timed episode."""
    assert episode.end is not None
    return episode.end


def _place(
    out: Nights, episodes: list[_Episode], first: int, days: int, method: str, stages: Track | None
) -> list[_Episode]:
    """Put the main sleep of each day into its row; return all sleeps of the device that was chosen for the day."""
    by_day: dict[int, dict[int, list[_Episode]]] = {}
    for episode in episodes:
        if 0 <= episode.day - first < days:
            by_day.setdefault(episode.day - first, {}).setdefault(episode.device, []).append(episode)
    chosen = []
    for row, devices in by_day.items():
        device = max(devices, key=lambda d: (_timed(devices[d]), sum(e.asleep for e in devices[d]), -d))
        own = devices[device]
        main = max(own, key=lambda e: (e.asleep, e.start or 0))
        timed = main.start is not None and main.end is not None
        out.asleep[row] = main.asleep
        out.start[row] = _start(main) if timed else np.nan
        out.end[row] = _stop(main) if timed else np.nan
        out.span[row] = (_stop(main) - _start(main)) / MINUTE if timed else np.nan
        out.coverage[row] = _told(main, stages)
        out.method[row] = method
        chosen += own
    return chosen


def _told(episode: _Episode, stages: Track | None) -> float:
    """Return of which part of a sleep, start to end, its device says something; NaN of one without a place in time.

    Between sleeps that are taken for one it may say nothing; times awake are told by stages.
    """
    if episode.start is None or episode.end is None:
        return float("nan")
    told = episode.told
    if stages is not None:
        awake = (stages.value == 0) & (stages.device == episode.device)
        begin, end = stages.local[awake], stages.local[awake] + stages.duration[awake]
        told += int(np.maximum(np.minimum(end, episode.end) - np.maximum(begin, episode.start), 0).sum())
    return min(1.0, told / (episode.end - episode.start))


def _timed(episodes: list[_Episode]) -> bool:
    """Return whether any of the sleeps has a place in time."""
    return any(episode.start is not None for episode in episodes)


def _states(episodes: list[_Episode], stages: Track | None, first: int, days: int) -> Floats:
    """Return asleep or awake for each minute, noon to noon, of the nights that have a sleep with a place in time."""
    flat = np.full(days * DAY_MINUTES, np.nan)
    origin = (first - 1) * DAY + HALF_DAY * MINUTE
    known = {episode.day - first for episode in episodes if episode.start is not None}
    for row in known:
        flat[row * DAY_MINUTES : (row + 1) * DAY_MINUTES] = 0
    for episode in episodes:
        if episode.start is not None:
            _fill(flat, episode.start - origin, _stop(episode) - origin, 1)
    if stages is not None:
        woken = stages.value == 0
        for start, duration in zip(stages.local[woken].tolist(), stages.duration[woken].tolist(), strict=True):
            _fill(flat, start - origin, start + duration - origin, 0)
    return flat.reshape(days, DAY_MINUTES)


def _fill(flat: Floats, start: int, end: int, state: int) -> None:
    """Set the minutes of an interval that belong to a night that is known."""
    piece = flat[max(0, start // MINUTE) : max(0, end // MINUTE)]
    piece[~np.isnan(piece)] = state


def _score(out: Nights, counts: Floats, first: date, fresh: int) -> None:
    """Fill every night from activity counts where enough of it was worn."""
    days = len(counts) - 1
    flat = counts.reshape(-1).copy()
    if np.isnan(flat).all():
        out.states[SCORED] = np.full((days, DAY_MINUTES), np.nan)
        return
    flat[unworn(flat, HALF_DAY)] = np.nan
    states = cole_kripke(flat)[HALF_DAY : HALF_DAY + days * DAY_MINUTES].reshape(days, DAY_MINUTES)
    out.states[SCORED] = states
    known = (~np.isnan(states)).mean(axis=1)
    for row in np.flatnonzero(known > 0):
        out.coverage[row] = known[row]
        if row >= fresh and known[row] >= MINIMUM_KNOWN:
            _main_rest(out, states[row], int(row), (ordinal(first) + int(row) - 1) * DAY + HALF_DAY * MINUTE)


def longest_rest(state: Floats) -> Ints:
    """Return the minutes asleep in the longest stretch in which at least half of the hour around each minute is asleep."""
    asleep = state == 1
    share = np.convolve(asleep, np.ones(REST_WINDOW), "same") / REST_WINDOW
    start, end = runs(share >= 0.5)
    if not len(start):
        return np.zeros(0, np.int64)
    longest = int((end - start).argmax())
    return np.asarray(np.flatnonzero(asleep[start[longest] : end[longest]]) + start[longest], np.int64)


def _main_rest(out: Nights, state: Floats, row: int, noon: int) -> None:
    """Put in the longest rest of a night that was scored."""
    slept = longest_rest(state)
    out.method[row] = SCORED
    out.asleep[row] = len(slept)
    if len(slept) >= SHORTEST_REST:
        out.start[row] = noon + int(slept[0]) * MINUTE
        out.end[row] = noon + int(slept[-1] + 1) * MINUTE
        out.span[row] = int(slept[-1] + 1 - slept[0])


def unworn(flat: Floats, offset: int) -> Bools:
    """Return the minutes not worn, in days that begin `offset` minutes into the series.

    A stretch of zeros counts as far as it is known at the end of each day, so that no day waits for the next one.
    """
    out = np.zeros(len(flat), bool)
    for start, end in not_worn(flat):
        first = start - (start - offset) % DAY_MINUTES
        for day in range(first, end, DAY_MINUTES):
            known = min(end, day + DAY_MINUTES)
            if known - start >= 180:
                out[max(start, day) : known] = True
    return out


def rest_by(counts: Floats, method: str, score: Callable[[Floats], Floats], fresh: int = 0) -> Column:
    """Return the minutes asleep in the longest rest of each night from row `fresh` on, by another scoring of the same counts.

    The scoring looks at minutes around each, far fewer than the half day in front of a night.
    """
    days = len(counts) - 1
    column = Column.blank(days)
    flat = counts.reshape(-1).copy()
    if np.isnan(flat).all():
        return column
    flat[unworn(flat, HALF_DAY)] = np.nan
    left = days - fresh
    scored = score(flat[fresh * DAY_MINUTES :])
    states = scored[HALF_DAY : HALF_DAY + left * DAY_MINUTES].reshape(left, DAY_MINUTES)
    column.coverage[fresh:] = (~np.isnan(states)).mean(axis=1)
    for row in np.flatnonzero(column.coverage > 0).tolist():
        enough = column.coverage[row] >= MINIMUM_KNOWN
        asleep = float(len(longest_rest(states[row - fresh]))) if enough else np.nan
        column.put(row, asleep, method, "too-little-coverage")
    return column


def midpoints(found: Nights) -> Floats:
    """Return the middle of each main sleep in hours of the wall clock."""
    return ((found.start + found.end) / 2 % DAY) / (60 * MINUTE)


def ends(track: Track | None) -> Ints:
    """Return the local day on which each sample of a track ends."""
    return np.zeros(0, np.int64) if track is None else (track.local + np.maximum(track.duration - 1, 0)) // DAY
