"""The measures: one row each, from which a profile, its units and what `$ingest` takes all follow.

To add a measure: a row here. `units` are UCUM, the usual one first; a value keeps the unit in which it came.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from profiles.psych.codes import LOCAL, LOINC

Kind = Literal["level", "count", "day", "session", "stage", "activity", "panel", "gap"]
"""level: at an instant or as a mean over an interval. count: over an interval. day: one number of a calendar day.
session: one sleep. stage: a code over an interval. activity: a bout. panel: components only. gap: a time without data."""


@dataclass(frozen=True, slots=True)
class Measure:
    """A row; codes are (system, code, display), the system "" being our own CodeSystem."""

    name: str
    title: str
    kind: Kind
    codes: tuple[tuple[str, str, str], ...]
    units: tuple[str, ...]
    category: str = "activity"
    low: float = 0.0
    sampled: bool = False
    """It may come as SampledData too."""


def _loinc(code: str, display: str) -> tuple[str, str, str]:
    return LOINC, code, display


def _own(code: str) -> tuple[str, str, str]:
    return "", code, LOCAL[code]


TIMES: Final = ("min", "s", "ms", "h", "d", "us", "ns", "ps", "wk", "mo", "a")
LENGTHS: Final = ("m", "km", "cm", "mm", "um", "nm", "fm", "pm", "[in_i]", "[ft_i]", "[yd_i]", "[mi_i]")
MASSES: Final = ("kg", "g", "mg", "ug", "ng", "pg", "fg", "t", "[lb_av]", "[oz_av]", "[gr]", "[ston_av]")
SPEEDS: Final = ("m/s", "km/h", "[mi_i]/h", "[ft_i]/s", "[ft_i]/min", "[yd_i]/min", "m/min", "cm/s", "km/min")
VITAL: Final = "vital-signs"
VOLUMES: Final = ("L", "mL", "dL", "uL", "nL")

MEASURES: Final = (
    Measure("heart-rate", "Heart rate", "level", (_loinc("8867-4", "Heart rate"),), ("/min",), VITAL, sampled=True),
    Measure("resting-heart-rate", "Resting heart rate, as a source computes it", "day", (_loinc("40443-4", "Heart rate --resting"),), ("/min",), VITAL),
    Measure("hrv-sdnn", "Heart rate variability as SDNN", "level", (_loinc("80404-7", "R-R interval.standard deviation (Heart rate variability)"),), ("ms",), VITAL),
    Measure("hrv-rmssd", "Heart rate variability as RMSSD", "level", (_own("hrv-rmssd"),), ("ms",), VITAL),
    Measure("rr-interval", "Interval between heart beats", "level", (_own("rr-interval"),), ("ms",), VITAL, sampled=True),
    Measure("respiratory-rate", "Respiratory rate", "level", (_loinc("9279-1", "Respiratory rate"),), ("/min",), VITAL),
    Measure("oxygen-saturation", "Oxygen saturation, method not told", "level", (_loinc("2708-6", "Oxygen saturation in Arterial blood"),), ("%",), VITAL),
    Measure("oxygen-saturation-pulse", "Oxygen saturation by pulse oximetry", "level", (_loinc("59408-5", "Oxygen saturation in Arterial blood by Pulse oximetry"), _loinc("2708-6", "Oxygen saturation in Arterial blood")), ("%",), VITAL, sampled=True),
    Measure("body-weight", "Body weight", "level", (_loinc("29463-7", "Body weight"),), MASSES, VITAL),
    Measure("body-height", "Body height", "level", (_loinc("8302-2", "Body height"),), LENGTHS, VITAL),
    Measure("body-temperature", "Body temperature", "level", (_loinc("8310-5", "Body temperature"),), ("Cel", "[degF]", "K"), VITAL, low=-50),
    Measure("skin-temperature", "Temperature of the skin", "level", (_loinc("39106-0", "Temperature of Skin"),), ("Cel", "[degF]", "K"), VITAL, low=-50),
    Measure("skin-temperature-variation", "Deviation of the skin's temperature", "day", (_own("skin-temperature-variation"),), ("Cel", "K"), VITAL, low=-50),
    Measure("blood-pressure", "Blood pressure", "panel", (_loinc("85354-9", "Blood pressure panel with all children optional"),), (), VITAL),
    Measure("systolic-blood-pressure", "Systolic blood pressure", "level", (_loinc("8480-6", "Systolic blood pressure"),), ("mm[Hg]",), VITAL),
    Measure("diastolic-blood-pressure", "Diastolic blood pressure", "level", (_loinc("8462-4", "Diastolic blood pressure"),), ("mm[Hg]",), VITAL),
    Measure("blood-glucose", "Glucose in blood, mass", "level", (_loinc("2339-0", "Glucose [Mass/volume] in Blood"),), ("mg/dL",), "laboratory"),
    Measure("blood-glucose-molar", "Glucose in blood, substance", "level", (_loinc("15074-8", "Glucose [Moles/volume] in Blood"),), ("mmol/L",), "laboratory"),
    Measure("fev1", "Forced expiratory volume in one second", "level", (_loinc("20150-9", "FEV1"),), VOLUMES, "procedure"),
    Measure("fvc", "Forced vital capacity", "level", (_loinc("19870-5", "Forced vital capacity [Volume] Respiratory system"),), VOLUMES, "procedure"),
    Measure("steps", "Steps over an interval", "count", (_loinc("55423-8", "Number of steps in unspecified time Pedometer"),), ("{steps}",), sampled=True),
    Measure("steps-daily", "Steps of a day", "day", (_loinc("41950-7", "Number of steps in 24 hour Measured"),), ("{steps}/d", "{steps}"),),
    Measure("activity-counts", "Activity counts", "count", (_own("activity-counts"),), ("{counts}",), sampled=True),
    Measure("distance", "Distance covered", "count", (_own("distance"),), LENGTHS),
    Measure("energy-burned", "Energy spent", "count", (_loinc("41981-2", "Calories burned"),), ("kcal", "kJ", "cal")),
    Measure("active-duration", "Time in moderate or more activity", "count", (_own("active-duration"),), TIMES),
    Measure("physical-activity", "A bout of physical activity", "activity", (_loinc("73985-4", "Exercise activity"),), ()),
    Measure("sleep-session", "One sleep", "session", (_loinc("93832-4", "Sleep duration"),), TIMES),
    Measure("time-in-bed", "Time in bed", "session", (_own("time-in-bed"),), TIMES),
    Measure("sleep-stage", "Stages of sleep", "stage", (_own("sleep-stage"),), ("1",), sampled=True),
    Measure("sleep-stage-summary", "Durations of the stages of one sleep", "panel", (_own("sleep-stage-summary"),), ()),
    Measure("coverage-gap", "A time without data, and why", "gap", (_own("wear-gap"),), ()),
)  # fmt: skip

BY_NAME: Final[Mapping[str, Measure]] = {measure.name: measure for measure in MEASURES}

PARTS: Final[Mapping[str, tuple[tuple[str, str, str], tuple[str, ...]]]] = {
    "systolic-blood-pressure": (_loinc("8480-6", "Systolic blood pressure"), ("mm[Hg]",)),
    "diastolic-blood-pressure": (_loinc("8462-4", "Diastolic blood pressure"), ("mm[Hg]",)),
    "light-sleep": (_loinc("93830-8", "Light sleep duration"), TIMES),
    "deep-sleep": (_loinc("93831-6", "Deep sleep duration"), TIMES),
    "rem-sleep": (_loinc("93829-0", "REM sleep duration"), TIMES),
    "energy-burned": (_loinc("41981-2", "Calories burned"), ("kcal", "kJ", "cal")),
    "sleep-efficiency": (_own("sleep-efficiency"), ("%",)),
    "awakenings": (_own("awakenings"), ("{#}",)),
    "met": (_own("met"), ("[MET]",)),
    "oxygen-flow": (_own("oxygen-flow"), ("L/min", "mL/min")),
    "speed": (_own("speed"), SPEEDS),
    "movements": (_own("movements"), ("{steps}", "{laps}", "{skips}", "{strokes}", "{movements}")),
    "cadence": (_own("cadence"), ("{steps}/min", "{strokes}/min", "{skips}/min", "{laps}/min", "{movements}/min", "{strokes}/{lap}")),
    **{name: (_own(name), LENGTHS) for name in ("distance", "elevation-gain")},
    **{name: (_own(name), TIMES) for name in (
        "time-in-bed", "sleep-latency", "arising-latency", "wake-after-onset", "activity-duration",
        "light-activity-duration", "moderate-activity-duration", "vigorous-activity-duration",
    )},
}  # fmt: skip
"""What stands in components: its code and its units."""
