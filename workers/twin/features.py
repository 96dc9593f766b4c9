"""What is computed: the table of features, and one column of numbers, coverages and reasons for each over local days.

Too little coverage gives no number, only the reason. A column's row for a day uses nothing that came after that day.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Final, Literal

import numpy as np

from workers.twin.arrays import Floats
from workers.twin.intervals import Interval

Domain = Literal["sleep", "activity", "heart", "rhythm", "wear", "symptom"]

REASONS: Final[Mapping[str, str]] = {
    "no-data": "No data of the signals that this needs.",
    "too-little-coverage": "Measured for too small a part of the day.",
    "not-worn-at-night": "Fewer than half of the minutes from 00:00 to 08:00 were measured.",
    "not-told-by-device": "The device reports no time awake, or no times, with its sleep.",
    "no-sleep-found": "Less than an hour of sleep in one piece.",
    "too-few-days": "Too few days of the window were measured.",
    "clock-not-covered": "Some minute of the clock was measured on no day of the window.",
    "too-few-samples": "Fewer than three samples on the day.",
    "no-questionnaire": "The questionnaire was not filled in within the last 84 days.",
    "no-variation": "The values of the window do not vary.",
}
"""Why there is no number; the sentence is what the resource says."""


@dataclass(frozen=True, slots=True)
class Feature:
    """One row: `resolution` is the smallest spread that a baseline is given, in the unit; `window` is in days."""

    code: str
    display: str
    unit: str
    domain: Domain
    resolution: float
    decimals: int
    window: int = 1
    circular: bool = False
    scored: bool = True
    alerting: bool = False
    """Takes part in the rules of `crossings.py`."""
    least: float = 0.0
    most: float = math.inf
    """Between which values the definition keeps it."""


FEATURES: Final = (
    Feature("sleep-duration", "Main sleep, minutes asleep", "min", "sleep", 20, 0, alerting=True),
    Feature("sleep-midpoint", "Middle of the main sleep, local hour", "h", "sleep", 0.33, 2, circular=True, alerting=True),
    Feature("sleep-efficiency", "Part of the main sleep, start to end, that was slept", "%", "sleep", 3, 1, most=100),
    Feature("steps", "Steps of the local day", "{steps}", "activity", 800, 0, alerting=True),
    Feature("activity-mean", "Mean activity counts, 08:00 to 22:00", "{counts}/min", "activity", 10, 1, alerting=True),
    Feature("resting-heart-rate", "Lowest 30-minute mean of the heart rate", "/min", "heart", 1.5, 1, alerting=True),
    Feature("resting-heart-rate-reported", "Resting heart rate reported by a device", "/min", "heart", 1.5, 1, alerting=True),
    Feature("wear-time", "Time that a device was worn", "h", "wear", 1, 1, scored=False),
    Feature("interdaily-stability", "Interdaily stability (IS) of activity", "1", "rhythm", 0.03, 4, window=7, most=1),
    Feature("intradaily-variability", "Intradaily variability (IV) of activity", "1", "rhythm", 0.03, 4, window=7),
    Feature("relative-amplitude", "Relative amplitude (RA) of activity", "1", "rhythm", 0.02, 4, window=7, most=1),
    Feature("l5", "Least active 5 hours (L5), mean counts a minute", "{counts}/min", "rhythm", 3, 2, window=7),
    Feature("l5-onset", "Onset of L5, local hour", "h", "rhythm", 0.33, 2, window=7, circular=True),
    Feature("m10", "Most active 10 hours (M10), mean counts a minute", "{counts}/min", "rhythm", 10, 2, window=7),
    Feature("m10-onset", "Onset of M10, local hour", "h", "rhythm", 0.5, 2, window=7, circular=True),
    Feature("mesor", "Mesor of the cosinor of activity", "{counts}/min", "rhythm", 10, 2, window=7),
    Feature("amplitude", "Amplitude of the cosinor of activity", "{counts}/min", "rhythm", 10, 2, window=7),
    Feature("acrophase", "Acrophase of the cosinor of activity, local hour", "h", "rhythm", 0.33, 2, window=7, circular=True),
    Feature("sleep-regularity-index", "Sleep regularity index (SRI)", "1", "rhythm", 4, 2, window=7, least=-100, most=100),
    Feature("social-jetlag", "Social jetlag, free against working days", "h", "rhythm", 0.33, 2, window=14, scored=False),
    Feature("sleep-duration-sadeh", "Longest rest, slept by Sadeh (AMA-32 counts)", "min", "sleep", 20, 0, scored=False),
    Feature("sleep-duration-scripps", "Longest rest, slept by Scripps (Actiwatch counts)", "min", "sleep", 20, 0, scored=False),
    Feature("hrv-rmssd", "Heart rate variability, RMSSD", "ms", "heart", 4, 1),
    Feature("hrv-sdnn", "Heart rate variability, SDNN", "ms", "heart", 5, 1),
    Feature("phq-9", "PHQ-9, total of the day", "{score}", "symptom", 1, 0, scored=False, most=27),
    Feature("phq-9-item-9", "PHQ-9, thoughts of death or self-harm", "{score}", "symptom", 1, 0, scored=False, most=3),
    Feature("gad-7", "GAD-7, total of the day", "{score}", "symptom", 1, 0, scored=False, most=21),
    Feature("isi", "Insomnia Severity Index, total of the day", "{score}", "symptom", 1, 0, scored=False, most=28),
    Feature("asrm", "Altman Self-Rating Mania Scale, total of the day", "{score}", "symptom", 1, 0, scored=False, most=20),
)  # fmt: skip

BY_CODE: Final[Mapping[str, Feature]] = {feature.code: feature for feature in FEATURES}


@dataclass(slots=True, eq=False)
class Column:
    """One feature over the days of a table: NaN where there is no number, then a reason; `method` says how it came about.

    `interval` is that of the number where the day's or window's own samples tell one (`intervals.py`).
    """

    value: Floats
    coverage: Floats
    reason: list[str]
    method: list[str]
    interval: list[Interval | None] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not self.interval:
            self.interval = [None] * len(self.reason)

    @classmethod
    def blank(cls, days: int, reason: str = "no-data") -> Column:
        """Return a column without numbers."""
        return cls(np.full(days, np.nan), np.full(days, np.nan), [reason] * days, [""] * days)

    def alike(self, window: slice, method: str) -> Floats:
        """Return the numbers of a window that came about by the method."""
        same = [name == method for name in self.method[window]]
        return self.value[window][same] if any(same) else np.zeros(0)

    def put(self, row: int, value: float, method: str, otherwise: str, interval: Interval | None = None) -> None:
        """Set the number of a day with its interval; one that is none becomes the reason `otherwise`."""
        known = bool(np.isfinite(value))
        self.value[row] = value if known else np.nan
        self.reason[row] = "" if known else otherwise
        self.method[row] = method if known else ""
        self.interval[row] = interval if known else None


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """All features of consecutive local days from `first`; `coverage` is the measured part of each day by signal."""

    first: date
    days: int
    columns: Mapping[str, Column]
    coverage: Mapping[str, Floats] = field(default_factory=dict)

    def row(self, day: date) -> int:
        """Return the index of a day; KeyError outside of the table."""
        index = (day - self.first).days
        if not 0 <= index < self.days:
            raise KeyError(day.isoformat())
        return index

    @property
    def last(self) -> date:
        """Return the last day."""
        return self.first + timedelta(days=self.days - 1)
