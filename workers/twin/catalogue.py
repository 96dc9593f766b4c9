"""The signals that are kept decoded: which codes carry them, in which units, within which limits. A table, no code.

LOINC where it has a code, IEEE 11073 (MDC) as devices send it beside LOINC, our `actigraphy` CodeSystem for the rest.
To add a signal: one row here, then whatever in `features.py` should read it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal

from workers.twin.codes import BASE, LOINC, MDC, actigraphy

HOUR: Final = 3_600_000
OURS: Final = ""
"""Stands for our own CodeSystem, whose URL depends on the configured base."""


Shape = Literal["rate", "count", "day", "session", "stage", "score"]
"""rate: a level, at an instant or over an interval. count: adds up over an interval, which it therefore needs.
day: one number for a day of the calendar. session: one sleep, its value the seconds asleep. stage: a code in `STAGES`.
score: the total or an item of a questionnaire."""

ASLEEP: Final = 1
STAGES: Final[Mapping[str, int]] = {"awake": 0, "asleep": ASLEEP, "light": 2, "deep": 3, "rem": 4, "in-bed": 5}
"""Codes of the actigraphy CodeSystem and the number that stands for each in a block and in a SampledData hypnogram."""

SLEEP_STAGES: Final = (1, 2, 3, 4)


@dataclass(frozen=True, slots=True)
class Signal:
    """One row: `longest` is the longest interval in ms that one value may stand for, `beyond` the signal of longer ones."""

    name: str
    shape: Shape
    codes: tuple[tuple[str, str], ...]
    units: Mapping[str, float]
    low: float
    high: float
    longest: int
    beyond: str | None = None
    stage: int | None = None
    plain: bool = False
    """A number without a unit (valueInteger) is taken as it is."""


A_MINUTE: Final = ("/min", "1/min", "{beats}/min", "{Beats}/min", "{beat}/min", "bpm", "beats/min", "beats/minute")
BEATS: Final = dict.fromkeys((*A_MINUTE, f"{MDC}|264864"), 1.0)
STEPS: Final = dict.fromkeys(("{steps}", "{step}", "1", "{#}", "{count}", "steps", "count"), 1.0)
A_DAY: Final = dict.fromkeys(("{steps}/d", "{steps}/(24.h)", "/d", "/(24.h)", "{#}/d"), 1.0)
COUNTS: Final = dict.fromkeys(("{counts}", "{count}", "1", "counts"), 1.0)
SCORES: Final = dict.fromkeys(("{score}", "{points}", "1", "score"), 1.0)
INTERVALS: Final = {"ms": 1.0, "s": 1000.0}
TIMES: Final = {"s": 1.0, "min": 60.0, "h": 3600.0, "ms": 0.001}

SIGNALS: Final = (
    Signal("heart-rate", "rate", ((LOINC, "8867-4"), (MDC, "147842"), (MDC, "149530"), (MDC, "149546")), BEATS, 20, 300, HOUR),
    Signal("resting-heart-rate", "day", ((LOINC, "40443-4"),), BEATS, 20, 200, 25 * HOUR),
    Signal("steps", "count", ((LOINC, "55423-8"),), STEPS, 0, 100_000, 20 * HOUR, beyond="steps-daily", plain=True),
    Signal("steps-daily", "day", ((LOINC, "41950-7"),), STEPS | A_DAY, 0, 200_000, 25 * HOUR, plain=True),
    Signal("activity-counts", "count", ((OURS, "activity-counts"),), COUNTS, 0, 1_000_000, 60_000, plain=True),
    Signal("sleep-session", "session", ((LOINC, "93832-4"),), TIMES, 0, 86_400, 25 * HOUR),
    Signal("sleep-stage", "stage", ((OURS, "sleep-stage"),), {"1": 1.0, "{stage}": 1.0}, 0, 5, 24 * HOUR),
    Signal("sleep-stage", "stage", ((LOINC, "93830-8"),), TIMES, 0, 86_400, 24 * HOUR, stage=2),
    Signal("sleep-stage", "stage", ((LOINC, "93831-6"),), TIMES, 0, 86_400, 24 * HOUR, stage=3),
    Signal("sleep-stage", "stage", ((LOINC, "93829-0"),), TIMES, 0, 86_400, 24 * HOUR, stage=4),
    Signal("hrv-rmssd", "rate", ((OURS, "hrv-rmssd"),), INTERVALS, 0, 500, HOUR, beyond="hrv-rmssd-daily"),
    Signal("hrv-rmssd-daily", "day", (), INTERVALS, 0, 500, 25 * HOUR),
    Signal("hrv-sdnn", "rate", ((LOINC, "80404-7"),), INTERVALS, 0, 1000, HOUR, beyond="hrv-sdnn-daily"),
    Signal("hrv-sdnn-daily", "day", (), INTERVALS, 0, 1000, 25 * HOUR),
    Signal("phq-9", "score", ((LOINC, "44261-6"),), SCORES, 0, 27, 25 * HOUR, plain=True),
    Signal("phq-9-item-9", "score", ((LOINC, "44260-8"),), SCORES, 0, 3, 25 * HOUR, plain=True),
    Signal("gad-7", "score", ((LOINC, "70274-6"),), SCORES, 0, 21, 25 * HOUR, plain=True),
    Signal("isi", "score", ((OURS, "isi-total"),), SCORES, 0, 28, 25 * HOUR, plain=True),
    Signal("asrm", "score", ((OURS, "asrm-total"),), SCORES, 0, 20, 25 * HOUR, plain=True),
)  # fmt: skip
"""A LOINC stage duration counts as a stage in time only when it fills its own effectivePeriod, see `values.py`."""

NAMES: Final = tuple(dict.fromkeys(signal.name for signal in SIGNALS))
"""Stored blocks name a signal by its place here: new rows go to the end, no name is ever removed or moved."""


SYMPTOMS: Final = ("phq-9", "gad-7", "isi", "asrm")
"""The signals that are scores of symptoms."""


def named(name: str) -> Signal:
    """Return the first row of a signal."""
    return next(signal for signal in SIGNALS if signal.name == name)


@lru_cache(maxsize=8)
def by_code(base: str = BASE) -> Mapping[tuple[str, str], Signal]:
    """Return the rows by (system, code)."""
    ours = {OURS: actigraphy(base)}
    return {(ours.get(system, system), code): signal for signal in SIGNALS for system, code in signal.codes}
