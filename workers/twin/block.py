"""A signal block: everything that is known of one patient x signal x UTC day, as one small array.

It holds what each Observation contributes under the Observation's rid, also what loses against another one, so that the
block depends on the set of Observations alone: any order, repetition or withdrawal ends in the same bytes. Of one
Observation the highest version counts. Who wins where several speak of the same (device, start, duration) is decided
when reading (`settle`), by content only: later `issued`, better status, larger value. The rid never decides a number.
A withdrawn or emptied Observation leaves its (rid, version) behind, so that an older version that comes late stays out.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from workers.twin.arrays import DAY, Bools, Floats, Ints
from workers.twin.signals import Reading, Samples

SOURCE = np.dtype(
    [("rid", "<i8"), ("version", "<i4"), ("issued", "<i8"), ("rank", "<i2"), ("offset", "<i2"), ("device", "<i4")]
)
"""One Observation; `device` is an index into the block's devices, -1 when it contributes no rows."""

ROW = np.dtype([("start", "<i4"), ("duration", "<i4"), ("value", "<f8"), ("source", "<i4")])
"""One sample: ms in the UTC day, ms, value, index into the block's sources."""

FIRST = date(1970, 1, 1)

Key: TypeAlias = tuple[str, date]
"""Which block: signal and UTC day."""


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """Sources sorted by rid, devices by name, rows by (start, duration, device, rid, value): one form for one content."""

    devices: tuple[str, ...]
    sources: NDArray[Any]
    rows: NDArray[Any]


EMPTY = Block((), np.zeros(0, SOURCE), np.zeros(0, ROW))


@dataclass(frozen=True, slots=True, eq=False)
class Contribution:
    """What one version of an Observation says in one block; without samples it says that it says nothing any more."""

    rid: int
    version: int
    issued: int = 0
    rank: int = 0
    samples: Samples | None = None


class Settled(NamedTuple):
    """The rows that hold after conflicts: columns of equal length, start in ms since 1970."""

    start: Ints
    duration: Ints
    value: Floats
    offset: Ints
    device: Ints
    rid: Ints


def contributions(rid: int, version: int, reading: Reading) -> dict[Key, Contribution]:
    """Return what an Observation contributes to which block; a row belongs to the UTC day in which it starts.

    Blocks in which an earlier version stood and that are not among these need `Contribution(rid, version)`.
    """
    parts: dict[Key, list[Samples]] = {}
    for samples in reading.samples:
        days = samples.start // DAY
        for day in np.unique(days):
            key = samples.signal, FIRST + timedelta(days=int(day))
            parts.setdefault(key, []).append(samples.only(days == day))
    return {
        key: Contribution(rid, version, reading.issued, reading.rank, _together(found)) for key, found in parts.items()
    }


def gather(observations: Iterable[tuple[int, int, Reading]]) -> dict[Key, Block]:
    """Return the blocks of a person from the (rid, version, reading) of all Observations: a rebuild from zero."""
    arrivals: dict[Key, list[Contribution]] = {}
    for rid, version, reading in observations:
        for key, contribution in contributions(rid, version, reading).items():
            arrivals.setdefault(key, []).append(contribution)
    return {key: merge(None, found) for key, found in arrivals.items()}


def _together(parts: list[Samples]) -> Samples:
    """Return several components' samples of one signal as one."""
    if len(parts) == 1:
        return parts[0]
    columns = [np.concatenate([getattr(part, name) for part in parts]) for name in ("start", "duration", "value")]
    return replace(parts[0], start=columns[0], duration=columns[1], value=columns[2])


def merge(block: Block | None, arrivals: Iterable[Contribution]) -> Block:
    """Return the block with the contributions in it; of each rid the highest version stays, equal versions replace."""
    block = EMPTY if block is None else block
    newest: dict[int, Contribution] = {}
    for arrival in arrivals:
        known = newest.get(arrival.rid)
        if known is None or arrival.version >= known.version:
            newest[arrival.rid] = arrival
    standing = dict(zip(block.sources["rid"].tolist(), block.sources["version"].tolist(), strict=True))
    accepted = [new for rid, new in newest.items() if new.version >= standing.get(rid, 0)]
    if not accepted:
        return block
    return _assemble(block, accepted)


def _assemble(block: Block, accepted: list[Contribution]) -> Block:
    """Return the canonical block of the old sources that are not replaced and the accepted contributions."""
    with_rows = [new for new in accepted if new.samples is not None and len(new.samples.start)]
    kept = ~np.isin(block.sources["rid"], [new.rid for new in accepted])
    used = {block.devices[i] for i in block.sources["device"][kept] if i >= 0}
    devices = tuple(sorted(used | {new.samples.device for new in with_rows if new.samples is not None}))
    numbers = {name: i for i, name in enumerate(devices)}
    old = block.sources[kept].copy()
    old["device"] = [numbers[block.devices[i]] if i >= 0 else -1 for i in old["device"]]
    added = np.zeros(len(accepted), SOURCE)
    for i, new in enumerate(accepted):
        samples = new.samples
        if samples is None or not len(samples.start):
            added[i] = (new.rid, new.version, 0, 0, 0, -1)
        else:
            added[i] = (new.rid, new.version, new.issued, new.rank, samples.offset, numbers[samples.device])
    sources = np.concatenate((old, added))
    order = np.argsort(sources["rid"])
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    rows = _rows(block, kept, accepted, place)
    return Block(devices, sources[order], _sorted(rows, sources[order]))


def _rows(block: Block, kept: NDArray[Any], accepted: list[Contribution], place: Ints) -> NDArray[Any]:
    """Return old and new rows, each naming its source by the final place."""
    old = block.rows[kept[block.rows["source"]]].copy()
    moved = place[np.cumsum(kept) - 1]
    old["source"] = moved[old["source"]]
    pieces = [old]
    first = int(kept.sum())
    for i, new in enumerate(accepted):
        if new.samples is not None:
            piece = np.empty(len(new.samples.start), ROW)
            piece["start"] = new.samples.start % DAY
            piece["duration"] = new.samples.duration
            piece["value"] = new.samples.value
            piece["source"] = place[first + i]
            pieces.append(piece)
    return np.concatenate(pieces)


def _sorted(rows: NDArray[Any], sources: NDArray[Any]) -> NDArray[Any]:
    """Return the rows in their one order, exact repetitions within one Observation once."""
    device = sources["device"][rows["source"]]
    rows = rows[np.lexsort((rows["value"], rows["source"], device, rows["duration"], rows["start"]))]
    if len(rows) > 1:
        rows = rows[np.concatenate(([True], rows[1:] != rows[:-1]))]
    return rows


def remove(block: Block, rid: int, version: int) -> Block:
    """Return the block without an Observation that was deleted as `version`; its place is remembered."""
    return merge(block, [Contribution(rid, version)])


def compact(block: Block) -> Block:
    """Return the block without memories of withdrawn Observations: what a rebuild from the Observations gives."""
    gone = block.sources["rid"][block.sources["device"] < 0]
    kept = ~np.isin(block.sources["rid"], gone)
    rows = block.rows.copy()
    rows["source"] = (np.cumsum(kept) - 1)[rows["source"]]
    return Block(block.devices, block.sources[kept], rows)


def only(block: Block, rids: Container[int]) -> Block:
    """Return what the block would be if there were no other Observations than these."""
    kept = np.array([rid in rids for rid in block.sources["rid"].tolist()], bool)
    rows = block.rows[kept[block.rows["source"]]].copy()
    rows["source"] = (np.cumsum(kept) - 1)[rows["source"]]
    return Block(block.devices, block.sources[kept], rows)


def settle(days: Sequence[tuple[date, Block]]) -> tuple[tuple[str, ...], Settled]:
    """Return the devices by name, and what holds in the blocks of one signal, whose days ascend.

    Of several rows for one (device, start, duration) the one with the best claim. A day at a time would say the same: a row
    starts in its block's day. `Settled.device` is an index into the devices.
    """
    devices = tuple(sorted({name for _, block in days for name in block.devices}))
    numbers = {name: i for i, name in enumerate(devices)}
    first = np.cumsum([0, *(len(block.sources) for _, block in days)])
    sources = np.concatenate([block.sources for _, block in days])
    rows = np.concatenate([block.rows.view(np.uint8) for _, block in days]).view(ROW)  # numpy copies records one by one
    lengths = [len(block.rows) for _, block in days]
    renumber = [np.array([numbers[name] for name in block.devices] or [-1], np.int64) for _, block in days]
    named = [own[block.sources["device"]] for own, (_, block) in zip(renumber, days, strict=True)]
    place = rows["source"] + np.repeat(first[:-1], lengths)
    midnight = np.array([(day - FIRST).days * DAY for day, _ in days], np.int64)
    found = _Rows(rows["start"] + np.repeat(midnight, lengths), rows["duration"].astype(np.int64), rows["value"].copy(),
                  place, np.concatenate(named)[place])  # fmt: skip
    return devices, _best(found, sources)


class _Rows(NamedTuple):
    """Rows as columns, `place` in the sources, before conflicts are settled."""

    start: Ints
    duration: Ints
    value: Floats
    place: Ints
    device: Ints

    def only(self, chosen: Ints | Bools) -> _Rows:
        """Return some of the rows, in the order given."""
        start, duration, value, place, device = self
        return _Rows(start[chosen], duration[chosen], value[chosen], place[chosen], device[chosen])


def _best(rows: _Rows, sources: NDArray[Any]) -> Settled:
    """Return the rows that hold, with what their sources say."""
    if len(rows.start) > 1 and _repeated(rows).any():
        own = sources[rows.place]
        order = np.lexsort((own["rid"], rows.value, own["rank"], own["issued"], rows.duration, rows.start, rows.device))
        rows = rows.only(order)
        rows = rows.only(np.append(~_repeated(rows), True))
    offset, rid = (sources[name].astype(np.int64)[rows.place] for name in ("offset", "rid"))
    return Settled(rows.start, rows.duration, rows.value, offset, rows.device, rid)


def _repeated(rows: _Rows) -> Bools:
    """Return which rows are followed by another one of the same (device, start, duration)."""
    same = (rows.start[1:] == rows.start[:-1]) & (rows.duration[1:] == rows.duration[:-1])
    return np.asarray(same & (rows.device[1:] == rows.device[:-1]))
