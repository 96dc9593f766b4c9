"""A person's blocks put on one wall clock: per signal the samples that hold, and minute grids of local days.

The local time of a sample is its own offset; where it has none, the zone of the patient (the caller passes the tenant's when
the patient has none). An Observation whose own offset is the zone's at its start follows the zone from there on, so that
a day's SampledData crosses a change to or from summer time. The hour that autumn repeats counts once, as the mean of both.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import lru_cache

import numpy as np

from workers.twin.arrays import DAY, DAY_MINUTES, MINUTE, Bools, Floats, Ints, distinct, numbered
from workers.twin.block import FIRST, Block, settle
from workers.twin.catalogue import NAMES, named
from workers.twin.effective import CALENDAR_DAY, EPOCH, UNKNOWN_OFFSET

QUARTER = 900_000

HALF_COVERED = 30.0
"""Seconds of a minute that must be measured before its count is known."""


@dataclass(frozen=True, slots=True, eq=False)
class Track:
    """One signal's samples, sorted by device and time; `local` is ms of the wall clock, `start` of UTC."""

    devices: tuple[str, ...]
    start: Ints
    local: Ints
    duration: Ints
    value: Floats
    device: Ints
    rid: Ints
    calendar: Ints
    """1 where only a calendar day is known."""

    def __len__(self) -> int:
        return len(self.start)


@dataclass(frozen=True, slots=True, eq=False)
class Recording:
    """All tracks by signal name; a signal without data has none."""

    tracks: Mapping[str, Track]
    zone: tzinfo

    @classmethod
    def of(cls, blocks: Mapping[tuple[str, date], Block], zone: tzinfo = UTC) -> Recording:
        """Return the recording of a person's blocks by (signal, UTC day)."""
        tracks = {}
        for name in NAMES:
            days = sorted((day, block) for (signal, day), block in blocks.items() if signal == name and len(block.rows))
            if days:
                tracks[name] = _track(days, zone)
        return cls(tracks, zone)

    def days_with_data(self) -> list[date]:
        """Return the local days in which a sample of any signal starts or a sleep ends."""
        found = {int(day) for track in self.tracks.values() for day in distinct(_end(track) // DAY)}
        return [FIRST + timedelta(days=day) for day in sorted(found)]


def ordinal(day: date) -> int:
    """Return the number of days since 1970-01-01."""
    return (day - FIRST).days


def _end(track: Track) -> Ints:
    """Return the last wall-clock ms of each sample, its start for an instant."""
    return track.local + np.maximum(track.duration - 1, 0)


def _track(days: list[tuple[date, Block]], zone: tzinfo) -> Track:
    """Return one signal's samples over several blocks on the wall clock."""
    devices, (start, duration, value, offset, device, rid) = settle(days)
    if not _ordered(device, start, duration):
        order = np.lexsort((duration, start, device))
        start, duration, value = start[order], duration[order], value[order]
        offset, device, rid = offset[order], device[order], rid[order]
    calendar = (offset == CALENDAR_DAY).astype(np.int64)
    minutes = _wall_offsets(start, offset, rid, zone)
    return Track(devices, start, start + minutes * MINUTE, duration, value, device, rid, calendar)


def _ordered(device: Ints, start: Ints, duration: Ints) -> bool:
    """Return whether samples are in order already, as those of one device are."""
    later, same = start[1:] > start[:-1], start[1:] == start[:-1]
    return bool(np.all((device[1:] == device[:-1]) & (later | (same & (duration[1:] >= duration[:-1])))))


def _wall_offsets(start: Ints, offset: Ints, rid: Ints, zone: tzinfo) -> Ints:
    """Return minutes east of UTC for each sample."""
    by_zone = zone_offsets(start, zone)
    if np.array_equal(offset, by_zone):  # of a person at home
        return by_zone
    stated = (offset != UNKNOWN_OFFSET) & (offset != CALENDAR_DAY)
    rids, place = numbered(rid)  # they come in long runs
    begin = np.full(len(rids), np.iinfo(np.int64).max)
    np.minimum.at(begin, place, start)
    agrees = offset == zone_offsets(begin, zone)[place]
    minutes = np.where(stated & ~agrees, offset, by_zone)
    return np.where(offset == CALENDAR_DAY, 0, minutes)


def zone_offsets(instants: Ints, zone: tzinfo) -> Ints:
    """Return the zone's offset in minutes at each instant; looked up once a day, in a day with a change every quarter hour."""
    out = np.zeros(len(instants), np.int64)
    days, place = numbered(instants // DAY)
    before = np.array([_offset(int(day) * DAY, zone) for day in days], np.int64)
    after = np.array([_offset(int(day + 1) * DAY, zone) for day in days], np.int64)
    if len(days):
        out = before[place]
    for day in np.flatnonzero(before != after):
        chosen = np.flatnonzero(place == day)
        quarters, at = np.unique(instants[chosen] // QUARTER, return_inverse=True)
        out[chosen] = np.array([_offset(int(quarter) * QUARTER, zone) for quarter in quarters], np.int64)[at]
    return out


@lru_cache(maxsize=4096)
def _offset(instant: int, zone: tzinfo) -> int:
    """Return minutes east of UTC at one instant; 0 outside of the years that datetime knows."""
    try:
        moment = (EPOCH + timedelta(milliseconds=instant)).astimezone(zone)
    except OverflowError:
        return 0
    return (moment.utcoffset() or timedelta()) // timedelta(minutes=1)


def minute_grid(track: Track | None, signal: str, first: date, days: int) -> Floats:
    """Return (days, 1440) local minutes: the level, or for counts the count a minute; NaN where nothing was measured.

    Where several devices measured, each day is taken from the one that covers most of it (by name when equal).
    """
    best = np.full((days, DAY_MINUTES), np.nan)
    if track is None:
        return best
    counted = np.zeros(days, np.int64)
    additive = named(signal).shape == "count"
    for device in range(len(track.devices)):
        grid = _device_grid(track, track.device == device, first, days, additive=additive)
        covered = np.count_nonzero(~np.isnan(grid), axis=1)
        better = covered > counted
        best[better] = grid[better]
        counted[better] = covered[better]
    return best


def _device_grid(track: Track, chosen: Bools, first: date, days: int, *, additive: bool) -> Floats:
    """Return the grid of one device; an interval longer than a minute stands for each of its minutes."""
    begin = ordinal(first) * DAY
    about = chosen & (track.local + track.duration > begin - MINUTE) & (track.local < begin + days * DAY)
    minute, duration, value = (track.local[about] - begin) // MINUTE, track.duration[about], track.value[about]
    span = np.maximum(1, -(-duration // MINUTE))
    near = (minute + span > 0) & (minute < days * DAY_MINUTES)
    minute, duration, value, span = minute[near], duration[near], value[near], span[near]
    if additive:
        value = value * (MINUTE / duration)
    weight = np.clip(duration / 1000.0, 1.0, 60.0)
    if len(span) and span.max() > 1:
        step = np.arange(int(span.sum())) - np.repeat(np.cumsum(span) - span, span)
        minute, value, weight = np.repeat(minute, span) + step, np.repeat(value, span), np.repeat(weight, span)
        inside = (minute >= 0) & (minute < days * DAY_MINUTES)
        minute, value, weight = minute[inside], value[inside], weight[inside]
    total = np.bincount(minute, weights=weight, minlength=days * DAY_MINUTES)
    summed = np.bincount(minute, weights=weight * value, minlength=days * DAY_MINUTES)
    enough = total >= (HALF_COVERED if additive else 1.0)
    out = np.full(days * DAY_MINUTES, np.nan)
    out[enough] = summed[enough] / total[enough]
    return out.reshape(days, DAY_MINUTES)


def start_of(day: date, zone: tzinfo) -> datetime:
    """Return the first instant of a local day."""
    return datetime(day.year, day.month, day.day, tzinfo=zone)
