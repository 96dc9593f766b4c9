"""What a rule is evaluated over: one person's days as the daybook has them, and the answers to questionnaires.

Days are read when a condition asks for them. Nothing here knows what came after the moment that it is asked about.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, tzinfo
from typing import Final, NamedTuple, TypeAlias

import msgspec

from workers.twin import digest
from workers.twin.arrays import DAY
from workers.twin.catalogue import SYMPTOMS
from workers.twin.daybook import FORTNIGHTLY, Number, Summary
from workers.twin.recording import Recording

ANSWERED: Final = (*SYMPTOMS, "phq-9-item-9")
"""Metrics that are known by the answer, with its time: they do not wait for the state of a day."""
_SCORES: Final = frozenset(ANSWERED)
_EPOCH: Final = date(1970, 1, 1)

Kept: TypeAlias = Mapping[date, tuple[bytes, bytes | None]]
"""By local day the bytes of a page and of what is kept of its state."""


class Answer(NamedTuple):
    """One total or item: local day, instant (ms since 1970), number, and the rid of the resource that says it."""

    day: date
    at: int
    value: float
    rid: int


class Deviating(NamedTuple):
    """A robust z against the own baseline, with its 95 % interval."""

    z: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Moment:
    """When a rule is asked: an instant on the person's own clock."""

    now: datetime

    @property
    def today(self) -> date:
        """Return the local day."""
        return self.now.date()

    @property
    def milliseconds(self) -> int:
        """Return ms since 1970."""
        return int(self.now.timestamp() * 1000)


class _Page(msgspec.Struct, frozen=True, array_like=True):
    """The parts of a page that rules look at (`daybook.Page`): what it rests on stays bytes, signals until they are asked for."""

    numbers: tuple[Number, ...]
    coverage: msgspec.Raw
    signals: msgspec.Raw


_read_page = msgspec.msgpack.Decoder(_Page).decode
_read_signals = msgspec.msgpack.Decoder(tuple[Summary, ...]).decode


class Day:
    """One local day, decoded as far as it is asked about."""

    __slots__ = ("_deviations", "_numbers", "_parts", "_signals", "_state")

    def __init__(self, page: bytes, state: bytes | None) -> None:
        read = _read_page(page)
        self._numbers: dict[str, float | None] = {each[0]: each[1] for each in read.numbers}
        self._signals, self._state = read.signals, state
        self._deviations: dict[str, Deviating] | None = None
        self._parts: dict[str, float] | None = None

    def number(self, code: str) -> float | None:
        """Return the number of a feature; what looks at a fortnight stands in the state, not on the page."""
        if code == FORTNIGHTLY and self._state:
            return dict(digest.read(self._state).fortnight).get(code)
        return self._numbers.get(code)

    def deviation(self, code: str) -> Deviating | None:
        """Return how far a feature lies from the own baseline."""
        if self._deviations is None:
            against = digest.read(self._state).against if self._state else ()
            self._deviations = {each[0]: Deviating(each[5], each[6], each[7]) for each in against}
        return self._deviations.get(code)

    @property
    def parts(self) -> dict[str, float]:
        """Return the measured part by signal of devices; 1 where a signal is no matter of minutes."""
        if self._parts is None:
            found = [each for each in _read_signals(self._signals) if each.signal not in _SCORES]
            self._parts = {each.signal: 1.0 if each.coverage is None else each.coverage for each in found}
        return self._parts


@dataclass(slots=True)
class Chart:
    """One person's evidence; `answers` by metric are sorted by time."""

    kept: Kept
    answers: Mapping[str, Sequence[Answer]] = field(default_factory=dict)
    _days: dict[date, Day | None] = field(default_factory=dict, repr=False)
    _windows: dict[tuple[date, int], list[date]] = field(default_factory=dict, repr=False)

    def day(self, day: date) -> Day | None:
        """Return a day, None where nothing is known of it."""
        if day not in self._days:
            found = self.kept.get(day)
            self._days[day] = Day(*found) if found else None
        return self._days[day]

    def window(self, newest: date, days: int) -> list[date]:
        """Return so many days back from a day, newest first."""
        if (newest, days) not in self._windows:
            self._windows[newest, days] = [newest - timedelta(days=back) for back in range(days)]
        return self._windows[newest, days]

    def answered(self, metric: str, moment: Moment) -> list[Answer]:
        """Return the answers up to a moment, newest first."""
        until = moment.milliseconds
        return [each for each in reversed(self.answers.get(metric, ())) if each.at <= until]


def answers_of(recording: Recording) -> dict[str, list[Answer]]:
    """Return the answers of a recording by metric; one of a calendar day counts from the start of that day."""
    out: dict[str, list[Answer]] = {}
    for name in ANSWERED:
        track = recording.tracks.get(name)
        if track is None:
            continue
        rows = zip(track.local.tolist(), track.start.tolist(), track.value.tolist(), track.rid.tolist(), strict=True)
        found = [Answer(_EPOCH + timedelta(days=local // DAY), at, value, int(rid)) for local, at, value, rid in rows]
        out[name] = sorted(found, key=lambda each: (each.at, each.value, each.rid))
    return out


def moments(days: Iterable[date], chart: Chart, zone: tzinfo, hour: int = 12) -> list[Moment]:
    """Return when a rule would have been asked over past days: each at noon, and at each answer."""
    wanted = sorted(set(days))
    if not wanted:
        return []
    found = {datetime(day.year, day.month, day.day, hour, tzinfo=zone) for day in wanted}
    for answers in chart.answers.values():
        for each in answers:
            if wanted[0] <= each.day <= wanted[-1]:
                found.add(datetime.fromtimestamp(math.ceil(each.at / 1000), zone))
    return [Moment(now) for now in sorted(found)]
