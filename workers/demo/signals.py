"""What a demo patient's body does, minute by minute: sleep, activity counts, steps, heart rate, and when devices are off."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

import numpy as np

from workers.demo.chance import Chance
from workers.demo.episodes import Effect, effect
from workers.demo.people import Person
from workers.twin.arrays import Bools, Floats

MINUTE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Habits:
    """How someone usually lives; hours of the clock, hours, counts, beats."""

    bedtime: float
    hours: float
    regularity: float
    weekend: float
    activity: float
    pace: float
    resting: float
    watch_at_night: float


class Sleep(NamedTuple):
    """One night's sleep: when it began and ended, and the minutes of it that were slept."""

    start: datetime
    end: datetime
    asleep: int


class Day(NamedTuple):
    """One local day: per real minute from its midnight on, and the sleep that ended on it."""

    day: date
    start: datetime
    counts: Floats
    steps: Floats
    heart: Floats
    actigraph_on: Bools
    watch_on: Bools
    sleep: Sleep
    night_worn: bool


def habits(who: Person) -> Habits:
    """Return the person's habits."""
    rng = who.chance("habits")
    return Habits(
        bedtime=float(np.clip(rng.normal(23.3, 0.7), 21.8, 25.2)),
        hours=float(np.clip(rng.normal(7.4, 0.5), 6.2, 8.6)),
        regularity=float(rng.uniform(0.3, 0.65)),
        weekend=float(rng.uniform(0.1, 0.9)),
        activity=float(rng.lognormal(5.5, 0.25)),
        pace=float(rng.uniform(0.6, 1.4)),
        resting=float(rng.normal(62, 6)),
        watch_at_night=float(rng.choice([0.97, 0.9, 0.6])),
    )


def live(who: Person) -> Iterator[Day]:
    """Yield the person's days; minutes are real ones, so a day of a clock change has 1380 or 1500."""
    usual = habits(who)
    zone = ZoneInfo(who.place[4])
    nights = [_sleep(who, usual, who.first + timedelta(days=i), zone) for i in range(who.days + 1)]
    for i in range(who.days):
        yield _day(who, usual, who.first + timedelta(days=i), (nights[i], nights[i + 1]), zone)


def _sleep(who: Person, usual: Habits, day: date, zone: ZoneInfo) -> Sleep:
    """Return the sleep that ends on a day."""
    rng = who.chance("sleep", day.isoformat())
    change = effect(who.episode, day)
    late = usual.weekend if day.weekday() >= 5 else 0.0
    bedtime = usual.bedtime + late + change.shift + rng.normal(0, usual.regularity)
    hours = max(1.5, usual.hours + 0.5 * late + change.sleep + rng.normal(0, 0.5))
    midnight = datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)
    start = midnight + timedelta(minutes=round((bedtime - 24) * 60))
    minutes = round(hours * 60)
    awake = round(minutes * float(np.clip(rng.normal(0.06 + 2 * change.waking, 0.02), 0.01, 0.3)))
    return Sleep(start, start + (minutes + awake) * MINUTE, minutes)


def _day(who: Person, usual: Habits, day: date, nights: tuple[Sleep, Sleep], zone: ZoneInfo) -> Day:
    """Return one day of minutes."""
    rng = who.chance("day", day.isoformat())
    start = datetime(day.year, day.month, day.day, tzinfo=zone)
    following = day + timedelta(days=1)
    end = datetime(following.year, following.month, following.day, tzinfo=zone)
    length = round((end.astimezone(UTC) - start.astimezone(UTC)) / MINUTE)
    change = effect(who.episode, day)
    asleep = _asleep(start.astimezone(UTC), length, nights)
    stirring = asleep & (rng.random(length) < 0.03 + change.waking)
    counts = _activity(rng, usual, change, asleep & ~stirring, nights[0].end, start)
    steps = _steps(rng, counts, asleep, usual)
    heart = _heart(rng, usual, change, counts, asleep)
    night_worn = bool(rng.random() < usual.watch_at_night)
    watch = _worn(rng, length, asleep, night_worn=night_worn)
    actigraph = _worn(rng, length, asleep, night_worn=True)
    return Day(day, start, counts, steps, heart, actigraph, watch, nights[0], night_worn)


def _asleep(start: datetime, length: int, nights: tuple[Sleep, Sleep]) -> Bools:
    """Return the minutes of the day that lie within a sleep."""
    out = np.zeros(length, bool)
    for night in nights:
        first, last = round((night.start - start) / MINUTE), round((night.end - start) / MINUTE)
        out[max(0, first) : max(0, last)] = True
    return out


def _activity(rng: Chance, usual: Habits, change: Effect, asleep: Bools, woke: datetime, start: datetime) -> Floats:
    """Return counts a minute: bursts of skewed size that come and go over minutes, fewer soon after waking and late."""
    length = len(asleep)
    up = (np.arange(length) - (woke - start.astimezone(UTC)) / MINUTE) / 60
    shape = 0.35 + 0.65 * np.clip(np.sin(np.pi * np.clip(up, 0, 16) / 16), 0, 1)
    drift = _drift(rng, length, 25)
    minutes = rng.lognormal(0, 0.9, length) * np.exp(0.9 * drift) * shape * usual.activity * change.activity
    still = rng.random(length) < 0.08 + 0.10 * (change.activity < 0.8)
    counts = np.where(still, 0, minutes)
    quiet = np.where(rng.random(length) < 0.06, rng.exponential(12, length), 0)
    return np.asarray(np.rint(np.where(asleep, quiet, counts) * rng.normal(1, 0.07)).clip(0, 5000), np.float64)


def _steps(rng: Chance, counts: Floats, asleep: Bools, usual: Habits) -> Floats:
    """Return steps a minute: walking is where activity is high, and rarely fills its minute; about 7,000 a day."""
    walking = (counts > 2.2 * usual.activity) & ~asleep
    return np.where(walking, np.rint(np.clip(rng.normal(42, 14, len(counts)), 5, 110) * usual.pace), 0)


def _heart(rng: Chance, usual: Habits, change: Effect, counts: Floats, asleep: Bools) -> Floats:
    """Return beats a minute: resting level, lower asleep, following activity over minutes, with noise that lasts."""
    base = usual.resting + change.heart + rng.normal(0, 0.8)
    load = _mean(np.sqrt(counts), 5)
    level = base + np.where(asleep, 0.0, 8.0 + 0.9 * load) + 2.5 * _drift(rng, len(counts), 12)
    return np.asarray(np.rint(np.clip(level, 38, 190)), np.float64)


def _drift(rng: Chance, length: int, width: int) -> Floats:
    """Return noise of about unit variance that lasts for `width` minutes."""
    return _mean(rng.normal(0, 1, length), width) * float(np.sqrt(width))


def _mean(values: Floats, width: int) -> Floats:
    """Return a centred moving average."""
    return np.convolve(values, np.ones(width) / width, "same")


def _worn(rng: Chance, length: int, asleep: Bools, *, night_worn: bool) -> Bools:
    """Return when a device is on: mostly, without an hour for charging, at times without the night or most of the day."""
    on = np.ones(length, bool)
    if rng.random() < 0.6:
        begin = int(rng.integers(0, max(1, length - 90)))
        on[begin : begin + int(rng.integers(20, 90))] = False
    if not night_worn:
        on &= ~asleep
    fate = rng.random()
    if fate < 0.03:
        on[:] = False
    elif fate < 0.07:
        on[int(rng.integers(6 * 60, 18 * 60)) :] = False
    return on
