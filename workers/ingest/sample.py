"""What every format is turned into: a sample of one measure over one interval, or the reason why there is none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from workers.ingest.times import Moment

Number: TypeAlias = int | Decimal

EMPTY: Final = frozenset({"", "nan", "na", "n/a", "null", "none", "-"})
"""How tables write that there is no number."""

LARGEST: Final = 10**12
"""Nothing that a wearable measures is larger, in any unit."""


class Unusable(Exception):
    """A part of the input that cannot be taken: reason code, a sentence without values, where it stands, how much it costs."""

    def __init__(self, reason: str, text: str, where: str | None = None, count: int = 1) -> None:
        super().__init__(text)
        self.reason = reason
        self.text = text
        self.where = where
        self.count = count

    def within(self, prefix: str) -> Unusable:
        """Return the same with its place put below `prefix`."""
        self.where = f"{prefix}.{self.where}" if self.where else prefix
        return self


@dataclass(frozen=True, slots=True)
class Left:
    """Something that is well-formed and not kept, such as a type of which we have no profile: told, not refused."""

    reason: str
    what: str


@dataclass(frozen=True, slots=True)
class Origin:
    """Who measured: the source that told us (an app, a service) and the device, as far as it is named."""

    source: str
    name: str = ""
    manufacturer: str = ""
    model: str = ""
    serial: str = ""
    version: str = ""

    @property
    def key(self) -> tuple[str, str]:
        """Return what tells it from others: the source, and the serial number or whatever names the device."""
        return self.source, self.serial or "|".join((self.manufacturer, self.model, self.name)).strip("|")


@dataclass(frozen=True, slots=True)
class Value:
    """A number in UCUM and the unit as its source writes it."""

    number: Number
    unit: str
    shown: str = ""


@dataclass(frozen=True, slots=True)
class Series:
    """Numbers at equal steps of `period` ms from the start of a sample; None where nothing was measured."""

    numbers: Sequence[Number | None]
    unit: str
    period: Number


@dataclass(frozen=True, slots=True)
class Sample:
    """One measurement; `measure` names a row of `profiles.psych.measures`. What a source does not say is left out."""

    measure: str
    origin: Origin
    start: Moment
    end: Moment | None = None
    value: Value | None = None
    code: str | None = None
    """A stage, or why there is a gap."""
    text: str | None = None
    """What an activity is called."""
    series: Series | None = None
    parts: tuple[tuple[str, Value], ...] = ()
    """(row of `PARTS`, value)."""
    statistic: str | None = None
    """Code of observation-statistics, when the number is no single measurement."""
    status: str = "preliminary"
    issued: str | None = None
    method: str | None = None
    details: Mapping[str, str] = field(default_factory=dict)
    """What else the source says, word for word."""
    stated_time: str | None = None
    """A time that FHIR cannot hold, such as a period that ends before it starts; then `start` is only for identity."""


Item: TypeAlias = Sample | Unusable | Left
"""What a reader of a format yields."""
