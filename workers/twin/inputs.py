"""What a local day rests on: per signal the samples that end on it, their devices and their Observations."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

import numpy as np

from workers.twin.arrays import Ints, distinct
from workers.twin.nights import ends
from workers.twin.recording import Recording, Track, ordinal

INPUTS = 32
"""At most so many Observations of the day are named one by one, signal by signal; of more only the number is given."""


@dataclass(frozen=True, slots=True)
class Input:
    """What a signal gave to the day: samples, devices, and the rids of its Observations unless there are too many."""

    signal: str
    samples: int
    devices: tuple[str, ...]
    observations: int
    rids: tuple[int, ...]
    newest: int
    """The instant, ms since 1970, at which the last of the samples ends."""


def inputs(recording: Recording, days: Iterable[date]) -> dict[date, tuple[Input, ...]]:
    """Return by local day what each signal gave to it: the samples that end on it."""
    out: dict[date, list[Input]] = {day: [] for day in days}
    for name, track in sorted(recording.tracks.items()):
        last = ends(track)
        order = np.argsort(last, kind="stable")
        last = last[order]
        for day, found in out.items():
            low, high = np.searchsorted(last, (ordinal(day), ordinal(day) + 1))
            if high > low:
                found.append(_input(name, track, order[low:high]))
    return {day: tuple(found) for day, found in out.items()}


def _input(name: str, track: Track, chosen: Ints) -> Input:
    """Return what some samples of a signal are: how many, of which devices and Observations, up to when."""
    rids = distinct(track.rid[chosen])
    devices = tuple(track.devices[i] for i in distinct(track.device[chosen]))
    listed = tuple(int(rid) for rid in rids) if len(rids) <= INPUTS else ()
    newest = int((track.start[chosen] + track.duration[chosen]).max())
    return Input(name, len(chosen), devices, len(rids), listed, newest)
