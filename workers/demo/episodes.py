"""Episodes: when a demo patient is unwell and what that does to sleep, activity, heart and scores. The ground truth."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final, NamedTuple

from workers.demo.chance import Chance

SETTLING: Final = 35
"""Days of usual life before an episode may begin, so that there is a baseline."""

RAMP: Final = 3
"""Days from the onset to the full effect."""

EVERY: Final = 2
"""Every second patient has an episode."""


class Effect(NamedTuple):
    """What the full episode does: hours of sleep, hours that sleep moves later, factor of activity, beats a minute,
    chance of waking, points of PHQ-9 and GAD-7."""

    sleep: float
    shift: float
    activity: float
    heart: float
    waking: float
    phq9: float
    gad7: float


NONE: Final = Effect(0, 0, 1, 0, 0, 0, 0)

EFFECTS: Final[dict[str, Effect]] = {
    "depressive": Effect(1.8, 1.0, 0.5, 3.0, 0.02, 9, 3),
    "sleep-loss": Effect(-2.3, 0.8, 0.9, 4.0, 0.05, 5, 5),
    "withdrawal": Effect(0.8, 0.7, 0.38, 1.0, 0.01, 6, 2),
    "manic": Effect(-3.2, -0.3, 1.55, 6.0, 0.02, 0, 2),
    "anxious": Effect(-1.4, 1.0, 0.95, 7.0, 0.04, 3, 8),
    "phase-shift": Effect(-0.3, 4.0, 0.8, 1.5, 0.02, 4, 3),
}


@dataclass(frozen=True, slots=True)
class Episode:
    """A kind of episode with its first day and its last; an end after the data means that it goes on."""

    kind: str
    onset: date
    end: date

    def strength(self, day: date) -> float:
        """Return how much of the full effect a day has, 0 to 1."""
        if not self.onset <= day <= self.end:
            return 0.0
        return min(1.0, ((day - self.onset).days + 1) / RAMP)


def planned(rng: Chance, number: int, kinds: tuple[str, ...], first: date, days: int) -> Episode | None:
    """Return the episode of a patient, or None for those who stay well and where there are too few days."""
    length = int(rng.integers(14, 31))
    kind = kinds[number // EVERY % len(kinds)]
    latest = days - 10
    if number % EVERY or latest <= SETTLING:
        return None
    onset = first + timedelta(days=int(rng.integers(SETTLING, latest)))
    return Episode(kind, onset, onset + timedelta(days=length - 1))


def effect(episode: Episode | None, day: date) -> Effect:
    """Return what the episode does on a day, scaled by its strength."""
    if episode is None:
        return NONE
    part = episode.strength(day)
    return Effect(*(usual + part * (full - usual) for usual, full in zip(NONE, EFFECTS[episode.kind], strict=True)))
