"""Dense readings of files folded into series of one day each: a heart rate every few seconds is no resource of its own.

Heart rates become the means of their minutes, and say so. Steps and counts that come by whole minutes become the same numbers as a
series. A series spans the local day at the offset that its samples state, so that a longer export of the same day is the same
resource, and a change of the clocks makes two series of which each holds its own hours. Everything else passes through.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Final, TypeAlias

import numpy as np

from workers.ingest.sample import Item, Origin, Sample, Series
from workers.ingest.times import Moment, later, of

MINUTE: Final = 60_000
MINUTES: Final = 1440
OPEN: Final = 400
"""Days that are held at a time, of all signals together: about 7 MB."""

MEANS: Final = frozenset({"heart-rate"})
SUMS: Final = frozenset({"steps", "activity-counts"})
Key: TypeAlias = tuple[str, Origin, str, str | None]


@dataclass(slots=True)
class _Day:
    """The sums and numbers of samples of each minute of one day, and the last moment of any."""

    start: Moment
    unit: str
    status: str
    last: Moment
    total: np.ndarray[tuple[int], np.dtype[np.float64]] = field(default_factory=lambda: np.zeros(MINUTES))
    count: np.ndarray[tuple[int], np.dtype[np.int32]] = field(default_factory=lambda: np.zeros(MINUTES, np.int32))


def fold(items: Iterable[Item]) -> Iterator[Item]:
    """Yield the items, dense ones as series; memory is bounded whatever their order."""
    days: OrderedDict[Key, _Day] = OrderedDict()
    gone: set[Key] = set()
    for item in items:
        if not isinstance(item, Sample) or not _is_dense(item):
            yield item
            continue
        start = _midnight(item.start)
        key = (item.measure, item.origin, start.text, item.method)
        day = days.get(key)
        if day is None:
            assert item.value is not None
            day = days[key] = _Day(start, item.value.unit, item.status, item.start)
            if len(days) > OPEN:
                old, closed = days.popitem(last=False)
                yield _series(old, closed, whole=old not in gone)
                gone.add(old)
        days.move_to_end(key)
        _add(day, item)
    for key, day in days.items():
        yield _series(key, day, whole=key not in gone)


def _is_dense(item: Sample) -> bool:
    """Tell whether a sample goes into a series."""
    plain = item.value is not None and not (item.parts or item.details or item.statistic or item.issued)
    if not plain or item.start.whole_day:
        return False
    if item.measure in MEANS:
        return item.end is None or item.end.ms - item.start.ms < MINUTE
    whole = item.end is not None and item.end.ms - item.start.ms == MINUTE
    return item.measure in SUMS and whole and item.start.ms % MINUTE == 0


def _midnight(start: Moment) -> Moment:
    read = datetime.fromisoformat(start.text)
    return of(read.replace(hour=0, minute=0, second=0, microsecond=0), unknown=start.text.endswith("Z"))


def _add(day: _Day, item: Sample) -> None:
    assert item.value is not None
    minute = (item.start.ms - day.start.ms) // MINUTE
    day.total[minute] += float(item.value.number)
    day.count[minute] += 1
    if item.start.ms > day.last.ms:
        day.last = item.start


def _series(key: Key, day: _Day, *, whole: bool) -> Sample:
    """Return a day as a sample; one that was closed before and comes again spans only what it has."""
    measure, origin, _, method = key
    known = np.flatnonzero(day.count)
    first, end = (0, MINUTES) if whole else (int(known[0]), int(known[-1]) + 1)
    mean = measure in MEANS
    numbers = [_number(day, i, mean=mean) for i in range(first, end)]
    start = later(day.start, first * MINUTE)
    return Sample(
        measure=measure,
        origin=origin,
        start=start,
        end=later(start, (end - first) * MINUTE),
        series=Series(numbers, day.unit, MINUTE),
        statistic="average" if mean else None,
        status=day.status,
        method=method,
        issued=day.last.text,  # what tells a fuller export of the same day from an earlier one
    )


def _number(day: _Day, minute: int, *, mean: bool) -> Decimal | int | None:
    count = int(day.count[minute])
    if not count:
        return None
    value = day.total[minute] / (count if mean else 1)
    rounded = Decimal(repr(float(value))).quantize(Decimal("0.01")).normalize()
    return int(rounded) if rounded == rounded.to_integral_value() else rounded
