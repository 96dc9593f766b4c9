"""Of each signal and day how much was measured, and the reason where it is not the whole day."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final, NamedTuple

import numpy as np

from workers.twin.arrays import DAY, Bools, Floats
from workers.twin.catalogue import named
from workers.twin.daybook import MINUTES, Page
from workers.twin.series import Buckets

WHOLE: Final = 0.95
"""A day of a signal that is measured by the minute is whole from here on."""


@dataclass(frozen=True, slots=True)
class Covered:
    """One signal by day: measured part, samples, which days are not whole, and why."""

    part: Floats
    samples: Floats
    lacking: Bools
    reasons: dict[int, str]


class Told(NamedTuple):
    """What a source said of a local day: why there were no data for so many ms of it, of one measure or of all."""

    day: date
    measure: str | None
    reason: str
    length: int


def covered(buckets: Buckets, pages: Mapping[date, Page], told: Iterable[Told] = ()) -> dict[str, Covered]:
    """Return the coverage of every signal that was ever measured in the days.

    Reasons: no-data, nothing at all was measured; not-measured, other signals were; not-worn, the device counted and lay still;
    partly-measured, less than 95 % of the minutes. What a source `told` stands instead where it explains at least half of what
    is lacking of the day; of several reasons the one that explains most.
    """
    said: dict[date, list[Told]] = {}
    for gap in told:
        said.setdefault(gap.day, []).append(gap)
    names = sorted(
        {each.signal for page in pages.values() for each in page.signals if named(each.signal).shape != "score"}
    )
    days = [buckets.first + timedelta(days=i) for i in range(buckets.count)]
    found = {name: _covered(name, [pages.get(day) for day in days]) for name in names}
    for name, each in found.items():
        for place, own in each.reasons.items():
            lacking = (1 - float(each.part[place, 0])) * DAY
            if own != "not-worn" and (better := _explained(name, said.get(days[place], ()), lacking)):
                each.reasons[place] = better
    return found


def _explained(name: str, told: Iterable[Told], lacking: float) -> str | None:
    """Return the reason that explains most of what is lacking of a signal on a day, None where none explains half of it."""
    lengths: dict[str, int] = {}
    for gap in told:
        if gap.measure in (None, name, name.removesuffix("-daily")):
            lengths[gap.reason] = lengths.get(gap.reason, 0) + gap.length
    best = max(sorted(lengths), key=lengths.__getitem__, default=None)
    return best if best is not None and lengths[best] >= lacking / 2 else None


def _covered(name: str, pages: list[Page | None]) -> Covered:
    part, samples = np.zeros((len(pages), 1)), np.zeros((len(pages), 1))
    reasons: dict[int, str] = {}
    for place, page in enumerate(pages):
        signals = page.signals if page else ()
        own = next((each for each in signals if each.signal == name), None)
        if own is None:
            reasons[place] = "not-measured" if signals else "no-data"
            continue
        samples[place] = own.count
        measured = own.coverage if own.coverage is not None else 1.0
        worn = dict(page.coverage).get(name, 0.0) if page and name == "activity-counts" else measured
        part[place] = min(measured, worn)
        if name in MINUTES and part[place] < WHOLE:
            reasons[place] = "not-worn" if worn < measured else "partly-measured"
    lacking = np.array([place in reasons for place in range(len(pages))], bool)
    return Covered(part, samples, lacking, reasons)
