"""What the daybook keeps of a state: baselines, deviations, changes of level and trends, for who looks at many days at once."""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from workers.twin.state import State

Against: TypeAlias = tuple[str, float, float, int, float, float, float, float, str]
"""Code, centre, spread, days, weight of the own days; z, low, high, direction."""


class Level(msgspec.Struct, frozen=True, array_like=True):
    """A change of level that was told on the day."""

    code: str
    probability: float
    age: int
    first: int
    last: int
    shift: float


class Symptom(msgspec.Struct, frozen=True, array_like=True):
    """The trend of one instrument."""

    name: str
    value: float
    low: float
    high: float
    questionnaires: int
    age: int | None
    passive: float | None


class Digest(msgspec.Struct, frozen=True, array_like=True):
    """One day's state without what its page says already; `fortnight` are numbers that no page holds."""

    against: tuple[Against, ...]
    levels: tuple[Level, ...]
    symptoms: tuple[Symptom, ...]
    fortnight: tuple[tuple[str, float], ...] = ()
    intervals: tuple[tuple[str, float, float], ...] = ()
    """Code, low and high of the numbers of the day."""


def digest(state: State) -> bytes:
    """Return what is kept of a state."""
    against = tuple(
        (f.feature.code, b.centre, b.spread, b.days, b.weight, d.z, d.low, d.high, d.direction)
        for f in state.features
        if (b := f.baseline) is not None and (d := f.deviation) is not None
    )
    levels = tuple(
        Level(f.feature.code, c.probability, c.age, c.first, c.last, c.shift)
        for f in state.features
        if (c := f.change) is not None and c.told
    )
    symptoms = tuple(
        Symptom(t.instrument.name, t.value, t.low, t.high, t.questionnaires, t.age, t.passive)
        for t in state.trends
        if t.value is not None and t.low is not None and t.high is not None
    )
    later = tuple((f.feature.code, f.value) for f in state.features if f.feature.window == 14 and f.value is not None)
    about = tuple((f.feature.code, f.interval.low, f.interval.high) for f in state.features if f.interval is not None)
    return msgspec.msgpack.encode(Digest(against, levels, symptoms, later, about))


def read(data: bytes) -> Digest:
    """Return the digest that was kept."""
    return msgspec.msgpack.decode(data, type=Digest)
