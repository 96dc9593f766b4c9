"""Code systems and canonical URLs of the psych profiles, and our local codes with what each means.

LOINC where it has a code; a local code only where it has none. The URLs are those that `workers/twin/codes.py` writes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

BASE: Final = "https://fhir.clarity.example"
LOINC: Final = "http://loinc.org"
SNOMED: Final = "http://snomed.info/sct"
UCUM: Final = "http://unitsofmeasure.org"
STATISTICS: Final = "http://terminology.hl7.org/CodeSystem/observation-statistics"
CATEGORY: Final = "http://terminology.hl7.org/CodeSystem/observation-category"

LOCAL: Final[Mapping[str, str]] = {
    "activity-counts": "Activity counts of an accelerometer, in the device's own scale",
    "sleep-stage": "Stage of sleep over an interval",
    "awake": "Awake",
    "asleep": "Asleep, stage not told",
    "light": "Light sleep",
    "deep": "Deep sleep",
    "rem": "REM sleep",
    "in-bed": "In bed, asleep or not",
    "hrv-rmssd": "Heart rate variability: root mean square of successive differences of R-R intervals (RMSSD)",
    "rr-interval": "Interval between heart beats, by whichever sensor",
    "time-in-bed": "Time in bed",
    "sleep-latency": "Time from going to bed to sleep",
    "arising-latency": "Time from the end of sleep to getting up",
    "wake-after-onset": "Time awake after first falling asleep (WASO)",
    "awakenings": "Number of awakenings",
    "sleep-efficiency": "Part of a sleep episode that was slept",
    "main-sleep": "The main sleep of the day",
    "sleep-stage-summary": "Durations of the stages of one sleep",
    "distance": "Distance covered, by whichever movement",
    "elevation-gain": "Metres climbed",
    "movements": "Movements of an activity (steps, laps, strokes), as its source counts them",
    "cadence": "Movements per time",
    "speed": "Speed",
    "met": "Metabolic equivalents",
    "activity-duration": "Duration of an activity",
    "active-duration": "Time in moderate or more activity, by the source's own threshold",
    "light-activity-duration": "Time in light activity",
    "moderate-activity-duration": "Time in moderate activity",
    "vigorous-activity-duration": "Time in vigorous activity",
    "oxygen-flow": "Flow of supplemental oxygen",
    "skin-temperature-variation": "Deviation of the skin's temperature from the wearer's usual",
    "wear-gap": "A time without data, and why",
    "panss-total": "Positive and Negative Syndrome Scale (PANSS): total of 30 items",
    "imps-79": "Inpatient Multidimensional Psychiatric Scale, item 79: severity of illness, 1 to 7",
    "isi-total": "Insomnia Severity Index: total",
    "asrm-total": "Altman Self-Rating Mania Scale: total",
    **{f"isi-{number}": f"Insomnia Severity Index: item {number}" for number in range(1, 8)},
    **{f"asrm-{number}": f"Altman Self-Rating Mania Scale: item {number}" for number in range(1, 6)},
    **{f"grade-{number}": f"Answer of grade {number}, 0 the least and 4 the most" for number in range(5)},
}
"""Codes of the CodeSystem `actigraphy` and what each stands for."""

GAPS: Final[Mapping[str, str]] = {
    "not-worn": "The device was not worn.",
    "not-synced": "The device has not sent its data yet.",
    "no-permission": "The person, or the phone, does not allow this kind of data.",
    "no-device": "There was no device.",
    "charging": "The device was charging.",
    "device-error": "The device failed to measure.",
    "not-supported": "The source does not measure this.",
    "rejected": "Data came and could not be used.",
    "not-told": "The source has a gap and does not say why.",
}
"""Why there are no data over a time, as their source said."""


def actigraphy(base: str = BASE) -> str:
    """Return the URL of the CodeSystem of `LOCAL`."""
    return f"{base}/CodeSystem/actigraphy"


def gaps(base: str = BASE) -> str:
    """Return the URL of the CodeSystem of `GAPS`."""
    return f"{base}/CodeSystem/coverage-gap"


def digital_twin(base: str = BASE) -> str:
    """Return the URL of the CodeSystem of what the twin computes."""
    return f"{base}/CodeSystem/digital-twin"


def profile(name: str, base: str = BASE) -> str:
    """Return the canonical URL of a StructureDefinition."""
    return f"{base}/StructureDefinition/{name}"
